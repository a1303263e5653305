use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use metric::{Kind, Origin, SeriesKey};

use super::{
    CLAIMED, CONTAINER, END, Entry, LEVEL, LISTENER, LONGEST_CHUNK, MAGIC, Saved, Stamp,
    StateError, TOTAL, VERSION,
};

/// Reads a state, chunk by chunk. Nobody vouches for its bytes.
pub(crate) struct Reader<'a, R> {
    from: &'a mut R,
    stamp: Stamp,
    chunk: Vec<u8>,
    seen: Saved,
}

/// Some series of one source.
pub(crate) struct Chunk<'a> {
    pub(crate) origin: Origin,
    entries: Bytes<'a>,
    seen: &'a mut Saved,
}

impl<'a, R: Read> Reader<'a, R> {
    pub(crate) fn begin(from: &'a mut R) -> Result<Self, StateError> {
        let mut magic = [0; MAGIC.len() + 4];
        read_exact(from, &mut magic)?;
        let mut bytes = Bytes(&magic);
        if bytes.take(MAGIC.len())? != MAGIC {
            return Err(StateError::Damaged);
        }
        let version = u32::from_le_bytes(bytes.array()?);
        if version > VERSION {
            return Err(StateError::Newer(version));
        }
        let mut rest = [0; 8 + 8 + 16 + 4];
        read_exact(from, &mut rest)?;
        let (header, sum) = rest.split_at(rest.len() - 4);
        let mut whole = crc32fast::Hasher::new();
        whole.update(&magic);
        whole.update(header);
        if whole.finalize().to_le_bytes() != sum || version != VERSION {
            return Err(StateError::Damaged);
        }
        let mut bytes = Bytes(header);
        let stamp = Stamp {
            wall_ms: i64::from_le_bytes(bytes.array()?),
            since_boot: Duration::from_millis(u64::from_le_bytes(bytes.array()?)),
            boot: u128::from_le_bytes(bytes.array()?),
        };
        Ok(Self { from, stamp, chunk: Vec::new(), seen: Saved::default() })
    }

    /// When it was written.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The next chunk; `None` at the end. All entries of one are to be read before the next.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, StateError> {
        let mut head = [0; 8];
        read_exact(self.from, &mut head)?;
        let mut bytes = Bytes(&head);
        let length = u32::from_le_bytes(bytes.array()?) as usize;
        if length > LONGEST_CHUNK {
            return Err(StateError::Damaged);
        }
        self.chunk.resize(length, 0);
        read_exact(self.from, &mut self.chunk)?;
        if crc32fast::hash(&self.chunk) != u32::from_le_bytes(bytes.array()?) {
            return Err(StateError::Damaged);
        }
        let mut bytes = Bytes(&self.chunk);
        let origin = match bytes.array::<1>()?[0] {
            END => {
                let levels = u64::from_le_bytes(bytes.array()?);
                let totals = u64::from_le_bytes(bytes.array()?);
                let is_whole = self.seen == Saved { levels, totals } && bytes.0.is_empty();
                return match self.from.read(&mut [0])? {
                    0 if is_whole => Ok(None),
                    _ => Err(StateError::Damaged),
                };
            }
            CONTAINER => Origin::Container { container_id: bytes.text()? },
            LISTENER => Origin::Listener { listener: bytes.text()? },
            CLAIMED => Origin::Claimed { listener: bytes.text()?, container_id: bytes.text()? },
            _ => return Err(StateError::Damaged),
        };
        Ok(Some(Chunk { origin, entries: bytes, seen: &mut self.seen }))
    }
}

impl Chunk<'_> {
    /// The next entry; `None` at the end of the chunk.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, StateError> {
        let bytes = &mut self.entries;
        if bytes.0.is_empty() {
            return Ok(None);
        }
        let kind = bytes.array::<1>()?[0];
        let value = f64::from_le_bytes(bytes.array()?);
        let age = Duration::from_millis(u64::from_le_bytes(bytes.array()?));
        if !value.is_finite() {
            return Err(StateError::Damaged);
        }
        Ok(Some(match kind {
            LEVEL => {
                self.seen.levels += 1;
                let key = SeriesKey::checked(bytes.bytes()?);
                let key = key.filter(|key| key.kind() == Kind::Gauge).ok_or(StateError::Damaged)?;
                Entry::Level { key, value, age }
            }
            TOTAL => {
                self.seen.totals += 1;
                Entry::Total { hash: u64::from_le_bytes(bytes.array()?), value, age }
            }
            _ => return Err(StateError::Damaged),
        }))
    }
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(StateError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(StateError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8], StateError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        self.take(length)
    }

    fn text(&mut self) -> Result<Arc<str>, StateError> {
        std::str::from_utf8(self.bytes()?).map(Arc::from).map_err(|_| StateError::Damaged)
    }
}

// An end that comes too early is damage.
fn read_exact(from: &mut impl Read, to: &mut [u8]) -> Result<(), StateError> {
    from.read_exact(to).map_err(|error| {
        if error.kind() == ErrorKind::UnexpectedEof {
            StateError::Damaged
        } else {
            StateError::Read(error)
        }
    })
}
