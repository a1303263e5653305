mod cells;
mod log;
mod timed;

use std::sync::Arc;

use metric::{Kind, Note, Notes, SeriesKey, Source};

use crate::members::{self, Members};
use crate::number::{change, hold};
use crate::pile::Pile;
use crate::share::{FEW, Share};
use crate::sketch::Sketch;
use crate::slot::Slot;
use cells::{Cell, Cells};
use log::Log;
pub(crate) use timed::{Timed, TimedPoint};

/// One thing that a line measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure<'a> {
    /// A finite number, for every kind but sets.
    Number {
        /// The number.
        value: f64,
        /// The share of events that the client sent, in (0, 1]; not looked at for gauges.
        rate: f64,
        /// It is a change; looked at for gauges only.
        relative: bool,
    },
    /// The member of a set.
    Member(&'a str),
}

/// What the series of one shard came to between two swaps, and the news of that time.
///
/// An empty one is `Interval::default()`, or one that [`crate::Flush::merge`] gave back: that keeps
/// its memory, and tells its shard which series nobody has used for long.
#[derive(Debug, Default)]
pub struct Interval {
    pub(crate) shard: usize,
    /// Its place among the shard's intervals, from 1.
    pub(crate) number: u32,
    cells: Cells,
    log: Log,
    pub(crate) timed: Timed,

    // What the shard tells the flush side.
    pub(crate) opened: Vec<Opened>,
    /// Sources that were closed; their blocks are in no later interval before they are born anew.
    pub(crate) closed: Vec<u32>,
    pub(crate) born: Pile<Born>,
    /// Slots whose series the shard forgot before this interval touched them; from the next one on
    /// they may be those of other series.
    pub(crate) forgotten: Pile<Slot>,

    // What the flush side tells the shard.
    pub(crate) idle: Pile<Slot>,
    /// The last interval of which `idle` knows.
    pub(crate) idle_through: u32,
}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) index: u32,
    pub(crate) source: Arc<Source>,
    /// So many running totals of forgotten series are kept at most.
    pub(crate) most_totals: usize,
}

#[derive(Debug)]
pub(crate) struct Born {
    pub(crate) slot: Slot,
    pub(crate) source: u32,
    pub(crate) key: SeriesKey,
}

/// What adding a measure did.
pub(crate) struct Added {
    pub(crate) notes: Notes,
    /// So many bytes more are taken by sketches and sets.
    pub(crate) bytes: usize,
    /// The series was not touched before.
    pub(crate) is_first: bool,
}

impl Interval {
    /// The first interval of a shard.
    pub(crate) fn first_of(shard: usize) -> Self {
        Self { shard, number: 1, ..Self::default() }
    }

    /// The number of the shard that it belongs to.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Adds a measure to a series of this kind. Without `room` sketches and sets take no more memory
    /// than they must; it is asked of these only.
    // Hot path: runs once per value.
    #[inline]
    pub(crate) fn add(
        &mut self,
        slot: Slot,
        kind: Kind,
        measure: Measure<'_>,
        room: impl FnOnce() -> bool,
    ) -> Added {
        let cell = self.cells.get_mut(slot);
        let mut added = Added { notes: Notes::NONE, bytes: 0, is_first: false };
        let notes = &mut added.notes;
        match (kind, measure) {
            (Kind::Counter, Measure::Number { value, rate, .. }) => {
                let amount = if rate < 1.0 { value / rate } else { value };
                if let Cell::Counter(sum) = cell {
                    *sum = hold(*sum + amount, notes);
                } else {
                    added.is_first = true;
                    *cell = Cell::Counter(hold(amount, notes));
                }
            }
            (Kind::Gauge, Measure::Number { value, relative: false, .. }) => {
                if let Cell::Level(level) = cell {
                    *level = value;
                } else {
                    added.is_first = !cell.is_touched();
                    *cell = Cell::Level(value);
                }
            }
            (Kind::Gauge, Measure::Number { value, relative: true, .. }) => {
                if let Cell::Level(level) = cell {
                    *level = change(*level, value, notes);
                } else if let Cell::Change(by) = cell {
                    *by = hold(*by + value, notes);
                } else {
                    added.is_first = true;
                    *cell = Cell::Change(value);
                }
            }
            (
                Kind::Timer | Kind::Histogram | Kind::Distribution,
                Measure::Number { value, rate, .. },
            ) => {
                added.is_first = !cell.is_touched();
                added.bytes = add_value(cell, &mut self.log, value, rate, room(), notes);
            }
            (Kind::Set, Measure::Member(member)) => {
                added.is_first = !cell.is_touched();
                let hash = members::hash(member);
                added.bytes = add_member(cell, &mut self.log, hash, room(), notes);
            }
            (Kind::Set, Measure::Number { .. }) | (_, Measure::Member(_)) => {
                debug_assert!(false, "sets have members, and nothing else has");
            }
        }
        added
    }

