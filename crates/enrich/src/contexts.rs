use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use dashmap::mapref::multiple::RefMulti;
use metric::{Dimensions, Source, check_container_id};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Duration, Instant};

use crate::census::Census;
use crate::identity::Found;
use crate::labels::LabelRules;
use crate::mesos::Mesos;
use crate::{Config, Error, Identity, IdentityConfig, Poller, Reconcile, Settings};

mod entry;
#[cfg(test)]
mod tests;

use entry::{Entry, Life, Sight};

// A removed container's context is kept for so long, for batches that are still on their way.
const LINGER: Duration = Duration::from_mins(5);

// And for so many of them.
const REMOVED: usize = 10_000;

// As for containers that only a client spoke of: so many, and so long after the last word.
const CLAIMED: usize = 10_000;
const CLAIM_LIFE: Duration = Duration::from_mins(10);

// What the agent has not taken yet is told again later.
const RETIRED: usize = 64;

/// Who a source is, at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// What is known; the same allocation as long as that does not change.
    pub dimensions: Arc<Dimensions>,
    /// Waiting a little might tell more: `false` for a container that Mesos is being asked about.
    pub known: bool,
}

/// How asking Mesos goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Polls, whatever came of them.
    pub polls: u64,
    /// Those of them in which `GET_STATE` or `GET_CONTAINERS` failed.
    pub failures: u64,
    /// When both last succeeded.
    pub last_success: Option<SystemTime>,
    /// What went wrong last; nothing after a poll in which nothing did.
    pub last_error: Option<String>,
    /// Labels that were left out of contexts: for an identity dimension's name, for too long a
    /// name, or as more than 64 of one task.
    pub labels_left_out: u64,
    /// Containers that Mesos has told nothing of, or not all that is to be expected.
    pub incomplete: usize,
    /// How looking at what containers use goes.
    pub resources: PollHealth,
    /// How asking for the agent's own metrics goes.
    pub snapshot: PollHealth,
}

/// How a regular look at something goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollHealth {
    /// Looks, whatever came of them.
    pub polls: u64,
    /// Those of them that told nothing: refused, cut off, or not answered in time.
    pub failures: u64,
    /// Measurements that were too many, named like another, or without a usable name or number.
    pub left_out: u64,
    /// What went wrong last; nothing after a look in which nothing did.
    pub last_error: Option<String>,
}

impl PollHealth {
    /// Notes how a look went.
    pub fn note<T, E: std::fmt::Display>(&mut self, look: &Result<T, E>, left_out: u64) {
        self.polls += 1;
        self.failures += u64::from(look.is_err());
        self.left_out += left_out;
        self.last_error = look.as_ref().err().map(ToString::to_string);
    }
}

/// The contexts of all sources. A clone is another handle to the same ones.
#[derive(Clone, Debug)]
pub struct Contexts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Cold: written when a container comes or goes and by polls, read once a flush for each source.
    entries: DashMap<Arc<str>, Entry>,
    claimed: AtomicUsize,
    removed: Mutex<VecDeque<(Instant, Arc<str>)>>,
    node: RwLock<Node>,
    found: Mutex<Found>,
    identity: IdentityConfig,
    /// Whether there is a Mesos to ask.
    asks: bool,
    /// See [`Config::every`].
    every: Duration,
    /// When the next poll for a new container is wished for.
    wanted: Mutex<Option<Instant>>,
    woken: Notify,
    changes: watch::Sender<u64>,
    health: Mutex<Health>,
}

#[derive(Clone, Debug)]
struct Node {
    identity: Arc<Identity>,
    dimensions: Arc<Dimensions>,
}

impl Node {
    fn of(config: &IdentityConfig, found: &Found) -> Self {
        let identity = Identity::of(config, found);
        Self { dimensions: Arc::new(identity.dimensions()), identity: Arc::new(identity) }
    }
}

impl Contexts {
    /// The contexts, what finds them out once it runs, and the ids of containers that are to be
    /// retired as by a DELETE, each once for a registration.
    #[allow(clippy::new_ret_no_self)] // it is one of three that belong together
    pub fn new(config: Config) -> Result<(Self, Poller, mpsc::Receiver<String>), Error> {
        let mesos = config.mesos.as_ref().map(Mesos::new).transpose()?;
        let found = Found::default();
        let contexts = Self(Arc::new(Shared {
            entries: DashMap::new(),
            claimed: AtomicUsize::new(0),
            removed: Mutex::default(),
            node: RwLock::new(Node::of(&config.identity, &found)),
            found: Mutex::new(found),
            identity: config.identity.clone(),
            asks: mesos.is_some(),
            every: config.every,
            wanted: Mutex::default(),
            woken: Notify::new(),
            changes: watch::Sender::new(0),
            health: Mutex::default(),
        }));
        let (retire, retired) = mpsc::channel(RETIRED);
        let poller = Poller::new(contexts.clone(), config, mesos, retire);
        Ok((contexts, poller, retired))
    }

