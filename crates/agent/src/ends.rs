//! When intervals end.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The ends of the flush intervals: multiples of the interval in wall time, strictly increasing
/// even if the clock steps back, with lengths by the monotonic clock.
#[derive(Debug)]
pub(crate) struct Ends {
    interval: Duration,
    last_end_ms: i64,
    last_at: Instant,
    next: Planned,
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall_ms: i64,
    pub(crate) at: Instant,
}

/// The end of one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// In unix milliseconds.
    pub(crate) end_ms: i64,
    /// How long the interval was.
    pub(crate) interval_ms: i32,
    /// When it was, by the monotonic clock.
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    end_ms: i64,
    at: Instant,
}

impl Now {
    /// What the clocks say.
    pub(crate) fn read() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall_ms: wall.as_millis() as i64, at: Instant::now() }
    }
}

impl Ends {
    /// The first interval begins now.
    pub(crate) fn new(interval: Duration, now: Now) -> Self {
        let next = Planned { end_ms: 0, at: now.at };
        // The first end may be this very millisecond's, but none before.
        let mut ends = Self { interval, last_end_ms: now.wall_ms - 1, last_at: now.at, next };
        ends.plan(now);
        ends
    }

    /// From now on the intervals are so long; the running one ends at the next multiple.
    pub(crate) fn set_interval(&mut self, interval: Duration, now: Now) {
        if interval != self.interval {
            self.interval = interval;
            self.plan(now);
        }
    }

    /// How long to wait for the next regular end, `None` if it is due. At most a second, so that a
    /// step of the wall clock is noticed.
    pub(crate) fn wait(&self, now: Now) -> Option<Duration> {
        let left = self.next.at.saturating_duration_since(now.at);
        let due = left.is_zero() || now.wall_ms >= self.next.end_ms;
        (!due).then(|| left.min(Duration::from_secs(1)))
    }

    /// Ends the interval at the multiple that was waited for.
    pub(crate) fn regular(&mut self, now: Now) -> End {
        let interval_ms = self.interval_ms();
        // The clocks never agree to the microsecond; after a step they do not agree at all.
        let near = (now.wall_ms - self.next.end_ms).abs() <= interval_ms / 2;
        let multiple =
            if near { self.next.end_ms } else { now.wall_ms / interval_ms * interval_ms };
        self.end(multiple, now)
    }

    /// Ends the interval now: the last one.
    pub(crate) fn last(&mut self, now: Now) -> End {
        self.end(now.wall_ms, now)
    }

    /// The end, now, of one source's share of the interval; the interval itself goes on.
    pub(crate) fn of_one_source(&self, now: Now) -> End {
        self.at(now.wall_ms, now)
    }

    /// A moment: what is of it covers no interval.
    pub(crate) fn moment(&self, now: Now) -> End {
        End { interval_ms: 0, ..self.of_one_source(now) }
    }

    fn end(&mut self, wanted_ms: i64, now: Now) -> End {
        let end = self.at(wanted_ms, now);
        (self.last_end_ms, self.last_at) = (end.end_ms, now.at);
        self.plan(now);
        end
    }

    fn at(&self, wanted_ms: i64, now: Now) -> End {
        let length = now.at.saturating_duration_since(self.last_at).as_micros().div_ceil(1000);
        End {
            end_ms: wanted_ms.max(self.last_end_ms + 1),
            interval_ms: i32::try_from(length).unwrap_or(i32::MAX),
            at: now.at,
        }
    }

    fn plan(&mut self, now: Now) {
        let interval_ms = self.interval_ms();
        let mut end_ms = (now.wall_ms / interval_ms + 1) * interval_ms;
        if end_ms == self.last_end_ms {
            end_ms += interval_ms;
        }
        let wait = Duration::from_millis((end_ms - now.wall_ms) as u64);
        self.next = Planned { end_ms, at: now.at + wait };
    }

    fn interval_ms(&self) -> i64 {
        self.interval.as_millis() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, wall_ms: i64, monotonic_ms: u64) -> Now {
        Now { wall_ms, at: start + Duration::from_millis(monotonic_ms) }
    }

