use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::FileName;
use crate::read;

/// The directory of a file output: what is in it, and how much of it may stay.
///
/// Only files with names of ours count and are touched.
pub(crate) struct Directory {
    path: PathBuf,
    max_bytes: u64,
    max_files: usize,
    /// What is complete (or was set aside), oldest first.
    kept: VecDeque<Kept>,
    kept_bytes: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    name: FileName,
    ending: &'static str,
    bytes: u64,
}

const PART: &str = "part";
const COMPLETE: &str = "avro";
const SET_ASIDE: &str = "bad";

impl Directory {
    /// Opens or makes the directory, and completes what a previous process left in it.
    pub(crate) fn open(path: PathBuf, max_bytes: u64, max_files: usize) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        let mut directory =
            Self { path, max_bytes, max_files, kept: VecDeque::new(), kept_bytes: 0 };
        // A directory that cannot be written to is better found now than at the first flush.
        rustix::fs::access(&directory.path, Access::WRITE_OK | Access::EXEC_OK)?;
        directory.recover_all()?;
        Ok(directory)
    }

    /// Completes every `.part` that nobody writes any more.
    pub(crate) fn recover_all(&mut self) -> io::Result<()> {
        for (name, _) in self.list(PART)? {
            if let Err(error) = self.recover(&name) {
                tracing::warn!(file = %name, %error, "cannot complete what was left of it");
            }
        }
        self.take_stock()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &FileName, ending: &str) -> PathBuf {
        self.path.join(format!("{name}.{ending}"))
    }

    /// A new `.part`, locked: while it is written no other process takes it for left behind.
    pub(crate) fn begin(&self, name: &FileName) -> io::Result<File> {
        fs::create_dir_all(&self.path)?;
        if self.file(name, COMPLETE).try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = OpenOptions::new().write(true).create_new(true).open(self.file(name, PART))?;
        // Some network file systems have no locks; there one writer is the operator's promise.
        let _ = file.try_lock();
        Ok(file)
    }

    /// Removes a `.part` that never got a block.
    pub(crate) fn discard(&self, name: &FileName) -> io::Result<()> {
        fs::remove_file(self.file(name, PART))
    }

    /// Renames a synced `.part`: from now on it is whole and stays as it is.
    pub(crate) fn complete(&mut self, name: &FileName, bytes: u64) -> io::Result<()> {
        self.rename(name, COMPLETE)?;
        self.kept.push_back(Kept { name: name.clone(), ending: COMPLETE, bytes });
        self.kept_bytes += bytes;
        Ok(())
    }

    fn rename(&self, name: &FileName, ending: &str) -> io::Result<()> {
        fs::rename(self.file(name, PART), self.file(name, ending))?;
        File::open(&self.path)?.sync_all()
    }

    /// Completes a `.part` that a process left behind to its last whole block; sets it aside if it
    /// has none. One that a process still writes is left alone.
    fn recover(&self, name: &FileName) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(self.file(name, PART))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Ok(());
        }
        let whole = read::whole_blocks(&file)?;
        if whole.blocks == 0 {
            tracing::warn!(file = %name, "set aside as .bad: it has no whole block");
            return self.rename(name, SET_ASIDE);
        }
        file.set_len(whole.bytes)?;
        file.sync_all()?;
        tracing::info!(file = %name, blocks = whole.blocks, "completed after a previous process");
        self.rename(name, COMPLETE)
    }

    /// Removes the oldest files until the rest, with the one that is being written, is within
    /// bounds; returns how many.
    pub(crate) fn keep_within_bounds(&mut self, part_bytes: u64) -> usize {
        let mut removed = 0;
        let mut looked_again = false;
        while self.kept_bytes + part_bytes > self.max_bytes || self.kept.len() > self.max_files {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_bytes -= oldest.bytes;
            match fs::remove_file(self.file(&oldest.name, oldest.ending)) {
                Ok(()) => removed += 1,
                // Somebody else removes files too: what else is gone must not cost a newer one.
                Err(_) if !looked_again => {
                    looked_again = true;
                    if let Err(error) = self.take_stock() {
                        tracing::warn!(dir = %self.path.display(), %error, "cannot list");
                    }
                }
                Err(error) => {
                    tracing::warn!(file = %oldest.name, %error, "cannot remove");
                }
            }
        }
        removed
    }

    fn take_stock(&mut self) -> io::Result<()> {
        let mut kept = Vec::new();
        for ending in [COMPLETE, SET_ASIDE] {
            let files = self.list(ending)?;
            kept.extend(files.into_iter().map(|(name, bytes)| Kept { name, ending, bytes }));
        }
        kept.sort_unstable();
        self.kept_bytes = kept.iter().map(|file| file.bytes).sum();
        self.kept = kept.into();
        Ok(())
    }

    fn list(&self, ending: &str) -> io::Result<Vec<(FileName, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some((stem, found)) = file_name.to_str().and_then(|name| name.rsplit_once('.'))
            else {
                continue;
            };
            if let (true, Ok(name)) = (found == ending, stem.parse()) {
                // It may be gone already.
                files.extend(entry.metadata().ok().map(|metadata| (name, metadata.len())));
            }
        }
        Ok(files)
    }
}