    /// A container was registered, or is about to be [`taken_up`](Self::taken_up): Mesos will be
    /// asked who it is.
    pub fn registered(&self, container_id: &str) {
        let now = Instant::now();
        let first_look = self.0.asks.then(|| now + entry::delay(0, self.0.every));
        let due = match self.0.entries.entry(container_id.into()) {
            Slot::Vacant(slot) => slot.insert(Entry::new(Life::Registered(now), first_look)).due,
            Slot::Occupied(mut slot) => {
                if let Life::Claimed(_) = slot.get().life {
                    self.0.claimed.fetch_sub(1, Ordering::Relaxed);
                }
                slot.get_mut().register(now, first_look);
                slot.get().due
            }
        };
        self.0.want(due);
    }

    /// A registered container is one of an earlier process. It may have ended in between, and then
    /// Mesos will never tell of it.
    pub fn taken_up(&self, container_id: &str) {
        if let Some(mut entry) = self.0.entries.get_mut(container_id) {
            entry.sight = Sight::TakenUp;
        }
    }

    /// A container was removed: its context is kept for a few minutes, for what is on its way.
    pub fn removed(&self, container_id: &str) {
        let now = Instant::now();
        let removed = self.0.entries.get_mut(container_id).map(|mut entry| {
            if let Life::Claimed(_) = entry.life {
                self.0.claimed.fetch_sub(1, Ordering::Relaxed);
            }
            entry.life = Life::Removed(now);
            entry.due = None;
            Arc::clone(entry.key())
        });
        if let Some(container_id) = removed {
            lock(&self.0.removed).push_back((now, container_id));
        }
        self.0.forget_removed(now);
    }

    /// Somebody who is believed says this of a container, registered or not; an empty text is not
    /// said. It holds where Mesos says nothing else.
    pub fn told(&self, container_id: &str, framework_id: &str, executor_id: &str) {
        let now = Instant::now();
        if let Some(mut entry) = self.0.entries.get_mut(container_id) {
            entry.heard_of(now);
            entry.suppose(framework_id, executor_id);
            return;
        }
        let first_look = self.0.asks.then_some(now);
        let mut entry = Entry::new(Life::Claimed(now), first_look);
        entry.suppose(framework_id, executor_id);
        if self.0.claim(container_id.into(), entry) {
            self.0.want(first_look);
        }
    }

    /// Who a source is, as far as it is known now.
    pub fn dimensions(&self, source: &Source) -> Context {
        let node = self.0.node().dimensions;
        match source.container_id() {
            None => Context { dimensions: node, known: true },
            Some(container_id) => self.0.of_container(container_id, &node),
        }
    }

    /// What the task of a source decides of how it is treated, as far as it is known now: the same
    /// allocation as long as that does not change, nothing if Mesos has told nothing.
    pub fn settings(&self, source: &Source) -> Option<Arc<Settings>> {
        self.0.entries.get(&**source.container_id()?)?.settings()
    }

    /// Who this node is, as far as it is known now.
    pub fn identity(&self) -> Arc<Identity> {
        self.0.node().identity
    }

    /// Changes whenever a context did, so that whoever waits for one can look again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// How asking Mesos goes.
    pub fn health(&self) -> Health {
        lock(&self.0.health).clone()
    }
}

// What the poller does to the contexts.
impl Contexts {
    /// When a poll for a new container is wished for, if it is.
    pub(crate) fn wanted(&self) -> Option<Instant> {
        *lock(&self.0.wanted)
    }

    /// Until that may have changed.
    pub(crate) async fn woken(&self) {
        self.0.woken.notified().await;
    }

    /// A poll begins, which is for all that wish for one.
    pub(crate) fn asking(&self) {
        *lock(&self.0.wanted) = None;
    }

    /// Takes what a poll found, that began at `began`. `whole` is one in which no call failed: only
    /// that can tell that Mesos does not know a container yet.
    pub(crate) fn take(&self, census: &Census, rules: &LabelRules, began: Instant, whole: bool) {
        let now = Instant::now();
        let (mut changed, mut left_out, mut incomplete) = (false, 0, 0);
        let mut next = None;
        for mut item in self.0.entries.iter_mut() {
            let (container_id, entry) = item.pair_mut();
            if let Life::Removed(_) = entry.life {
                continue;
            }
            if let Some(found) = census.find(container_id, rules)
                && entry.hear(found.dimensions, found.settings, found.complete)
            {
                changed = true;
                left_out += found.left_out;
            }
            entry.asked(began, now, whole, self.0.every);
            incomplete += usize::from(!entry.complete);
            next = [next, entry.due].into_iter().flatten().min();
        }
        self.0.want(next);
        let mut health = lock(&self.0.health);
        health.labels_left_out += left_out;
        health.incomplete = incomplete;
        drop(health);
        if changed {
            self.0.changed();
        }
    }

