use std::sync::Arc;

use metric::{Counts, Source};

use crate::limits::Limits;

/// A source with what it has in this shard.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// None after it was closed.
    pub(super) source: Option<Arc<Source>>,
    /// Unlike that of every other source that this shard ever had.
    pub(super) serial: u32,
    pub(super) counts: Counts,
    pub(super) limits: Limits,
    /// The interval in which it was opened.
    pub(super) opened: u32,
    pub(super) series: usize,
    pub(super) spellings: usize,
    pub(super) blocks: Vec<u32>,
    /// Blocks that may have room; some are not its own any more.
    pub(super) spare: Vec<u32>,
    /// Distinct points with a time of their own.
    pub(super) timed: InInterval,
    /// The bytes of its sketches and sets.
    pub(super) held: InInterval,
}

/// A number that starts from 0 in each interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InInterval {
    interval: u32,
    number: usize,
}

impl InInterval {
    pub(super) fn get(self, interval: u32) -> usize {
        if self.interval == interval { self.number } else { 0 }
    }

    pub(super) fn add(&mut self, more: usize, interval: u32) {
        *self = Self { interval, number: self.get(interval).saturating_add(more) };
    }
}

impl Account {
    pub(super) fn may_hold_more(&self, interval: u32) -> bool {
        self.held.get(interval) <= self.limits.interval_bytes
    }

    /// Whether one more series, or one more point with a time of its own, is within its limits.
    pub(super) fn has_room(&self, interval: u32) -> bool {
        self.series + self.timed.get(interval) < self.limits.series && self.may_hold_more(interval)
    }
}
