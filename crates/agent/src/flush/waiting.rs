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

    /// From now on at most so many points may wait; those that do go on waiting.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use enrich::{Config, MesosConfig};
    use metric::{Kind, Origin, ReadAs, SeriesKey, Value};

    use super::*;

    fn batch(source: &Arc<Source>, points: usize) -> WaitingBatch {
        let datapoint = |n: usize| Datapoint {
            key: SeriesKey::new(Kind::Gauge, &format!("g{n}"), &[]),
            timestamp: None,
            value: Value::Gauge(0.0),
        };
        let end = End { end_ms: 0, interval_ms: 0, at: Instant::now() };
        WaitingBatch {
            source: source.clone(),
            end,
            datapoints: (0..points).map(datapoint).collect(),
        }
    }

    #[test]
    fn only_containers_wait_and_only_as_many_points_as_may() {
        // Nobody answers there, and nobody is asked: the poller does not run.
        let mesos = Some(MesosConfig::new("http://127.0.0.1:5051"));
        let config = Config { mesos, ..Config::default() };
        let (contexts, _poller, _retired) = Contexts::new(config).unwrap();
        let of = |origin| Source::new(origin, ReadAs::default());
        let container = |id: &str| of(Origin::Container { container_id: id.into() });
        let (a, b) = (container("a"), container("b"));
        let listener = of(Origin::Listener { listener: "l".into() });
        let shown = Arc::new(AtomicU64::new(0));
        let mut waiting = Waiting::new(5, shown.clone());

        assert!(waiting.take_in(batch(&listener, 1), &contexts).is_some());
        assert!(waiting.take_in(batch(&a, 2), &contexts).is_none());
        assert!(waiting.take_in(batch(&b, 3), &contexts).is_none());
        assert!(waiting.take_in(batch(&b, 1), &contexts).is_some(), "there is no room");
        assert_eq!(shown.load(Ordering::Relaxed), 5);

        assert_eq!(waiting.of(&a).len(), 1);
        assert_eq!(shown.load(Ordering::Relaxed), 3);
        assert_eq!(waiting.all().len(), 1);
        assert_eq!(shown.load(Ordering::Relaxed), 0);
    }
}
