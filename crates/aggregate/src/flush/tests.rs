use metric::{Kind, Origin, ReadAs, Sample, SeriesKey, Summary, UnixMillis, Value, Values};

use super::*;
use crate::{Limits, Measure, Shard, ShardConfig, SourceIndex};

const SECOND: Duration = Duration::from_secs(1);

fn source() -> Arc<Source> {
    Source::new(Origin::Container { container_id: "c".into() }, ReadAs::default())
}

fn number(value: f64) -> Measure<'static> {
    Measure::Number { value, rate: 1.0, relative: false }
}

fn change(value: f64) -> Measure<'static> {
    Measure::Number { value, rate: 1.0, relative: true }
}

fn counter(sum: f64, total: f64) -> Value {
    Value::Counter { sum, total }
}

fn record(
    shard: &mut Shard,
    source: SourceIndex,
    (name, kind): (&str, Kind),
    measure: Measure<'_>,
    timestamp: Option<i64>,
) {
    let (values, relative, rate) = match measure {
        Measure::Number { value, rate, relative } => (&[value][..], relative, rate),
        Measure::Member(_) => (&[][..], false, 1.0),
    };
    let values = match measure {
        Measure::Number { .. } => Values::Numbers(values),
        Measure::Member(member) => Values::Member(member),
    };
    let sample =
        Sample { name, kind, values, relative, rate, tags: &[], timestamp, container_id: None };
    shard.record(source, &sample, None);
}

fn merge_at(
    flush: &mut Flush,
    intervals: Vec<Interval>,
    at: Duration,
) -> (Vec<(String, Value)>, Merged) {
    let mut told = Vec::new();
    let merged = flush.merge(intervals, at, &mut |_, datapoints| told.extend(named(datapoints)));
    (told, merged)
}

fn named(datapoints: Vec<Datapoint>) -> Vec<(String, Value)> {
    let name = |key: &SeriesKey, at: Option<UnixMillis>| match at {
        Some(at) => format!("{}@{}", key.name(), at.0 / 1000),
        None => key.name().to_owned(),
    };
    datapoints.into_iter().map(|it| (name(&it.key, it.timestamp), it.value)).collect()
}

