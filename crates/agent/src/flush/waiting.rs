use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use enrich::Contexts;
use metric::{Datapoint, Source};

use crate::ends::End;

/// What one source had to say at one flush, before it is joined with who the source is.
#[derive(Debug)]
pub(super) struct WaitingBatch {
    pub(super) source: Arc<Source>,
    pub(super) end: End,
    pub(super) datapoints: Vec<Datapoint>,
}

impl WaitingBatch {
    fn points(&self) -> usize {
        self.datapoints.iter().map(|datapoint| datapoint.value.points()).sum()
    }
}

/// Batches of containers that Mesos is still being asked about: until the next flush, and at most
/// so many points.
#[derive(Debug)]
pub(super) struct Waiting {
    batches: Vec<WaitingBatch>,
    points: usize,
    limit: usize,
    shown: Arc<AtomicU64>,
}

impl Waiting {
    /// Nothing waits yet. The number of points that do is kept in `shown`.
    pub(super) fn new(limit: usize, shown: Arc<AtomicU64>) -> Self {
        Self { batches: Vec::new(), points: 0, limit, shown }
    }

    /// Keeps a batch whose container is not known, if there is room; gives back one that is to go.
    pub(super) fn take_in(
        &mut self,
        batch: WaitingBatch,
        contexts: &Contexts,
    ) -> Option<WaitingBatch> {
        if contexts.dimensions(&batch.source).known {
            return Some(batch);
        }
        let points = batch.points();
        if self.points + points > self.limit {
            return Some(batch);
        }
        self.batches.push(batch);
        self.now_are(self.points + points);
        None
    }

    /// All that waits, which waits no longer.
    pub(super) fn all(&mut self) -> Vec<WaitingBatch> {
        self.now_are(0);
        std::mem::take(&mut self.batches)
    }

    /// What waits of one source, which waits no longer.
    pub(super) fn of(&mut self, source: &Source) -> Vec<WaitingBatch> {
        let of_it = |batch: &mut WaitingBatch| *batch.source == *source;
        let batches: Vec<_> = self.batches.extract_if(.., of_it).collect();
        self.now_are(self.points - batches.iter().map(WaitingBatch::points).sum::<usize>());
        batches
    }

    fn now_are(&mut self, points: usize) {
        self.points = points;
        self.shown.store(points as u64, Ordering::Relaxed);
    }
}
