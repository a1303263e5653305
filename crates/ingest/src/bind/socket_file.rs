use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use socket2::{SockAddr, Socket};
use tracing::warn;

/// The file of a unix socket. Dropping it removes the file, if it is still ours and does not stay.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// The socket outlives this process, and so does its file.
    pub(crate) stays: bool,
}

impl SocketFile {
    /// Gives the socket its name, in place of a file that a dead process left behind. Everybody
    /// may write to it: containers run as any user.
    ///
    /// `AddrInUse` if a live process serves the path, `AlreadyExists` if no socket lies there.
    pub(super) fn bind(socket: &Socket, path: &Path) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => remove_if_stale(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        socket.bind(&address)?;
        let file = Self::of(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        Ok(file)
    }

    /// The file that is there, of a socket that is bound already.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let identity = identity(&fs::symlink_metadata(path)?);
        Ok(Self { path: path.to_owned(), identity, stays: false })
    }
}

fn remove_if_stale(path: &Path) -> io::Result<()> {
    match UnixDatagram::unbound()?.connect(path) {
        // A stream socket that is served is of the wrong type, but alive.
        Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTOTYPE) => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another socket there: a successor, say.
        if !self.stays
            && fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(path = %self.path.display(), %error, "the socket's file cannot be removed");
        }
    }
}
