//! The side of the thread that keeps payloads on disk.

use std::time::Instant;

use super::{Entry, Lanes, Lost, STUCK, Spot, State};
use crate::disk::{Gone, Place, Stock};
use crate::ledger::DropReason;
use crate::queue::Payload;
use crate::sync::{lock, wait, wait_until};

/// What is known here of the disk.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // each changes by itself
pub(super) struct Saved {
    is_open: bool,
    is_failing: bool,
    /// Since when it has been busy with one thing.
    busy_since: Option<Instant>,
    reads_fail: bool,
    /// The oldest of the backlog.
    pub(super) ready: Option<Entry>,
    /// Nothing is left that could become ready.
    pub(super) is_drained: bool,
    /// What is not on disk yet of what became of records.
    pub(super) settled: Vec<Settled>,
    pub(super) sync_wanted: bool,
    /// A sync failed, and something has been on disk ever since: how much of it is safe nobody
    /// knows, for a later sync may not tell of it.
    sync_failed: bool,
    /// The points on disk that are not settled.
    pub(super) points: u64,
    /// The bytes of the files.
    pub(super) bytes: u64,
}

/// What became of a record that was held, and the points in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Done(Place, u64),
    PutBack(Place, u64),
}

impl Settled {
    fn place(self) -> Place {
        match self {
            Self::Done(place, _) | Self::PutBack(place, _) => place,
        }
    }
}

/// What the disk's thread is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Open,
    Settle(Vec<Settled>),
    Save(u64, Payload),
    Sync,
    Read,
    End,
}

/// What that thread can do now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    pub(crate) is_open: bool,
    /// After a failure, when the next attempt is due.
    pub(crate) write: Option<Instant>,
    pub(crate) read: Option<Instant>,
    /// The bytes of its files.
    pub(crate) bytes: u64,
}

impl Saved {
    pub(super) fn is_out(&self) -> bool {
        let is_stuck = || self.busy_since.is_some_and(|since| since.elapsed() > STUCK);
        self.is_failing || is_stuck()
    }

    /// Nothing was written since the last sync, as far as the end of the last flush, and none has
    /// failed.
    pub(super) fn is_synced(&self) -> bool {
        !self.sync_wanted && !self.sync_failed && self.busy_since.is_none()
    }

    pub(super) fn can_read(&self) -> bool {
        self.is_open && !self.reads_fail
    }
}

