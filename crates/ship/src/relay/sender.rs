use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::DropReason;
use crate::ledger::Account;

/// How long a full send buffer may hold one packet up.
const WRITE_TIMEOUT: Duration = Duration::from_millis(100);

/// How long after a failure a new socket is tried.
const REOPEN: Duration = Duration::from_secs(1);

/// Sends packets to the destination of the moment, and settles what became of their lines.
///
/// UDP acknowledges nothing: what the kernel took is acknowledged, unless the kernel tells with the
/// next packet, or when it is asked at the end of a burst, that nobody listens there.
#[derive(Debug)]
pub(crate) struct Sender {
    account: Arc<Account>,
    destination: Option<SocketAddr>,
    socket: Option<UdpSocket>,
    /// When a socket may be opened again.
    reopen: Option<Instant>,
    /// The lines of the last packet: the kernel took it, and might still tell that it was refused.
    unsettled: u64,
    is_up: bool,
}

impl Sender {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { account, destination: None, socket: None, reopen: None, unsettled: 0, is_up: false }
    }

    /// From now on packets go there, or nowhere for this reason.
    pub(crate) fn go_to(&mut self, destination: Result<SocketAddr, String>) {
        self.settle();
        self.socket = None;
        self.reopen = None;
        match destination {
            Ok(address) => {
                self.destination = Some(address);
                self.open();
            }
            Err(why) => {
                self.destination = None;
                self.fail(why);
            }
        }
    }

    /// Sends a packet of so many lines.
    pub(crate) fn send(&mut self, packet: &[u8], lines: u64) {
        if self.socket.is_none() && self.reopen.is_none_or(|at| at <= Instant::now()) {
            self.open();
        }
        let Some(socket) = &self.socket else {
            return self.account.lose(lines, DropReason::Unreachable);
        };
        let mut sent = socket.send(packet);
        if is_refused(&sent) {
            // That was an earlier packet; this one is yet to be sent.
            self.refused();
            sent = self.socket.as_ref().map_or(sent, |socket| socket.send(packet));
        }
        match sent {
            Ok(_) => {
                self.acknowledge();
                self.unsettled = lines;
            }
            Err(error) => self.lose(lines, &error),
        }
    }

    /// The end of a burst: nothing is left open.
    pub(crate) fn settle(&mut self) {
        if self.unsettled == 0 {
            return;
        }
        match self.socket.as_ref().map(UdpSocket::take_error) {
            Some(Ok(Some(_))) => self.refused(),
            Some(Ok(None) | Err(_)) | None => self.acknowledge(),
        }
    }

    fn open(&mut self) {
        let Some(destination) = self.destination else { return };
        match connect(destination) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.is_up = true;
                self.account.set_up(true);
            }
            Err(error) => {
                self.reopen = Some(Instant::now() + REOPEN);
                self.fail(format!("{destination}: {error}"));
            }
        }
    }

    fn acknowledge(&mut self) {
        if self.unsettled > 0 {
            self.account.acknowledge(std::mem::take(&mut self.unsettled));
            if !self.is_up {
                self.is_up = true;
                self.account.set_up(true);
            }
        }
    }

    fn refused(&mut self) {
        let lines = std::mem::take(&mut self.unsettled);
        if let Some(destination) = self.destination {
            self.fail(format!("{destination}: nobody listens there"));
        }
        self.account.lose(lines, DropReason::Refused);
    }

    fn lose(&mut self, lines: u64, error: &io::Error) {
        let reason = reason(error);
        if reason == DropReason::Unreachable {
            // The address that it is bound to may have gone: a new socket has another.
            self.settle();
            self.socket = None;
            self.reopen = Some(Instant::now() + REOPEN);
        }
        if let Some(destination) = self.destination {
            self.fail(format!("{destination}: {error}"));
        }
        self.account.lose(lines, reason);
    }

    fn fail(&mut self, why: String) {
        self.is_up = false;
        self.account.set_up(false);
        self.account.error(why);
    }
}

/// A socket whose peer is the destination, so that the kernel tells if nobody listens there.
fn connect(destination: SocketAddr) -> io::Result<UdpSocket> {
    let any = match destination {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    socket.connect(destination)?;
    Ok(socket)
}

fn is_refused(sent: &io::Result<usize>) -> bool {
    sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Why a packet did not leave. A send buffer that stays full is a queue that is.
fn reason(error: &io::Error) -> DropReason {
    if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) {
        DropReason::Unencodable
    } else if is_temporary(error) {
        DropReason::QueueFull
    } else if error.kind() == io::ErrorKind::ConnectionRefused {
        DropReason::Refused
    } else {
        DropReason::Unreachable
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        || error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> (Arc<Account>, Sender) {
        let account = Arc::new(Account::new("o".into(), false));
        (Arc::clone(&account), Sender::new(account))
    }

    fn send(account: &Account, sender: &mut Sender, packet: &[u8], lines: u64) {
        account.offer(lines);
        sender.send(packet, lines);
    }

    #[test]
    fn what_the_kernel_took_is_acknowledged_once_the_burst_is_over() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (account, mut sender) = sender();
        sender.go_to(Ok(receiver.local_addr().unwrap()));
        assert!(account.is_up());
        send(&account, &mut sender, b"a\nb", 2);
        send(&account, &mut sender, b"c", 1);
        assert_eq!((account.ledger().acknowledged, account.ledger().queued), (2, 1));
        sender.settle();
        assert_eq!((account.ledger().acknowledged, account.ledger().queued), (3, 0));
        let mut buffer = [0; 100];
        for packet in [&b"a\nb"[..], b"c"] {
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], packet);
        }
    }

    #[test]
    fn packets_that_nobody_takes_are_refused_and_the_first_after_his_return_arrives() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        drop(receiver);
        let (account, mut sender) = sender();
        sender.go_to(Ok(address));
        for _ in 0..3 {
            send(&account, &mut sender, b"lost", 10);
        }
        sender.settle();
        let ledger = account.ledger();
        assert_eq!((ledger.acknowledged, ledger.dropped.get(DropReason::Refused)), (0, 30));
        assert_eq!(ledger.last_error.unwrap(), format!("{address}: nobody listens there"));
        assert!(!account.is_up());
        let receiver = UdpSocket::bind(address).unwrap();
        send(&account, &mut sender, b"back", 1);
        sender.settle();
        assert_eq!(account.ledger().acknowledged, 1);
        assert!(account.is_up());
        let mut buffer = [0; 100];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"back");
    }

    #[test]
    fn a_packet_that_cannot_leave_is_dropped_with_its_reason() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        // One that no route leads to: no broadcast was asked for.
        let broadcast = "255.255.255.255:9".parse().unwrap();
        let long = vec![b'x'; 65_508];
        for (destination, packet, reason) in [
            (Ok(receiver.local_addr().unwrap()), &long[..], DropReason::Unencodable),
            (Ok(broadcast), b"a", DropReason::Unreachable),
            (Err("no such host".to_owned()), b"a", DropReason::Unreachable),
        ] {
            let (account, mut sender) = sender();
            sender.go_to(destination.clone());
            send(&account, &mut sender, packet, 1);
            let ledger = account.ledger();
            assert_eq!(ledger.dropped.get(reason), 1, "{destination:?}: {ledger:?}");
            assert!(ledger.last_error.is_some());
            assert!(!account.is_up());
        }
    }
}
