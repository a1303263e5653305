use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use foldhash::fast::RandomState;
use metric::{
    Datapoint, Kind, Note, Notes, Quantiles, SeriesKey, Source, Tally, UnixMillis, Value,
};

use super::legacy::{HandOn, Legacy, Level, Total, hand_on};
use super::moment::Moment;
use super::roll::{Kept, Roll};
use crate::interval::{Interval, TimedPoint};
use crate::members::xxh64;
use crate::number::{change, hold};
use crate::share::Share;
use crate::sketch;
use crate::slot::Slot;
use crate::state::Entry;

/// What outlives the intervals of one source.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) source: Arc<Source>,
    /// The shards that read it, in the order of their numbers.
    pub(super) readers: Vec<Reader>,
    /// Running totals by the hash of their series' keys: of forgotten series and of those that an
    /// earlier process had, or, if levels and
    /// totals are kept apart from the slots, of all. A hash takes a fifth of what a key does; two
    /// series of one source would have to agree in all 64 bits of it to be taken for one.
    totals: HashMap<u64, Total, RandomState>,
    /// Gauges' levels: of series that an earlier process had, or, if levels and totals are kept
    /// apart from the slots, of all.
    levels: HashMap<SeriesKey, Level, RandomState>,
    /// Levels and totals are kept apart from the slots: a series may be in several shards, or has
    /// points with a time of their own.
    is_apart: bool,
    /// What waits for the other shards' shares, or for the next flush.
    pending: HashMap<SeriesKey, Share, RandomState>,
    pub(super) timed: Vec<TimedPoint>,
    /// What was noticed when shares met levels and totals.
    pub(super) notes: Tally<Note>,
    most_totals: usize,
}

/// One of the shards that read a source.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shard: usize,
    pub(super) blocks: Vec<u32>,
    /// Its part was told; the interval that closes it may still be to come.
    pub(super) has_ended: bool,
    /// The interval that closed it was merged; its part may still be to come.
    pub(super) is_closed: bool,
}

/// What telling a source's datapoints needs.
pub(super) struct Telling<'a> {
    pub(super) moment: Moment,
    pub(super) quantiles: &'a Quantiles,
    /// So many running totals more may be kept apart from slots.
    pub(super) totals_left: usize,
    pub(super) tell: &'a mut dyn FnMut(Datapoint),
}

impl Past {
    pub(super) fn new(source: Arc<Source>, most_totals: usize, legacy: Legacy) -> Self {
        Self {
            source,
            readers: Vec::new(),
            totals: legacy.totals,
            levels: legacy.levels,
            is_apart: false,
            pending: HashMap::default(),
            timed: Vec::new(),
            notes: Tally::default(),
            most_totals,
        }
    }

    /// The reader of this shard of which this holds, a new one if there is none.
    pub(super) fn reader_mut(
        &mut self,
        shard: usize,
        holds: impl Fn(&Reader) -> bool,
    ) -> &mut Reader {
        let found = self.readers.iter().position(|reader| reader.shard == shard && holds(reader));
        let place = found.unwrap_or_else(|| {
            let place = self.readers.partition_point(|reader| reader.shard <= shard);
            let reader = Reader { shard, blocks: Vec::new(), has_ended: false, is_closed: false };
            self.readers.insert(place, reader);
            place
        });
        &mut self.readers[place]
    }

    pub(super) fn kept_totals(&self) -> usize {
        self.totals.len()
    }

    /// A series in a slot of its own, with what is still known of it.
    pub(super) fn welcome(&mut self, key: SeriesKey, moment: Moment) -> Kept {
        let kind = key.kind();
        let mut kept = Kept { key, value: 0.0, last: moment.now, kind, is_told_idle: false };
        if !self.is_apart
            && kind == Kind::Counter
            && !self.totals.is_empty()
            && let Some(total) = self.totals.remove(&xxh64(kept.key.as_bytes()))
        {
            (kept.value, kept.last) = (total.value, total.last);
        }
        if !self.is_apart
            && kind == Kind::Gauge
            && !self.levels.is_empty()
            && let Some(level) = self.levels.remove(&kept.key)
        {
            (kept.value, kept.last) = (level.value, level.last);
        }
        kept
    }

    /// Hands out what is to outlive the process.
    pub(super) fn hand_on(&self, rolls: &[Roll], moment: Moment, to: HandOn<'_>) -> io::Result<()> {
        hand_on(&self.levels, &self.totals, moment, to)?;
        if self.is_apart {
            return Ok(());
        }
        for reader in &self.readers {
            let blocks = reader.blocks.iter().filter_map(|it| rolls.get(reader.shard)?.block(*it));
            for Kept { key, value, last, kind, .. } in
                blocks.flat_map(|block| block.series.iter()).flatten()
            {
                let (value, age) = (*value, moment.ago(*last));
                if *kind == Kind::Gauge && moment.has_level(*last) {
                    to(&Entry::Level { key: key.clone(), value, age })?;
                } else if *kind == Kind::Counter && moment.has_total(*last) {
                    to(&Entry::Total { hash: xxh64(key.as_bytes()), value, age })?;
                }
            }
        }
        Ok(())
    }

