use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use metric::Container;
use tokio::sync::oneshot;
use tracing::warn;

use super::Persist;
use crate::ApiError;
use crate::seldom::Seldom;

/// What has to become of a container's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is written, or written anew.
    Save(Container),
    /// It goes.
    Remove(Arc<str>),
}

impl Change {
    fn container_id(&self) -> &str {
        match self {
            Self::Save(container) => &container.container_id,
            Self::Remove(id) => id,
        }
    }
}

/// Carries changes to the disk on a thread of its own, so that a disk that hangs holds up nobody.
///
/// One change at a time; of several for one id the latest; a failed one again after a pause.
/// Dropping it ends the thread when it has tried everything once.
pub(super) struct Saver(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    retry: Duration,
    most: usize,
    failures: Seldom,
}

#[derive(Default)]
struct Queue {
    // Every id whose latest change is not on the disk.
    pending: HashMap<Arc<str>, Pending>,
    ready: VecDeque<Arc<str>>,
    // In the order of the times at which they are due again.
    failed: VecDeque<(Instant, Arc<str>)>,
    settled: Vec<oneshot::Sender<()>>,
    forgotten: u64,
    closed: bool,
}

struct Pending {
    change: Change,
    stage: Stage,
    // Told when the change, or a later one for the same id, is on the disk; dropped if it failed.
    waiting: Vec<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ready,
    Writing,
    // Writing, but what is being written is no longer the latest.
    Overtaken,
    Failed,
}

/// The fate of one change.
pub(super) struct Written(Option<oneshot::Receiver<()>>);

impl Written {
    /// Whether it is on the disk before so much time has gone; a failure is known at once.
    pub(super) async fn within(self, patience: Duration) -> bool {
        let Some(written) = self.0 else { return false };
        matches!(tokio::time::timeout(patience, written).await, Ok(Ok(())))
    }
}

