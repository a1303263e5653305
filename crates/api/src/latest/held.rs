use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use metric::{Batch, Datapoint, Dimensions, Quantiles, SeriesKey, Source, Value};
use tokio::time::Instant;

use super::{Newest, RunningSummary, Seen, Tick, ticks};

/// So many series at most are looked at while a source's lock is held for a reader.
const PIECE: usize = 256;

/// The newest values of one source.
#[derive(Debug)]
pub struct Held {
    source: Arc<Source>,
    number: u64,
    start: Instant,
    /// Its series are shown for so long at least.
    least_expiry: Tick,
    hasher: RandomState,
    /// When its last batch came.
    last: AtomicU32,
    has_ended: AtomicBool,
    was_told_last: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    dimensions: Arc<Dimensions>,
    quantiles: Arc<Quantiles>,
    /// In the order of their numbers, which is that in which they first came.
    series: Vec<Series>,
    /// Where each series is, by the hash of its key.
    places: HashTable<u32>,
    /// The place after that of the last datapoint. Mostly the next one's: a source's series are
    /// told in one order at every flush.
    expected: usize,
    /// The running totals of distributions that were forgotten, by the hash of their keys.
    totals: HashMap<u64, Totals, RandomState>,
}

#[derive(Debug)]
struct Series {
    key: SeriesKey,
    newest: Newest,
    /// See [`Seen::number`].
    number: u64,
    /// When weir last took in a value; one that came late is not taken in.
    last: Tick,
    /// See [`Seen::at`].
    at: u32,
}

const _: () = assert!(size_of::<Series>() == 40);

#[derive(Clone, Copy, Debug)]
struct Totals {
    count: f64,
    sum: f64,
    last: Tick,
}

/// A moment in the life of all that is held, and the bounds.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: Tick,
    pub(super) expiry: Tick,
    pub(super) total_expiry: Tick,
    /// Of two values the later is the newer one, whatever their times.
    pub(super) in_order: bool,
    pub(super) most_series: usize,
    pub(super) series: &'a AtomicUsize,
    pub(super) totals: &'a AtomicUsize,
    pub(super) left_out: &'a AtomicU64,
    pub(super) next_number: &'a AtomicU64,
}

impl Moment<'_> {
    fn is_live(&self, last: Tick) -> bool {
        self.now.saturating_sub(last) <= self.expiry
    }

    fn has_total(&self, last: Tick) -> bool {
        self.now.saturating_sub(last) < self.total_expiry
    }

    fn is_full(&self) -> bool {
        self.series.load(Ordering::Relaxed) >= self.most_series
    }
}

/// How far a reader has come in a source's series.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(u64);

impl Held {
    pub(super) fn new(
        source: Arc<Source>,
        number: u64,
        start: Instant,
        least_expiry: Duration,
    ) -> Self {
        Self {
            source,
            number,
            start,
            least_expiry: ticks(least_expiry),
            hasher: RandomState::default(),
            last: AtomicU32::new(0),
            has_ended: AtomicBool::new(false),
            was_told_last: AtomicBool::new(false),
            told: Mutex::default(),
        }
    }

    /// Whose values these are.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Who that is, as far as it was known at the last flush.
    pub fn dimensions(&self) -> Arc<Dimensions> {
        self.told().dimensions.clone()
    }

    /// Which quantiles its summaries hold.
    pub fn quantiles(&self) -> Arc<Quantiles> {
        self.told().quantiles.clone()
    }

    /// Whether nothing more comes of it.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Whether it has ended and was read since: see [`Held::tell_last`].
    pub fn was_told_last(&self) -> bool {
        self.was_told_last.load(Ordering::Relaxed)
    }

