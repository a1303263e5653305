use std::hash::BuildHasher;

use metric::{Notes, Sample, SeriesKey, Values};

use super::{Shard, SourceIndex};
use crate::interval::TimedPoint;
use crate::number::hold;
use crate::slot::Slot;

impl Shard {
    // Adds all values of a sample to the point of its series and time, or refuses them all.
    pub(super) fn record_timed(
        &mut self,
        source: SourceIndex,
        sample: &Sample<'_>,
        at: i64,
        key: &[u8],
        known: Option<Slot>,
    ) -> Option<Notes> {
        let Values::Numbers(numbers) = sample.values else { return Some(Notes::NONE) };
        let hash = self.hasher.hash_one((source.serial, at, key));
        let mut notes = Notes::NONE;
        for value in numbers {
            let value = hold(value / sample.rate, &mut notes);
            if let Some(point) = self.running.timed.get_mut(hash, source.index, key, at) {
                notes = notes.union(point.absorb(value));
                continue;
            }
            if !self.take_room(source) {
                return None;
            }
            let key = match known.and_then(|slot| self.roster.get(slot)) {
                Some((_, series)) => series.key.clone(),
                None => SeriesKey::from_written(key),
            };
            self.running.timed.insert(TimedPoint { hash, source: source.index, key, at, value });
            self.accounts[source.get()].timed.add(1, self.running.number);
        }
        Some(notes)
    }
}
