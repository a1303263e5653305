use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

/// The service manager, to which state and descriptors are sent: `sd_notify(3)`.
#[derive(Debug)]
pub struct Manager {
    address: SocketAddrUnix,
    // Made anew after an error: the manager may have made its own anew.
    socket: Mutex<Option<OwnedFd>>,
}

impl Manager {
    /// The one at this address, as `$NOTIFY_SOCKET` has it: a path, or `@` and an abstract name.
    pub fn at(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            [b'/', ..] => SocketAddrUnix::new(address)?,
            _ => return Err(io::Error::other("it is neither a path nor an abstract name")),
        };
        Ok(Self { address, socket: Mutex::new(None) })
    }

    /// Sends a message, `KEY=value` lines, with at most one descriptor. Waits while the manager is
    /// busy, at most so long.
    pub fn send(
        &self,
        message: &str,
        descriptor: Option<BorrowedFd<'_>>,
        patience: Duration,
    ) -> io::Result<()> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = self.send_over(&mut socket, message, descriptor, Instant::now() + patience);
        if sent.is_err() {
            *socket = None;
        }
        Ok(sent?)
    }

    fn send_over(
        &self,
        socket: &mut Option<OwnedFd>,
        message: &str,
        descriptor: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> rustix::io::Result<()> {
        let socket = match socket {
            Some(socket) => socket,
            None => socket.insert(self.connect()?),
        };
        let descriptors = descriptor.as_slice();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        loop {
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            let text = [IoSlice::new(message.as_bytes())];
            match sendmsg(&*socket, &text, &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Errno::AGAIN);
                    }
                    let mut writable = [PollFd::new(&*socket, PollFlags::OUT)];
                    match poll(&mut writable, Timespec::try_from(left).ok().as_ref()) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn connect(&self) -> rustix::io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        connect(&socket, &self.address)?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_manager_is_reached_by_a_path_and_by_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("weir-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, address) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            let manager = Manager::at(&address).unwrap();
            manager.send("READY=1", None, PATIENCE).unwrap();
            let mut came = [0; 100];
            let length = socket.recv(&mut came).unwrap();
            assert_eq!(&came[..length], b"READY=1");
        }
        assert!(Manager::at(OsStr::new("vsock:2:1")).is_err());
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(path.as_os_str()).unwrap();
        let mut sent = 0;
        while manager.send("WATCHDOG=1", None, Duration::ZERO).is_ok() {
            sent += 1;
        }
        assert!(sent > 0);
        let mut came = [0; 100];
        socket.recv(&mut came).unwrap();
        manager.send("WATCHDOG=1", None, PATIENCE).unwrap();
        drop(socket);
        let again = manager.send("WATCHDOG=1", None, PATIENCE).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::ConnectionRefused);
    }
}
