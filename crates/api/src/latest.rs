//! The newest value of every live series: fed by the flush, read over HTTP.

mod held;
mod seen;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use foldhash::fast::RandomState;
use metric::{Batch, Origin, Source};
use serde::Serialize;
use tokio::time::Instant;

use held::Moment;
pub use held::{Held, Place};
pub use seen::{Newest, RunningSummary, Seen};

/// How often what nobody may read any more is looked for, at most.
const TIDY_EVERY: u32 = ticks(Duration::from_secs(1));

/// How long the newest values are kept, and how many.
#[derive(Clone, Copy, Debug)]
pub struct LatestConfig {
    /// A series is forgotten when weir saw no value of it for so long: the longest of its readers'
    /// expiries. Default 120 s.
    pub expiry: Duration,
    /// How often is told what is measured: that is never missing between two polls, whatever the
    /// expiry.
    pub polls: Polls,
    /// The running count and sum of a distribution start from 0 when it was not seen for so long.
    /// Default 1 h.
    pub total_expiry: Duration,
    /// Whether a source that ended stays until [`Held::was_told_last`], or else is forgotten at
    /// once. Default: at once.
    pub keeps_ended: bool,
    /// Further series are left out, and counted. Default 2,000,000.
    pub most_series: usize,
}

/// The time between two looks at what is measured; 0, the default, if there are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Polls {
    /// At what containers use.
    pub resources: Duration,
    /// At the node.
    pub node: Duration,
    /// At the Mesos agent's own metrics.
    pub mesos_agent: Duration,
}

impl Polls {
    fn of(&self, origin: &Origin) -> Duration {
        match origin {
            Origin::Resources { .. } => self.resources,
            Origin::Node => self.node,
            Origin::MesosAgent => self.mesos_agent,
            Origin::Container { .. } | Origin::Listener { .. } | Origin::Claimed { .. } => {
                Duration::ZERO
            }
        }
    }
}

impl Default for LatestConfig {
    fn default() -> Self {
        Self {
            expiry: Duration::from_mins(2),
            polls: Polls::default(),
            total_expiry: Duration::from_hours(1),
            keeps_ended: false,
            most_series: 2_000_000,
        }
    }
}

/// The newest value of each live series, source by source. A clone is another handle to the same.
///
/// One thread feeds it, any number read it. A reader holds a source's lock only while it copies
/// a bounded [piece](Held::read), so neither waits for the other's peer.
#[derive(Clone, Debug)]
pub struct Latest(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: LatestConfig,
    start: Instant,
    roll: RwLock<Roll>,
    /// Series that are held, in all, and running totals of series that are not.
    series: AtomicUsize,
    totals: AtomicUsize,
    left_out: AtomicU64,
    /// What the next series to come is numbered.
    next_number: AtomicU64,
    next_tidy: AtomicU32,
    /// In tenths of a second; at first the configuration's.
    total_expiry: AtomicU32,
}

#[derive(Debug, Default)]
struct Roll {
    by_source: HashMap<Arc<Source>, Arc<Held>, RandomState>,
    /// By container, then in the order in which they were first heard of.
    in_order: BTreeMap<(Option<Arc<str>>, u64), Arc<Held>>,
    next_number: u64,
}

/// What a [`Latest`] holds, for the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LatestCounts {
    /// Series whose newest value is held.
    pub series: u64,
    /// Datapoints of series that were left out because there were too many.
    pub left_out: u64,
}

/// A time on the monotonic clock, in tenths of a second since the start.
type Tick = u32;

const fn ticks(duration: Duration) -> Tick {
    let tenths = duration.as_millis() / 100;
    if tenths > u32::MAX as u128 { u32::MAX } else { tenths as u32 }
}

impl Latest {
    /// Holds nothing yet.
    pub fn new(config: LatestConfig) -> Self {
        Self(Arc::new(Shared {
            config,
            start: Instant::now(),
            roll: RwLock::default(),
            series: AtomicUsize::new(0),
            totals: AtomicUsize::new(0),
            left_out: AtomicU64::new(0),
            next_number: AtomicU64::new(0),
            next_tidy: AtomicU32::new(0),
            total_expiry: AtomicU32::new(ticks(config.total_expiry)),
        }))
    }

