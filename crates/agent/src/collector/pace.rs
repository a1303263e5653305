use std::cell::Cell;
use std::io::{self, Read};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long the header may take.
const HEADER: Duration = Duration::from_secs(10);

/// How long a block may take, from its first bytes on.
const BLOCK: Duration = Duration::from_mins(1);

/// How long a stream may be silent between two blocks. The module writes every minute while it has
/// a container, and connects again.
const SILENCE: Duration = Duration::from_mins(10);

/// How far a stream is, and how long it may take.
#[derive(Clone, Debug)]
pub(super) struct Pace(Rc<State>);

#[derive(Debug)]
struct State {
    /// Bytes that were read.
    read: Cell<u64>,
    until: Cell<Instant>,
    is_waiting: Cell<bool>,
}

impl Pace {
    /// The header is next.
    pub(super) fn new(now: Instant) -> Self {
        let until = Cell::new(now + HEADER);
        Self(Rc::new(State { read: Cell::new(0), until, is_waiting: Cell::new(false) }))
    }

    /// A block is next, whenever it comes.
    pub(super) fn wait(&self, now: Instant) {
        self.0.is_waiting.set(true);
        self.0.until.set(now + SILENCE);
    }

    /// Bytes that were read so far.
    pub(super) fn read(&self) -> u64 {
        self.0.read.get()
    }

    /// So many bytes have come.
    fn came(&self, bytes: usize, now: Instant) {
        self.0.read.set(self.read() + bytes as u64);
        if self.0.is_waiting.take() {
            self.0.until.set(now + BLOCK);
        }
    }

    /// How long a read may take now; `None`: it is too late.
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.0.until.get().saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

/// A stream that is read at that pace.
#[derive(Debug)]
pub(super) struct Paced {
    pub(super) stream: TcpStream,
    pub(super) pace: Pace,
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "nothing came for too long");
        let left = self.pace.left(Instant::now()).ok_or_else(late)?;
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(buffer) {
            Ok(bytes) => {
                self.pace.came(bytes, Instant::now());
                Ok(bytes)
            }
            // So the kernel says that the time is over.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(late()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_time_from_its_first_bytes_on_and_no_more_for_dripping() {
        let start = Instant::now();
        let pace = Pace::new(start);
        pace.came(4, start + HEADER / 2);
        assert_eq!(pace.left(start + HEADER / 2), Some(HEADER / 2));
        assert_eq!(pace.left(start + HEADER), None);
        let waiting = start + HEADER;
        pace.wait(waiting);
        let begun = waiting + SILENCE / 2;
        assert_eq!(pace.left(begun), Some(SILENCE / 2));
        pace.came(1, begun);
        pace.came(1, begun + BLOCK / 2);
        assert_eq!(pace.left(begun + BLOCK / 2), Some(BLOCK / 2));
        assert_eq!((pace.left(begun + BLOCK), pace.read()), (None, 6));
    }
}
