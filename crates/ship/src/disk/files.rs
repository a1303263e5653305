use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::segment::{self, FILE_HEAD, Marker, VERSION};

/// The files of one queue: all that is done to the disk for it goes through here.
///
/// A file is named for its number, by which the queue has its order, and its marker:
/// `000000000000002a-5f3a9c1be0d47c66.segment`. One of a newer version has `.newer` behind that.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    #[cfg(test)]
    pub(crate) faults: faults::Faults,
}

/// The name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) number: u64,
    pub(crate) marker: Marker,
}

/// The files that a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Those that can be read, oldest first.
    pub(crate) ours: Vec<Name>,
    /// How many are of a newer version.
    pub(crate) newer: u64,
    /// The highest number of any.
    pub(crate) last_number: u64,
}

/// There is always a next number.
const NUMBER_MOST: u64 = u64::MAX >> 1;

const ENDING: &str = "segment";
const NEWER: &str = "newer";

impl Name {
    fn of(stem: &str) -> Option<Self> {
        let (number, marker) = stem.split_once('-')?;
        if number.len() != 16 || marker.len() != 16 {
            return None;
        }
        let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
        let number = hexadecimal(number).filter(|number| *number <= NUMBER_MOST)?;
        Some(Self { number, marker: hexadecimal(marker)?.to_be_bytes() })
    }
}

impl Files {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            #[cfg(test)]
            faults: faults::Faults::default(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, name: Name) -> PathBuf {
        let marker = u64::from_be_bytes(name.marker);
        self.dir.join(format!("{:016x}-{marker:016x}.{ENDING}", name.number))
    }

    /// The error of a file, with its name.
    pub(crate) fn about(&self, name: Name, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path(name).display()))
    }

    /// Makes the directory, and takes its lock: it is one queue's alone.
    pub(crate) fn take(&self) -> io::Result<File> {
        self.check(Step::Directory)?;
        fs::create_dir_all(&self.dir)?;
        let dir = File::open(&self.dir)?;
        match dir.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {
                Err(io::Error::new(io::ErrorKind::WouldBlock, "another queue still uses it"))
            }
            // Some network file systems have no locks; there one user is the operator's promise.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(dir),
        }
    }

    /// Lists the files. One of a newer version gets its ending, and loses it where it is not newer
    /// any more.
    pub(crate) fn list(&self) -> io::Result<Listed> {
        self.check(Step::List)?;
        let mut listed = Listed::default();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let text = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_aside = text.ends_with(NEWER);
            let stem = text.trim_end_matches(NEWER).trim_end_matches('.');
            let stem = stem.strip_suffix(ENDING).and_then(|stem| stem.strip_suffix('.'));
            let Some(name) = stem.and_then(Name::of) else { continue };
            listed.last_number = listed.last_number.max(name.number);
            let is_newer = match is_newer(&path) {
                Ok(is_newer) => is_newer,
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "cannot read, left alone");
                    continue;
                }
            };
            if is_newer != is_aside {
                let ours = self.path(name);
                let aside = ours.with_extension(format!("{ENDING}.{NEWER}"));
                fs::rename(&path, if is_newer { aside } else { ours })?;
            }
            if is_newer {
                listed.newer += 1;
            } else {
                listed.ours.push(name);
            }
        }
        listed.ours.sort_unstable();
        Ok(listed)
    }

    /// A new file with its head, which survives a crash of the machine as soon as it is synced.
    pub(crate) fn create(&self, name: Name) -> io::Result<File> {
        self.check(Step::Create)?;
        // It may have been removed under us.
        fs::create_dir_all(&self.dir)?;
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?;
        let written = self.write(&file, 0, &segment::file_head());
        let synced = written.and_then(|()| File::open(&self.dir)?.sync_all());
        if synced.is_err() {
            let _ = self.remove(name);
        }
        synced.map(|()| file)
    }

    /// Writes at this place, which need not be the end.
    pub(crate) fn write(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.check(Step::Write) {
            // As a disk that fills up: half of it is written.
            file.write_all_at(&bytes[..bytes.len() / 2], at)?;
            return Err(error);
        }
        file.write_all_at(bytes, at)
    }

    /// Takes back what is behind this place.
    pub(crate) fn cut(&self, file: &File, at: u64) -> io::Result<()> {
        self.check(Step::Cut)?;
        file.set_len(at)
    }

    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.check(Step::Sync)?;
        file.sync_data()
    }

    /// Opens a file, to read it and to settle records in it.
    pub(crate) fn open(&self, name: Name) -> io::Result<File> {
        self.check(Step::Open)?;
        OpenOptions::new().read(true).write(true).open(self.path(name))
    }

    /// Notes that a record is settled.
    pub(crate) fn settle(&self, file: &File, record: u64) -> io::Result<()> {
        self.check(Step::Settle)?;
        let (at, state) = segment::settled_at(record);
        file.write_all_at(&state, at)
    }

    pub(crate) fn remove(&self, name: Name) -> io::Result<()> {
        self.check(Step::Remove)?;
        fs::remove_file(self.path(name))
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // of a test's kind
    fn check(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn check(&self, step: Step) -> io::Result<()> {
        self.faults.check(step)
    }
}

/// Where a disk can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))] // only tests look at it
pub(crate) enum Step {
    Directory,
    List,
    Create,
    Write,
    Cut,
    Sync,
    Open,
    Settle,
    Remove,
}

/// Whether a file is of a version that we do not know. One whose head is damaged is not: its
/// records speak for themselves.
fn is_newer(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(FILE_HEAD).read_to_end(&mut head)?;
    Ok(segment::version(&head).is_some_and(|version| version > VERSION))
}

#[cfg(test)]
pub(crate) mod faults {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::sync::lock;

    /// A disk that fails where a test says so.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Faults(Arc<Mutex<Vec<Step>>>);

    impl Faults {
        /// From now on these steps fail, and no other.
        pub(crate) fn set(&self, steps: &[Step]) {
            *lock(&self.0) = steps.to_vec();
        }

        pub(super) fn check(&self, step: Step) -> io::Result<()> {
            if lock(&self.0).contains(&step) {
                return Err(io::Error::new(io::ErrorKind::StorageFull, format!("no {step:?}")));
            }
            Ok(())
        }
    }
}
