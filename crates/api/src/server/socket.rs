use std::io;
use std::net::ToSocketAddrs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, net, os};

use socket2::{Domain, SockAddr, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::{ApiError, Endpoint};

/// The owner and the group: on DC/OS mesos-agent is root, and others have no business here.
const MODE: u32 = 0o660;

#[derive(Debug)]
pub(super) enum Socket {
    Unix { listener: UnixListener, _file: SocketFile },
    Tcp(TcpListener),
}

pub(super) enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// The file of a socket of ours, removed with it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Socket {
    pub(super) fn bind(endpoint: &Endpoint) -> Result<(Self, Endpoint), ApiError> {
        let failed = |source| ApiError::Bind { endpoint: endpoint.clone(), source };
        match endpoint {
            Endpoint::Unix(path) => {
                make_room(path).map_err(|problem| problem.at(endpoint, path))?;
                let (listener, file) = bind_unix(path).map_err(failed)?;
                Ok((Self::Unix { listener, _file: file }, endpoint.clone()))
            }
            Endpoint::Tcp { host, port } => {
                let found = (host.as_str(), *port).to_socket_addrs();
                let addresses: Vec<_> = found
                    .map_err(|source| ApiError::Resolve { endpoint: endpoint.clone(), source })?
                    .collect();
                let (listener, local) = bind_tcp(&addresses).map_err(failed)?;
                let local = Endpoint::Tcp { host: host.clone(), port: local };
                Ok((Self::Tcp(listener), local))
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix { listener, .. } => Ok(Accepted::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is one write; if this fails it is only slower.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream))
            }
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = os::unix::net::UnixListener::bind(path)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    listener.set_nonblocking(true)?;
    Ok((UnixListener::from_std(listener)?, file))
}

fn bind_tcp(addresses: &[net::SocketAddr]) -> io::Result<(TcpListener, u16)> {
    let listener = net::TcpListener::bind(addresses)?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    Ok((TcpListener::from_std(listener)?, port))
}

enum Problem {
    NoDirectory,
    NotASocket,
    Live,
    Other(io::Error),
}

impl Problem {
    fn at(self, endpoint: &Endpoint, path: &Path) -> ApiError {
        let path = path.to_owned();
        match self {
            Self::NoDirectory => ApiError::NoDirectory { path },
            Self::NotASocket => ApiError::NotASocket { path },
            Self::Live => ApiError::Live { path },
            Self::Other(source) => ApiError::Bind { endpoint: endpoint.clone(), source },
        }
    }
}

/// Removes the socket file of a process that is gone.
fn make_room(path: &Path) -> Result<(), Problem> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let missing = directory.is_some_and(|directory| !directory.is_dir());
            return if missing { Err(Problem::NoDirectory) } else { Ok(()) };
        }
        Err(error) => return Err(Problem::Other(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(Problem::NotASocket),
        Ok(_) => {}
    }
    if is_served(path).map_err(Problem::Other)? {
        return Err(Problem::Live);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Problem::Other(error)),
        _ => Ok(()),
    }
}

// Without blocking: a living server whose queue is full is alive all the same.
fn is_served(path: &Path) -> io::Result<bool> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