    /// Whether it has something of a series.
    pub(crate) fn is_touched(&self, slot: Slot) -> bool {
        self.cells.get(slot).is_some_and(Cell::is_touched)
    }

    /// Takes what a series of this kind came to, if it was touched.
    pub(crate) fn take(&mut self, slot: Slot, kind: Kind) -> Option<Share> {
        Some(match self.cells.take(slot)? {
            Cell::Untouched => return None,
            Cell::Counter(sum) => Share::Counter(sum),
            Cell::Level(level) => Share::Level(level),
            Cell::Change(by) => Share::Change(by),
            Cell::Sketch(sketch) => Share::Sketch(sketch),
            Cell::Members(members) => Share::Members(members),
            Cell::Few { last, count } if kind == Kind::Set => {
                let mut members = Box::<Members>::default();
                self.log.back_from(last, count).for_each(|hash| {
                    members.add(hash, true);
                });
                Share::Members(members)
            }
            Cell::Few { last, count } => {
                Share::Values(self.log.back_from(last, count).map(f64::from_bits).collect())
            }
        })
    }

    /// Gives back what was taken, for its memory only, if a series as busy as that will need it.
    pub(crate) fn give_back(&mut self, slot: Slot, share: Share) {
        match share {
            Share::Sketch(mut sketch) if sketch.adds() as usize >= FEW => {
                sketch.clear();
                self.cells.put_back(slot, Cell::Sketch(sketch));
            }
            Share::Members(mut members) if members.adds() as usize >= FEW => {
                members.clear();
                self.cells.put_back(slot, Cell::Members(members));
            }
            Share::Counter(_)
            | Share::Level(_)
            | Share::Change(_)
            | Share::Values(_)
            | Share::Sketch(_)
            | Share::Members(_) => {}
        }
    }

    /// Makes it empty, all of it having been taken. Keeps the memory of what was in use.
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.log.clear();
    }
}

fn add_value(
    cell: &mut Cell,
    log: &mut Log,
    value: f64,
    rate: f64,
    room: bool,
    notes: &mut Notes,
) -> usize {
    if !matches!(cell, Cell::Sketch(_)) {
        let (last, count) = cell.few();
        // Kept as it is, if it stands for one event only.
        if rate >= 1.0 && (count as usize) < FEW {
            *cell = Cell::Few { last: log.push(value.to_bits(), last), count: count + 1 };
            return Log::ENTRY_BYTES;
        }
        let mut sketch = Box::new(Sketch::new());
        for value in log.back_from(last, count) {
            *notes = notes.union(sketch.add(f64::from_bits(value), 1.0, room));
        }
        *cell = Cell::Sketch(sketch);
    }
    let Cell::Sketch(sketch) = cell else { return 0 };
    let before = if sketch.is_empty() { 0 } else { sketch.bytes() };
    *notes = notes.union(sketch.add(value, 1.0 / rate, room));
    sketch.bytes().saturating_sub(before)
}

fn add_member(cell: &mut Cell, log: &mut Log, hash: u64, room: bool, notes: &mut Notes) -> usize {
    if !matches!(cell, Cell::Members(_)) {
        let (last, count) = cell.few();
        if (count as usize) < FEW {
            *cell = Cell::Few { last: log.push(hash, last), count: count + 1 };
            return Log::ENTRY_BYTES;
        }
        let mut members = Box::<Members>::default();
        log.back_from(last, count).for_each(|hash| {
            members.add(hash, true);
        });
        *cell = Cell::Members(members);
    }
    let Cell::Members(members) = cell else { return 0 };
    let before = if members.is_empty() { 0 } else { members.bytes() };
    if members.add(hash, room) {
        notes.insert(Note::CoarseSketch);
    }
    members.bytes().saturating_sub(before)
}
