mod account;
mod index;
mod order;
mod roster;
mod spellings;
mod tidy;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use metric::{Counts, Kind, Notes, Sample, SeriesKey, Source, Spelling, Values};

use crate::interval::{Born, Interval, Measure, Opened, TimedPoint};
use crate::limits::Limits;
use crate::number::hold;
use crate::part::Part;
use crate::slot::Slot;
use account::Account;
use index::{Index, Target};
use order::Order;
use roster::{Roster, Series};
use spellings::Spellings;
use tidy::Tidy;

/// What a shard is allowed in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// The shard's number, from 0: its place among the workers.
    pub number: usize,
    /// Live series of all sources. Default 2,000,000.
    pub total_series: usize,
    /// The bytes of all stored spellings. Default 64 MiB.
    pub spelling_bytes: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self { number: 0, total_series: 2_000_000, spelling_bytes: 64 << 20 }
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
    series: usize,
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

/// The series that a spelling is of: what [`Shard::add`] needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Recalled {
    slot: Slot,
    source: SourceIndex,
    kind: Kind,
    notes: Notes,
}

/// A spelling that a shard is to remember.
#[derive(Clone, Copy, Debug)]
pub struct Remember<'a> {
    /// The source whose socket the line came through.
    pub via: SourceIndex,
    /// How the line spells its series.
    pub spelling: Spelling<'a>,
    /// What there is to note about every line that is spelled so.
    pub notes: Notes,
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

impl Recalled {
    /// The source of the series: that of the socket, or a container that a client of it named.
    pub fn source(&self) -> SourceIndex {
        self.source
    }

    /// What the series' samples mean.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What there is to note about every line that is spelled so.
    pub fn notes(&self) -> Notes {
        self.notes
    }
}

