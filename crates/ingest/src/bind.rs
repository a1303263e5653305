//! From an address to a bound socket.

mod buffer;
mod socket_file;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tracing::debug;

use crate::drops::Drops;
use crate::store::{Store, Stored, is_of_a_unit};
use crate::{Address, IngestError};
pub(crate) use buffer::Warned;
pub(crate) use socket_file::SocketFile;

/// A bound socket that nobody reads yet.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: Socket,
    pub(crate) address: Address,
    /// Bytes of receive buffer as the kernel accounts for them: twice what was asked for.
    pub(crate) granted: usize,
    pub(crate) unix: bool,
    /// Every datagram tells who sent it.
    pub(crate) credentials: bool,
    /// Of a unix socket.
    pub(crate) file: Option<SocketFile>,
    pub(crate) drops: Drops,
    /// It is in the service manager's hands already, under this name if it told.
    pub(crate) is_stored: bool,
    pub(crate) name: Option<Arc<str>>,
}

impl Bound {
    /// What it is called if it is a socket unit's.
    pub(crate) fn unit(&self) -> Option<Arc<str>> {
        self.name.clone().filter(|name| is_of_a_unit(Some(name)))
    }
}

/// How sockets are to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) receive_buffer: usize,
    /// Of a unix socket.
    pub(crate) credentials: bool,
    /// How many sockets share a UDP port.
    pub(crate) readers: usize,
    /// A descriptor of this number or a higher one is not for a socket: the last ones are for
    /// files and connections.
    pub(crate) descriptors: RawFd,
}

/// What is missing beside the sockets that there are already, all of this address: `wish.readers`
/// for a UDP port, one for a path.
pub(crate) fn bind(
    address: &Address,
    there: Vec<Bound>,
    wish: Wish,
    warned: &Warned,
) -> Result<Vec<Bound>, IngestError> {
    let bound = match address {
        Address::Udp(address) => bind_udp(*address, there, wish, warned),
        Address::Unixgram(_) if !there.is_empty() => Ok(there),
        Address::Unixgram(path) => bind_unix(path, wish).map(|bound| vec![bound]),
    };
    bound.map_err(|error| refused(address, error))
}

fn refused(address: &Address, source: io::Error) -> IngestError {
    let address = address.clone();
    if source.kind() == io::ErrorKind::AddrInUse {
        IngestError::InUse { address }
    } else if source.kind() == io::ErrorKind::AlreadyExists {
        IngestError::NotASocket { address }
    } else if Errno::from_io_error(&source) == Some(Errno::MFILE) {
        IngestError::Descriptors { address }
    } else {
        IngestError::Bind { address, source }
    }
}

fn bind_udp(
    address: SocketAddr,
    mut there: Vec<Bound>,
    wish: Wish,
    warned: &Warned,
) -> io::Result<Vec<Bound>> {
    let ready = |socket: Socket, address| Bound {
        granted: buffer::ask(&socket, wish.receive_buffer, warned),
        socket,
        address: Address::Udp(address),
        unix: false,
        credentials: false,
        file: None,
        drops: Drops::default(),
        is_stored: false,
        name: None,
    };
    // The first is bound alone, so that a port in somebody else's hands is refused even if they
    // would share it. Only then is it opened to the others.
    if there.is_empty() {
        let first = udp_socket(address, false, wish)?;
        let address = first.local_addr()?.as_socket().unwrap_or(address);
        there.push(ready(first, address));
    }
    if let Address::Udp(address) = there[0].address
        && there.len() < wish.readers
    {
        there[0].socket.set_reuse_port(true)?;
        while there.len() < wish.readers {
            there.push(ready(udp_socket(address, true, wish)?, address));
        }
    }
    Ok(there)
}

fn udp_socket(address: SocketAddr, share: bool, wish: Wish) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(address), Some(Protocol::UDP), wish)?;
    // The address may come to this host after us.
    let freebind = if address.is_ipv6() {
        // `[::]` is "whoever can reach this host", so both families; the system's default varies.
        socket.set_only_v6(!address.ip().is_unspecified())?;
        socket.set_freebind_v6(true)
    } else {
        socket.set_freebind_v4(true)
    };
    if let Err(error) = freebind {
        debug!(%error, "an address that this host does not have cannot be bound here");
    }
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_unix(path: &Path, wish: Wish) -> io::Result<Bound> {
    let socket = new_socket(Domain::UNIX, None, wish)?;
    // Before it has a name: a datagram that came earlier would carry no credentials.
    socket.set_passcred(wish.credentials)?;
    let file = SocketFile::bind(&socket, path)?;
    buffer::warn_of_short_queue();
    Ok(Bound {
        granted: socket.recv_buffer_size()?,
        socket,
        address: Address::Unixgram(path.to_owned()),
        unix: true,
        credentials: wish.credentials,
        file: Some(file),
        drops: Drops::default(),
        is_stored: false,
        name: None,
    })
}

fn new_socket(domain: Domain, protocol: Option<Protocol>, wish: Wish) -> io::Result<Socket> {
    let socket = Socket::new_raw(domain, Type::DGRAM.cloexec().nonblocking(), protocol)?;
    // The kernel gives the lowest number that is free.
    if socket.as_raw_fd() >= wish.descriptors { Err(Errno::MFILE.into()) } else { Ok(socket) }
}

/// Takes up a socket that an earlier process has left.
pub(crate) fn adopt(
    stored: Stored,
    wish: Wish,
    warned: &Warned,
    store: &Store,
) -> Result<Bound, IngestError> {
    let look = |socket: &Socket| -> io::Result<_> {
        Ok((socket.r#type()?, socket.local_addr()?, socket.protocol()?))
    };
    let socket = Socket::from(stored.socket);
    let (kind, local, protocol) = look(&socket).map_err(unfit)?;
    if kind != Type::DGRAM {
        return Err(unfit("it is not a datagram socket"));
    }
    let unix = local.is_unix();
    let address = local_address(&local)?;
    if !unix && protocol != Some(Protocol::UDP) {
        return Err(unfit("it is not a UDP socket"));
    }
    let credentials = unix && wish.credentials;
    let settle = || -> io::Result<()> {
        socket.set_nonblocking(true)?;
        // Whoever left it may have been killed while it closed it, and refused everything.
        let _ = socket.detach_filter();
        if credentials { socket.set_passcred(true) } else { Ok(()) }
    };
    settle().map_err(unfit)?;
    let granted = if unix {
        buffer::warn_of_short_queue();
        socket.recv_buffer_size().map_err(unfit)?
    } else {
        buffer::ask(&socket, wish.receive_buffer, warned)
    };
    let file = match &address {
        Address::Udp(_) => None,
        Address::Unixgram(path) => SocketFile::of(path).ok(),
    };
    let drops =
        store.dropped_before(&socket).map_or_else(|| Drops::from_now(&socket), Drops::since);
    let name = stored.name;
    Ok(Bound { socket, address, granted, unix, credentials, file, drops, is_stored: true, name })
}

fn local_address(local: &SockAddr) -> Result<Address, IngestError> {
    if let Some(path) = local.as_pathname() {
        return Ok(Address::Unixgram(path.to_owned()));
    }
    match local.as_socket() {
        Some(address) if address.port() != 0 => Ok(Address::Udp(address)),
        _ => Err(unfit("it is not bound to an address")),
    }
}

fn unfit(reason: impl Into<Box<dyn Error>>) -> IngestError {
    IngestError::Adopt { reason: reason.into().to_string() }
}
