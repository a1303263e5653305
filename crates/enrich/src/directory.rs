use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use metric::Container;

use crate::Error;

mod load;
mod name;
#[cfg(test)]
mod tests;

pub use load::Loaded;

/// The directory in which registered containers outlive the process: a file for each, as DC/OS's
/// agents of both eras write them, so that a node can be switched over and back.
///
/// Everything here blocks on the disk. One process at a time may use a directory; its threads may
/// share it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    temporary: AtomicU64,
}

impl Directory {
    /// The directory at this path, made with its parents (mode 0775) if it is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let made = DirBuilder::new().recursive(true).mode(0o775).create(&path);
        match made.and_then(|()| fs::read_dir(&path)) {
            Ok(_) => Ok(Self { path, temporary: AtomicU64::new(0) }),
            Err(source) => Err(Error::Directory { path, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the containers that were registered when the last process ended.
    ///
    /// To be called before anything is saved or removed: it brings files that an older agent named
    /// otherwise to the name that is used here, so that there is one file for an id. What cannot
    /// be read as a container is renamed to `<name>.bad` and reported; sub-directories and
    /// everything else that is no file are left alone.
    pub fn load(&self) -> Result<Loaded, Error> {
        load::load(&self.path)
            .map_err(|source| Error::Directory { path: self.path.clone(), source })
    }

    /// Writes a container's file, or its new content; on return it is on the disk.
    pub fn save(&self, container: &Container) -> Result<(), Error> {
        self.replace(container).map_err(|source| Error::Save {
            container_id: container.container_id.clone(),
            path: self.path.clone(),
            source,
        })
    }

    /// Removes a container's file; it is no error if there is none.
    pub fn remove(&self, container_id: &str) -> Result<(), Error> {
        let file = self.path.join(name::of(container_id));
        let removed = match fs::remove_file(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.and_then(|()| self.sync()),
        };
        removed.map_err(|source| Error::Remove {
            container_id: container_id.to_owned(),
            path: self.path.clone(),
            source,
        })
    }

    fn replace(&self, container: &Container) -> io::Result<()> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.path.join(name::temporary(number));
        let written = write(&temporary, container).and_then(|()| {
            fs::rename(&temporary, self.path.join(name::of(&container.container_id)))
        });
        if let Err(error) = written {
            // Not worth a word of its own: the next start removes it.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.sync()
    }

    // A rename or a removal is on the disk only when the directory is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

fn write(path: &Path, container: &Container) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o664).open(path)?;
    // DC/OS's own agent runs with another user of the directory's group.
    file.set_permissions(Permissions::from_mode(0o664))?;
    file.write_all(&serde_json::to_vec(container)?)?;
    file.sync_all()
}

// A file of at most `limit` bytes; `None` if it has more. Never waits for a writer, as a named pipe
// would make us.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
