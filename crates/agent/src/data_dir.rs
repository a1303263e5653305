//! The directory that is one agent's alone.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A data directory that this process holds until it drops this.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("cannot use the data directory {}: {source}; choose another with --data-dir", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error(
        "another agent uses the data directory {}; stop it, or choose another with --data-dir",
        path.display()
    )]
    Taken { path: PathBuf },
}

impl DataDir {
    /// Makes the directory if it is missing, and takes its lock.
    pub(crate) fn take(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::create(path.join("lock")).map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(DataDirError::Taken { path: path.to_owned() })
            }
            Err(error) => Err(unusable(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_on_one_directory_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDir::take(&path).unwrap();
        assert!(matches!(DataDir::take(&path), Err(DataDirError::Taken { .. })));
        drop(first);
        DataDir::take(&path).unwrap();
    }
}
