use std::time::{Duration, Instant};

/// What a connection may bring in [`PERIOD`]: dcos-metrics' 20,480 KiB. More is read and discarded.
const BYTES: u64 = 20_480 << 10;

/// Beyond this nothing is read any more until the period ends.
const DISCARDED_BYTES: u64 = 2 * BYTES;

const PERIOD: Duration = Duration::from_mins(1);

/// How much one connection has brought in the running period.
#[derive(Debug)]
pub(super) struct Throttle {
    since: Instant,
    /// What was read before the period.
    before: u64,
}

/// What is to be done with the block that came last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    Discard,
    /// And to read nothing for so long.
    DiscardAndRest(Duration),
}

impl Throttle {
    /// The first period begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, before: 0 }
    }

    /// A block has come whose last byte was the connection's `read`th. The one that crosses the
    /// limit is still taken if it came in `size` bytes or fewer before.
    pub(super) fn judge(&mut self, read: u64, size: u64, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.since);
        if passed >= PERIOD {
            *self = Self { since: now, before: read - size };
        }
        let brought = read - self.before;
        if brought - size < BYTES {
            Verdict::Take
        } else if brought < DISCARDED_BYTES {
            Verdict::Discard
        } else {
            Verdict::DiscardAndRest(PERIOD.saturating_sub(now - self.since))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_limit_is_discarded_until_the_period_ends() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let half = PERIOD / 2;
        assert_eq!(throttle.judge(BYTES - 1, BYTES - 1, start), Verdict::Take);
        // It crosses the limit.
        assert_eq!(throttle.judge(BYTES + 9, 10, start), Verdict::Take);
        assert_eq!(throttle.judge(BYTES + 19, 10, start + half), Verdict::Discard);
        let over = DISCARDED_BYTES;
        let rest = Verdict::DiscardAndRest(half);
        assert_eq!(throttle.judge(over, over - BYTES - 19, start + half), rest);
        assert_eq!(throttle.judge(over + 10, 10, start + PERIOD), Verdict::Take);
        assert_eq!(throttle.judge(over + BYTES + 10, BYTES, start + PERIOD), Verdict::Take);
        assert_eq!(throttle.judge(over + BYTES + 11, 1, start + PERIOD), Verdict::Discard);
    }
}
