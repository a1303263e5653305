/// What one source may take. The default is that of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live series, and beside them the distinct points with a time of their own of one interval.
    /// Samples of further ones are refused. Default 10,000.
    pub series: usize,
    /// About how many bytes its sets and sketches may take in one interval. Over it sets are
    /// estimated at once, sketches become coarser instead of larger, and new series are refused.
    /// Default 16 MiB.
    pub interval_bytes: usize,
    /// Stored spellings of its series; lines spelled in further ways are read in full each time.
    /// A series' plain spelling and one other order of its tags need no storing. Default 20,000.
    pub spellings: usize,
}

impl Limits {
    /// No limit but the shard's.
    pub const NONE: Self =
        Self { series: usize::MAX, interval_bytes: usize::MAX, spellings: usize::MAX };
}

impl Limits {
    /// So many running totals are kept of series that were forgotten.
    pub(crate) fn most_totals(self) -> usize {
        self.series.saturating_mul(8)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { series: 10_000, interval_bytes: 16 << 20, spellings: 20_000 }
    }
}
