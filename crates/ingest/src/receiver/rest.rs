use std::time::{Duration, Instant};

use crate::socket::DATAGRAM_COST;

/// How fast a sender may be for whom no datagram is to be lost.
const PER_SECOND: usize = 1_000_000;

/// The kernel may end a wait so much later than it was asked to: a thread's default timer slack.
const SLACK: Duration = Duration::from_micros(50);

/// When a worker may let datagrams gather, having emptied its sockets.
#[derive(Debug)]
pub(super) struct Rest {
    longest: Duration,
    until: Option<Instant>,
}

impl Rest {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, until: None }
    }

    /// The end of the current rest; it may be over.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Datagrams were received since `began`. Without having `emptied` every socket since then there
    /// is no rest.
    pub(super) fn begin(&mut self, began: Instant, emptied: bool, smallest_buffer: Option<usize>) {
        self.until = match smallest_buffer {
            Some(buffer) if emptied => Some(began + self.longest.min(safe(buffer))),
            _ => None,
        };
    }
}

/// For how long a receive buffer of this size is sure not to fill up.
fn safe(buffer: usize) -> Duration {
    let datagrams = (buffer / DATAGRAM_COST) as u32;
    (Duration::from_secs(1) / PER_SECOND as u32 * datagrams).saturating_sub(SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_never_longer_than_a_buffer_holds_out() {
        let longest = Duration::from_millis(2);
        let began = Instant::now();
        for (emptied, buffer, micros) in [
            (true, Some(8 << 20), Some(2_000)),
            (true, Some(212_992), Some(206)),
            (true, Some(2_304), Some(0)),
            (true, None, None),
            (false, Some(8 << 20), None),
        ] {
            let mut rest = Rest::new(longest);
            rest.begin(began, emptied, buffer);
            let expected = micros.map(|micros| began + Duration::from_micros(micros));
            assert_eq!(rest.until(), expected, "{emptied} {buffer:?}");
        }
    }

    #[test]
    fn no_rest_is_taken_if_it_is_turned_off() {
        let began = Instant::now();
        let mut rest = Rest::new(Duration::ZERO);
        rest.begin(began, true, Some(8 << 20));
        assert_eq!(rest.until(), Some(began));
    }
}