    /// Keeps what is to outlive a series' slot.
    pub(super) fn part_with(&mut self, kept: &Kept, moment: Moment, totals_left: &mut usize) {
        if !self.is_apart && kept.kind == Kind::Counter {
            self.keep_total(kept, moment, totals_left);
        }
    }

    fn keep_total(&mut self, kept: &Kept, moment: Moment, totals_left: &mut usize) {
        let has_room = self.totals.len() < self.most_totals && *totals_left > 0;
        if has_room && moment.has_total(kept.last) {
            let total = Total { value: kept.value, last: kept.last };
            self.totals.insert(xxh64(kept.key.as_bytes()), total);
            *totals_left -= 1;
        }
    }

    /// From now on levels and totals are kept apart from the slots.
    pub(super) fn keep_apart(
        &mut self,
        rolls: &mut [Roll],
        moment: Moment,
        totals_left: &mut usize,
    ) {
        if self.is_apart {
            return;
        }
        self.is_apart = true;
        let readers = std::mem::take(&mut self.readers);
        for reader in &readers {
            let Some(roll) = rolls.get_mut(reader.shard) else { continue };
            for number in &reader.blocks {
                let series = roll.block_mut(*number).map(|block| &*block.series);
                for kept in series.into_iter().flatten().flatten() {
                    if kept.kind == Kind::Counter {
                        self.keep_total(kept, moment, totals_left);
                    } else if kept.kind == Kind::Gauge && moment.has_level(kept.last) {
                        let level = Level { value: kept.value, last: kept.last, is_told: false };
                        self.levels.insert(kept.key.clone(), level);
                    }
                }
            }
        }
        self.readers = readers;
    }

    /// Adds to what waits for the other shards' shares.
    pub(super) fn await_others(&mut self, key: &SeriesKey, share: &Share) {
        match self.pending.get_mut(key) {
            Some(earlier) => count(&mut self.notes, earlier.absorb(share)),
            None => drop(self.pending.insert(key.clone(), share.clone())),
        }
    }

    /// Tells all that the source's series have to say: points with a time of their own, then what
    /// the intervals hold, then the levels that nobody touched.
    pub(super) fn tell(
        &mut self,
        rolls: &mut [Roll],
        intervals: &mut [Option<Interval>],
        telling: &mut Telling<'_>,
    ) {
        if self.timed.iter().any(|point| point.key.kind() == Kind::Counter) {
            self.keep_apart(rolls, telling.moment, &mut telling.totals_left);
        }
        self.tell_timed(telling);
        let mut readers = std::mem::take(&mut self.readers);
        for reader in &mut readers {
            let Some(roll) = rolls.get_mut(reader.shard) else { continue };
            let mut interval = intervals.get_mut(reader.shard).and_then(Option::as_mut);
            reader.blocks.retain(|number| {
                let Some(block) = roll.block_mut(*number) else { return false };
                let mut is_empty = true;
                for (place, kept) in block.series.iter_mut().enumerate() {
                    if let Some(kept) = kept {
                        let slot = Slot::new(*number as usize, place);
                        self.tell_series(slot, kept, interval.as_deref_mut(), telling);
                        is_empty = false;
                    }
                }
                if is_empty {
                    roll.remove_block(*number);
                }
                !is_empty
            });
        }
        self.readers = readers;
        self.tell_pending(telling);
        self.tell_levels(telling);
        let moment = telling.moment;
        self.totals.retain(|_, total| moment.has_total(total.last));
        give_back(&mut self.totals);
    }

    fn tell_series(
        &mut self,
        slot: Slot,
        kept: &mut Kept,
        mut interval: Option<&mut Interval>,
        telling: &mut Telling<'_>,
    ) {
        let moment = telling.moment;
        let share = interval.as_mut().and_then(|interval| interval.take(slot, kept.kind));
        match (share, interval) {
            (Some(share), Some(interval)) => {
                if self.is_apart {
                    self.await_others(&kept.key, &share);
                } else {
                    let is_alive = if kept.kind == Kind::Counter {
                        moment.has_total(kept.last)
                    } else {
                        moment.has_level(kept.last)
                    };
                    let before = if is_alive { kept.value } else { 0.0 };
                    let value;
                    (value, kept.value) = self.value_of(&share, before, telling.quantiles);
                    (telling.tell)(Datapoint { key: kept.key.clone(), timestamp: None, value });
                }
                kept.last = moment.now;
                kept.is_told_idle = false;
                interval.give_back(slot, share);
            }
            (_, interval) => {
                let is_level = kept.kind == Kind::Gauge && !self.is_apart;
                if is_level && moment.has_level(kept.last) {
                    let value = Value::Gauge(kept.value);
                    (telling.tell)(Datapoint { key: kept.key.clone(), timestamp: None, value });
                } else if let Some(interval) = interval
                    && !kept.is_told_idle
                    && moment.is_idle(kept.last)
                {
                    interval.idle.push(slot);
                    kept.is_told_idle = true;
                }
            }
        }
    }

