use metric::{SeriesKey, Summary};

/// The newest value of a series, as it was when it was copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The series.
    pub key: SeriesKey,
    /// Its value.
    pub newest: Newest,
    /// Greater than that of every series, of whatever source, that came before it.
    pub number: u64,
    /// When, in unix seconds: the end of the flush that told it, or the client's own time; never
    /// later than that flush.
    pub at: u32,
}

/// A series' newest value.
#[derive(Clone, Debug, PartialEq)]
pub enum Newest {
    /// A counter's running total, a gauge's level, or the size of a set in its last interval in
    /// which it had a member.
    Number(f64),
    /// Of a timer, a histogram or a distribution.
    Summary(RunningSummary),
}

/// A distribution's last interval that was not empty; its count and sum are running totals.
// Count, sum, min, max, mean, stddev, then the quantiles: one allocation, written in place.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningSummary(Box<[f64]>);

/// How many numbers stand before the quantiles.
const FIXED: usize = 6;

impl RunningSummary {
    /// Of an interval, with the running count and sum before it.
    pub(super) fn new((count, sum): (f64, f64), interval: &Summary) -> Self {
        let mut numbers = vec![0.0; FIXED + interval.quantiles.len()];
        (numbers[0], numbers[1]) = (count, sum);
        let mut running = Self(numbers.into());
        running.take_in(interval);
        running
    }

    /// Takes in another interval of the same quantiles.
    pub(super) fn take_in(&mut self, interval: &Summary) {
        if self.quantiles().len() != interval.quantiles.len() {
            *self = Self::new((self.count(), self.sum()), interval);
            return;
        }
        self.0[0] = bounded(self.0[0] + interval.count);
        self.0[1] = bounded(self.0[1] + interval.sum);
        let rest = [interval.min, interval.max, interval.mean, interval.stddev];
        self.0[2..FIXED].copy_from_slice(&rest);
        self.0[FIXED..].copy_from_slice(&interval.quantiles);
    }

    /// Leaves the quantiles out, for others than these are asked for now.
    pub(super) fn forget_quantiles(&mut self) {
        self.0 = self.0[..FIXED].into();
    }

    /// The weight of all values since the series first came.
    pub fn count(&self) -> f64 {
        self.0[0]
    }

    /// The sum of all values since the series first came.
    pub fn sum(&self) -> f64 {
        self.0[1]
    }

    /// The smallest value of the interval.
    pub fn min(&self) -> f64 {
        self.0[2]
    }

    /// The largest value of the interval.
    pub fn max(&self) -> f64 {
        self.0[3]
    }

    /// The mean of the interval.
    pub fn mean(&self) -> f64 {
        self.0[4]
    }

    /// The standard deviation of the interval.
    pub fn stddev(&self) -> f64 {
        self.0[5]
    }

    /// The interval's values at the quantiles of its source, in their order; none right after
    /// these were changed.
    pub fn quantiles(&self) -> &[f64] {
        &self.0[FIXED..]
    }
}

// A sum of finite numbers that overflows stays at the largest, as a counter's total does.
fn bounded(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}
