use std::sync::Arc;

use metric::{Datapoint, Kind, ReadAs, Sample, Source, Value, Values};

use super::*;
use crate::{FlushConfig, Limits, Shard, ShardConfig, SourceIndex};

const SECOND: Duration = Duration::from_secs(1);

fn container(id: &str) -> Origin {
    Origin::Container { container_id: id.into() }
}

fn config(gauge: u64, total: u64) -> FlushConfig {
    let [gauge_expiry, total_expiry] = [gauge, total].map(Duration::from_secs);
    FlushConfig { gauge_expiry, total_expiry, ..FlushConfig::default() }
}

/// So many seconds after the system was booted.
fn stamp(seconds: u64) -> Stamp {
    Stamp { wall_ms: 0, since_boot: Duration::from_secs(seconds), boot: 1 }
}

/// One process: two shards, a flush after each second.
struct Process {
    shards: [Shard; 2],
    flush: Flush,
    now: Duration,
}

impl Process {
    fn start(config: FlushConfig) -> Self {
        let shard = |number| Shard::new(ShardConfig { number, ..ShardConfig::default() });
        let shards = [0, 1].map(shard);
        Self { shards, flush: Flush::new(config), now: Duration::ZERO }
    }

    fn restored(config: FlushConfig, state: &[u8], now: &Stamp) -> (Self, Saved) {
        let mut process = Self::start(config);
        let restored = process.flush.restore(now, &mut &state[..]).unwrap();
        (process, restored)
    }

    fn open(&mut self, shard: usize, source: &Arc<Source>) -> SourceIndex {
        self.shards[shard].open_source(source.clone(), Limits::default())
    }

    fn say(&mut self, shard: usize, source: SourceIndex, name: &str, kind: Kind, value: f64) {
        self.say_so(shard, source, name, kind, (value, false));
    }

    fn change(&mut self, shard: usize, source: SourceIndex, name: &str, by: f64) {
        self.say_so(shard, source, name, Kind::Gauge, (by, true));
    }

    fn say_so(
        &mut self,
        shard: usize,
        source: SourceIndex,
        name: &str,
        kind: Kind,
        (value, relative): (f64, bool),
    ) {
        let values = Values::Numbers(&[value]);
        let (tags, timestamp, container_id) = (&[], None, None);
        let sample =
            Sample { name, kind, values, relative, rate: 1.0, tags, timestamp, container_id };
        self.shards[shard].record(source, &sample, None);
    }

    fn flush(&mut self) -> Vec<(String, Value)> {
        self.now += SECOND;
        let intervals = self.shards.iter_mut().map(|it| it.swap(crate::Interval::default()));
        let mut told = Vec::new();
        self.flush.merge(intervals.collect(), self.now, &mut |_, datapoints: Vec<Datapoint>| {
            told.extend(datapoints.into_iter().map(|it| (it.key.name().to_owned(), it.value)));
        });
        told.sort_by(|one, other| one.0.cmp(&other.0));
        told
    }

    fn save(&self, stamp: &Stamp) -> Vec<u8> {
        let mut state = Vec::new();
        self.flush.save(self.now, stamp, &mut state).unwrap();
        state
    }
}

fn told<const N: usize>(values: [(&str, Value); N]) -> Vec<(String, Value)> {
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

fn counter(sum: f64, total: f64) -> Value {
    Value::Counter { sum, total }
}

/// Of one container: a gauge at 5, a counter at 7, and others that nothing is kept of.
fn one_second_of(process: &mut Process, readers: usize) {
    let source = Source::new(container("a"), ReadAs::default());
    for shard in 0..readers {
        let index = process.open(shard, &source);
        if shard == 0 {
            process.say(0, index, "level", Kind::Gauge, 5.0);
            process.say(0, index, "hits", Kind::Counter, 7.0);
            process.say(0, index, "took", Kind::Timer, 1.0);
            process.say(0, index, "size", Kind::Distribution, 1.0);
        }
    }
    process.flush();
}

#[test]
fn levels_and_totals_go_on_in_the_next_process() {
    // A second one is read by two shards, so that both are kept apart from their slots.
    for (before, after) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let mut first = Process::start(config(10, 20));
        one_second_of(&mut first, before);
        let state = first.save(&stamp(100));
        let (mut second, restored) = Process::restored(config(10, 20), &state, &stamp(102));
        assert_eq!(restored, Saved { levels: 1, totals: 1 });
        assert_eq!(second.flush(), [], "its source has not been heard of");
        let source = Source::new(container("a"), ReadAs::default());
        let index = second.open(0, &source);
        if after == 2 {
            second.open(1, &source);
        }
        assert_eq!(second.flush(), told([("level", Value::Gauge(5.0))]));
        second.change(0, index, "level", -2.0);
        second.say(0, index, "hits", Kind::Counter, 1.0);
        let goes_on = told([("hits", counter(1.0, 8.0)), ("level", Value::Gauge(3.0))]);
        assert_eq!(second.flush(), goes_on, "{before} {after}");
        assert_eq!(second.flush(), told([("level", Value::Gauge(3.0))]));
    }
}