impl Shard {
    /// A shard without sources.
    pub fn new(config: ShardConfig) -> Self {
        Self {
            config,
            hasher: RandomState::default(),
            accounts: Vec::new(),
            vacant_accounts: Vec::new(),
            next_serial: 0,
            index: Index::new(),
            roster: Roster::default(),
            spellings: Spellings::new(),
            series: 0,
            running: Interval::first_of(config.number),
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

    /// The open sources with their counts and how many live series they have.
    pub fn accounts(&self) -> impl Iterator<Item = (&Arc<Source>, &Counts, usize)> {
        self.accounts
            .iter()
            .filter_map(|account| Some((account.source.as_ref()?, &account.counts, account.series)))
    }

    /// The series that a line is of, if it came through the socket of `via` and one that is spelled
    /// so was remembered.
    // Hot path: runs once per line.
    pub fn recall(&self, via: SourceIndex, spelling: &Spelling<'_>) -> Option<Recalled> {
        self.recall_by_hash(self.hash(via.serial, spelling), via, spelling)
    }

    fn recall_by_hash(
        &self,
        hash: u64,
        via: SourceIndex,
        spelling: &Spelling<'_>,
    ) -> Option<Recalled> {
        let own = |slot, is: &dyn Fn(&Series) -> bool| {
            self.roster.get(slot).is_some_and(|(source, series)| source == via.index && is(series))
        };
        let found = self.index.find(hash, |target| match target {
            Target::Series(_) => false,
            Target::Plain(slot) => own(slot, &|series| order::is_plain(&series.key, spelling)),
            Target::Ordered(slot) => own(slot, &|series| {
                series.order.is_some_and(|order| order.is_of(&series.key, spelling))
            }),
            Target::Stored(number) => {
                self.spellings.get(number).is_some_and(|stored| stored.is(via.serial, spelling))
            }
        })?;
        let kind = spelling.kind;
        match found {
            Target::Series(slot) | Target::Plain(slot) | Target::Ordered(slot) => {
                Some(Recalled { slot, source: via, kind, notes: Notes::NONE })
            }
            Target::Stored(number) => {
                let stored = self.spellings.get(number)?;
                let (index, _) = self.roster.get(stored.slot)?;
                let account = &self.accounts[index as usize];
                // A container that a client named may have been closed before its socket.
                account.source.as_ref()?;
                let source = SourceIndex { index, serial: account.serial };
                Some(Recalled { slot: stored.slot, source, kind, notes: stored.notes })
            }
        }
    }

    /// Adds one measure to a recalled series. The notes are to be counted with those of its line.
    // Hot path: runs once per value.
    pub fn add(&mut self, recalled: Recalled, measure: Measure<'_>) -> Notes {
        self.accounts[recalled.source.get()].counts.aggregated += 1;
        self.put(recalled.slot, recalled.source.index, recalled.kind, measure)
    }

    // Hot path: runs once per value.
    fn put(&mut self, slot: Slot, source: u32, kind: Kind, measure: Measure<'_>) -> Notes {
        let number = self.running.number;
        if let Some(series) = self.roster.get_mut(slot) {
            series.touched = number;
        }
        let account = &mut self.accounts[source as usize];
        let added = self.running.add(slot, kind, measure, account.may_hold_more(number));
        if added.bytes > 0 {
            account.held.add(added.bytes, number);
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
        scratch.section.clear();
        SeriesKey::write(&mut scratch.key, sample.kind, sample.name, sample.tags);
        order::write_plain(&mut scratch.section, &scratch.key);
        let recorded = self.record_written(source, sample, remember, &scratch);
        self.scratch = scratch;
        let values = sample.values.count() as u64;
        let counts = self.counts_mut(source);
        match recorded {
            Some(notes) => {
                counts.aggregated += values;
                Recorded::Aggregated(notes)
            }
            None => {
                counts.over_series_limit += values;
                Recorded::OverSeriesLimit
            }
        }
    }

    fn record_written(
        &mut self,
        source: SourceIndex,
        sample: &Sample<'_>,
        remember: Option<&Remember<'_>>,
        written: &Scratch,
    ) -> Option<Notes> {
        let plain = Spelling {
            name: sample.name.as_bytes(),
            kind: sample.kind,
            meter: false,
            sections: [&written.section, b""],
        };
        let hash = self.hash(source.serial, &plain);
        let known = self.find(hash, source, &written.key);
        if let (Some(at), Kind::Counter | Kind::Gauge) = (sample.timestamp, sample.kind) {
            return self.record_timed(source, sample, at, &written.key, known);
        }
        let slot = match known {
            Some(slot) => slot,
            None => self.make(source, &written.key, hash)?,
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

    fn hash(&self, serial: u32, spelling: &Spelling<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(serial);
        spelling.hash(&mut hasher);
        hasher.finish()
    }

    // The series with this key, by the hash of its plain spelling.
    fn find(&self, hash: u64, source: SourceIndex, key: &[u8]) -> Option<Slot> {
        let found = self.index.find(hash, |target| match target {
            Target::Series(slot) | Target::Plain(slot) => {
                self.roster.get(slot).is_some_and(|(owner, series)| {
                    owner == source.index && series.key.as_bytes() == key
                })
            }
            Target::Ordered(_) | Target::Stored(_) => false,
        })?;
        match found {
            Target::Series(slot) | Target::Plain(slot) => Some(slot),
            Target::Ordered(_) | Target::Stored(_) => None,
        }
    }

    fn has_room(&self, source: SourceIndex) -> bool {
        self.series + self.running.timed.len() < self.config.total_series
            && self.accounts[source.get()].has_room(self.running.number)
    }

    fn make(&mut self, source: SourceIndex, key: &[u8], hash: u64) -> Option<Slot> {
        if !self.has_room(source) {
            return None;
        }
        let key = SeriesKey::from_written(key);
        let series = Series {
            key: key.clone(),
            order: None,
            touched: self.running.number,
            spellings: spellings::NONE,
        };
        let slot = self.place(source, series)?;
        self.index.insert(hash, Target::Series(slot));
        self.running.born.push(Born { slot, source: source.index, key });
        self.accounts[source.get()].series += 1;
        self.series += 1;
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

    fn record_timed(
        &mut self,
        source: SourceIndex,
        sample: &Sample<'_>,
        at: i64,
        key: &[u8],
        known: Option<Slot>,
    ) -> Option<Notes> {
        let Values::Numbers(numbers) = sample.values else { return Some(Notes::NONE) };
        let mut hasher = self.hasher.build_hasher();
        (source.serial, at, key).hash(&mut hasher);
        let hash = hasher.finish();
        let mut notes = Notes::NONE;
        for value in numbers {
            let value = hold(value / sample.rate, &mut notes);
            if let Some(point) = self.running.timed.get_mut(hash, source.index, key, at) {
                notes = notes.union(point.absorb(value));
                continue;
            }
            if !self.has_room(source) {
                return None;
            }
            let key = match known.and_then(|slot| self.roster.get(slot)) {
                Some((_, series)) => series.key.clone(),
                None => SeriesKey::from_written(key),
            };
            let source_index = source.index;
            self.running.timed.insert(TimedPoint { hash, source: source_index, key, at, value });
            self.accounts[source.get()].timed.add(1, self.running.number);
        }
        Some(notes)
    }

    fn remember(&mut self, slot: Slot, source: SourceIndex, remember: &Remember<'_>) {
        let &Remember { via, spelling, notes } = remember;
        let hash = self.hash(via.serial, &spelling);
        if self.recall_by_hash(hash, via, &spelling).is_some() {
            return;
        }
        let Some(series) = self.roster.get_mut(slot) else { return };
        if via == source && notes.is_empty() {
            if order::is_plain(&series.key, &spelling) {
                return self.index.replace(hash, Target::Series(slot), Target::Plain(slot));
            }
            if series.order.is_none() {
                series.order = Order::of(&series.key, &spelling);
                if series.order.is_some() {
                    return self.index.insert(hash, Target::Ordered(slot));
                }
            }
        }
        let account = &mut self.accounts[source.get()];
        let room = self.spellings.have_room_for(&spelling, self.config.spelling_bytes);
        if room && account.spellings < account.limits.spellings {
            let kept = (via.serial, &spelling, notes);
            series.spellings = self.spellings.insert(hash, kept, slot, series.spellings);
            account.spellings += 1;
            self.index.insert(hash, Target::Stored(series.spellings));
        }
    }

    /// Takes what the running interval came to, and goes on with an empty one.
    ///
    /// Takes the same time whatever the number of series. `empty` is `Interval::default()` or one
    /// that this shard had before.
    pub fn swap(&mut self, mut empty: Interval) -> Interval {
        empty.shard = self.config.number;
        empty.number = self.running.number + 1;
        let ended = std::mem::replace(&mut self.running, empty);
        let idle = std::mem::take(&mut self.running.idle);
        self.tidy.next_interval(idle, self.running.idle_through);
        ended
    }

    /// Ends a source: takes its counts, and its part of the running interval. Takes a time that
    /// depends on the number of its series.
    pub fn close_source(&mut self, source: SourceIndex) -> Option<Part> {
        let number = self.running.number;
        let account = self.accounts.get_mut(source.get())?;
        if account.serial != source.serial {
            return None;
        }
        let ended = account.source.take()?;
        let account =
            std::mem::replace(account, Account { serial: account.serial, ..Account::default() });
        let mut shares = Vec::new();
        for block in &account.blocks {
            let series = self.roster.block(*block).into_iter().flat_map(|block| block.series());
            for (place, series) in series {
                let slot = Slot::new(*block as usize, place);
                if let Some(share) = self.running.take(slot, series.key.kind()) {
                    shares.push((series.key.clone(), share));
                }
            }
        }
        self.series -= account.series;
        // What the flush side has not heard of it need not hear.
        self.running.born.drop_if(|born| born.source == source.index);
        let is_announced = account.opened < number;
        if is_announced {
            self.running.closed.push(source.index);
        } else {
            self.running.opened.retain(|opened| opened.index != source.index);
        }
        self.tidy.close(source.index, account.blocks);
        Some(Part {
            shard: self.config.number,
            is_announced,
            most_totals: account.limits.most_totals(),
            source: ended,
            counts: account.counts,
            shares,
            timed: self.running.timed.take_of(source.index),
        })
    }
}
