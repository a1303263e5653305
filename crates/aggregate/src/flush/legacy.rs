use std::collections::HashMap;
use std::io;

use foldhash::fast::RandomState;
use metric::SeriesKey;

use super::moment::{Moment, Tick};
use crate::state::Entry;

/// A counter's running total.
#[derive(Clone, Copy, Debug)]
pub(super) struct Total {
    pub(super) value: f64,
    pub(super) last: Tick,
}

/// A gauge's level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) value: f64,
    pub(super) last: Tick,
    pub(super) is_told: bool,
}

/// What an earlier process knew of a source that is yet to be heard of.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    pub(super) totals: HashMap<u64, Total, RandomState>,
    pub(super) levels: HashMap<SeriesKey, Level, RandomState>,
}

impl Legacy {
    pub(super) fn add_level(&mut self, key: SeriesKey, value: f64, last: Tick) {
        self.levels.insert(key, Level { value, last, is_told: false });
    }

    pub(super) fn add_total(&mut self, hash: u64, value: f64, last: Tick) {
        self.totals.insert(hash, Total { value, last });
    }

    /// Hands out what has not expired.
    pub(super) fn hand_on(&self, moment: Moment, to: HandOn<'_>) -> io::Result<()> {
        hand_on(&self.levels, &self.totals, moment, to)
    }
}

/// Where goes what is to outlive the process.
pub(super) type HandOn<'a> = &'a mut dyn FnMut(&Entry) -> io::Result<()>;

/// Hands out what has not expired.
pub(super) fn hand_on(
    levels: &HashMap<SeriesKey, Level, RandomState>,
    totals: &HashMap<u64, Total, RandomState>,
    moment: Moment,
    to: HandOn<'_>,
) -> io::Result<()> {
    for (key, Level { value, last, .. }) in levels {
        if moment.has_level(*last) {
            to(&Entry::Level { key: key.clone(), value: *value, age: moment.ago(*last) })?;
        }
    }
    for (hash, Total { value, last }) in totals {
        if moment.has_total(*last) {
            to(&Entry::Total { hash: *hash, value: *value, age: moment.ago(*last) })?;
        }
    }
    Ok(())
}
