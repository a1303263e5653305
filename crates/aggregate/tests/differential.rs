//! Shards and flush side against the plainest aggregator: the same random traffic, the same
//! datapoints. The same cases are tried at every run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aggregate::plain::Plain;
use aggregate::{
    Flush, FlushConfig, Interval, Limits, Measure, Recorded, Remember, Shard, ShardConfig,
    SourceIndex,
};
use metric::{
    Datapoint, Kind, Note, Notes, Origin, ReadAs, Sample, SeriesKey, Source, Spelling, Summary,
    Tag, UnixMillis, Value, Values,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const TICK: Duration = Duration::from_millis(100);

/// What a quantile of a sketch may be off by.
const QUANTILE_ERROR: f64 = 0.0055;

#[derive(Clone, Debug)]
struct Case {
    shards: usize,
    /// The shards that read each source.
    sources: Vec<Vec<usize>>,
    /// Of gauges, series and totals, in ticks.
    expiries: (u32, u32, u32),
    /// Without them a few values must give exact quantiles.
    has_rates: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Line(Line),
    Tidy(usize),
    /// After so many ticks; whether the shards get their old intervals back.
    Flush(u32, bool),
    /// In one of its shards, after so many ticks.
    Close(usize, usize, u32),
    /// Where it is closed.
    Open(usize),
}

#[derive(Clone, Debug)]
struct Line {
    source: usize,
    reader: usize,
    /// The source whose socket it comes through, if that is not its own.
    via: Option<usize>,
    name: &'static str,
    kind: Kind,
    tags: usize,
    spelled: Spelled,
    values: Vec<f64>,
    member: u32,
    relative: bool,
    rate: f64,
    timestamp: Option<i64>,
    repeated: usize,
}

/// How a line spells its series.
#[derive(Clone, Debug)]
struct Spelled {
    turned: usize,
    reversed: bool,
    bare: bool,
    meter: bool,
    /// What stands behind its rate.
    behind: &'static str,
}

const TAGS: [&[(&str, &str)]; 4] =
    [&[], &[("a", "1"), ("b", "")], &[("k", "v"), ("k", "w"), ("z", "")], &[("b", "")]];

fn line() -> impl Strategy<Value = Line> {
    let kind = select(Kind::ALL.to_vec());
    let number = prop_oneof![
        4 => (-40_000i32..40_000).prop_map(|quarters| f64::from(quarters) / 4.0),
        2 => 1e-3..1e4,
        1 => Just(0.0),
    ];
    let values = prop_oneof![
        6 => prop::collection::vec(number.clone(), 1),
        2 => prop::collection::vec(number, 2..5),
    ];
    let spelled =
        (0..3usize, any::<bool>(), any::<bool>(), any::<bool>(), select(vec!["", "", "e:x"]))
            .prop_map(|(turned, reversed, bare, meter, behind)| Spelled {
                turned,
                reversed,
                bare,
                meter,
                behind,
            });
    let timestamp = prop_oneof![9 => Just(None), 1 => (0..3i64).prop_map(Some)];
    let rate = select(vec![1.0, 1.0, 0.5, 0.3, 0.1]);
    let via = prop_oneof![5 => Just(None), 1 => (0..4usize).prop_map(Some)];
    let repeated = prop_oneof![12 => Just(1), 1 => 2..30usize];
    (
        (0..4usize, 0..2usize, via, select(vec!["a", "b.c"]), kind, 0..TAGS.len(), spelled),
        (values, 0..60u32, any::<bool>(), rate, timestamp, repeated),
    )
        .prop_map(|(series, sample)| {
            let (source, reader, via, name, kind, tags, spelled) = series;
            let (values, member, relative, rate, timestamp, repeated) = sample;
            Line {
                source,
                reader,
                via,
                name,
                kind,
                tags,
                spelled,
                values,
                member,
                relative,
                rate,
                timestamp,
                repeated,
            }
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => line().prop_map(Step::Line),
        2 => (1..4usize).prop_map(Step::Tidy),
        3 => (1..25u32, any::<bool>()).prop_map(|(ticks, kept)| Step::Flush(ticks, kept)),
        1 => (0..4usize, 0..2usize, 0..5u32)
            .prop_map(|(source, reader, ticks)| Step::Close(source, reader, ticks)),
        1 => (0..4usize).prop_map(Step::Open),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (1..4usize).prop_flat_map(|shards| {
        let one = (0..shards).prop_map(|shard| vec![shard]);
        let two = (0..shards, 1..shards.max(2)).prop_map(move |(first, off)| {
            let mut both = vec![first, (first + off) % shards];
            both.dedup();
            both
        });
        let readers = prop_oneof![2 => one, 1 => two];
        let sources = prop::collection::vec(readers, 4);
        let expiry = || prop_oneof![1 => Just(0), 5 => 1..80u32];
        let expiries = (expiry(), expiry(), 1..80u32);
        let steps = prop::collection::vec(step(), 1..160);
        (sources, expiries, any::<bool>(), steps).prop_map(
            move |(sources, expiries, has_rates, steps)| Case {
                shards,
                sources,
                expiries,
                has_rates,
                steps,
            },
        )
    })
}

struct Place {
    source: Arc<Source>,
    /// The shards that read it now.
    readers: Vec<(usize, SourceIndex)>,
    /// The flush side has heard of all its readers.
    is_announced: bool,
    /// The shard that writes its gauges in this interval: if two did, nobody would know which was
    /// the last.
    gauges_by: Option<usize>,
}

impl Place {
    fn reader(&mut self, line: &Line) -> Option<(usize, SourceIndex)> {
        let by_choice = self.readers.get(line.reader % self.readers.len().max(1))?;
        if line.kind != Kind::Gauge {
            return Some(*by_choice);
        }
        let as_before = self.readers.iter().find(|(shard, _)| self.gauges_by == Some(*shard));
        let reader = *as_before.unwrap_or(by_choice);
        self.gauges_by = Some(reader.0);
        Some(reader)
    }
}

/// Both aggregators side by side.
struct Pair {
    case: Case,
    shards: Vec<Shard>,
    given_back: Vec<Interval>,
    flush: Flush,
    plain: Plain,
    now: Duration,
    places: Vec<Place>,
    recorded: u64,
    closed_with: u64,
    /// Some series had more values in an interval than are kept as they are.
    was_busy: bool,
}

fn new_source() -> Arc<Source> {
    Source::new(Origin::Container { container_id: "c".into() }, ReadAs::default())
}

impl Pair {
    fn new(case: Case) -> Self {
        let (gauge, series, total) = case.expiries;
        let config = FlushConfig {
            gauge_expiry: TICK * gauge,
            series_expiry: TICK * series,
            total_expiry: TICK * total,
            ..FlushConfig::default()
        };
        let shard = |number| Shard::new(ShardConfig { number, ..ShardConfig::default() });
        let place = |_: &_| Place {
            source: new_source(),
            readers: Vec::new(),
            is_announced: false,
            gauges_by: None,
        };
        let mut pair = Self {
            shards: (0..case.shards).map(shard).collect(),
            given_back: Vec::new(),
            flush: Flush::new(config.clone()),
            plain: Plain::new(config),
            now: Duration::ZERO,
            places: case.sources.iter().map(place).collect(),
            recorded: 0,
            closed_with: 0,
            was_busy: false,
            case,
        };
        (0..pair.places.len()).for_each(|place| pair.open(place));
        pair
    }

    fn run(mut self) {
        for step in std::mem::take(&mut self.case.steps) {
            match step {
                Step::Line(line) => (0..line.repeated).for_each(|nth| self.line(&line, nth)),
                Step::Tidy(times) => {
                    for shard in &mut self.shards {
                        (0..times).for_each(|_| _ = shard.tidy());
                    }
                }
                Step::Flush(ticks, kept) => self.flush(ticks, kept),
                Step::Close(place, reader, ticks) => self.close(place, reader, ticks),
                Step::Open(place) => self.open(place),
            }
        }
        self.flush(1, true);
        let accounts = self.shards.iter().flat_map(Shard::accounts);
        let counted: u64 = accounts.map(|(_, counts, _)| counts.aggregated).sum();
        assert_eq!(counted + self.closed_with, self.recorded);
    }

    fn open(&mut self, place: usize) {
        let Place { source, readers, is_announced, .. } = &mut self.places[place];
        if readers.is_empty() {
            *source = new_source();
        }
        for shard in &self.case.sources[place] {
            if readers.iter().all(|(reader, _)| reader != shard) {
                let index = self.shards[*shard].open_source(Arc::clone(source), Limits::NONE);
                readers.push((*shard, index));
                *is_announced = false;
            }
        }
    }

    fn close(&mut self, place: usize, reader: usize, ticks: u32) {
        let Place { source, readers, is_announced, .. } = &mut self.places[place];
        // Who reads a source that several read is known to the flush side from the first interval.
        if readers.is_empty() || readers.len() > 1 && !*is_announced {
            return;
        }
        let (shard, index) = readers.remove(reader % readers.len());
        if !readers.is_empty() || *is_announced {
            self.now += TICK * ticks;
        }
        let part = self.shards[shard].close_source(index).expect("it is open");
        let ended = self.flush.end(part, self.now);
        assert_eq!(ended.source, *source);
        self.closed_with += ended.counts.aggregated;
        if readers.is_empty() {
            let told = self.plain.end(source, self.now);
            let source = Arc::clone(source);
            self.compare(vec![(Arc::clone(&source), ended.datapoints)], vec![(source, told)]);
        } else {
            assert_eq!(ended.datapoints, []);
        }
    }

    fn flush(&mut self, ticks: u32, kept: bool) {
        self.now += TICK * ticks;
        let mut given_back = std::mem::take(&mut self.given_back);
        let mut intervals = Vec::new();
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let own = given_back.iter().position(|interval| interval.shard() == number);
            let empty = own.filter(|_| kept).map(|place| given_back.swap_remove(place));
            intervals.push(shard.swap(empty.unwrap_or_default()));
        }
        let mut told: Vec<(Arc<Source>, Vec<Datapoint>)> = Vec::new();
        let merged = self.flush.merge(intervals, self.now, &mut |source, datapoints| {
            told.push((Arc::clone(source), datapoints));
        });
        self.given_back = merged.intervals;
        for place in &mut self.places {
            (place.is_announced, place.gauges_by) = (true, None);
        }
        let plainly_told = self.plain.flush(self.now);
        self.compare(told, plainly_told);
    }

    fn line(&mut self, line: &Line, nth: usize) {
        let Some((number, index)) = self.places[line.source].reader(line) else { return };
        let place = &self.places[line.source];
        let via = line.via.and_then(|via| {
            let reader = self.places[via].readers.iter().find(|(shard, _)| *shard == number);
            reader.map(|(_, index)| *index).filter(|via| *via != index)
        });
        let shard = &mut self.shards[number];

        let tags: Vec<_> = TAGS[line.tags].iter().map(|(k, v)| Tag::new(k, v)).collect();
        let mut section = section(TAGS[line.tags], &line.spelled);
        if via.is_some() {
            section.push_str(if section.is_empty() { "" } else { "|" });
            section.extend(["c:", &line.source.to_string()]);
        }
        let meter = line.spelled.meter && line.kind == Kind::Counter;
        let mut notes = Notes::NONE;
        if meter {
            notes.insert(Note::Meter);
        }
        let spelling = Spelling {
            name: line.name.as_bytes(),
            kind: line.kind,
            meter,
            sections: [section.as_bytes(), line.spelled.behind.as_bytes()],
        };

        let member = format!("m{}", line.member as usize + nth);
        let is_plain_number = matches!(line.kind, Kind::Gauge | Kind::Set);
        let rate = if is_plain_number || !self.case.has_rates { 1.0 } else { line.rate };
        let relative = line.relative && line.kind == Kind::Gauge;
        let may_have_time = matches!(line.kind, Kind::Counter | Kind::Gauge) && !relative;
        let sample = Sample {
            name: line.name,
            kind: line.kind,
            values: if line.kind == Kind::Set {
                Values::Member(&member)
            } else {
                Values::Numbers(&line.values)
            },
            relative,
            rate,
            tags: &tags,
            timestamp: line.timestamp.filter(|_| may_have_time),
            container_id: None,
        };
        self.plain.record(&place.source, &sample);
        self.recorded += sample.values.count() as u64;

        let measure = match sample.values {
            Values::Member(member) => Measure::Member(member),
            Values::Numbers(values) => Measure::Number { value: values[0], rate, relative },
        };
        let via = via.unwrap_or(index);
        let is_skimmed = sample.values.count() == 1 && sample.timestamp.is_none();
        let known = if is_skimmed { shard.recall(via, &spelling) } else { None };
        if let Some(known) = known {
            assert_eq!((known.source(), known.kind()), (index, line.kind));
            assert_eq!(known.notes(), notes);
            shard.add(known, measure);
        } else {
            let remember = is_skimmed.then_some(Remember { via, spelling, notes });
            let recorded = shard.record(index, &sample, remember.as_ref());
            assert!(matches!(recorded, Recorded::Aggregated(_)));
        }
    }

    fn compare(&mut self, told: Told, plainly_told: Told) {
        let mut told = by_series(told);
        for (series, plain) in by_series(plainly_told) {
            let value = told.remove(&series).unwrap_or_else(|| panic!("{series:?} was not told"));
            if let Value::Summary(summary) = &plain {
                self.was_busy |= summary.count >= 16.0;
            }
            let is_exact = !self.case.has_rates && !self.was_busy;
            assert!(is_alike(&value, &plain, is_exact), "{series:?}: {value:?}, not {plain:?}");
        }
        assert!(told.is_empty(), "too much was told: {told:?}");
    }
}

fn section(tags: &[(&str, &str)], spelled: &Spelled) -> String {
    let bare_or_not = |(key, value): &(&str, &str)| match *value {
        "" if spelled.bare => (*key).to_owned(),
        value => format!("{key}:{value}"),
    };
    let mut tags: Vec<_> = tags.iter().map(bare_or_not).collect();
    if tags.is_empty() {
        return String::new();
    }
    let turned = spelled.turned % tags.len();
    tags.rotate_left(turned);
    if spelled.reversed {
        tags.reverse();
    }
    format!("#{}", tags.join(","))
}

type Told = Vec<(Arc<Source>, Vec<Datapoint>)>;

fn by_series(told: Told) -> HashMap<(Arc<Source>, SeriesKey, Option<UnixMillis>), Value> {
    let mut values = HashMap::new();
    for (source, datapoints) in told {
        for Datapoint { key, timestamp, value } in datapoints {
            let again = values.insert((Arc::clone(&source), key.clone(), timestamp), value);
            assert_eq!(again, None, "{key:?} was told twice");
        }
    }
    values
}

fn is_alike(value: &Value, plain: &Value, is_exact: bool) -> bool {
    match (value, plain) {
        (Value::Counter { sum, total }, Value::Counter { sum: plain_sum, total: plain_total }) => {
            is_close(*sum, *plain_sum, 1.0) && is_close(*total, *plain_total, 1.0)
        }
        (Value::Gauge(level), Value::Gauge(plain)) => is_close(*level, *plain, 1.0),
        (Value::Distinct(members), Value::Distinct(plain)) => members == plain,
        (Value::Summary(summary), Value::Summary(plain)) => {
            is_alike_summary(summary, plain, is_exact)
        }
        (Value::Counter { .. } | Value::Gauge(_) | Value::Distinct(_) | Value::Summary(_), _) => {
            false
        }
    }
}

#[allow(clippy::float_cmp)] // extremes are told as they came
fn is_alike_summary(summary: &Summary, plain: &Summary, is_exact: bool) -> bool {
    let largest = plain.max.abs().max(plain.min.abs());
    let error = if is_exact { 0.0 } else { QUANTILE_ERROR };
    let mut quantiles = summary.quantiles.iter().zip(&plain.quantiles);
    is_close(summary.count, plain.count, 0.0)
        && is_close(summary.sum, plain.sum, largest)
        && is_close(summary.mean, plain.mean, largest)
        && is_close(summary.stddev, plain.stddev, largest)
        && (summary.min, summary.max) == (plain.min, plain.max)
        && summary.quantiles.len() == plain.quantiles.len()
        && quantiles.all(|(quantile, plain)| (quantile - plain).abs() <= error * plain.abs())
}

/// Equal but for what the order of adding up makes of values of this size.
fn is_close(one: f64, other: f64, size: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(size)
}

#[test]
fn shards_and_flush_tell_what_the_plainest_aggregator_tells() {
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&case(), |case| {
        Pair::new(case).run();
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
