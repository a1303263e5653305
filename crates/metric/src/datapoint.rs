use crate::SeriesKey;

/// What one series has to say at one flush.
#[derive(Clone, Debug, PartialEq)]
pub struct Datapoint {
    /// The series.
    pub key: SeriesKey,
    /// The time of its own that came with it: such a point covers no interval. Otherwise it covers
    /// its batch's.
    pub timestamp: Option<UnixMillis>,
    /// Its value.
    pub value: Value,
}

/// A moment, in unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The beginning of a second.
    pub fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

/// The value of a datapoint. All numbers are finite.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter.
    Counter {
        /// What was counted in the interval.
        sum: f64,
        /// What was counted since the series first came, this interval included.
        total: f64,
    },
    /// A gauge's level at the end of the interval.
    Gauge(f64),
    /// Of a timer, a histogram or a distribution.
    Summary(Box<Summary>),
    /// The number of a set's distinct members in the interval; above a thousand an estimate.
    Distinct(u64),
}

/// What is told of an interval's values. A value of sample rate r weighs 1 / r.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The sum of the weights.
    pub count: f64,
    /// The weighted sum of the values.
    pub sum: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// `sum / count`.
    pub mean: f64,
    /// The weighted standard deviation of the population.
    pub stddev: f64,
    /// The values at the batch's quantiles, in their order.
    pub quantiles: Box<[f64]>,
}

impl Value {
    /// How many points it is, each with one number: one, or one for each statistic.
    pub fn points(&self) -> usize {
        match self {
            Self::Counter { .. } | Self::Gauge(_) | Self::Distinct(_) => 1,
            Self::Summary(summary) => 6 + summary.quantiles.len(),
        }
    }
}
