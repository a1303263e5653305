mod legacy;
mod moment;
mod past;
mod roll;
mod save;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use metric::{Counts, Datapoint, Note, Origin, Quantiles, Source, Tally};

use crate::interval::Interval;
use crate::part::Part;
use legacy::Legacy;
use moment::{Expiry, Moment};
use past::{Past, Telling};
use roll::Roll;

/// So many datapoints at most are told at once. A source with more is told in several batches.
pub const MOST_AT_ONCE: usize = 4096;

/// What outlives an interval, and for how long. Times count from the end of the interval of the last
/// sample, to a tenth of a second.
#[derive(Clone, Debug)]
pub struct FlushConfig {
    /// A gauge is told at every flush until it was not written for so long; 0: only when it was
    /// written. Default 5 min.
    pub gauge_expiry: Duration,
    /// The memory of a series is given back when it was not used for so long, and of a gauge not
    /// before it expires. Default 10 min.
    pub series_expiry: Duration,
    /// A counter's running total starts from 0 when it was not used for so long. Default 1 h.
    pub total_expiry: Duration,
    /// So many running totals are kept in all of series that were forgotten before their totals, of
    /// one source at most 8 times its limit of series; further ones start from 0 when they return.
    /// Default 2,000,000.
    pub most_totals: usize,
    /// Which quantiles summaries hold.
    pub quantiles: Arc<Quantiles>,
}

impl Default for FlushConfig {
    fn default() -> Self {
        Self {
            gauge_expiry: Duration::from_mins(5),
            series_expiry: Duration::from_mins(10),
            total_expiry: Duration::from_hours(1),
            most_totals: 2_000_000,
            quantiles: Arc::default(),
        }
    }
}

/// The flush side: merges the shards' intervals with what outlives them.
#[derive(Debug)]
pub struct Flush {
    expiry: Expiry,
    most_totals: usize,
    quantiles: Arc<Quantiles>,
    rolls: Vec<Roll>,
    // By number, in the order in which the sources were first heard of.
    pasts: BTreeMap<usize, Past>,
    numbers: HashMap<Arc<Source>, usize, RandomState>,
    next_number: usize,
    // What an earlier process knew of sources that are yet to be heard of.
    legacies: HashMap<Origin, Legacy>,
}

/// What a merge leaves.
#[derive(Debug)]
pub struct Merged {
    /// The intervals, empty, to be given back each to its shard at its next swap.
    pub intervals: Vec<Interval>,
    /// What was noticed while merging, for the ledger; only sources of which there is something.
    pub notes: Vec<(Arc<Source>, Tally<Note>)>,
}

/// The end of a source in one shard.
#[derive(Debug)]
pub struct Ended {
    /// Which source.
    pub source: Arc<Source>,
    /// The last of what the shard counted of it.
    pub counts: Counts,
    /// What was noticed while merging, for the ledger.
    pub notes: Tally<Note>,
    /// The last of what its series have to say; empty while another shard still reads the source:
    /// then this shard's share of it is told at the next flush.
    pub datapoints: Vec<Datapoint>,
}

impl Flush {
    /// A flush side that has heard of no source yet.
    pub fn new(config: FlushConfig) -> Self {
        let FlushConfig { gauge_expiry, series_expiry, total_expiry, most_totals, quantiles } =
            config;
        Self {
            expiry: Expiry::new(gauge_expiry, series_expiry, total_expiry),
            most_totals,
            quantiles,
            rolls: Vec::new(),
            pasts: BTreeMap::new(),
            numbers: HashMap::default(),
            next_number: 0,
            legacies: HashMap::new(),
        }
    }

    /// From now on what outlives an interval is kept for so long, as in [`FlushConfig`]. What has
    /// expired already does not come back.
    pub fn set_expiries(
        &mut self,
        gauge_expiry: Duration,
        series_expiry: Duration,
        total_expiry: Duration,
    ) {
        self.expiry = self.expiry.to(gauge_expiry, series_expiry, total_expiry);
    }

    /// Merges one interval of each shard that has one, those of a shard in the order in which they
    /// were swapped out. `at` is their end on the monotonic clock, since the start.
    ///
    /// `out` is given the datapoints source by source, of each at most [`MOST_AT_ONCE`] at a time. A
    /// source with one reader has its series in the order in which they first came.
    ///
    /// Counters, distributions and sets are told if they were touched. A series that several shards
    /// have is told once; if several set a gauge, the shard with the highest number has the last
    /// word, for nobody knows which was later.
    pub fn merge(
        &mut self,
        intervals: Vec<Interval>,
        at: Duration,
        out: &mut impl FnMut(&Arc<Source>, Vec<Datapoint>),
    ) -> Merged {
        let moment = self.expiry.at(at);
        if moment.has_outlived_all() {
            self.legacies = HashMap::new();
        }
        let mut merged = Vec::new();
        let mut by_shard: Vec<Option<Interval>> = Vec::new();
        for interval in intervals {
            let shard = interval.shard;
            if by_shard.get(shard).is_some_and(Option::is_some) {
                merged.extend(self.merge_round(std::mem::take(&mut by_shard), moment, out));
            }
            if shard >= by_shard.len() {
                by_shard.resize_with(shard + 1, || None);
            }
            by_shard[shard] = Some(interval);
        }
        merged.extend(self.merge_round(by_shard, moment, out));
        let notes = self.pasts.values_mut().filter(|past| past.notes.sum() > 0);
        let notes = notes.map(|past| (Arc::clone(&past.source), std::mem::take(&mut past.notes)));
        Merged { intervals: merged, notes: notes.collect() }
    }