    /// From now on the running totals of distributions are kept for so long.
    pub fn set_total_expiry(&self, total_expiry: Duration) {
        self.0.total_expiry.store(ticks(total_expiry), Ordering::Relaxed);
    }

    /// Takes in what a source has to say at a flush. To be called by one thread only.
    pub fn take_in(&self, batch: &Arc<Batch>) {
        self.held(&batch.source).take_in(batch, self.moment());
    }

    /// Nothing more comes of this source, and where it is a container, of what that used. Something
    /// that comes all the same begins it anew.
    pub fn source_ended(&self, source: &Source) {
        let at_once = !self.0.config.keeps_ended;
        if let Some(held) = self.roll().by_source.get(source) {
            held.end(at_once);
        }
        if let Origin::Container { container_id } = &source.origin {
            for held in self.of_container(container_id) {
                if matches!(held.source().origin, Origin::Resources { .. }) {
                    held.end(at_once);
                }
            }
        }
    }

    /// Forgets what has expired, if it is time to look for that. To be called after each flush, by
    /// the thread that feeds it.
    pub fn end_flush(&self) {
        let moment = self.moment();
        if moment.now < self.0.next_tidy.load(Ordering::Relaxed) {
            return;
        }
        self.0.next_tidy.store(moment.now + TIDY_EVERY, Ordering::Relaxed);
        let all: Vec<_> = self.roll().by_source.values().cloned().collect();
        let over: Vec<_> = all.into_iter().filter(|held| held.tidy(moment)).collect();
        if over.is_empty() {
            return;
        }
        let mut roll = self.roll_mut();
        for held in over {
            roll.by_source.remove(held.source());
            roll.in_order.remove(&held.order());
        }
        if roll.by_source.len() < roll.by_source.capacity() / 4 {
            let len = roll.by_source.len();
            roll.by_source.shrink_to(len * 2);
        }
    }

    /// All sources, those of one container together, ended ones included.
    pub fn sources(&self) -> Vec<Arc<Held>> {
        self.roll().in_order.values().cloned().collect()
    }

    /// The sources of one container in the order in which they were first heard of, ended ones
    /// included.
    pub fn of_container(&self, id: &str) -> Vec<Arc<Held>> {
        let id: Option<Arc<str>> = Some(id.into());
        let all_of_it = (Bound::Included((id.clone(), 0)), Bound::Included((id, u64::MAX)));
        self.roll().in_order.range(all_of_it).map(|(_, held)| held.clone()).collect()
    }

    /// What it holds now.
    pub fn counts(&self) -> LatestCounts {
        LatestCounts {
            series: self.0.series.load(Ordering::Relaxed) as u64,
            left_out: self.0.left_out.load(Ordering::Relaxed),
        }
    }

    fn held(&self, source: &Arc<Source>) -> Arc<Held> {
        if let Some(held) = self.roll().by_source.get(source) {
            return held.clone();
        }
        let mut roll = self.roll_mut();
        let number = roll.next_number;
        roll.next_number += 1;
        let two_polls = self.0.config.polls.of(&source.origin).saturating_mul(2);
        let held = Arc::new(Held::new(source.clone(), number, self.0.start, two_polls));
        roll.by_source.insert(source.clone(), held.clone());
        roll.in_order.insert(held.order(), held.clone());
        held
    }

    fn moment(&self) -> Moment<'_> {
        let Shared { config, start, series, totals, left_out, next_number, total_expiry, .. } =
            &*self.0;
        Moment {
            now: ticks(start.elapsed()),
            expiry: ticks(config.expiry),
            total_expiry: total_expiry.load(Ordering::Relaxed),
            in_order: false,
            most_series: config.most_series,
            series,
            totals,
            left_out,
            next_number,
        }
    }

    fn roll(&self) -> RwLockReadGuard<'_, Roll> {
        self.0.roll.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn roll_mut(&self) -> RwLockWriteGuard<'_, Roll> {
        self.0.roll.write().unwrap_or_else(PoisonError::into_inner)
    }
}