fn told<const N: usize>(values: [(&str, Value); N]) -> Vec<(String, Value)> {
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

/// A source in one shard, an interval after each second.
struct Rounds {
    shard: Shard,
    source: SourceIndex,
    flush: Flush,
    now: Duration,
    notes: Tally<Note>,
    given_back: Vec<Interval>,
}

impl Rounds {
    fn new(config: FlushConfig) -> Self {
        let mut shard = Shard::new(ShardConfig::default());
        Self {
            source: shard.open_source(source(), Limits::default()),
            shard,
            flush: Flush::new(config),
            now: Duration::ZERO,
            notes: Tally::default(),
            given_back: Vec::new(),
        }
    }

    fn with_expiries(gauge: u64, series: u64, total: u64) -> Self {
        let [gauge_expiry, series_expiry, total_expiry] =
            [gauge, series, total].map(Duration::from_secs);
        let config = FlushConfig::default();
        Self::new(FlushConfig { gauge_expiry, series_expiry, total_expiry, ..config })
    }

    fn record(&mut self, name: &str, kind: Kind, measure: Measure<'_>) {
        record(&mut self.shard, self.source, (name, kind), measure, None);
    }

    fn count(&mut self, name: &str, value: f64) {
        self.record(name, Kind::Counter, number(value));
    }

    fn flush(&mut self) -> Vec<(String, Value)> {
        self.now += SECOND;
        let ended = self.shard.swap(self.given_back.pop().unwrap_or_default());
        let (told, merged) = merge_at(&mut self.flush, vec![ended], self.now);
        self.given_back = merged.intervals;
        merged.notes.iter().for_each(|(_, notes)| self.notes += *notes);
        while self.shard.tidy() {}
        told
    }

    fn end(&mut self) -> Vec<(String, Value)> {
        let part = self.shard.close_source(self.source).unwrap();
        named(self.flush.end(part, self.now).datapoints)
    }
}

fn summary_of(values: &[f64]) -> Value {
    let values = values.iter().map(|value| (*value, 1.0)).collect();
    Value::Summary(Box::new(crate::plain::summary(values, &Quantiles::default())))
}

/// What comes in an interval, and what is told of it.
type Came<'a> = (&'a [Measure<'a>], Option<Value>);

#[test]
fn each_kind_tells_what_it_came_to_over_one_and_over_several_intervals() {
    let rate = |value, rate| Measure::Number { value, rate, relative: false };
    let member = Measure::Member;
    let gauge = |level| Some(Value::Gauge(level));
    let distinct = |members| Some(Value::Distinct(members));
    let count = |sum, total| Some(counter(sum, total));
    let cases: [(Kind, [Came<'_>; 3]); 8] = [
        (
            Kind::Counter,
            [
                (&[number(2.0), rate(3.0, 0.5), number(-1.0)], count(7.0, 7.0)),
                (&[], None),
                (&[number(0.0)], count(0.0, 7.0)),
            ],
        ),
        (
            Kind::Counter,
            [
                (&[number(0.5)], count(0.5, 0.5)),
                (&[number(0.25), number(0.25)], count(0.5, 1.0)),
                (&[rate(1.0, 0.125)], count(8.0, 9.0)),
            ],
        ),
        (
            Kind::Gauge,
            [
                (&[number(2.0), change(3.0), change(-1.0)], gauge(4.0)),
                (&[], gauge(4.0)),
                (&[change(0.5)], gauge(4.5)),
            ],
        ),
        (
            Kind::Gauge,
            [
                (&[change(3.0), change(4.0)], gauge(7.0)),
                (&[change(1.0), number(5.0), change(1.0)], gauge(6.0)),
                (&[number(-2.0), number(-3.0)], gauge(-3.0)),
            ],
        ),
        (
            Kind::Timer,
            [
                (&[number(2.0), number(-4.0)], Some(summary_of(&[2.0, -4.0]))),
                (&[], None),
                (&[number(8.0)], Some(summary_of(&[8.0]))),
            ],
        ),
        (
            Kind::Histogram,
            [
                (&[number(0.0)], Some(summary_of(&[0.0]))),
                (&[number(1.0)], Some(summary_of(&[1.0]))),
                (&[], None),
            ],
        ),
        (
            Kind::Distribution,
            [(&[number(3.0); 5], Some(summary_of(&[3.0; 5]))), (&[], None), (&[], None)],
        ),
        (
            Kind::Set,
            [
                (&[member("a"), member("b"), member("a")], distinct(2)),
                (&[], None),
                (&[member("a")], distinct(1)),
            ],
        ),
    ];
    for (kind, intervals) in cases {
        let mut rounds = Rounds::new(FlushConfig::default());
        for (measures, value) in intervals {
            for measure in measures {
                rounds.record("n", kind, *measure);
            }
            let told: Vec<_> = rounds.flush().into_iter().map(|(_, value)| value).collect();
            assert_eq!(told, Vec::from_iter(value), "{} of {measures:?}", kind.name());
        }
    }
}

#[test]
fn one_name_with_each_kind_is_as_many_series() {
    let mut rounds = Rounds::new(FlushConfig::default());
    for kind in Kind::ALL {
        let measure = if kind == Kind::Set { Measure::Member("m") } else { number(1.0) };
        rounds.record("n", kind, measure);
    }
    let one = || summary_of(&[1.0]);
    let kinds = [counter(1.0, 1.0), Value::Gauge(1.0), one(), one(), one(), Value::Distinct(1)];
    assert_eq!(rounds.flush(), told(kinds.map(|value| ("n", value))));
}

#[test]
fn series_are_told_in_the_order_in_which_they_first_came() {
    let mut rounds = Rounds::new(FlushConfig::default());
    let names: Vec<_> = (0..100).map(|n| format!("n{}", n * 37 % 100)).collect();
    for order in [names.clone(), names.iter().rev().cloned().collect::<Vec<_>>()] {
        for name in &order {
            rounds.count(name, 1.0);
        }
        let told: Vec<_> = rounds.flush().into_iter().map(|(name, _)| name).collect();
        assert_eq!(told, names);
    }
}

#[test]
fn a_gauge_delta_before_any_value_starts_from_zero() {
    let mut rounds = Rounds::new(FlushConfig::default());
    rounds.record("g", Kind::Gauge, change(-3.0));
    assert_eq!(rounds.flush(), told([("g", Value::Gauge(-3.0))]));
    assert_eq!(rounds.notes.get(Note::GaugeBelowZero), 1);
}

#[test]
fn a_gauge_is_told_until_it_expires_and_a_delta_then_starts_from_zero() {
    for series_expiry in [1, 100] {
        let mut rounds = Rounds::with_expiries(3, series_expiry, 100);
        rounds.record("g", Kind::Gauge, number(5.0));
        for _ in 0..3 {
            assert_eq!(rounds.flush(), told([("g", Value::Gauge(5.0))]));
        }
        assert_eq!(rounds.flush(), []);
        rounds.record("g", Kind::Gauge, change(2.0));
        assert_eq!(rounds.flush(), told([("g", Value::Gauge(2.0))]));
        rounds.flush();
        rounds.record("g", Kind::Gauge, change(2.0));
        assert_eq!(rounds.flush(), told([("g", Value::Gauge(4.0))]), "it had not expired");
    }
}

#[test]
fn a_gauge_that_expires_at_once_is_told_only_when_it_was_written() {
    let mut rounds = Rounds::with_expiries(0, 100, 100);
    for level in [5.0, 2.0] {
        rounds.record("g", Kind::Gauge, change(level));
        assert_eq!(rounds.flush(), told([("g", Value::Gauge(level))]));
        assert_eq!(rounds.flush(), []);
    }
}

#[test]
fn a_running_total_survives_its_series_and_is_forgotten_in_its_own_time() {
    // Whether it comes back after it was forgotten, or in the interval in which it is forgotten.
    for idle in 2..6 {
        let mut rounds = Rounds::with_expiries(1, 1, 6);
        rounds.count("c", 5.0);
        rounds.flush();
        for _ in 0..idle {
            assert_eq!(rounds.flush(), []);
        }
        rounds.count("c", 1.0);
        let total = if idle + 1 < 6 { 6.0 } else { 1.0 };
        assert_eq!(rounds.flush(), told([("c", counter(1.0, total))]), "idle for {idle}");
    }
    let mut rounds = Rounds::with_expiries(1, 100, 2);
    for (total, idle) in [(5.0, 0), (10.0, 1), (5.0, 0)] {
        rounds.count("c", 5.0);
        assert_eq!(rounds.flush(), told([("c", counter(5.0, total))]));
        (0..idle).for_each(|_| assert_eq!(rounds.flush(), []));
    }
}

#[test]
fn no_more_totals_of_forgotten_series_are_kept_than_allowed() {
    let config = FlushConfig { series_expiry: SECOND, most_totals: 3, ..FlushConfig::default() };
    let mut rounds = Rounds::new(config);
    let names: Vec<_> = (0..10).map(|n| format!("n{n}")).collect();
    for name in &names {
        rounds.count(name, 1.0);
    }
    (0..5).for_each(|_| drop(rounds.flush()));
    for name in &names {
        rounds.count(name, 1.0);
    }
    let told = rounds.flush();
    let known = told.iter().filter(|(_, value)| *value == counter(1.0, 2.0)).count();
    assert_eq!((told.len(), known), (10, 3));
}

#[test]
fn what_leaves_the_finite_range_is_held_and_noted() {
    let mut rounds = Rounds::new(FlushConfig::default());
    rounds.count("c", f64::MAX);
    rounds.record("g", Kind::Gauge, change(f64::MAX));
    rounds.flush();
    assert_eq!(rounds.notes.sum(), 0);
    rounds.count("c", f64::MAX);
    rounds.record("g", Kind::Gauge, change(f64::MAX));
    let held = [("c", counter(f64::MAX, f64::MAX)), ("g", Value::Gauge(f64::MAX))];
    assert_eq!(rounds.flush(), told(held));
    assert_eq!(rounds.notes.get(Note::Saturated), 2);
    // Within an interval the shard says so.
    let values = Values::Numbers(&[-f64::MAX, -f64::MAX]);
    let kind = Kind::Counter;
    let (relative, rate, timestamp, container_id) = (false, 1.0, None, None);
    let sample =
        Sample { name: "d", kind, values, relative, rate, tags: &[], timestamp, container_id };
    let crate::Recorded::Aggregated(notes) = rounds.shard.record(rounds.source, &sample, None)
    else {
        panic!("it has room");
    };
    assert!(notes.contains(Note::Saturated));
    let d = ("d".to_owned(), counter(-f64::MAX, -f64::MAX));
    assert!(rounds.flush().contains(&d));
}

#[test]
fn a_delta_that_takes_a_gauge_below_zero_is_noted_once() {
    let mut rounds = Rounds::new(FlushConfig::default());
    rounds.record("g", Kind::Gauge, number(2.0));
    rounds.flush();
    for (by, notes) in [(-1.0, 0), (-2.0, 1), (-3.0, 1), (10.0, 1), (-20.0, 2)] {
        rounds.record("g", Kind::Gauge, change(by));
        rounds.flush();
        assert_eq!(rounds.notes.get(Note::GaugeBelowZero), notes, "{by}");
    }
}

#[test]
fn a_point_with_a_time_of_its_own_is_part_of_the_total_and_of_no_level() {
    let mut rounds = Rounds::new(FlushConfig::default());
    rounds.count("c", 1.0);
    rounds.record("g", Kind::Gauge, number(1.0));
    rounds.flush();
    for (name, kind, value, at) in [
        ("c", Kind::Counter, 2.0, 70),
        ("c", Kind::Counter, 4.0, 60),
        ("c", Kind::Counter, 8.0, 70),
        ("g", Kind::Gauge, 5.0, 60),
        ("g", Kind::Gauge, 6.0, 60),
    ] {
        record(&mut rounds.shard, rounds.source, (name, kind), number(value), Some(at));
    }
    rounds.count("c", 16.0);
    let mut values = rounds.flush();
    values.sort_by(|one, other| one.0.cmp(&other.0));
    let all = [
        ("c", counter(16.0, 31.0)),
        ("c@60", counter(4.0, 5.0)),
        ("c@70", counter(10.0, 15.0)),
        ("g", Value::Gauge(1.0)),
        ("g@60", Value::Gauge(6.0)),
    ];
    assert_eq!(values, told(all));
    rounds.count("c", 1.0);
    let last = rounds.flush();
    assert!(last.contains(&("c".to_owned(), counter(1.0, 32.0))), "{last:?}");
}

#[test]
fn a_source_that_ends_tells_all_that_is_left_whatever_it_told_before() {
    let write = |rounds: &mut Rounds| {
        rounds.count("c", 1.0);
        rounds.record("g", Kind::Gauge, change(2.0));
    };
    let sorted = |mut values: Vec<(String, Value)>| {
        values.sort_by(|one, other| one.0.cmp(&other.0));
        values
    };
    let all = |c, g| told([("c", c), ("g", Value::Gauge(g))]);

    let mut before_its_first_flush = Rounds::new(FlushConfig::default());
    write(&mut before_its_first_flush);
    assert_eq!(sorted(before_its_first_flush.end()), all(counter(1.0, 1.0), 2.0));
    assert_eq!(before_its_first_flush.flush(), []);
    assert!(before_its_first_flush.flush.pasts.is_empty());

    let mut after_it = Rounds::new(FlushConfig::default());
    write(&mut after_it);
    after_it.flush();
    write(&mut after_it);
    assert_eq!(sorted(after_it.end()), all(counter(1.0, 2.0), 4.0));
    assert_eq!(after_it.flush(), []);
    assert!(after_it.flush.pasts.is_empty());

    let mut with_nothing_new = Rounds::new(FlushConfig::default());
    write(&mut with_nothing_new);
    with_nothing_new.flush();
    assert_eq!(with_nothing_new.end(), told([("g", Value::Gauge(2.0))]));
    assert_eq!(with_nothing_new.flush(), []);
}

#[test]
fn a_source_may_end_after_the_interval_in_which_it_was_closed_was_merged() {
    let mut rounds = Rounds::new(FlushConfig::default());
    rounds.count("c", 1.0);
    rounds.record("g", Kind::Gauge, number(3.0));
    rounds.flush();
    rounds.count("c", 2.0);
    rounds.record("g", Kind::Gauge, change(1.0));
    let part = rounds.shard.close_source(rounds.source).unwrap();
    // Not ended, so its level is still told.
    assert_eq!(rounds.flush(), told([("g", Value::Gauge(3.0))]));
    let mut ended = named(rounds.flush.end(part, rounds.now).datapoints);
    ended.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(ended, told([("c", counter(2.0, 3.0)), ("g", Value::Gauge(4.0))]));
    assert_eq!(rounds.flush(), []);
    assert!(rounds.flush.pasts.is_empty());
}

/// A source that two shards read.
fn two_readers() -> ([Shard; 2], [SourceIndex; 2], Flush) {
    let source = source();
    let mut shards =
        [0, 1].map(|number| Shard::new(ShardConfig { number, ..ShardConfig::default() }));
    let indices =
        shards.each_mut().map(|shard| shard.open_source(source.clone(), Limits::default()));
    (shards, indices, Flush::new(FlushConfig::default()))
}

fn swap(shards: &mut [Shard; 2]) -> Vec<Interval> {
    shards.iter_mut().map(|shard| shard.swap(Interval::default())).collect()
}

#[test]
fn a_series_of_two_shards_is_told_once() {
    let (mut shards, sources, mut flush) = two_readers();
    for round in 1..4u32 {
        for (place, shard) in shards.iter_mut().enumerate() {
            let mut record = |name, kind, measure| {
                record(shard, sources[place], (name, kind), measure, None);
            };
            record("c", Kind::Counter, number(1.0));
            record("g", Kind::Gauge, number(place as f64));
            record("s", Kind::Set, Measure::Member(["a", "b"][place]));
            record("s", Kind::Set, Measure::Member("both"));
            for value in 0..12 {
                record("t", Kind::Timer, number(f64::from(value)));
            }
        }
        let (mut values, _) = merge_at(&mut flush, swap(&mut shards), SECOND * round);
        values.sort_by(|one, other| one.0.cmp(&other.0));
        let (name, timer) = values.pop().unwrap();
        let total = f64::from(2 * round);
        let others =
            [("c", counter(2.0, total)), ("g", Value::Gauge(1.0)), ("s", Value::Distinct(3))];
        assert_eq!(values, told(others));
        let Value::Summary(timer) = timer else { panic!("{name} is no timer") };
        let Summary { count, sum, min, max, .. } = *timer;
        assert_eq!([count, sum, min, max], [24.0, 132.0, 0.0, 11.0]);
    }
}

#[test]
fn a_shard_that_stops_reading_a_source_leaves_its_share_to_the_next_flush() {
    let (mut shards, sources, mut flush) = two_readers();
    merge_at(&mut flush, swap(&mut shards), SECOND);
    for (shard, source) in shards.iter_mut().zip(sources) {
        record(shard, source, ("c", Kind::Counter), number(1.0), None);
        record(shard, source, ("g", Kind::Gauge), number(7.0), None);
    }
    let part = shards[0].close_source(sources[0]).unwrap();
    assert_eq!(flush.end(part, SECOND).datapoints, []);
    let (mut values, _) = merge_at(&mut flush, swap(&mut shards), SECOND * 2);
    values.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(values, told([("c", counter(2.0, 2.0)), ("g", Value::Gauge(7.0))]));
    let part = shards[1].close_source(sources[1]).unwrap();
    assert_eq!(named(flush.end(part, SECOND * 2).datapoints), told([("g", Value::Gauge(7.0))]));
}

#[test]
fn a_source_that_a_shard_closes_and_opens_again_in_one_interval_loses_nothing() {
    let (mut shards, mut sources, mut flush) = two_readers();
    let source = shards[0].accounts().next().unwrap().0.clone();
    let count = |shards: &mut [Shard; 2], source| {
        record(&mut shards[0], source, ("c", Kind::Counter), number(1.0), None);
    };
    count(&mut shards, sources[0]);
    merge_at(&mut flush, swap(&mut shards), SECOND);
    count(&mut shards, sources[0]);
    let part = shards[0].close_source(sources[0]).unwrap();
    flush.end(part, SECOND);
    sources[0] = shards[0].open_source(source, Limits::default());
    count(&mut shards, sources[0]);
    let (values, _) = merge_at(&mut flush, swap(&mut shards), SECOND * 2);
    assert_eq!(values, told([("c", counter(2.0, 3.0))]));
    count(&mut shards, sources[0]);
    let (values, _) = merge_at(&mut flush, swap(&mut shards), SECOND * 3);
    assert_eq!(values, told([("c", counter(1.0, 4.0))]));
}

#[test]
fn several_intervals_of_a_shard_are_merged_in_the_order_in_which_they_ended() {
    let mut rounds = Rounds::new(FlushConfig::default());
    let mut ended = Vec::new();
    for value in [1.0, 2.0, 4.0] {
        rounds.count("c", value);
        rounds.record("g", Kind::Gauge, change(value));
        ended.push(rounds.shard.swap(Interval::default()));
    }
    let (values, merged) = merge_at(&mut rounds.flush, ended, SECOND);
    let (c, g) = (|sum, total| ("c", counter(sum, total)), |level| ("g", Value::Gauge(level)));
    assert_eq!(values, told([c(1.0, 1.0), g(1.0), c(2.0, 3.0), g(3.0), c(4.0, 7.0), g(7.0)]));
    assert_eq!(merged.intervals.len(), 3);
}

#[test]
fn a_source_with_many_datapoints_is_told_in_several_batches() {
    let mut rounds = Rounds::new(FlushConfig::default());
    for n in 0..=2 * MOST_AT_ONCE {
        rounds.count(&format!("n{n}"), 1.0);
    }
    let mut batches = Vec::new();
    let ended = rounds.shard.swap(Interval::default());
    rounds.flush.merge(vec![ended], SECOND, &mut |_, datapoints| batches.push(datapoints.len()));
    assert_eq!(batches, [MOST_AT_ONCE, MOST_AT_ONCE, 1]);
}

#[test]
fn nothing_is_left_of_series_and_totals_that_expired() {
    let mut rounds = Rounds::with_expiries(1, 1, 2);
    for n in 0..500 {
        rounds.count(&format!("c{n}"), 1.0);
        rounds.record(&format!("g{n}"), Kind::Gauge, number(1.0));
    }
    (0..6).for_each(|_| drop(rounds.flush()));
    let past = rounds.flush.pasts.values().next().unwrap();
    assert_eq!(past.kept_totals(), 0);
    assert!(past.readers.iter().all(|reader| reader.blocks.is_empty()));
    assert!((0..100).all(|number| rounds.flush.rolls[0].block_mut(number).is_none()));
}

#[test]
fn other_expiries_hold_from_then_on_on_the_same_clock() {
    let mut rounds = Rounds::with_expiries(3, 20, 3);
    let expiries = |rounds: &mut Rounds, gauge: u64, series: u64, total: u64| {
        let [gauge, series, total] = [gauge, series, total].map(Duration::from_secs);
        rounds.flush.set_expiries(gauge, series, total);
    };
    rounds.record("level", Kind::Gauge, number(7.0));
    rounds.count("hits", 1.0);
    rounds.flush();
    // Longer ones, much longer than the process has run.
    expiries(&mut rounds, 3600, 20, 3600);
    for _ in 0..4 {
        assert_eq!(rounds.flush(), told([("level", Value::Gauge(7.0))]));
    }
    rounds.count("hits", 2.0);
    let both = told([("level", Value::Gauge(7.0)), ("hits", counter(2.0, 3.0))]);
    assert_eq!(rounds.flush(), both);
    // Shorter ones: the gauge was written six seconds ago.
    expiries(&mut rounds, 2, 20, 2);
    assert_eq!(rounds.flush(), told([]));
    rounds.flush();
    rounds.count("hits", 4.0);
    rounds.record("level", Kind::Gauge, change(1.0));
    let anew = told([("level", Value::Gauge(1.0)), ("hits", counter(4.0, 4.0))]);
    assert_eq!(rounds.flush(), anew);
}
