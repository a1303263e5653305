use std::collections::BTreeMap;
use std::sync::Arc;

use metric::Dimensions;
use tokio::time::{Duration, Instant};

use super::{Context, Reconcile};
use crate::Settings;
use crate::labels::cut;

// After so many polls that did not tell all of a container, only the regular ones look for it.
const TRIES: u32 = 8;

// It gets so many more when its first points come: a task may take long to start.
const LATE_TRIES: u32 = 4;

// As Mesos bounds ids, and more.
const TEXT_BYTES: usize = 1024;

/// What is known of one container.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) life: Life,
    /// What Mesos said, without what is the node's.
    said: Option<Box<Dimensions>>,
    /// What of that decides how the container is treated.
    settings: Option<Arc<Settings>>,
    /// Mesos has told all that is to be expected.
    pub(super) complete: bool,
    /// How many polls could not tell all.
    tries: u32,
    /// When a poll for it is wished for.
    pub(super) due: Option<Instant>,
    /// It sent points before it was complete, and got its late tries.
    sent: bool,
    /// Whether Mesos would tell of it.
    pub(super) sight: Sight,
    /// Since when Mesos does not have it.
    absent: Option<Instant>,
    /// That was told.
    pub(super) retired: bool,
    /// What was last answered, and the node's dimensions in it.
    answer: Option<(Arc<Dimensions>, Arc<Dimensions>)>,
}

/// Whether a container is there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    /// It was registered or heard of; last then.
    Registered(Instant),
    /// Since then.
    Removed(Instant),
    /// Only a client spoke of it; last then.
    Claimed(Instant),
}

/// Whether Mesos, which hides what we may not see, would tell of a container that is there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sight {
    /// It never did.
    Unknown,
    /// Nor of this one, which is of an earlier process and may have ended in between.
    TakenUp,
    /// It did, since the container was registered.
    Seen,
}

/// How long to wait for the next poll after so many tries. The isolator speaks of a container
/// before Mesos lists it, and its task has a status only once it starts, so looking at once is
/// in vain; but a task may live for two seconds only.
pub(super) fn delay(tries: u32, every: Duration) -> Duration {
    match tries {
        0 => every / 50,
        1 => every / 16,
        2 => every / 5,
        3 => every * 2 / 5,
        _ => every,
    }
}

impl Entry {
    pub(super) fn new(life: Life, due: Option<Instant>) -> Self {
        Self {
            life,
            said: None,
            settings: None,
            complete: false,
            tries: 0,
            due,
            sent: false,
            sight: Sight::Unknown,
            absent: None,
            retired: false,
            answer: None,
        }
    }

    /// It is registered, perhaps again; what Mesos said of the id still holds.
    pub(super) fn register(&mut self, now: Instant, first_look: Option<Instant>) {
        let due = if self.complete { None } else { first_look };
        *self = Self {
            said: self.said.take(),
            settings: self.settings.take(),
            complete: self.complete,
            answer: self.answer.take(),
            ..Self::new(Life::Registered(now), due)
        };
    }

    /// Takes what is said beside Mesos, where that has said nothing.
    pub(super) fn suppose(&mut self, framework_id: &str, executor_id: &str) {
        let said = self.said.get_or_insert_default();
        for (known, supposed) in
            [(&mut said.framework_id, framework_id), (&mut said.executor_id, executor_id)]
        {
            if known.is_empty() && !supposed.is_empty() {
                cut(supposed, TEXT_BYTES).clone_into(known);
                self.answer = None;
            }
        }
    }