    // The value of a datapoint, and the level or total that stays.
    fn value_of(&mut self, share: &Share, before: f64, quantiles: &Quantiles) -> (Value, f64) {
        let mut notes = Notes::NONE;
        let (value, stays) = match share {
            Share::Counter(sum) => {
                let total = hold(before + sum, &mut notes);
                (Value::Counter { sum: *sum, total }, total)
            }
            Share::Level(level) => (Value::Gauge(*level), *level),
            Share::Change(by) => {
                let level = change(before, *by, &mut notes);
                (Value::Gauge(level), level)
            }
            Share::Values(values) => {
                let summary;
                (summary, notes) = sketch::summary_of_few(&mut values.clone(), quantiles);
                (Value::Summary(Box::new(summary)), 0.0)
            }
            Share::Sketch(sketch) => (Value::Summary(Box::new(sketch.summary(quantiles))), 0.0),
            Share::Members(members) => (Value::Distinct(members.count()), 0.0),
        };
        count(&mut self.notes, notes);
        (value, stays)
    }

    fn tell_timed(&mut self, telling: &mut Telling<'_>) {
        let mut points = std::mem::take(&mut self.timed);
        // Stable: what has the same series and time stays in the order of the shards.
        points.sort_by(|a, b| (&a.key, a.at).cmp(&(&b.key, b.at)));
        let mut points = points.into_iter().peekable();
        while let Some(mut point) = points.next() {
            while let Some(same) =
                points.next_if(|next| next.at == point.at && next.key == point.key)
            {
                count(&mut self.notes, point.absorb(same.value));
            }
            let value = if point.key.kind() == Kind::Counter {
                self.count_apart(&point.key, point.value, telling)
            } else {
                Value::Gauge(point.value)
            };
            let timestamp = Some(UnixMillis::from_secs(point.at));
            (telling.tell)(Datapoint { key: point.key, timestamp, value });
        }
    }

    fn tell_pending(&mut self, telling: &mut Telling<'_>) {
        let moment = telling.moment;
        for (key, share) in std::mem::take(&mut self.pending) {
            let value = match &share {
                Share::Counter(sum) => self.count_apart(&key, *sum, telling),
                Share::Level(_) | Share::Change(_) => {
                    let level = self.levels.get(&key).filter(|level| moment.has_level(level.last));
                    let before = level.map_or(0.0, |level| level.value);
                    let (told, value) = self.value_of(&share, before, telling.quantiles);
                    let level = Level { value, last: moment.now, is_told: true };
                    self.levels.insert(key.clone(), level);
                    told
                }
                Share::Values(_) | Share::Sketch(_) | Share::Members(_) => {
                    self.value_of(&share, 0.0, telling.quantiles).0
                }
            };
            (telling.tell)(Datapoint { key, timestamp: None, value });
        }
    }

    fn tell_levels(&mut self, telling: &mut Telling<'_>) {
        let moment = telling.moment;
        self.levels.retain(|key, level| {
            if !level.is_told && moment.has_level(level.last) {
                let value = Value::Gauge(level.value);
                (telling.tell)(Datapoint { key: key.clone(), timestamp: None, value });
            }
            // One that expires at once was told by what it was written with.
            std::mem::take(&mut level.is_told) || moment.has_level(level.last)
        });
        give_back(&mut self.levels);
    }

    /// Forgets the gauges, all having been told for the last time.
    pub(super) fn forget_levels(&mut self) {
        self.levels = HashMap::default();
    }

    // Adds to a total that is kept apart from its slot, or would be if it had one.
    fn count_apart(&mut self, key: &SeriesKey, sum: f64, telling: &mut Telling<'_>) -> Value {
        let moment = telling.moment;
        let hash = xxh64(key.as_bytes());
        let mut notes = Notes::NONE;
        let total = if let Some(total) = self.totals.get_mut(&hash) {
            let before = if moment.has_total(total.last) { total.value } else { 0.0 };
            *total = Total { value: hold(before + sum, &mut notes), last: moment.now };
            total.value
        } else {
            if self.totals.len() < self.most_totals && telling.totals_left > 0 {
                self.totals.insert(hash, Total { value: sum, last: moment.now });
                telling.totals_left -= 1;
            }
            sum
        };
        count(&mut self.notes, notes);
        Value::Counter { sum, total }
    }
}

fn count(tally: &mut Tally<Note>, notes: Notes) {
    notes.iter().for_each(|note| tally.add(note, 1));
}

// Gives back memory after a peak.
fn give_back<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V, RandomState>) {
    if map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
