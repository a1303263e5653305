use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::file;

const NAME: &str = "running";
const MAGIC: &[u8; 8] = b"weirrun1";

/// A slot, so large that the disk writes no other with it.
const SLOT: usize = 4096;

/// What a slot holds: the magic, a number, a time and their CRC-32.
const LENGTH: usize = 8 + 8 + 8 + 4;

/// The file that is there while a process runs, and says how far it came. Who finds one at the
/// start knows that the process before did not stop by itself.
///
/// Two slots are written in turn, in place, so that a write that is torn leaves the other. They
/// are synced once, at the start: after a power cut there may be an earlier time in them, and so
/// they promise less, never more.
#[derive(Debug)]
pub(super) struct Running {
    path: PathBuf,
    file: File,
    number: u64,
    completed_ms: i64,
}

/// A process that did not stop by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Killed {
    /// Until when its points are safe, in unix milliseconds, if that can be told.
    pub(super) until_ms: Option<i64>,
}

impl Running {
    /// What is known of the process before, if it did not stop by itself.
    pub(super) fn killed_before(dir: &Path) -> Option<Killed> {
        let path = dir.join(NAME);
        match read(&path) {
            Ok(slot) => Some(Killed { until_ms: slot.map(|(_, until_ms)| until_ms) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!("cannot read {}: {error}", path.display());
                Some(Killed { until_ms: None })
            }
        }
    }

    /// Marks that a process runs. Until it has come further, what the one before said holds.
    pub(super) fn begin(dir: &Path, now_ms: i64) -> Option<Self> {
        let path = dir.join(NAME);
        let before = read(&path).ok().flatten();
        let (number, completed_ms) = before.unwrap_or((0, now_ms));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.inspect_err(|error| {
            warn!("cannot write {}: {error}; a crash will not be noticed", path.display());
        });
        let mut running = Self { path, file: file.ok()?, number, completed_ms };
        // That it is there says enough, but for the time.
        if let Err(error) = running.write_first() {
            let path = running.path.display();
            warn!("cannot write {path}: {error}; of a crash it may not be known when it was");
        }
        Some(running)
    }

    fn write_first(&mut self) -> io::Result<()> {
        self.file.set_len(2 * SLOT as u64)?;
        // Both, so that none is of another process's time.
        self.write(self.completed_ms)?;
        self.write(self.completed_ms)?;
        self.file.sync_all()?;
        file::sync_dir_of(&self.path)
    }

    /// All points of the flush that ended then, and of those before, are safe.
    pub(super) fn completed(&mut self, end_ms: i64) -> io::Result<()> {
        if end_ms == self.completed_ms {
            return Ok(());
        }
        self.write(end_ms)
    }

    fn write(&mut self, completed_ms: i64) -> io::Result<()> {
        let number = self.number.wrapping_add(1);
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..16].copy_from_slice(&number.to_le_bytes());
        slot[16..24].copy_from_slice(&completed_ms.to_le_bytes());
        let sum = crc32fast::hash(&slot[..LENGTH - 4]);
        slot[LENGTH - 4..LENGTH].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&slot, number % 2 * SLOT as u64)?;
        (self.number, self.completed_ms) = (number, completed_ms);
        Ok(())
    }

    /// Marks the end: the process stopped by itself.
    pub(super) fn end(self) -> io::Result<()> {
        file::remove(&self.path)
    }
}

// The number and the time of the slot that was written last; `None` if neither is whole.
fn read(path: &Path) -> io::Result<Option<(u64, i64)>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(2 * SLOT as u64).read_to_end(&mut bytes)?;
    Ok(bytes.chunks(SLOT).filter_map(slot).max_by_key(|(number, _)| *number))
}

fn slot(bytes: &[u8]) -> Option<(u64, i64)> {
    let bytes: &[u8; LENGTH] = bytes.first_chunk()?;
    let (content, sum) = bytes.split_last_chunk()?;
    let (magic, content) = content.split_first_chunk()?;
    let (number, completed_ms) = content.split_first_chunk()?;
    let is_whole =
        magic == MAGIC && crc32fast::hash(&bytes[..LENGTH - 4]) == u32::from_le_bytes(*sum);
    let completed_ms = i64::from_le_bytes(completed_ms.try_into().ok()?);
    is_whole.then_some((u64::from_le_bytes(*number), completed_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(until_ms: Option<i64>) -> Killed {
        Killed { until_ms }
    }

    #[test]
    fn a_process_that_was_killed_leaves_word_how_far_it_came() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |now| {
            let before = Running::killed_before(dir.path());
            (Running::begin(dir.path(), now), before)
        };
        let (first, before) = begin(100);
        assert_eq!(before, None);
        drop(first);
        // It was killed before its first flush, and so was the second.
        let (second, before) = begin(200);
        assert_eq!(before.unwrap(), killed(Some(100)));
        drop(second);
        let (third, before) = begin(300);
        assert_eq!(before.unwrap(), killed(Some(100)));
        let mut third = third.unwrap();
        third.completed(310).unwrap();
        third.completed(320).unwrap();
        drop(third);
        let (fourth, before) = begin(400);
        assert_eq!(before.unwrap(), killed(Some(320)));
        fourth.unwrap().end().unwrap();
        assert_eq!(begin(500).1, None);
    }

    #[test]
    fn a_torn_write_costs_the_last_step_only_and_a_damaged_file_is_no_clean_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut running = Running::begin(dir.path(), 100).unwrap();
        running.completed(110).unwrap();
        running.completed(120).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let last_slot = SLOT * (running.number % 2) as usize;
        for at in last_slot..last_slot + LENGTH {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(read(&path).unwrap().map(|(_, time)| time), Some(110), "{at}");
        }
        for damaged in [&b""[..], b"weir", &[0xff; 3 * SLOT]] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(Running::killed_before(dir.path()).unwrap(), killed(None));
            assert_eq!(Running::begin(dir.path(), 200).unwrap().completed_ms, 200);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_no_reason_not_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(Running::killed_before(&missing), None);
        assert!(Running::begin(&missing, 1).is_none());
    }
}