    /// Takes what Mesos says; what it does not say any more stays, but of a task's labels only
    /// those that it has now. Whether that changed anything.
    pub(super) fn hear(
        &mut self,
        mut heard: Dimensions,
        settings: BTreeMap<String, String>,
        complete: bool,
    ) -> bool {
        let tells_task = !heard.task_id.is_empty();
        if let Some(said) = &self.said {
            keep(&mut heard, said);
        }
        let settings = match &self.settings {
            Some(before) if !tells_task => before.labels.clone(),
            Some(_) | None => settings,
        };
        let settings = Settings { task_name: heard.task_name.clone(), labels: settings };
        let is_treated_anew = self.settings.as_deref() != Some(&settings);
        if is_treated_anew {
            self.settings = Some(Arc::new(settings));
        }
        let changed = self.said.as_deref() != Some(&heard) || complete && !self.complete;
        if changed {
            self.said = Some(Box::new(heard));
            self.complete |= complete;
            self.answer = None;
        }
        changed || is_treated_anew
    }

    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        self.settings.clone()
    }

    /// A poll is over that began at `began`.
    pub(super) fn asked(&mut self, began: Instant, now: Instant, whole: bool, every: Duration) {
        if self.complete {
            self.due = None;
        } else if self.due.is_some_and(|due| due <= began) {
            self.tries += u32::from(whole);
            let next = if whole { delay(self.tries, every) } else { every };
            self.due = (self.tries < TRIES).then(|| now + next);
        }
    }

    /// Mesos has it.
    pub(super) fn is_there(&mut self) {
        self.sight = Sight::Seen;
        self.absent = None;
    }

    /// Whether it has been gone for long enough; called for each poll that lacks it. `sees_others`:
    /// that poll told of another registered container.
    pub(super) fn is_overdue(&mut self, now: Instant, rule: Reconcile, sees_others: bool) -> bool {
        let Life::Registered(last) = self.life else { return false };
        let absent = *self.absent.get_or_insert(now);
        let would_be_seen = match self.sight {
            Sight::Unknown => false,
            Sight::TakenUp => sees_others,
            Sight::Seen => true,
        };
        let is_silent = now - last > rule.age;
        !self.retired && now - absent >= rule.apart && is_silent && would_be_seen
    }

    /// It spoke, or somebody spoke of it.
    pub(super) fn heard_of(&mut self, now: Instant) {
        if let Life::Registered(last) | Life::Claimed(last) = &mut self.life {
            *last = now;
        }
    }

    /// Its context, and when a poll for it is wished for, if that is new.
    pub(super) fn context(
        &mut self,
        container_id: &str,
        node: &Arc<Dimensions>,
        asks: bool,
        now: Instant,
    ) -> (Context, Option<Instant>) {
        self.heard_of(now);
        let waits = asks && !self.complete && !matches!(self.life, Life::Removed(_));
        let is_late = waits && self.due.is_none() && !self.sent;
        if is_late {
            self.tries = TRIES - LATE_TRIES;
            self.due = Some(now);
            self.sent = true;
        }
        let known = !waits || self.due.is_none();
        let dimensions = match &self.answer {
            Some((of, answer)) if Arc::ptr_eq(of, node) => Arc::clone(answer),
            _ => {
                let answer = Arc::new(self.merge(container_id, node));
                self.answer = Some((Arc::clone(node), Arc::clone(&answer)));
                answer
            }
        };
        (Context { dimensions, known }, is_late.then_some(now))
    }

    fn merge(&self, container_id: &str, node: &Dimensions) -> Dimensions {
        let said = self.said.as_deref().cloned().unwrap_or_default();
        let mut labels: BTreeMap<_, _> = node.labels.clone();
        labels.extend(said.labels);
        Dimensions {
            container_id: container_id.to_owned(),
            agent_id: node.agent_id.clone(),
            cluster_id: node.cluster_id.clone(),
            hostname: node.hostname.clone(),
            labels,
            ..said
        }
    }
}

// Fills what is missing in `new` from what was said before.
fn keep(new: &mut Dimensions, old: &Dimensions) {
    if new.task_id.is_empty() {
        new.labels.clone_from(&old.labels);
    }
    for (new, old) in [
        (&mut new.framework_id, &old.framework_id),
        (&mut new.executor_id, &old.executor_id),
        (&mut new.parent_container_id, &old.parent_container_id),
        (&mut new.executor_name, &old.executor_name),
        (&mut new.framework_name, &old.framework_name),
        (&mut new.framework_role, &old.framework_role),
        (&mut new.framework_principal, &old.framework_principal),
        (&mut new.task_id, &old.task_id),
        (&mut new.task_name, &old.task_name),
    ] {
        if new.is_empty() {
            new.clone_from(old);
        }
    }
}