    /// Tells of registered containers that Mesos does not have any more.
    pub(crate) fn reconcile(
        &self,
        census: &Census,
        rule: Reconcile,
        retire: &mpsc::Sender<String>,
    ) {
        let now = Instant::now();
        let is_seen = |item: RefMulti<'_, Arc<str>, Entry>| {
            matches!(item.life, Life::Registered(_)) && census.sees(item.key())
        };
        let sees_any = self.0.entries.iter().any(is_seen);
        for mut item in self.0.entries.iter_mut() {
            let (container_id, entry) = item.pair_mut();
            if census.sees(container_id) {
                entry.is_there();
            } else if census.lacks(container_id) && entry.is_overdue(now, rule, sees_any) {
                // If the agent is behind, the next poll tells it.
                entry.retired = retire.try_send(container_id.to_string()).is_ok();
            }
        }
    }

    /// Mesos lists these containers, registered or not: their contexts are kept.
    pub(crate) fn listed<'a>(&self, container_ids: impl Iterator<Item = &'a str>) {
        let now = Instant::now();
        for container_id in container_ids {
            if let Some(mut entry) = self.0.entries.get_mut(container_id) {
                entry.heard_of(now);
            } else {
                self.0.claim(container_id.into(), Entry::new(Life::Claimed(now), None));
            }
        }
    }

    /// Notes how looks at what Mesos measures went.
    pub(crate) fn measured(&self, note: impl FnOnce(&mut Health)) {
        note(&mut lock(&self.0.health));
    }

    /// Notes how a poll went.
    pub(crate) fn polled(&self, failed: bool, error: Option<String>) {
        let mut health = lock(&self.0.health);
        health.polls += 1;
        health.failures += u64::from(failed);
        if !failed {
            health.last_success = Some(SystemTime::now());
        }
        health.last_error = error;
    }

    /// Takes what was found out about this node.
    pub(crate) fn learn(&self, learn: impl FnOnce(&mut Found)) {
        let mut found = lock(&self.0.found);
        learn(&mut found);
        let node = Node::of(&self.0.identity, &found);
        if *self.identity() != *node.identity {
            *self.0.node.write().unwrap_or_else(PoisonError::into_inner) = node;
            drop(found);
            self.0.changed();
        }
    }

    /// Forgets what nobody has asked for in a while.
    pub(crate) fn forget(&self) {
        let now = Instant::now();
        self.0.forget_removed(now);
        self.0.entries.retain(|_, entry| {
            let idle = matches!(entry.life, Life::Claimed(last) if now - last > CLAIM_LIFE);
            self.0.claimed.fetch_sub(usize::from(idle), Ordering::Relaxed);
            !idle
        });
    }
}

impl Shared {
    fn node(&self) -> Node {
        self.node.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of_container(&self, container_id: &Arc<str>, node: &Arc<Dimensions>) -> Context {
        let now = Instant::now();
        if let Some(mut entry) = self.entries.get_mut(&**container_id) {
            let (context, due) = entry.context(container_id, node, self.asks, now);
            drop(entry);
            self.want(due);
            return context;
        }
        // Nobody registered it: a client spoke of it.
        let first_look = self.asks.then_some(now);
        let mut entry = Entry::new(Life::Claimed(now), first_look);
        let (context, _) = entry.context(container_id, node, self.asks, now);
        if !self.claim(Arc::clone(container_id), entry) {
            return Context { known: true, ..context };
        }
        self.want(first_look);
        context
    }

    // Keeps an entry for a container that nobody registered, if there is room.
    fn claim(&self, container_id: Arc<str>, entry: Entry) -> bool {
        let has_room = self.claimed.load(Ordering::Relaxed) < CLAIMED;
        if check_container_id(&container_id).is_err() || !has_room {
            return false;
        }
        if let Slot::Vacant(slot) = self.entries.entry(container_id) {
            slot.insert(entry);
            self.claimed.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn want(&self, due: Option<Instant>) {
        let mut wanted = lock(&self.wanted);
        if let Some(due) = due
            && wanted.is_none_or(|already| due < already)
        {
            *wanted = Some(due);
            self.woken.notify_one();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn forget_removed(&self, now: Instant) {
        let mut removed = lock(&self.removed);
        while let Some((at, _)) = removed.front()
            && (removed.len() > REMOVED || now - *at > LINGER)
            && let Some((at, container_id)) = removed.pop_front()
        {
            // It may have been registered again meanwhile.
            self.entries.remove_if(
                &container_id,
                |_, entry| matches!(entry.life, Life::Removed(then) if then == at),
            );
        }
    }
}

// Nothing that panics is done under these locks; and if it were, what they guard is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