impl Lanes {
    /// Waits for something to do. The disk counts as busy from now until the next call.
    pub(crate) fn next_job(&self, due: &Due) -> Job {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            let job = state.job(due, now);
            let Some(disk) = &mut state.disk else { return Job::End };
            disk.bytes = due.bytes;
            disk.busy_since = job.is_some().then_some(now);
            if let Some(job) = job {
                return job;
            }
            let later = [due.write, due.read].into_iter().flatten().filter(|at| *at > now);
            state = match later.min() {
                Some(at) => wait_until(&self.work, state, at),
                None => wait(&self.work, state),
            };
        }
    }

    /// The queue on disk is open, with this in it.
    pub(crate) fn opened(&self, stock: Stock) {
        let mut state = lock(&self.state);
        if let Some(disk) = &mut state.disk {
            disk.is_open = true;
            disk.points += stock.points - stock.lost;
        }
        drop(state);
        self.wake();
    }

    /// A payload is on disk.
    pub(crate) fn saved(&self, number: u64, place: Place, payload: &Payload) {
        let (points, bytes) = (payload.points, payload.bytes.len());
        let mut state = lock(&self.state);
        let at = |entries: &std::collections::VecDeque<Entry>| {
            entries.binary_search_by_key(&number, |entry| entry.number).ok()
        };
        let (live, backlog) = (at(&state.live), at(&state.backlog));
        let is_waiting = if let Some(at) = live {
            state.live[at].place = Some(place);
            state.unsaved_bytes -= bytes;
            state.saved_bytes += bytes;
            true
        } else if let Some(at) = backlog {
            state.backlog.remove(at);
            state.unsaved_bytes -= bytes;
            state.put_back_on_disk(place, points);
            true
        } else if let Some(spot) = state.taken.get_mut(&number) {
            *spot = Spot::Disk(place, points);
            true
        } else {
            // It was sent, or given up, meanwhile.
            false
        };
        if let Some(disk) = &mut state.disk {
            if is_waiting {
                disk.points += points;
            } else {
                disk.settled.push(Settled::Done(place, points));
            }
        }
        let lost = self.shrink(&mut state);
        drop(state);
        self.changed.notify_one();
        self.room.notify_one();
        lost.settle(&self.account);
    }

    /// What is on disk could not be synced.
    pub(crate) fn sync_failed(&self) {
        if let Some(disk) = &mut lock(&self.state).disk {
            disk.sync_failed = true;
        }
    }

    /// The disk does not work: from now on payloads go from memory.
    pub(crate) fn is_failing(&self) {
        let mut state = lock(&self.state);
        if let Some(disk) = &mut state.disk {
            disk.is_failing = true;
        }
        drop(state);
        self.room.notify_one();
        self.changed.notify_one();
    }

    /// The disk works again.
    pub(crate) fn is_working(&self) {
        if let Some(disk) = &mut lock(&self.state).disk {
            disk.is_failing = false;
        }
    }

    /// This is the oldest of the backlog on disk; `None` if there is none.
    pub(crate) fn read(&self, next: Option<(Place, Payload)>) {
        let mut state = lock(&self.state);
        let ready = next.map(|(place, payload)| state.entry(payload, Some(place)));
        if let Some(disk) = &mut state.disk {
            disk.reads_fail = false;
            match ready {
                Some(_) => disk.ready = ready,
                // Unless something was put back meanwhile.
                None => disk.is_drained = disk.settled.is_empty(),
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The backlog on disk cannot be read now.
    pub(crate) fn reads_fail(&self) {
        if let Some(disk) = &mut lock(&self.state).disk {
            disk.reads_fail = true;
        }
        self.changed.notify_one();
    }

    /// Points on disk turned out to be damaged.
    pub(crate) fn damaged(&self, points: u64) {
        if let Some(disk) = &mut lock(&self.state).disk {
            disk.points = disk.points.saturating_sub(points);
        }
        self.account.damaged(1);
        self.account.lose(points, DropReason::Damaged);
    }

    /// A segment is gone, and all that was in it, but for what sinks have.
    pub(crate) fn forget(&self, gone: &Gone) {
        let mut lost = Lost::default();
        let mut state = lock(&self.state);
        let points = gone.points + state.forget(gone);
        lost.add(points, gone.reason);
        drop(state);
        if gone.reason == DropReason::Damaged {
            self.account.damaged(1);
        }
        lost.settle(&self.account);
    }
}

impl State {
    /// What is to be done now, if anything.
    pub(super) fn job(&mut self, due: &Due, now: Instant) -> Option<Job> {
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        let may_read = !self.closed || self.drains;
        let unsaved = self.oldest_unsaved().map(|it| (it.number, it.payload.clone()));
        let disk = self.disk.as_mut()?;
        disk.sync_failed &= disk.points > 0;
        if due.is_open && !disk.settled.is_empty() {
            return Some(Job::Settle(std::mem::take(&mut disk.settled)));
        }
        if self.abandoned || (self.closed && self.sink_ended && unsaved.is_none()) {
            return Some(Job::End);
        }
        if is_due(due.write) {
            if !due.is_open {
                return Some(Job::Open);
            }
            if let Some((number, payload)) = unsaved {
                return Some(Job::Save(number, payload));
            }
            if std::mem::take(&mut disk.sync_wanted) {
                return Some(Job::Sync);
            }
        }
        let has_room = disk.ready.is_none() && !disk.is_drained;
        (due.is_open && may_read && has_room && is_due(due.read)).then_some(Job::Read)
    }

    /// Lets go of what lies in this segment; the points that are lost beside those that nobody
    /// held.
    fn forget(&mut self, gone: &Gone) -> u64 {
        let is_in = |place: Place| place.segment == gone.segment;
        let Some(disk) = &mut self.disk else { return 0 };
        let mut lost = 0;
        self.live.retain(|entry| {
            let stays = !entry.place.is_some_and(is_in);
            if !stays {
                lost += entry.payload.points;
                self.saved_bytes -= entry.payload.bytes.len();
            }
            stays
        });
        if let Some(ready) = disk.ready.take_if(|entry| entry.place.is_some_and(is_in)) {
            lost += ready.payload.points;
        }
        disk.settled.retain(|settled| {
            let stays = !is_in(settled.place());
            if let (false, Settled::PutBack(_, points)) = (stays, settled) {
                lost += points;
            }
            stays
        });
        let mut with_sinks = 0;
        for spot in self.taken.values_mut() {
            if let Spot::Disk(place, points) = *spot
                && is_in(place)
            {
                with_sinks += points;
                *spot = Spot::Gone(gone.reason);
            }
        }
        disk.points = disk.points.saturating_sub(gone.points + lost + with_sinks);
        lost
    }
}