    /// If it has ended, it was read for the last time, and may be forgotten.
    pub fn tell_last(&self) {
        if self.has_ended() {
            self.was_told_last.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a value of any of its series was seen within `expiry`, or two [`Polls`](crate::Polls).
    pub fn is_live(&self, expiry: Duration) -> bool {
        self.since(self.last.load(Ordering::Relaxed)) <= self.expiry(expiry)
    }

    /// Appends the next of its series that were seen within `expiry`, or two
    /// [`Polls`](crate::Polls), in the order in which they first came, and says whether there may
    /// be more after them. A bounded piece: often nothing is appended though there is more.
    pub fn read(&self, place: &mut Place, expiry: Duration, into: &mut Vec<Seen>) -> bool {
        let (expiry, now) = (self.expiry(expiry), self.now());
        let told = self.told();
        let from = told.series.partition_point(|series| series.number < place.0);
        let piece = told.series[from..].iter().take(PIECE);
        for series in piece {
            place.0 = series.number + 1;
            if now.saturating_sub(series.last) <= expiry {
                let Series { key, newest, number, at, .. } = series;
                let (key, newest) = (key.clone(), newest.clone());
                into.push(Seen { key, newest, number: *number, at: *at });
            }
        }
        from + PIECE < told.series.len()
    }

    /// Whether a value of this series was seen within `expiry`, or two [`Polls`](crate::Polls).
    pub fn has(&self, key: &SeriesKey, expiry: Duration) -> bool {
        let told = self.told();
        let is_it = |place: &u32| told.series[*place as usize].key == *key;
        let place = told.places.find(hash_of(&self.hasher, key), is_it);
        let expiry = self.expiry(expiry);
        place.is_some_and(|place| self.since(told.series[*place as usize].last) <= expiry)
    }

    pub(super) fn order(&self) -> (Option<Arc<str>>, u64) {
        (self.source.container_id().cloned(), self.number)
    }

    pub(super) fn end(&self, at_once: bool) {
        self.has_ended.store(true, Ordering::Relaxed);
        self.was_told_last.store(at_once, Ordering::Relaxed);
    }

    pub(super) fn take_in(&self, batch: &Batch, moment: Moment<'_>) {
        self.has_ended.store(false, Ordering::Relaxed);
        self.was_told_last.store(false, Ordering::Relaxed);
        self.last.store(moment.now, Ordering::Relaxed);
        let moment = self.seen_from(moment);
        let mut told = self.told();
        told.dimensions = batch.dimensions.clone();
        if told.quantiles != batch.quantiles {
            told.quantiles = batch.quantiles.clone();
            told.forget_quantiles();
        }
        for datapoint in &batch.datapoints {
            told.take_in(datapoint, batch.end_ms, &self.hasher, moment);
        }
    }

    /// Forgets what has expired; whether all of it is to be forgotten.
    pub(super) fn tidy(&self, moment: Moment<'_>) -> bool {
        let mut told = self.told();
        if self.was_told_last() {
            moment.series.fetch_sub(told.series.len(), Ordering::Relaxed);
            moment.totals.fetch_sub(told.totals.len(), Ordering::Relaxed);
            *told = Told::default();
            return true;
        }
        told.tidy(&self.hasher, self.seen_from(moment));
        if self.has_ended() {
            // Nothing comes that they could be added to.
            moment.totals.fetch_sub(told.totals.len(), Ordering::Relaxed);
            told.totals = HashMap::default();
        }
        told.series.is_empty() && told.totals.is_empty()
    }

    fn seen_from<'a>(&self, moment: Moment<'a>) -> Moment<'a> {
        let expiry = moment.expiry.max(self.least_expiry);
        Moment { expiry, in_order: self.source.is_measured(), ..moment }
    }

    fn expiry(&self, of_reader: Duration) -> Tick {
        ticks(of_reader).max(self.least_expiry)
    }

    fn now(&self) -> Tick {
        ticks(self.start.elapsed())
    }

