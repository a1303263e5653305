use std::sync::Arc;

use metric::{Counts, SeriesKey, Source};

use crate::interval::{Interval, TimedPoint};
use crate::share::Share;

/// What one shard had of a source when that was closed: the running interval's share of it, and the
/// last of its counts.
#[derive(Debug)]
pub struct Part {
    pub(crate) shard: usize,
    /// The running interval's place among the shard's, from 1.
    pub(crate) interval: u32,
    /// An interval tells, or told, the flush side that the shard had this source.
    pub(crate) is_announced: bool,
    pub(crate) most_totals: usize,
    /// Whose part it is.
    pub source: Arc<Source>,
    /// All that this shard counted of it.
    pub counts: Counts,
    pub(crate) shares: Vec<(SeriesKey, Share)>,
    pub(crate) timed: Vec<TimedPoint>,
}

impl Part {
    /// Whether the source was closed after this interval of the same shard had ended.
    pub fn is_later_than(&self, interval: &Interval) -> bool {
        self.shard == interval.shard && self.interval > interval.number
    }
}
