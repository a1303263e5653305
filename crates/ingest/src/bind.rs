//! From an address to a bound socket.

mod buffer;
mod socket_file;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tracing::debug;

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
    /// Of a unix socket that was bound here.
    pub(crate) file: Option<SocketFile>,
}

/// How sockets are to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) receive_buffer: usize,
    /// Of a unix socket.
    pub(crate) credentials: bool,
    /// How many sockets share a UDP port.
    pub(crate) readers: usize,
}

/// At least one socket: `wish.readers` for a UDP port, one for a path.
pub(crate) fn bind(
    address: &Address,
    wish: Wish,
    warned: &Warned,
) -> Result<Vec<Bound>, IngestError> {
    let bound = match address {
        Address::Udp(address) => bind_udp(*address, wish, warned),
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
    } else {
        IngestError::Bind { address, source }
    }
}

fn bind_udp(address: SocketAddr, wish: Wish, warned: &Warned) -> io::Result<Vec<Bound>> {
    // The first is bound alone, so that a port in somebody else's hands is refused even if they
    // would share it. Only then is it opened to the others.
    let first = udp_socket(address, false)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    if wish.readers > 1 {
        sockets[0].set_reuse_port(true)?;
        for _ in 1..wish.readers {
            sockets.push(udp_socket(address, true)?);
        }
    }
    let ready = |socket: Socket| Bound {
        granted: buffer::ask(&socket, wish.receive_buffer, warned),
        socket,
        address: Address::Udp(address),
        unix: false,
        credentials: false,
        file: None,
    };
    Ok(sockets.into_iter().map(ready).collect())
}

fn udp_socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(address), Some(Protocol::UDP))?;
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
    let socket = new_socket(Domain::UNIX, None)?;
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
    })
}

fn new_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new_raw(domain, Type::DGRAM.cloexec().nonblocking(), protocol)
}

/// Takes over a socket that somebody else has bound. Its file, if it has one, stays theirs.
pub(crate) fn adopt(fd: OwnedFd, wish: Wish, warned: &Warned) -> Result<Bound, IngestError> {
    let look = |socket: &Socket| -> io::Result<_> {
        Ok((socket.r#type()?, socket.local_addr()?, socket.protocol()?))
    };
    let socket = Socket::from(fd);
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
        socket.set_cloexec(true)?;
        if credentials { socket.set_passcred(true) } else { Ok(()) }
    };
    settle().map_err(unfit)?;
    let granted = if unix {
        buffer::warn_of_short_queue();
        socket.recv_buffer_size().map_err(unfit)?
    } else {
        buffer::ask(&socket, wish.receive_buffer, warned)
    };
    Ok(Bound { socket, address, granted, unix, credentials, file: None })
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
