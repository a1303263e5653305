use std::sync::Arc;

use metric::{Counts, SeriesKey, Source};

use crate::interval::TimedPoint;
use crate::share::Share;

/// What one shard had of a source when that was closed: the running interval's share of it, and the
/// last of its counts.
#[derive(Debug)]
pub struct Part {
    pub(crate) shard: usize,
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
