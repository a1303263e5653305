use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, net, os};

use ingest::{Place, Store};
use socket2::{Domain, SockAddr, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::{ApiError, Endpoint};

/// The owner and the group: on DC/OS mesos-agent is root, and others have no business here.
const MODE: u32 = 0o660;

#[derive(Debug)]
pub(super) enum Socket {
    // Shared with the store, which forgets it when it is closed.
    Unix { listener: Arc<UnixListener>, _file: Option<SocketFile> },
    Tcp(Arc<TcpListener>),
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
    pub(super) fn bind(endpoint: &Endpoint, store: &Store) -> Result<(Self, Endpoint), ApiError> {
        let failed = |source| ApiError::Bind { endpoint: endpoint.clone(), source };
        match endpoint {
            Endpoint::Unix(path) => {
                let left = take(store, &Place::Unix(path.clone())).map(adopt_unix);
                let socket = match left.transpose().map_err(failed)? {
                    Some(listener) => Self::Unix { listener: Arc::new(listener), _file: None },
                    None => Self::bind_unix(endpoint, path, store)?,
                };
                Ok((socket, endpoint.clone()))
            }
            Endpoint::Tcp { host, port } => {
                let found = (host.as_str(), *port).to_socket_addrs();
                let addresses: Vec<_> = found
                    .map_err(|source| ApiError::Resolve { endpoint: endpoint.clone(), source })?
                    .collect();
                let left = left_at(&addresses, endpoint, store).map(adopt_tcp);
                let (listener, port) = match left.transpose().map_err(failed)? {
                    Some(adopted) => adopted,
                    None => Self::bind_tcp(endpoint, &addresses, store)?,
                };
                Ok((Self::Tcp(listener), Endpoint::Tcp { host: host.clone(), port }))
            }
        }
    }

    fn bind_unix(endpoint: &Endpoint, path: &Path, store: &Store) -> Result<Self, ApiError> {
        make_room(path).map_err(|problem| problem.at(endpoint, path))?;
        let (listener, file) = bind_unix(path, store.is_kept())
            .map_err(|source| ApiError::Bind { endpoint: endpoint.clone(), source })?;
        let listener = Arc::new(listener);
        store.keep_streams(&endpoint.to_string(), &listener);
        Ok(Self::Unix { listener, _file: file })
    }

    fn bind_tcp(
        endpoint: &Endpoint,
        addresses: &[net::SocketAddr],
        store: &Store,
    ) -> Result<(Arc<TcpListener>, u16), ApiError> {
        let (listener, port) = bind_tcp(addresses).map_err(|source| {
            if source.kind() == io::ErrorKind::AddrInUse {
                // One of ours may be in the way, from before the configuration changed.
                for address in addresses {
                    store.give_up_tcp(address.port());
                }
            }
            ApiError::Bind { endpoint: endpoint.clone(), source }
        })?;
        let listener = Arc::new(listener);
        store.keep_streams(&endpoint.to_string(), &listener);
        Ok((listener, port))
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

// A stream socket is no other's: the first is as good as any.
fn take(store: &Store, place: &Place) -> Option<OwnedFd> {
    store.take(place).into_iter().next().map(|stored| stored.socket)
}

/// What an earlier process left at one of these addresses; of a port that was the system's choice,
/// at its own.
fn left_at(addresses: &[net::SocketAddr], endpoint: &Endpoint, store: &Store) -> Option<OwnedFd> {
    let at = |address: &net::SocketAddr| {
        if address.port() != 0 {
            return take(store, &Place::Tcp(*address));
        }
        let own_name = Store::name_of_streams(&endpoint.to_string());
        let is_own = |place: &Place, name: &str| {
            name == own_name && matches!(place, Place::Tcp(at) if at.ip() == address.ip())
        };
        take(store, store.find_named(is_own).first()?)
    };
    addresses.iter().find_map(at)
}

fn adopt_unix(socket: OwnedFd) -> io::Result<UnixListener> {
    let listener = os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn adopt_tcp(socket: OwnedFd) -> io::Result<(Arc<TcpListener>, u16)> {
    let listener = net::TcpListener::from(socket);
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    Ok((Arc::new(TcpListener::from_std(listener)?), port))
}

// Where the socket outlives this process so does its file: who connects meanwhile waits for the
// next one.
fn bind_unix(path: &Path, stays: bool) -> io::Result<(UnixListener, Option<SocketFile>)> {
    let listener = os::unix::net::UnixListener::bind(path)?;
    let identity = identity(path)?;
    let file = (!stays).then(|| SocketFile { path: path.to_owned(), identity });
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
