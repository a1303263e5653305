mod account;
mod close;
mod memo;
mod tidy;
mod timed;

mod index;
mod order;
mod roster;
mod spellings;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use metric::{Counts, Kind, Notes, Sample, SeriesKey, Source, Spelled, Spelling, Values};

use crate::interval::{Born, Interval, Measure, Opened};
use crate::limits::Limits;
use crate::slot::Slot;
use crate::total::TotalSeries;
use account::Account;
use index::{Index, Target};
pub use memo::{Recalled, Remember, Sought};
use roster::{Block, Roster, Series};
use spellings::Spellings;
use tidy::Tidy;

/// What a shard is allowed in all.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// The shard's number, from 0: its place among the workers.
    pub number: usize,
    /// Live series of all sources, of all shards that share this. Default 2,000,000.
    pub total_series: TotalSeries,
    /// The bytes of all stored spellings. Default 64 MiB.
    pub spelling_bytes: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self { number: 0, total_series: TotalSeries::default(), spelling_bytes: 64 << 20 }
    }
}

/// The series of one worker: adds samples up, and forgets nothing but what the flush side tells it
/// to.
///
/// One thread owns it and works alone on it. Known series cost no allocation.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    hasher: RandomState,
    accounts: Vec<Account>,
    vacant_accounts: Vec<u32>,
    next_serial: u32,
    index: Index,
    roster: Roster,
    spellings: Spellings,
    running: Interval,
    tidy: Tidy,
    scratch: Scratch,
}

/// A source of a shard. Good until that source is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceIndex {
    index: u32,
    serial: u32,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// All its values were added. The notes are to be counted with those of its line.
    Aggregated(Notes),
    /// All its values were refused: its source may have no more series.
    OverSeriesLimit,
}

// Reused, so that looking up a series does not allocate.
#[derive(Debug, Default)]
struct Scratch {
    key: Vec<u8>,
    section: Vec<u8>,
}

impl SourceIndex {
    /// Its place among the shard's sources: small, and used anew after it was closed.
    pub fn get(self) -> usize {
        self.index as usize
    }
}

impl Shard {
    /// A shard without sources.
    pub fn new(config: ShardConfig) -> Self {
        Self {
            hasher: RandomState::default(),
            accounts: Vec::new(),
            vacant_accounts: Vec::new(),
            next_serial: 0,
            index: Index::new(),
            roster: Roster::default(),
            spellings: Spellings::new(),
            running: Interval::first_of(config.number),
            config,
            tidy: Tidy::default(),
            scratch: Scratch::default(),
        }
    }

    /// Begins to account for a source.
    pub fn open_source(&mut self, source: Arc<Source>, limits: Limits) -> SourceIndex {
        let index = self.vacant_accounts.pop().unwrap_or_else(|| {
            self.accounts.push(Account::default());
            self.accounts.len() as u32 - 1
        });
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        self.running.opened.push(Opened {
            index,
            source: Arc::clone(&source),
            most_totals: limits.most_totals(),
        });
        let opened = self.running.number;
        self.accounts[index as usize] =
            Account { source: Some(source), serial, limits, opened, ..Account::default() };
        SourceIndex { index, serial }
    }

    /// Changes what a source may take; what it has already stays.
    pub fn set_limits(&mut self, source: SourceIndex, limits: Limits) {
        self.accounts[source.get()].limits = limits;
    }

    /// The counts of a source. The shard counts what is aggregated and what is over a limit of
    /// series; everything else is counted by its worker.
    // Hot path: runs once per line.
    pub fn counts_mut(&mut self, source: SourceIndex) -> &mut Counts {
        debug_assert_eq!(self.accounts[source.get()].serial, source.serial);
        &mut self.accounts[source.get()].counts
    }

    /// Which source that is, unless it was closed.
    pub fn source(&self, source: SourceIndex) -> Option<&Arc<Source>> {
        let account = &self.accounts[source.get()];
        account.source.as_ref().filter(|_| account.serial == source.serial)
    }

    /// How many live series a source has.
    pub fn series(&self, source: SourceIndex) -> usize {
        self.accounts[source.get()].series
    }

    /// The open sources with their counts and how many live series they have.
    pub fn accounts(&self) -> impl Iterator<Item = (&Arc<Source>, &Counts, usize)> {
        self.accounts
            .iter()
            .filter_map(|account| Some((account.source.as_ref()?, &account.counts, account.series)))
    }

    /// Keys of a source's series, from this one of its blocks on: about `most`, and where to go on
    /// if there are more. Meanwhile series come and go, so one may be missed or seen twice.
    pub fn keys(
        &self,
        source: SourceIndex,
        from: usize,
        most: usize,
    ) -> (Vec<SeriesKey>, Option<usize>) {
        let blocks = &self.accounts[source.get()].blocks;
        let mut keys = Vec::new();
        let mut next = from;
        while let Some(block) = blocks.get(next)
            && keys.len() < most
        {
            let series = self.roster.block(*block).into_iter().flat_map(Block::series);
            keys.extend(series.map(|(_, series)| series.key.clone()));
            next += 1;
        }
        (keys, (next < blocks.len()).then_some(next))
    }

    // Hot path: runs once per value.
    #[inline]
    fn put(&mut self, slot: Slot, source: u32, kind: Kind, measure: Measure<'_>) -> Notes {
        let number = self.running.number;
        let account = &mut self.accounts[source as usize];
        let added = self.running.add(slot, kind, measure, || account.may_hold_more(number));
        if added.bytes > 0 {
            account.held.add(added.bytes, number);
        }
        if added.is_first
            && let Some(series) = self.roster.get_mut(slot)
        {
            series.touched = number;
        }
        added.notes
    }

