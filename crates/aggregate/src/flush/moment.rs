use std::time::Duration;

/// How long what outlives an interval is kept after the last sample. To a tenth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expiry {
    start: Tick,
    gauge: u32,
    series: u32,
    total: u32,
}

/// A time on the monotonic clock, in tenths of a second: 13 years in 32 bits. The start comes so
/// late on it that what has not expired by then was last written at a time on it, too.
pub(super) type Tick = u32;

/// The end of an interval, and what has expired by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Tick,
    expiry: Expiry,
}

const TICK: Duration = Duration::from_millis(100);

fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

impl Expiry {
    pub(super) fn new(gauge: Duration, series: Duration, total: Duration) -> Self {
        let expiry = Self::default().to(gauge, series, total);
        Self { start: expiry.longest().min(u32::MAX / 2), ..expiry }
    }

    /// Others, on the same clock.
    pub(super) fn to(self, gauge: Duration, series: Duration, total: Duration) -> Self {
        let ticks_up = |expiry: Duration| ticks(expiry.saturating_add(TICK / 2));
        let (gauge, series, total) = (ticks_up(gauge), ticks_up(series), ticks_up(total));
        Self { gauge, series, total, ..self }
    }

    fn longest(self) -> u32 {
        self.gauge.max(self.total)
    }

    pub(super) fn at(self, since_start: Duration) -> Moment {
        let since_start = ticks(since_start.saturating_add(TICK / 2));
        Moment { now: self.start.saturating_add(since_start), expiry: self }
    }

    /// When that was which, at the start, was so long ago.
    pub(super) fn before_start(self, ago: Duration) -> Tick {
        self.start.saturating_sub(ticks(ago.saturating_add(TICK / 2)))
    }
}

impl Moment {
    fn since(self, last: Tick) -> u32 {
        self.now.saturating_sub(last)
    }

    /// How long ago that was.
    pub(super) fn ago(self, last: Tick) -> Duration {
        TICK * self.since(last)
    }

    /// Whether everything that was there at the start has expired.
    pub(super) fn has_outlived_all(self) -> bool {
        self.now.saturating_sub(self.expiry.start) >= self.expiry.longest()
    }

    /// Whether a gauge that was last written then still has its level.
    pub(super) fn has_level(self, last: Tick) -> bool {
        self.since(last) < self.expiry.gauge
    }

    /// Whether a counter that was last written then still has its running total.
    pub(super) fn has_total(self, last: Tick) -> bool {
        self.since(last) < self.expiry.total
    }

    /// Whether a series that was last written then is to be forgotten.
    pub(super) fn is_idle(self, last: Tick) -> bool {
        self.since(last) >= self.expiry.series
    }
}
