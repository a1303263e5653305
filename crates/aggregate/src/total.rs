use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many series the shards that share it may have together, and beside them points with a time
/// of their own. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct TotalSeries(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    // Relaxed: nothing else is told by either. Only new series and forgotten ones touch them.
    most: AtomicUsize,
    taken: AtomicUsize,
}

impl TotalSeries {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most: AtomicUsize::new(most), taken: AtomicUsize::new(0) }))
    }

    /// From now on at most so many; those that there are stay.
    pub fn set_most(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// Takes the place of one, if there is any left.
    pub(crate) fn take(&self) -> bool {
        let most = self.0.most.load(Ordering::Relaxed);
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub(crate) fn give_back(&self, places: usize) {
        if places > 0 {
            self.0.taken.fetch_sub(places, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

impl Default for TotalSeries {
    /// 2,000,000.
    fn default() -> Self {
        Self::new(2_000_000)
    }
}