    /// Adds all values of a sample to its series, which is made if it is new, or refuses them all.
    ///
    /// A spelling is remembered for the series unless the sample carries a time of its own.
    pub fn record(
        &mut self,
        source: SourceIndex,
        sample: &Sample<'_>,
        remember: Option<&Remember<'_>>,
    ) -> Recorded {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.key.clear();
        SeriesKey::write(&mut scratch.key, sample.kind, sample.name, sample.tags);
        let recorded = self.record_written(source, sample, remember, &scratch.key);
        self.scratch = scratch;
        let values = sample.values.count() as u64;
        let counts = self.counts_mut(source);
        if let Some(notes) = recorded {
            counts.aggregated += values;
            Recorded::Aggregated(notes)
        } else {
            counts.over_series_limit += values;
            Recorded::OverSeriesLimit
        }
    }

    fn record_written(
        &mut self,
        source: SourceIndex,
        sample: &Sample<'_>,
        remember: Option<&Remember<'_>>,
        key: &[u8],
    ) -> Option<Notes> {
        let hash = self.hash_plain(source.serial, sample.kind, key);
        let known = self.find(hash, source, key);
        if let (Some(at), Kind::Counter | Kind::Gauge) = (sample.timestamp, sample.kind) {
            return self.record_timed(source, sample, at, key, known);
        }
        let slot = match known {
            Some(slot) => slot,
            None => self.make(source, key, hash)?,
        };
        let mut notes = Notes::NONE;
        let mut put = |measure| {
            notes = notes.union(self.put(slot, source.index, sample.kind, measure));
        };
        match sample.values {
            Values::Member(member) => put(Measure::Member(member)),
            Values::Numbers(numbers) => {
                let (rate, relative) = (sample.rate, sample.relative);
                for value in numbers.iter().copied() {
                    put(Measure::Number { value, rate, relative });
                }
            }
        }
        if let Some(remember) = remember {
            self.remember(slot, source, remember);
        }
        Some(notes)
    }

    // Hot path: runs once per line.
    #[inline]
    fn hash(&self, serial: u32, spelling: &Spelling<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(serial);
        spelling.hash(&mut hasher);
        hasher.finish()
    }

    // The hash of the plain spelling of the series whose key was written so.
    fn hash_plain(&self, serial: u32, kind: Kind, written: &[u8]) -> u64 {
        let Spelled { name, section, .. } = Spelled::in_written(written);
        self.hash(serial, &Spelling { name, kind, meter: false, sections: [section, b""] })
    }

    // The series with this key, by the hash of its plain spelling.
    fn find(&self, hash: u64, source: SourceIndex, key: &[u8]) -> Option<Slot> {
        self.index.find(hash, |target| match target {
            Target::Series(slot) | Target::Plain(slot) => {
                let (owner, series) = self.roster.get(slot)?;
                (owner == source.index && series.key.as_bytes() == key).then_some(slot)
            }
            Target::Ordered(_) | Target::Stored(_) => None,
        })
    }

    // Whether a source may have one more series or point with a time of its own; if so, its place
    // among all is taken.
    fn take_room(&self, source: SourceIndex) -> bool {
        let has_room = self.accounts[source.get()].has_room(self.running.number);
        has_room && self.config.total_series.take()
    }

    fn make(&mut self, source: SourceIndex, key: &[u8], hash: u64) -> Option<Slot> {
        if !self.take_room(source) {
            return None;
        }
        let key = SeriesKey::from_written(key);
        let series = Series {
            key: key.clone(),
            order: None,
            touched: self.running.number,
            spellings: spellings::NONE,
        };
        let Some(slot) = self.place(source, series) else {
            self.config.total_series.give_back(1);
            return None;
        };
        self.index.insert(hash, Target::Series(slot));
        self.running.born.push(Born { slot, source: source.index, key });
        self.accounts[source.get()].series += 1;
        Some(slot)
    }

    fn place(&mut self, source: SourceIndex, series: Series) -> Option<Slot> {
        let account = &mut self.accounts[source.get()];
        loop {
            let Some(&number) = account.spare.last() else {
                let number = self.roster.add_block(source.index, account.blocks.len() as u32)?;
                account.blocks.push(number);
                account.spare.push(number);
                continue;
            };
            match self.roster.block_mut(number) {
                Some(block) if block.source == source.index && block.has_room() => {
                    let place = block.take(series)?;
                    if !block.has_room() {
                        account.spare.pop();
                    }
                    return Some(Slot::new(number as usize, place));
                }
                // Given back, and perhaps another source's by now.
                _ => account.spare.pop(),
            };
        }
    }

    /// Takes what the running interval came to, and goes on with an empty one.
    ///
    /// Takes the same time whatever the number of series. `empty` is `Interval::default()` or one
    /// that this shard had before.
    pub fn swap(&mut self, mut empty: Interval) -> Interval {
        // What another shard is to forget is nothing to this one.
        if empty.shard != self.config.number {
            empty = Interval::default();
        }
        empty.shard = self.config.number;
        empty.number = self.running.number + 1;
        self.config.total_series.give_back(self.running.timed.len());
        let ended = std::mem::replace(&mut self.running, empty);
        let idle = std::mem::take(&mut self.running.idle);
        self.tidy.next_interval(idle, self.running.idle_through);
        ended
    }
}