    fn merge_round(
        &mut self,
        mut intervals: Vec<Option<Interval>>,
        moment: Moment,
        out: &mut impl FnMut(&Arc<Source>, Vec<Datapoint>),
    ) -> Vec<Interval> {
        let mut totals_left = self.totals_left();
        for interval in intervals.iter_mut().flatten() {
            self.hear(interval, moment, &mut totals_left);
        }
        for past in self.pasts.values_mut() {
            let source = Arc::clone(&past.source);
            let mut batch = Vec::new();
            let mut tell = |datapoint| {
                batch.push(datapoint);
                if batch.len() == MOST_AT_ONCE {
                    out(&source, std::mem::take(&mut batch));
                }
            };
            let quantiles = &self.quantiles;
            let mut telling = Telling { moment, quantiles, totals_left, tell: &mut tell };
            past.tell(&mut self.rolls, &mut intervals, &mut telling);
            totals_left = telling.totals_left;
            if !batch.is_empty() {
                out(&source, batch);
            }
        }
        let mut intervals: Vec<_> = intervals.into_iter().flatten().collect();
        for interval in &mut intervals {
            interval.clear();
            interval.idle_through = interval.number;
        }
        intervals
    }

    /// Ends a source in the shard whose part this is, before or after the interval in which it was
    /// closed is merged, but after those before it: see [`Part::is_later_than`]. `at` is now on the
    /// monotonic clock, since the start.
    pub fn end(&mut self, part: Part, at: Duration) -> Ended {
        let moment = self.expiry.at(at);
        let mut totals_left = self.totals_left();
        let number = self.number_of(&part.source, part.most_totals);
        let mut datapoints = Vec::new();
        let mut notes = Tally::default();
        if let Some(past) = self.pasts.get_mut(&number) {
            if part.is_announced {
                past.reader_mut(part.shard, |reader| !reader.has_ended).has_ended = true;
            }
            past.keep_apart(&mut self.rolls, moment, &mut totals_left);
            for (key, share) in &part.shares {
                past.await_others(key, share);
            }
            past.timed.extend(part.timed);
            if past.readers.iter().all(|reader| reader.has_ended) {
                let mut tell = |datapoint| datapoints.push(datapoint);
                let quantiles = &self.quantiles;
                let mut telling = Telling { moment, quantiles, totals_left, tell: &mut tell };
                past.tell(&mut self.rolls, &mut [], &mut telling);
                past.forget_levels();
            }
            notes = std::mem::take(&mut past.notes);
        }
        self.forget_if_over(number);
        Ended { source: part.source, counts: part.counts, notes, datapoints }
    }

    fn totals_left(&self) -> usize {
        let kept: usize = self.pasts.values().map(Past::kept_totals).sum();
        self.most_totals.saturating_sub(kept)
    }

    fn number_of(&mut self, source: &Arc<Source>, most_totals: usize) -> usize {
        if let Some(number) = self.numbers.get(source) {
            return *number;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(Arc::clone(source), number);
        let legacy = self.legacies.remove(&source.origin).unwrap_or_default();
        self.pasts.insert(number, Past::new(Arc::clone(source), most_totals, legacy));
        number
    }

    // Takes in what a shard has to tell with an interval.
    fn hear(&mut self, interval: &mut Interval, moment: Moment, totals_left: &mut usize) {
        let shard = interval.shard;
        if shard >= self.rolls.len() {
            self.rolls.resize_with(shard + 1, Roll::default);
        }
        // What ended first: a source that was opened again, or a series that came back, is among
        // both.
        for slot in std::mem::take(&mut interval.forgotten) {
            let Some((number, kept)) = self.rolls[shard].remove(slot) else { continue };
            if let Some(past) = self.pasts.get_mut(&number) {
                past.part_with(&kept, moment, totals_left);
            }
        }
        for index in std::mem::take(&mut interval.closed) {
            let Some(number) = self.rolls[shard].source(index) else { continue };
            self.rolls[shard].set_source(index, None);
            if let Some(past) = self.pasts.get_mut(&number) {
                past.keep_apart(&mut self.rolls, moment, totals_left);
                let reader = past.reader_mut(shard, |reader| !reader.is_closed);
                reader.is_closed = true;
                for block in std::mem::take(&mut reader.blocks) {
                    self.rolls[shard].remove_block(block);
                }
            }
            self.forget_if_over(number);
        }
        for opened in interval.opened.drain(..) {
            let number = self.number_of(&opened.source, opened.most_totals);
            self.rolls[shard].set_source(opened.index, Some(number));
            if let Some(past) = self.pasts.get_mut(&number) {
                past.reader_mut(shard, |reader| !reader.is_closed);
                if past.readers.len() > 1 {
                    past.keep_apart(&mut self.rolls, moment, totals_left);
                }
            }
        }
        for born in std::mem::take(&mut interval.born) {
            let Some(number) = self.rolls[shard].source(born.source) else { continue };
            let Some(past) = self.pasts.get_mut(&number) else { continue };
            let kept = past.welcome(born.key, moment);
            if self.rolls[shard].insert(born.slot, number, kept) {
                let reader = past.reader_mut(shard, |reader| !reader.is_closed);
                reader.blocks.push(born.slot.block() as u32);
            }
        }
        for point in interval.timed.take_all() {
            let number = self.rolls[shard].source(point.source);
            if let Some(past) = number.and_then(|number| self.pasts.get_mut(&number)) {
                past.timed.push(point);
            }
        }
    }

    // A source is over when each of its readers has ended and was closed.
    fn forget_if_over(&mut self, number: usize) {
        if let Some(past) = self.pasts.get_mut(&number) {
            past.readers.retain(|reader| !(reader.has_ended && reader.is_closed));
            if past.readers.is_empty()
                && let Some(past) = self.pasts.remove(&number)
            {
                self.numbers.remove(&past.source);
            }
        }
    }
}