impl Saver {
    /// `retry` is the pause before a failed change is tried again; at most about `most` changes
    /// wait.
    pub(super) fn start(persist: Persist, retry: Duration, most: usize) -> Result<Self, ApiError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            retry,
            most,
            failures: Seldom::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("containers-dir".to_owned())
            .spawn(move || of_thread.run(&persist))
            .map_err(|source| ApiError::Thread { source })?;
        Ok(Self(shared))
    }

    pub(super) fn submit(&self, change: Change) -> Written {
        let mut queue = self.0.queue();
        let id: Arc<str> = Arc::from(change.container_id());
        let (tell, told) = oneshot::channel();
        if let Some(pending) = queue.pending.get_mut(&id) {
            pending.change = change;
            pending.waiting.push(tell);
            match pending.stage {
                Stage::Ready | Stage::Overtaken => {}
                Stage::Writing => pending.stage = Stage::Overtaken,
                Stage::Failed => {
                    pending.stage = Stage::Ready;
                    queue.ready.push_back(id);
                }
            }
        } else {
            // What is saved is bounded by the number of containers; what is removed is not, where
            // the disk has been failing for long.
            if queue.pending.len() >= self.0.most && matches!(change, Change::Remove(_)) {
                queue.forgotten += 1;
                return Written(None);
            }
            let pending = Pending { change, stage: Stage::Ready, waiting: vec![tell] };
            queue.pending.insert(Arc::clone(&id), pending);
            queue.ready.push_back(id);
        }
        drop(queue);
        self.0.wake.notify_one();
        Written(Some(told))
    }

    /// How many containers are not on the disk as they are now.
    pub(super) fn unsaved(&self) -> u64 {
        let queue = self.0.queue();
        queue.pending.values().filter(|p| matches!(p.change, Change::Save(_))).count() as u64
    }

    /// How many files were left behind because too many removals waited for the disk.
    pub(super) fn forgotten(&self) -> u64 {
        self.0.queue().forgotten
    }

    /// Tries everything that waits once more, and says whether within this time all of it came
    /// to the disk.
    pub(super) async fn settle(&self, within: Duration) -> bool {
        let (tell, told) = oneshot::channel();
        {
            let mut queue = self.0.queue();
            queue.failed_are_due(None);
            queue.settled.push(tell);
        }
        self.0.wake.notify_one();
        let settled = tokio::time::timeout(within, told).await;
        matches!(settled, Ok(Ok(()))) && self.0.queue().pending.is_empty()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, persist: &Persist) {
        let mut queue = self.queue();
        loop {
            queue.failed_are_due(Some(Instant::now()));
            if let Some(id) = queue.ready.pop_front() {
                let Some(pending) = queue.pending.get_mut(&id) else {
                    continue;
                };
                pending.stage = Stage::Writing;
                let change = pending.change.clone();
                drop(queue);
                let result = persist(&change);
                if let Err(error) = &result {
                    self.complain(&change, error);
                }
                queue = self.queue();
                queue.written(id, result.is_ok(), Instant::now() + self.retry);
                continue;
            }
            for waiting in queue.settled.drain(..) {
                let _ = waiting.send(()); // it may have given up
            }
            if queue.closed {
                return;
            }
            queue = match queue.failed.front() {
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some((due, _)) => {
                    let pause = due.saturating_duration_since(Instant::now());
                    self.wake.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn complain(&self, change: &Change, error: &io::Error) {
        if let Some(failures) = self.failures.due() {
            let id = change.container_id();
            warn!(
                "cannot write the file of container {id:?}: {error}; it is tried again every {:?}, and the \
                 container is served meanwhile ({failures} times since the last such line)",
                self.retry
            );
        }
    }
}

impl Queue {
    // Those that are due at `now`, or all.
    fn failed_are_due(&mut self, now: Option<Instant>) {
        while let Some((due, _)) = self.failed.front()
            && now.is_none_or(|now| *due <= now)
        {
            let Some((_, id)) = self.failed.pop_front() else {
                return;
            };
            if let Some(pending) = self.pending.get_mut(&id)
                && pending.stage == Stage::Failed
            {
                pending.stage = Stage::Ready;
                self.ready.push_back(id);
            }
        }
    }

    fn written(&mut self, id: Arc<str>, done: bool, due_again: Instant) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        if pending.stage == Stage::Overtaken {
            pending.stage = Stage::Ready;
            self.ready.push_back(id);
        } else if done {
            for waiting in std::mem::take(&mut pending.waiting) {
                let _ = waiting.send(()); // it may have given up
            }
            self.pending.remove(&id);
        } else {
            pending.stage = Stage::Failed;
            pending.waiting.clear();
            self.failed.push_back((due_again, id));
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.wake.notify_one();
    }
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn removals_are_forgotten_and_counted_when_too_many_wait_for_the_disk() {
        let (reached, at_disk) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let persist = Box::new(move |change: &Change| {
            let _ = reached.send(change.clone());
            let _ = released.recv();
            Ok(())
        });
        let saver = Saver::start(persist, Duration::from_secs(5), 2).unwrap();
        let remove = |id: &str| Change::Remove(id.into());
        let kept =
            Container { container_id: "kept".into(), statsd_host: "h".into(), statsd_port: 1 };
        let written = saver.submit(remove("a"));
        assert_eq!(at_disk.recv().unwrap(), remove("a"));
        let _ = saver.submit(remove("b"));
        assert!(!saver.submit(remove("c")).within(Duration::from_secs(5)).await);
        let _ = saver.submit(Change::Save(kept.clone()));
        let _ = saver.submit(remove("b"));
        assert_eq!((saver.forgotten(), saver.unsaved()), (1, 1));

        drop(release);
        assert!(written.within(Duration::from_secs(5)).await);
        assert!(saver.settle(Duration::from_secs(5)).await);
        drop(saver);
        let later: Vec<Change> = at_disk.iter().collect();
        assert_eq!(later, [remove("b"), Change::Save(kept)]);
    }
}
