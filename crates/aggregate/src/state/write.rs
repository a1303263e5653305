use std::io::{self, Write};
use std::time::Duration;

use metric::Origin;

use super::{
    CHUNK, CLAIMED, CONTAINER, END, Entry, LEVEL, LISTENER, MAGIC, Saved, Stamp, TOTAL, VERSION,
};

/// Writes a state, chunk by chunk.
pub(crate) struct Writer<'a, W> {
    to: &'a mut W,
    origin: Vec<u8>,
    // Begins with the origin; empty while there is no entry.
    chunk: Vec<u8>,
    saved: Saved,
}

impl<'a, W: Write> Writer<'a, W> {
    pub(crate) fn begin(to: &'a mut W, stamp: &Stamp) -> io::Result<Self> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&stamp.wall_ms.to_le_bytes());
        header.extend_from_slice(&millis(stamp.since_boot).to_le_bytes());
        header.extend_from_slice(&stamp.boot.to_le_bytes());
        let sum = crc32fast::hash(&header);
        header.extend_from_slice(&sum.to_le_bytes());
        to.write_all(&header)?;
        Ok(Self { to, origin: Vec::new(), chunk: Vec::new(), saved: Saved::default() })
    }

    /// What follows is of this source. False if nothing of it is to be kept: it is measured, and
    /// not added up.
    pub(crate) fn source(&mut self, origin: &Origin) -> io::Result<bool> {
        self.end_chunk()?;
        self.origin.clear();
        let (kind, texts): (_, &[&str]) = match origin {
            Origin::Container { container_id } => (CONTAINER, &[container_id]),
            Origin::Listener { listener } => (LISTENER, &[listener]),
            Origin::Claimed { listener, container_id } => (CLAIMED, &[listener, container_id]),
            Origin::Resources { .. } | Origin::Node | Origin::MesosAgent => return Ok(false),
        };
        self.origin.push(kind);
        for text in texts {
            put_bytes(&mut self.origin, text.as_bytes());
        }
        Ok(true)
    }

    pub(crate) fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if self.chunk.is_empty() {
            self.chunk.extend_from_slice(&self.origin);
        }
        let chunk = &mut self.chunk;
        let (kind, value, age) = match entry {
            Entry::Level { value, age, .. } => (LEVEL, value, age),
            Entry::Total { value, age, .. } => (TOTAL, value, age),
        };
        chunk.push(kind);
        chunk.extend_from_slice(&value.to_le_bytes());
        chunk.extend_from_slice(&millis(*age).to_le_bytes());
        match entry {
            Entry::Level { key, .. } => {
                put_bytes(chunk, key.as_bytes());
                self.saved.levels += 1;
            }
            Entry::Total { hash, .. } => {
                chunk.extend_from_slice(&hash.to_le_bytes());
                self.saved.totals += 1;
            }
        }
        if self.chunk.len() >= CHUNK { self.end_chunk() } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> io::Result<Saved> {
        self.end_chunk()?;
        self.chunk.push(END);
        self.chunk.extend_from_slice(&self.saved.levels.to_le_bytes());
        self.chunk.extend_from_slice(&self.saved.totals.to_le_bytes());
        self.end_chunk()?;
        Ok(self.saved)
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.to.write_all(&(self.chunk.len() as u32).to_le_bytes())?;
        self.to.write_all(&crc32fast::hash(&self.chunk).to_le_bytes())?;
        self.to.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(bytes);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