#[test]
fn what_has_expired_by_the_time_since_its_last_sample_is_left_out() {
    let mut first = Process::start(config(10, 20));
    one_second_of(&mut first, 1);
    (0..4).for_each(|_| drop(first.flush()));
    // Four seconds ago.
    let state = first.save(&stamp(100));
    for (at, levels, totals) in
        [(105, 1, 1), (106, 0, 1), (115, 0, 1), (116, 0, 0), (99, 0, 0), (1 << 40, 0, 0)]
    {
        let (_, restored) = Process::restored(config(10, 20), &state, &stamp(at));
        assert_eq!(restored, Saved { levels, totals }, "{at}");
    }

    // It goes on growing older.
    let (mut second, _) = Process::restored(config(10, 20), &state, &stamp(103));
    let index = second.open(0, &Source::new(container("a"), ReadAs::default()));
    for _ in 0..2 {
        assert_eq!(second.flush(), told([("level", Value::Gauge(5.0))]));
    }
    assert_eq!(second.flush(), []);
    second.change(0, index, "level", 1.0);
    assert_eq!(second.flush(), told([("level", Value::Gauge(1.0))]));
    (0..9).for_each(|_| drop(second.flush()));
    second.say(0, index, "hits", Kind::Counter, 1.0);
    let hits = second.flush().into_iter().find(|(name, _)| name == "hits");
    assert_eq!(hits, Some(("hits".to_owned(), counter(1.0, 1.0))));
}

#[test]
fn what_nobody_asked_for_is_handed_on_until_it_expires() {
    let mut first = Process::start(config(10, 20));
    one_second_of(&mut first, 1);
    let state = first.save(&stamp(100));
    let (mut second, _) = Process::restored(config(10, 20), &state, &stamp(101));
    second.flush();
    let state = second.save(&stamp(102));
    let (mut third, restored) = Process::restored(config(10, 20), &state, &stamp(103));
    assert_eq!(restored, Saved { levels: 1, totals: 1 });
    (0..30).for_each(|_| drop(third.flush()));
    assert_eq!(third.flush.legacies.len(), 0);
    let (mut third, _) = Process::restored(config(10, 20), &state, &stamp(109));
    let other = Source::new(container("b"), ReadAs::default());
    third.open(0, &other);
    assert_eq!(third.flush(), [], "it is another container's");
    third.open(0, &Source::new(container("a"), ReadAs::default()));
    assert_eq!(third.flush(), [], "the gauge was last written ten seconds ago");
}

#[test]
fn every_origin_and_many_chunks_are_read_as_they_were_written() {
    let claimed = Origin::Claimed { listener: "l".into(), container_id: "c".into() };
    let mut first = Process::start(config(10, 20));
    let origins = [container("c"), Origin::Listener { listener: "l".into() }, claimed];
    let names: Vec<String> =
        (0..3_000).map(|n| format!("a.rather.long.name.of.a.series.{n}")).collect();
    for origin in &origins {
        let index = first.open(0, &Source::new(origin.clone(), ReadAs::default()));
        for (n, name) in names.iter().enumerate() {
            first.say(0, index, name, Kind::Gauge, n as f64);
            first.say(0, index, name, Kind::Counter, n as f64);
        }
    }
    first.flush();
    let state = first.save(&stamp(1));
    assert!(state.len() > 3 * 64 * 1024);
    let (mut second, restored) = Process::restored(config(10, 20), &state, &stamp(1));
    assert_eq!(restored, Saved { levels: 9_000, totals: 9_000 });
    for origin in origins {
        second.open(0, &Source::new(origin, ReadAs::default()));
    }
    let mut all = second.flush();
    assert_eq!(all.len(), 9_000);
    all.dedup();
    assert_eq!(all.len(), 3_000, "the three are alike");

    let bounded = FlushConfig { most_totals: 5, ..config(10, 20) };
    let (_, restored) = Process::restored(bounded, &state, &stamp(1));
    assert_eq!(restored, Saved { levels: 5, totals: 5 });
}

#[test]
fn of_a_file_that_is_not_whole_nothing_is_taken_up() {
    let mut first = Process::start(config(10, 20));
    one_second_of(&mut first, 1);
    let state = first.save(&stamp(100));
    let refused = |state: &[u8]| {
        let mut process = Process::start(config(10, 20));
        let error = process.flush.restore(&stamp(100), &mut &*state).unwrap_err();
        assert_eq!(process.flush.legacies.len(), 0);
        error
    };
    for at in 0..state.len() {
        assert!(matches!(refused(&state[..at]), StateError::Damaged), "torn at {at}");
        let mut other = state.clone();
        other[at] ^= 0x10;
        let error = refused(&other);
        let is_version = (8..12).contains(&at);
        assert_eq!(matches!(error, StateError::Newer(_)), is_version, "{at}: {error}");
    }
    let mut longer = state.clone();
    longer.push(0);
    assert!(matches!(refused(&longer), StateError::Damaged));
    let mut newer = state;
    newer[8] = 2;
    assert!(refused(&newer).to_string().contains("version 2"));
}
