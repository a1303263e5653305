use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;

use crate::socket::Socket;
use crate::{SocketKey, Waker};

/// How many sockets are served in a turn; the kernel lets the others come next.
const READY: usize = 32;

const WAKER: u64 = u64::MAX;
const URGENT: u64 = u64::MAX - 1;

/// What a worker waits on. Two sets, one within the other: while the worker rests it waits on the
/// urgent one only.
#[derive(Debug)]
pub(super) struct Poll {
    /// The UDP sockets, and `urgent`.
    whole: OwnedFd,
    /// The unix sockets and the waker.
    urgent: OwnedFd,
    waker: Waker,
    ready: Vec<SocketKey>,
    /// There may be more than the kernel told of.
    more: bool,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        let whole = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let urgent = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = Waker::new()?;
        add(&urgent, &waker, WAKER)?;
        add(&whole, &urgent, URGENT)?;
        Ok(Self { whole, urgent, waker, ready: Vec::with_capacity(2 * READY), more: false })
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn watch(&self, key: SocketKey, socket: &Socket) -> io::Result<()> {
        Ok(add(self.set_of(socket), socket, u64::from(key.0))?)
    }

    pub(super) fn unwatch(&self, socket: &Socket) {
        // It fails only if the socket is not watched.
        let _ = epoll::delete(self.set_of(socket), socket);
    }

    fn set_of(&self, socket: &Socket) -> &OwnedFd {
        if socket.urgent { &self.urgent } else { &self.whole }
    }

    /// What has something to be read, by the last [`Poll::wait`]. A socket may have been closed
    /// since, and another may have its place.
    pub(super) fn ready(&self) -> &[SocketKey] {
        &self.ready
    }

    /// Whether more sockets than these may have something.
    pub(super) fn may_be_more(&self) -> bool {
        self.more
    }

    /// Waits for urgent sockets and the waker until `rest_until`, then for all.
    pub(super) fn wait(
        &mut self,
        rest_until: Option<Instant>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.ready.clear();
        self.more = false;
        let rest = rest_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if !rest.is_zero() {
            let pause = timeout.map_or(rest, |timeout| timeout.min(rest));
            // ppoll, because epoll knows nothing shorter than a millisecond on older kernels.
            let mut urgent = [PollFd::new(&self.urgent, PollFlags::IN)];
            match poll(&mut urgent, timespec(pause).as_ref()) {
                Ok(0) if pause < rest => return Ok(()),
                Ok(0) => {}
                Ok(_) => return self.take_urgent(),
                Err(Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.take(timeout.map(|timeout| timeout.saturating_sub(rest)))
    }

    fn take(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut room = [const { MaybeUninit::uninit() }; READY];
        let (mut urgent, mut told) = (false, 0);
        for data in fetch(&self.whole, &mut room, timeout)? {
            told += 1;
            match data {
                URGENT => urgent = true,
                key => self.ready.push(SocketKey(key as u32)),
            }
        }
        self.more = told == READY;
        if urgent { self.take_urgent() } else { Ok(()) }
    }

    fn take_urgent(&mut self) -> io::Result<()> {
        let mut room = [const { MaybeUninit::uninit() }; READY];
        for data in fetch(&self.urgent, &mut room, Some(Duration::ZERO))? {
            match data {
                WAKER => self.waker.reset(),
                key => self.ready.push(SocketKey(key as u32)),
            }
        }
        Ok(())
    }
}

fn add(set: &OwnedFd, fd: impl AsFd, data: u64) -> rustix::io::Result<()> {
    epoll::add(set, fd, epoll::EventData::new_u64(data), epoll::EventFlags::IN)
}

/// The data of what is ready; nothing, if a signal ended the wait.
fn fetch<'a>(
    set: &OwnedFd,
    room: &'a mut [MaybeUninit<epoll::Event>; READY],
    timeout: Option<Duration>,
) -> io::Result<impl Iterator<Item = u64> + use<'a>> {
    let events = match epoll::wait(set, room, timeout.and_then(timespec).as_ref()) {
        Ok((events, _)) => events,
        Err(Errno::INTR) => &mut [],
        Err(error) => return Err(error.into()),
    };
    Ok(events.iter().map(|event| { event.data }.u64()))
}

/// `None`, for ever, is what a time too long for the kernel comes to.
fn timespec(duration: Duration) -> Option<Timespec> {
    const DAY: Duration = Duration::from_hours(24);
    Timespec::try_from(duration.min(DAY)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use crate::bind::{Warned, Wish, bind};
    use metric::{Origin, ReadAs, Source};

    fn bound(address: &Address) -> (Socket, Address) {
        let (receive_buffer, descriptors) = (0, i32::MAX);
        let wish = Wish { receive_buffer, credentials: false, readers: 1, descriptors };
        let bound = bind(address, Vec::new(), wish, &Warned::default()).unwrap().remove(0);
        let address = bound.address.clone();
        let origin = Origin::Listener { listener: "test".into() };
        (Socket::new(bound, Source::new(origin, ReadAs::default())), address)
    }

    #[test]
    fn a_rest_is_for_udp_sockets_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.sock");
        let (udp, udp_address) = bound(&"udp://127.0.0.1:0".parse().unwrap());
        let (unix, _) = bound(&Address::Unixgram(path.clone()));
        let (udp_key, unix_key) = (SocketKey(7), SocketKey(8));
        let mut poll = Poll::new().unwrap();
        poll.watch(udp_key, &udp).unwrap();
        poll.watch(unix_key, &unix).unwrap();
        let Address::Udp(port) = udp_address else { panic!("a UDP port was bound") };
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", port).unwrap();

        let (long, brief) = (Duration::from_hours(1), Some(Duration::from_millis(1)));
        let rest = Some(Instant::now() + long);
        poll.wait(rest, brief).unwrap();
        assert_eq!(poll.ready(), []);

        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"x", &path).unwrap();
        poll.wait(rest, None).unwrap();
        assert_eq!(poll.ready(), [unix_key]);

        poll.wait(None, None).unwrap();
        assert_eq!(poll.ready(), [udp_key, unix_key]);
    }

    #[test]
    fn with_more_ready_sockets_than_are_told_of_at_once_it_says_so() {
        let mut poll = Poll::new().unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sockets = Vec::new();
        for (number, more) in [(READY - 1, false), (READY, true), (READY + 1, true)] {
            while sockets.len() < number {
                let (socket, address) = bound(&"udp://127.0.0.1:0".parse().unwrap());
                poll.watch(SocketKey(sockets.len() as u32), &socket).unwrap();
                let Address::Udp(port) = address else { panic!("a UDP port was bound") };
                sender.send_to(b"x", port).unwrap();
                sockets.push(socket);
            }
            poll.wait(None, None).unwrap();
            assert_eq!(poll.ready().len(), number.min(READY));
            assert_eq!(poll.may_be_more(), more, "{number}");
        }
    }
}