    fn since(&self, last: Tick) -> Tick {
        self.now().saturating_sub(last)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn take_in(
        &mut self,
        datapoint: &Datapoint,
        end_ms: i64,
        hasher: &RandomState,
        moment: Moment<'_>,
    ) {
        let flush = seconds(end_ms / 1000);
        // A time to come is not believed: it would outlast all that comes after it.
        let at = datapoint.timestamp.map_or(flush, |own| seconds(own.0 / 1000).min(flush));
        let Self { series, places, totals, expected, .. } = self;
        let is_expected = |series: &Series| {
            std::ptr::eq(series.key.as_bytes(), datapoint.key.as_bytes()) // one allocation
        };
        if let Some(known) = series.get_mut(*expected).filter(|series| is_expected(series)) {
            known.take_in(&datapoint.value, at, moment);
            *expected += 1;
            return;
        }
        let hash = hash_of(hasher, &datapoint.key);
        let is_it = |place: &u32| series[*place as usize].key == datapoint.key;
        if let Some(place) = places.find(hash, is_it) {
            let place = *place as usize;
            // The allocation that the intake has now.
            series[place].key = datapoint.key.clone();
            series[place].take_in(&datapoint.value, at, moment);
            *expected = place + 1;
            return;
        }
        if moment.is_full() {
            moment.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let newest = match &datapoint.value {
            Value::Counter { total, .. } => Newest::Number(*total),
            Value::Gauge(level) => Newest::Number(*level),
            Value::Distinct(members) => Newest::Number(*members as f64),
            Value::Summary(summary) => {
                let before = totals.remove(&hash).inspect(|_| {
                    moment.totals.fetch_sub(1, Ordering::Relaxed);
                });
                let before = before.filter(|totals| moment.has_total(totals.last));
                let before = before.map_or((0.0, 0.0), |totals| (totals.count, totals.sum));
                Newest::Summary(RunningSummary::new(before, summary))
            }
        };
        if series.len() == series.capacity() {
            // A tenth more, not twice as much: a source's series seldom become many more.
            series.reserve_exact(series.len() / 10 + 4);
        }
        let place = series.len() as u32;
        let key = datapoint.key.clone();
        let number = moment.next_number.fetch_add(1, Ordering::Relaxed);
        series.push(Series { key, newest, number, last: moment.now, at });
        *expected = series.len();
        places.insert_unique(hash, place, |place| hash_of(hasher, &series[*place as usize].key));
        moment.series.fetch_add(1, Ordering::Relaxed);
    }

    fn forget_quantiles(&mut self) {
        for series in &mut self.series {
            if let Newest::Summary(summary) = &mut series.newest {
                summary.forget_quantiles();
            }
        }
    }

    fn tidy(&mut self, hasher: &RandomState, moment: Moment<'_>) {
        let before = self.totals.len();
        self.totals.retain(|_, totals| moment.has_total(totals.last));
        moment.totals.fetch_sub(before - self.totals.len(), Ordering::Relaxed);
        let dead = self.series.iter().filter(|series| !moment.is_live(series.last)).count();
        // Their places change, so all of them are found anew: not for a few.
        if dead == 0 || dead * 4 < self.series.len() && !moment.is_full() {
            return;
        }
        let Self { series, places, totals, .. } = self;
        series.retain(|series| {
            let is_live = moment.is_live(series.last);
            if !is_live && let Newest::Summary(summary) = &series.newest {
                let (count, sum) = (summary.count(), summary.sum());
                let hash = hash_of(hasher, &series.key);
                keep(totals, hash, Totals { count, sum, last: series.last }, moment);
            }
            is_live
        });
        series.shrink_to(series.len() + series.len() / 10);
        moment.series.fetch_sub(dead, Ordering::Relaxed);
        places.clear();
        places.shrink_to(series.len(), |_| 0);
        for (place, of_it) in series.iter().enumerate() {
            let hash = hash_of(hasher, &of_it.key);
            places.insert_unique(hash, place as u32, |place| {
                hash_of(hasher, &series[*place as usize].key)
            });
        }
        if totals.len() < totals.capacity() / 4 {
            totals.shrink_to(totals.len() * 2);
        }
    }
}

fn keep(
    kept: &mut HashMap<u64, Totals, RandomState>,
    hash: u64,
    totals: Totals,
    moment: Moment<'_>,
) {
    let has_room = moment.totals.load(Ordering::Relaxed) < moment.most_series;
    if has_room && moment.has_total(totals.last) && kept.insert(hash, totals).is_none() {
        moment.totals.fetch_add(1, Ordering::Relaxed);
    }
}

impl Series {
    fn take_in(&mut self, value: &Value, at: u32, moment: Moment<'_>) {
        // A value with a time of its own may come after a newer one. What has expired is not newer.
        let is_newest = moment.in_order || at >= self.at || !moment.is_live(self.last);
        let has_total = moment.has_total(self.last);
        if !is_newest && matches!(value, Value::Gauge(_)) {
            // Nor does it keep the series alive: after the wall clock stepped back all come late.
            return;
        }
        self.last = moment.now;
        match (value, &mut self.newest) {
            (Value::Counter { total, .. }, newest) => *newest = Newest::Number(*total),
            (Value::Gauge(level), newest) => *newest = Newest::Number(*level),
            (Value::Distinct(members), newest) => *newest = Newest::Number(*members as f64),
            (Value::Summary(interval), Newest::Summary(running)) if has_total => {
                running.take_in(interval);
            }
            (Value::Summary(interval), newest) => {
                *newest = Newest::Summary(RunningSummary::new((0.0, 0.0), interval));
            }
        }
        if is_newest {
            self.at = at;
        }
    }
}

fn hash_of(hasher: &RandomState, key: &SeriesKey) -> u64 {
    hasher.hash_one(key.as_bytes())
}

fn seconds(unix: i64) -> u32 {
    u32::try_from(unix.max(0)).unwrap_or(u32::MAX)
}
