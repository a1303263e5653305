use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::{Saved, Settled, Taken};
use crate::disk::Place;
use crate::ledger::{Account, DropReason};
use crate::queue::Payload;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each changes by itself
pub(super) struct State {
    pub(super) live: VecDeque<Entry>,
    /// What is not on disk of the backlog; it is newer than what is.
    pub(super) backlog: VecDeque<Entry>,
    /// Of both, what is in memory only.
    pub(super) unsaved_bytes: usize,
    /// Of the live ones, what is on disk too.
    pub(super) saved_bytes: usize,
    pub(super) next: u64,
    /// How many flushes have ended.
    pub(super) flushes: u64,
    /// What sinks have, and where it is beside that.
    pub(super) taken: HashMap<u64, Spot>,
    pub(super) closed: bool,
    /// The backlog goes before the end, too.
    pub(super) drains: bool,
    pub(super) sink_ended: bool,
    pub(super) abandoned: bool,
    pub(super) disk: Option<Saved>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) payload: Payload,
    pub(super) number: u64,
    pub(super) came: Instant,
    /// How many flushes had ended when it came.
    pub(super) flush: u64,
    pub(super) place: Option<Place>,
}

/// Where a payload is that a sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Memory,
    /// And so many points there.
    Disk(Place, u64),
    /// It was on disk, and had to go.
    Gone(DropReason),
}

impl State {
    /// A payload that comes now.
    pub(super) fn entry(&mut self, payload: Payload, place: Option<Place>) -> Entry {
        let number = self.next;
        self.next += 1;
        Entry { payload, number, came: Instant::now(), flush: self.flushes, place }
    }

    /// The oldest live payload becomes backlog, which is on disk only if it is there.
    pub(super) fn fall_behind(&mut self) {
        let Some(entry) = self.pop_live() else { return };
        if let Some(place) = entry.place {
            self.put_back_on_disk(place, entry.payload.points);
        } else {
            self.unsaved_bytes += entry.payload.bytes.len();
            self.backlog.push_back(entry);
        }
    }

    pub(super) fn pop_live(&mut self) -> Option<Entry> {
        let entry = self.live.pop_front()?;
        let bytes = entry.payload.bytes.len();
        match entry.place {
            Some(_) => self.saved_bytes -= bytes,
            None => self.unsaved_bytes -= bytes,
        }
        Some(entry)
    }

    pub(super) fn pop_backlog(&mut self) -> Option<Entry> {
        let entry = self.backlog.pop_front()?;
        self.unsaved_bytes -= entry.payload.bytes.len();
        Some(entry)
    }

    /// How many of the live ones are on disk: the older ones.
    pub(super) fn saved_live(&self) -> usize {
        self.live.partition_point(|entry| entry.place.is_some())
    }

    pub(super) fn oldest_unsaved(&self) -> Option<&Entry> {
        self.backlog.front().or_else(|| self.live.get(self.saved_live()))
    }

    pub(super) fn pop_unsaved(&mut self) -> Option<Entry> {
        if !self.backlog.is_empty() {
            return self.pop_backlog();
        }
        let entry = self.live.remove(self.saved_live())?;
        self.unsaved_bytes -= entry.payload.bytes.len();
        Some(entry)
    }

    pub(super) fn hand_out(&mut self, entry: Entry) -> Taken {
        let Entry { payload, number, came, place, .. } = entry;
        let spot = place.map_or(Spot::Memory, |place| Spot::Disk(place, payload.points));
        self.taken.insert(number, spot);
        Taken { payload, number, came }
    }

    /// Whether payloads go from memory: there is no disk, or it does not work now.
    pub(super) fn may_skip_disk(&self) -> bool {
        self.disk.as_ref().is_none_or(Saved::is_out)
    }

    /// Whether there is more of the backlog on disk.
    pub(super) fn waits_for_reader(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.ready.is_some() || !disk.is_drained)
    }

    /// Whether older payloads will come from disk soon.
    pub(super) fn reader_comes_first(&self) -> bool {
        self.waits_for_reader() && self.disk.as_ref().is_some_and(Saved::can_read)
    }

    pub(super) fn overflow(&self) -> DropReason {
        if self.disk.is_some() { DropReason::WriteFailed } else { DropReason::QueueFull }
    }

    pub(super) fn put_back_on_disk(&mut self, place: Place, points: u64) {
        if let Some(disk) = &mut self.disk {
            disk.settled.push(Settled::PutBack(place, points));
            disk.is_drained = false;
        }
    }

    pub(super) fn settle_on_disk(&mut self, place: Place, points: u64) {
        if let Some(disk) = &mut self.disk {
            disk.settled.push(Settled::Done(place, points));
            disk.points = disk.points.saturating_sub(points);
        }
    }
}

/// Points that were given up while the state was locked, to be told when it is not.
#[derive(Debug, Default)]
pub(super) struct Lost(Vec<(u64, DropReason)>);

impl Lost {
    pub(super) fn add(&mut self, points: u64, reason: DropReason) {
        self.0.push((points, reason));
    }

    pub(super) fn settle(self, account: &Account) {
        for (points, reason) in self.0 {
            account.lose(points, reason);
        }
    }
}
