use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{KeptQueue, ReloadRefusal, ReloadStatus};

use crate::ends::Now;

/// How reloads went, for the status. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub(crate) struct Reloads(Arc<Mutex<ReloadStatus>>);

impl Reloads {
    /// None yet; what holds does so since now.
    pub(crate) fn none_yet() -> Self {
        let status = ReloadStatus { since: Now::read().wall_ms, ..ReloadStatus::default() };
        Self(Arc::new(Mutex::new(status)))
    }

    /// How they went.
    pub(crate) fn read(&self) -> ReloadStatus {
        self.status().clone()
    }

    /// One was taken; with these outputs, which go on with the queues of their names.
    pub(super) fn taken(&self, outputs: &[&str]) {
        let mut status = self.status();
        status.taken += 1;
        status.since = Now::read().wall_ms;
        status.refusal = None;
        status.kept_queues.retain(|kept| !outputs.contains(&&*kept.output));
    }

    /// One was refused.
    pub(super) fn refused(&self, reason: &str) {
        let mut status = self.status();
        status.refused += 1;
        status.refusal = Some(refusal(reason));
    }

    /// Something of one that was taken could not be done.
    pub(super) fn failed(&self, reason: &str) {
        self.status().refusal = Some(refusal(reason));
    }

    /// An output that was removed left this.
    pub(super) fn kept(&self, queue: KeptQueue) {
        self.status().kept_queues.push(queue);
    }

    fn status(&self) -> MutexGuard<'_, ReloadStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(reason: &str) -> ReloadRefusal {
    ReloadRefusal { at: Now::read().wall_ms, reason: reason.to_owned() }
}