    fn pair(end: End) -> (i64, i32) {
        (end.end_ms, end.interval_ms)
    }

    #[test]
    fn ends_are_multiples_of_the_interval_and_the_first_is_shorter() {
        let start = Instant::now();
        let mut ends = Ends::new(Duration::from_secs(10), at(start, 1_003_000, 0));
        assert_eq!(ends.wait(at(start, 1_003_000, 0)), Some(Duration::from_secs(1)));
        assert_eq!(ends.wait(at(start, 1_009_700, 6_700)), Some(Duration::from_millis(300)));
        assert_eq!(ends.wait(at(start, 1_010_000, 7_000)), None);
        assert_eq!(pair(ends.regular(at(start, 1_010_002, 7_002))), (1_010_000, 7_002));
        // Woken a little early by the wall clock: still the multiple that was meant.
        assert_eq!(pair(ends.regular(at(start, 1_019_999, 17_000))), (1_020_000, 9_998));
        assert_eq!(ends.wait(at(start, 1_019_999, 17_000)), Some(Duration::from_secs(1)));
        assert_eq!(pair(ends.last(at(start, 1_023_500, 20_500))), (1_023_500, 3_500));
    }

    #[test]
    fn another_interval_ends_at_its_own_next_multiple() {
        let start = Instant::now();
        let mut ends = Ends::new(Duration::from_mins(1), at(start, 1_003_000, 0));
        ends.set_interval(Duration::from_secs(5), at(start, 1_004_800, 1_800));
        assert_eq!(ends.wait(at(start, 1_004_800, 1_800)), Some(Duration::from_millis(200)));
        assert_eq!(pair(ends.regular(at(start, 1_005_000, 2_000))), (1_005_000, 2_000));
        // A longer one ends where the shorter one did: that moment is no end again.
        ends.set_interval(Duration::from_secs(15), at(start, 1_005_000, 2_000));
        assert_eq!(pair(ends.regular(at(start, 1_020_000, 17_000))), (1_020_000, 15_000));
    }

    #[test]
    fn ends_increase_when_the_clock_steps_back() {
        let start = Instant::now();
        let mut ends = Ends::new(Duration::from_secs(10), at(start, 1_000_500, 0));
        assert_eq!(ends.regular(at(start, 1_010_000, 9_500)).end_ms, 1_010_000);
        // An hour back, in the middle of the interval.
        let now = at(start, 1_020_000 - 3_600_000, 19_500);
        assert_eq!(ends.wait(now), None);
        assert_eq!(pair(ends.regular(now)), (1_010_001, 10_000));
        let now = at(start, 1_030_000 - 3_600_000, 29_500);
        assert_eq!(pair(ends.regular(now)), (1_010_002, 10_000));
    }

    #[test]
    fn a_step_forward_ends_the_interval_at_once_with_its_true_length() {
        let start = Instant::now();
        let mut ends = Ends::new(Duration::from_secs(10), at(start, 1_000_500, 0));
        let now = at(start, 5_007_000, 2_000);
        assert_eq!(ends.wait(now), None);
        assert_eq!(pair(ends.regular(now)), (5_000_000, 2_000));
        assert_eq!(ends.regular(at(start, 5_010_000, 5_000)).end_ms, 5_010_000);
    }

    #[test]
    fn a_removed_source_ends_after_the_last_flush_and_before_the_next() {
        let start = Instant::now();
        let mut ends = Ends::new(Duration::from_secs(10), at(start, 1_009_000, 0));
        ends.regular(at(start, 1_010_000, 1_000));
        let removed = ends.of_one_source(at(start, 1_012_000, 3_000));
        assert_eq!(pair(removed), (1_012_000, 2_000));
        assert_eq!(pair(ends.moment(at(start, 1_012_500, 3_500))), (1_012_500, 0));
        assert_eq!(pair(ends.regular(at(start, 1_020_000, 11_000))), (1_020_000, 10_000));
    }
}
