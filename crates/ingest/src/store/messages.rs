use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use super::Manager;

/// How long one message may wait for a busy manager before it is tried again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// How seldom a failure is worth a line.
const SELDOM: Duration = Duration::from_mins(1);

/// A socket that may be closed before its turn comes: then there is nothing to store.
pub(super) type Kept = Weak<dyn AsFd + Send + Sync>;

/// Tells the manager what to store and what to let go, on a thread of its own, so that a manager
/// that hangs holds up nobody.
///
/// What waits is bounded by the sockets that are open and those that are stored: of several
/// wishes for one name only the last counts.
pub(super) struct Messages(Arc<Shared>);

struct Shared {
    wishes: Mutex<Wishes>,
    wake: Condvar,
    told: Condvar,
}

#[derive(Default)]
struct Wishes {
    // By name. An entry goes when it is neither stored nor wanted.
    entries: HashMap<Arc<str>, Entry>,
    // Names whose entries may differ from what the manager has.
    due: VecDeque<Arc<str>>,
    is_telling: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Entry {
    // The manager has a socket of this name; it may be an older one.
    stored: bool,
    wanted: Option<Kept>,
    // `wanted` is not what is stored.
    is_new: bool,
}

enum Step {
    Release(Arc<str>),
    Keep(Arc<str>, Kept),
}

impl Messages {
    pub(super) fn start(manager: Arc<Manager>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            wishes: Mutex::default(),
            wake: Condvar::new(),
            told: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("store".to_owned()).spawn(move || of_thread.run(&manager))?;
        Ok(Self(shared))
    }

    /// The manager has it already.
    pub(super) fn is_stored(&self, name: Arc<str>) {
        self.0.wishes().entries.entry(name).or_default().stored = true;
    }

    pub(super) fn keep(&self, name: Arc<str>, socket: Kept) {
        let mut wishes = self.0.wishes();
        let entry = wishes.entries.entry(Arc::clone(&name)).or_default();
        (entry.wanted, entry.is_new) = (Some(socket), true);
        wishes.are_due(name);
        drop(wishes);
        self.0.wake.notify_one();
    }

    pub(super) fn release(&self, name: &Arc<str>) {
        let mut wishes = self.0.wishes();
        let Some(entry) = wishes.entries.get_mut(name) else { return };
        (entry.wanted, entry.is_new) = (None, false);
        wishes.are_due(Arc::clone(name));
        drop(wishes);
        self.0.wake.notify_one();
    }

    /// Waits until the manager was told everything; whether that was before the deadline.
    pub(super) fn settle(&self, deadline: Instant) -> bool {
        let mut wishes = self.0.wishes();
        while !wishes.due.is_empty() || wishes.is_telling {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.told.wait_timeout(wishes, left);
            wishes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Shared {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, manager: &Manager) {
        let mut complained: Option<Instant> = None;
        let mut wishes = self.wishes();
        loop {
            if let Some(step) = wishes.next() {
                wishes.is_telling = true;
                drop(wishes);
                let told = step.tell(manager);
                if let Err(error) = &told
                    && complained.is_none_or(|last| last.elapsed() >= SELDOM)
                {
                    complained = Some(Instant::now());
                    warn!("the service manager cannot be told of a socket: {error}; tried again");
                }
                wishes = self.wishes();
                wishes.is_telling = false;
                if told.is_err() {
                    wishes.again(step);
                    let paused = self.wake.wait_timeout(wishes, PAUSE);
                    wishes = paused.unwrap_or_else(PoisonError::into_inner).0;
                }
                if wishes.is_closed {
                    return;
                }
                continue;
            }
            self.told.notify_all();
            if wishes.is_closed {
                return;
            }
            wishes = self.wake.wait(wishes).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Wishes {
    fn are_due(&mut self, name: Arc<str>) {
        self.due.push_back(name);
        // Names that came and went while the manager was not told may stand here many times.
        if self.due.len() > 4 * self.entries.len() + 64 {
            let mut seen = std::collections::HashSet::new();
            let entries = &self.entries;
            self.due.retain(|name| entries.contains_key(name) && seen.insert(Arc::clone(name)));
        }
    }

    // What the manager is to be told next; the entry is as it will be when it was told.
    fn next(&mut self) -> Option<Step> {
        loop {
            let name = self.due.pop_front()?;
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            if entry.wanted.as_ref().is_some_and(|socket| socket.strong_count() == 0) {
                entry.wanted = None;
            }
            if entry.stored && (entry.wanted.is_none() || entry.is_new) {
                entry.stored = false;
                if entry.wanted.is_none() {
                    self.entries.remove(&name);
                } else {
                    self.due.push_front(Arc::clone(&name));
                }
                return Some(Step::Release(name));
            }
            let Some(socket) = &entry.wanted else {
                self.entries.remove(&name);
                continue;
            };
            if entry.is_new {
                let socket = Weak::clone(socket);
                (entry.stored, entry.is_new) = (true, false);
                return Some(Step::Keep(name, socket));
            }
        }
    }

    // It could not be told.
    fn again(&mut self, step: Step) {
        let name = match step {
            Step::Release(name) => {
                self.entries.entry(Arc::clone(&name)).or_default().stored = true;
                name
            }
            Step::Keep(name, _) => {
                let Some(entry) = self.entries.get_mut(&name) else { return };
                entry.stored = false;
                entry.is_new = entry.wanted.is_some();
                name
            }
        };
        self.due.push_front(name);
    }
}

impl Step {
    fn tell(&self, manager: &Manager) -> io::Result<()> {
        match self {
            // FDPOLL=0: it is kept though an error waits at it. Older managers do not know it.
            Self::Keep(name, socket) => {
                let Some(socket) = socket.upgrade() else { return Ok(()) };
                let message = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}");
                manager.send(&message, Some(socket.as_fd()), PATIENCE)
            }
            Self::Release(name) => {
                manager.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None, PATIENCE)
            }
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.0.wishes().is_closed = true;
        self.0.wake.notify_one();
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}
