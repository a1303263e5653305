use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metric::Counts;

use super::{Streams, lock};

/// How long the line of a listener that was closed is shown, as that of any source that ended.
const SHOWN: Duration = Duration::from_hours(1);

/// How many such lines are kept.
const MOST_SHOWN: usize = 100;

/// The listeners of streams, those that were closed included. A clone is another handle to the
/// same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll(Arc<Mutex<Listeners>>);

#[derive(Debug, Default)]
struct Listeners {
    open: Vec<Streams>,
    // Their streams may still be read to their ends.
    closed: VecDeque<(Instant, Streams)>,
    before: Counts,
}

/// A reading of them.
#[derive(Debug, Default)]
pub(crate) struct Rolled {
    pub(crate) open: Vec<Streams>,
    /// Those that were closed within the hour.
    pub(crate) closed: Vec<Streams>,
    /// What those brought that were closed before.
    pub(crate) before: Counts,
}

impl Roll {
    /// A listener is open.
    pub(crate) fn open(&self, streams: Streams) {
        lock(&self.0).open.push(streams);
    }

    /// A listener takes no more connections.
    pub(crate) fn close(&self, streams: &Streams) {
        let mut listeners = lock(&self.0);
        let is_it = |it: &mut Streams| it.source() == streams.source();
        let closed: Vec<_> = listeners.open.extract_if(.., is_it).collect();
        let now = Instant::now();
        listeners.closed.extend(closed.into_iter().map(|streams| (now, streams)));
    }

    /// All of them.
    pub(crate) fn read(&self, now: Instant) -> Rolled {
        let mut listeners = lock(&self.0);
        while let Some((since, streams)) = listeners.closed.front() {
            if listeners.closed.len() <= MOST_SHOWN && now.duration_since(*since) < SHOWN {
                break;
            }
            let counts = streams.counts();
            listeners.before += counts;
            listeners.closed.pop_front();
        }
        Rolled {
            open: listeners.open.clone(),
            closed: listeners.closed.iter().map(|(_, streams)| streams.clone()).collect(),
            before: listeners.before,
        }
    }
}
