use hashbrown::HashTable;
use metric::{Kind, Notes, SeriesKey};

use crate::number::hold;

/// Samples that carry their own time, each (series, time) a point of its own.
#[derive(Debug, Default)]
pub(crate) struct Timed(HashTable<TimedPoint>);

#[derive(Debug)]
pub(crate) struct TimedPoint {
    pub(crate) hash: u64,
    pub(crate) source: u32,
    pub(crate) key: SeriesKey,
    /// In unix seconds.
    pub(crate) at: i64,
    pub(crate) value: f64,
}

impl Timed {
    pub(crate) fn get_mut(
        &mut self,
        hash: u64,
        source: u32,
        key: &[u8],
        at: i64,
    ) -> Option<&mut TimedPoint> {
        self.0.find_mut(hash, |point| {
            point.source == source && point.at == at && point.key.as_bytes() == key
        })
    }

    pub(crate) fn insert(&mut self, point: TimedPoint) {
        self.0.insert_unique(point.hash, point, |point| point.hash);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn take_of(&mut self, source: u32) -> Vec<TimedPoint> {
        self.0.extract_if(|point| point.source == source).collect()
    }

    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = TimedPoint> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

impl TimedPoint {
    /// Adds what has the same series and the same time, but came later.
    pub(crate) fn absorb(&mut self, value: f64) -> Notes {
        let mut notes = Notes::NONE;
        self.value = if self.key.kind() == Kind::Counter {
            hold(self.value + value, &mut notes)
        } else {
            value
        };
        notes
    }
}
