mod hand_over;

use std::time::Duration;

use metric::{Note, Origin, ReadAs, Tag};

use super::*;
use crate::{Flush, FlushConfig};

fn source() -> Arc<Source> {
    Source::new(Origin::Container { container_id: "c".into() }, ReadAs::default())
}

fn shard_with(limits: Limits) -> (Shard, SourceIndex) {
    let mut shard = Shard::new(ShardConfig::default());
    let index = shard.open_source(source(), limits);
    (shard, index)
}

fn sample<'a>(name: &'a str, kind: Kind, values: Values<'a>) -> Sample<'a> {
    let (relative, rate, timestamp) = (false, 1.0, None);
    Sample { name, kind, values, relative, rate, tags: &[], timestamp, container_id: None }
}

fn spelling<'a>(name: &'a str, kind: Kind, sections: [&'a str; 2]) -> Spelling<'a> {
    let sections = sections.map(str::as_bytes);
    Spelling { name: name.as_bytes(), kind, meter: false, sections }
}

const ACCEPTED: Recorded = Recorded::Aggregated(Notes::NONE);

fn count(shard: &mut Shard, source: SourceIndex, name: &str) -> Recorded {
    shard.record(source, &sample(name, Kind::Counter, Values::Numbers(&[1.0])), None)
}

/// The shard and the flush side, an interval after each second.
struct Rounds {
    flush: Flush,
    given_back: Option<Interval>,
    now: Duration,
}

impl Rounds {
    fn new() -> Self {
        let second = Duration::from_secs(1);
        let config = FlushConfig {
            gauge_expiry: second,
            series_expiry: second,
            total_expiry: second,
            ..FlushConfig::default()
        };
        Self { flush: Flush::new(config), given_back: None, now: Duration::ZERO }
    }

    /// What the series come to, each with its source.
    fn flush(&mut self, shard: &mut Shard) -> Vec<(Arc<Source>, metric::Datapoint)> {
        self.now += Duration::from_secs(1);
        let ended = shard.swap(self.given_back.take().unwrap_or_default());
        let mut told = Vec::new();
        let merged = self.flush.merge(vec![ended], self.now, &mut |source, datapoints| {
            told.extend(datapoints.into_iter().map(|datapoint| (Arc::clone(source), datapoint)));
        });
        self.given_back = merged.intervals.into_iter().next();
        told
    }
}

#[test]
fn at_the_series_limit_new_series_are_refused_and_known_ones_kept() {
    let (mut shard, source) = shard_with(Limits { series: 2, ..Limits::default() });
    assert_eq!(count(&mut shard, source, "a"), ACCEPTED);
    assert_eq!(count(&mut shard, source, "b"), ACCEPTED);
    let three = sample("c", Kind::Gauge, Values::Numbers(&[1.0, 2.0, 3.0]));
    assert_eq!(shard.record(source, &three, None), Recorded::OverSeriesLimit);
    assert_eq!(count(&mut shard, source, "a"), ACCEPTED);
    let counts = *shard.counts_mut(source);
    assert_eq!((counts.aggregated, counts.over_series_limit), (3, 3));
    // Another source has a limit of its own.
    let other = shard.open_source(self::source(), Limits::default());
    assert_eq!(count(&mut shard, other, "c"), ACCEPTED);
    shard.set_limits(source, Limits::default());
    assert_eq!(count(&mut shard, source, "c"), ACCEPTED);
    let series: Vec<_> = shard.accounts().map(|(_, _, series)| series).collect();
    assert_eq!(series, [3, 1]);
}

#[test]
fn all_sources_together_have_no_more_series_than_the_shard_may() {
    let total_series = TotalSeries::new(3);
    let mut shard = Shard::new(ShardConfig { total_series, ..ShardConfig::default() });
    let sources = [(); 2].map(|()| shard.open_source(source(), Limits::NONE));
    for (source, name, recorded) in [
        (sources[0], "a", ACCEPTED),
        (sources[1], "a", ACCEPTED),
        (sources[1], "b", ACCEPTED),
        (sources[0], "b", Recorded::OverSeriesLimit),
        (sources[0], "a", ACCEPTED),
    ] {
        assert_eq!(count(&mut shard, source, name), recorded);
    }
    shard.close_source(sources[1]).unwrap();
    assert_eq!(count(&mut shard, sources[0], "b"), ACCEPTED);
}

#[test]
fn shards_that_share_a_total_have_no_more_series_together_than_it() {
    let total_series = TotalSeries::new(3);
    let mut shards = [0, 1].map(|number| {
        let config =
            ShardConfig { number, total_series: total_series.clone(), ..ShardConfig::default() };
        let mut shard = Shard::new(config);
        let index = shard.open_source(source(), Limits::NONE);
        (shard, index, Rounds::new())
    });
    let count =
        |(shard, index, _): &mut (Shard, SourceIndex, Rounds), name| count(shard, *index, name);
    assert_eq!(count(&mut shards[0], "a"), ACCEPTED);
    assert_eq!(count(&mut shards[1], "a"), ACCEPTED);
    let (shard, index, _) = &mut shards[1];
    let timed = Sample { timestamp: Some(7), ..sample("t", Kind::Gauge, Values::Numbers(&[1.0])) };
    assert_eq!(shard.record(*index, &timed, None), ACCEPTED);
    assert_eq!(shard.record(*index, &timed, None), ACCEPTED);
    assert_eq!(count(&mut shards[0], "b"), Recorded::OverSeriesLimit);
    // A point's place is free again when its interval ends, a series' when it is forgotten.
    let (shard, _, rounds) = &mut shards[1];
    rounds.flush(shard);
    assert_eq!(count(&mut shards[0], "b"), ACCEPTED);
    assert_eq!(count(&mut shards[0], "c"), Recorded::OverSeriesLimit);
    let (shard, _, rounds) = &mut shards[1];
    for _ in 0..3 {
        rounds.flush(shard);
        while shard.tidy() {}
    }
    assert_eq!(count(&mut shards[0], "c"), ACCEPTED);
    assert_eq!(count(&mut shards[1], "a"), Recorded::OverSeriesLimit);
    let (shard, index, _) = &mut shards[0];
    shard.close_source(*index).unwrap();
    assert_eq!([0; 3].map(|_| count(&mut shards[1], "a")), [ACCEPTED; 3]);
    assert_eq!(total_series.taken(), 1);
}

#[test]
fn the_keys_of_a_source_are_told_in_parts() {
    let (mut shard, source) = shard_with(Limits::default());
    let other = shard.open_source(self::source(), Limits::default());
    for n in 0..100 {
        count(&mut shard, source, &format!("a{n}"));
        count(&mut shard, other, &format!("b{n}"));
    }
    let (mut names, mut from, mut parts) = (Vec::new(), Some(0), 0);
    while let Some(next) = from {
        let (keys, then) = shard.keys(source, next, 40);
        assert!(keys.len() < 40 + 32);
        names.extend(keys.iter().map(|key| key.name().to_owned()));
        (from, parts) = (then, parts + 1);
    }
    assert_eq!(parts, 2);
    names.sort_unstable();
    let mut expected: Vec<_> = (0..100).map(|n| format!("a{n}")).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn a_source_that_is_to_be_relearned_is_recalled_no_more_and_no_other_is_touched() {
    let (mut shard, source) = shard_with(Limits::default());
    let other = shard.open_source(self::source(), Limits::default());
    let remember = |shard: &mut Shard, source, name: &str| {
        let spelling = spelling(name, Kind::Counter, ["", ""]);
        let remember = Remember { via: source, spelling, notes: Notes::NONE };
        let sample = sample(name, Kind::Counter, Values::Numbers(&[1.0]));
        assert_eq!(shard.record(source, &sample, Some(&remember)), ACCEPTED);
    };
    let names: Vec<_> = (0..100).map(|n| format!("n{n}")).collect();
    let known = |shard: &Shard, source| {
        let is_known = |name: &&String| {
            shard.recall(source, &spelling(name, Kind::Counter, ["", ""])).is_some()
        };
        names.iter().filter(is_known).count()
    };
    for name in &names {
        remember(&mut shard, source, name);
        remember(&mut shard, other, name);
    }
    assert_eq!((known(&shard, source), known(&shard, other)), (100, 100));
    shard.relearn(source);
    while shard.tidy() {}
    assert_eq!((known(&shard, source), known(&shard, other)), (0, 100));
    for name in &names {
        remember(&mut shard, source, name);
    }
    assert_eq!(known(&shard, source), 100);
    assert_eq!(shard.accounts().map(|(_, _, series)| series).collect::<Vec<_>>(), [100, 100]);
    // Nothing goes wrong with one that ends meanwhile.
    shard.relearn(source);
    shard.close_source(source).unwrap();
    while shard.tidy() {}
    assert_eq!(known(&shard, other), 100);
}

#[test]
fn points_with_a_time_of_their_own_count_as_series_until_the_interval_ends() {
    let (mut shard, source) = shard_with(Limits { series: 3, ..Limits::default() });
    let timed = |shard: &mut Shard, at| {
        let sample = sample("a", Kind::Counter, Values::Numbers(&[1.0]));
        shard.record(source, &Sample { timestamp: Some(at), ..sample }, None)
    };
    assert_eq!(count(&mut shard, source, "a"), ACCEPTED);
    assert_eq!([7, 8, 7, 8].map(|at| timed(&mut shard, at)), [ACCEPTED; 4]);
    assert_eq!(timed(&mut shard, 9), Recorded::OverSeriesLimit);
    assert_eq!(count(&mut shard, source, "b"), Recorded::OverSeriesLimit);
    shard.swap(Interval::default());
    assert_eq!(timed(&mut shard, 9), ACCEPTED);
    assert_eq!(count(&mut shard, source, "b"), ACCEPTED);
}

#[test]
fn over_its_interval_bytes_a_source_gets_coarser_and_refuses_new_series_until_the_next() {
    let limits = Limits { interval_bytes: 4_000, ..Limits::default() };
    let (mut shard, source) = shard_with(limits);
    let wide: Vec<_> = (0..600).map(|n| f64::from(n % 30).exp2()).collect();
    let wide = sample("t", Kind::Timer, Values::Numbers(&wide));
    for nth in 0..20 {
        for member in 0..30 {
            let (name, member) = (format!("s{nth}"), format!("m{member}"));
            shard.record(source, &sample(&name, Kind::Set, Values::Member(&member)), None);
        }
    }
    // The first few sets fill it: each further one is refused, whatever it is.
    let series = shard.accounts().next().unwrap().2;
    assert!((2..20).contains(&series), "{series}");
    assert_eq!(shard.record(source, &wide, None), Recorded::OverSeriesLimit);
    assert_eq!(count(&mut shard, source, "new"), Recorded::OverSeriesLimit);
    // Known ones go on, estimated.
    let known = sample("s0", Kind::Set, Values::Member("one more"));
    let Recorded::Aggregated(notes) = shard.record(source, &known, None) else {
        panic!("it is known")
    };
    assert!(notes.contains(Note::CoarseSketch));
    // In what they have already.
    for member in 0..5_000 {
        let member = format!("m{member}");
        shard.record(source, &sample("s0", Kind::Set, Values::Member(&member)), None);
    }
    let held = shard.accounts[source.get()].held.get(1);
    assert!((4_000..4_500).contains(&held), "{held}");
    shard.swap(Interval::default());
    assert!(matches!(shard.record(source, &wide, None), Recorded::Aggregated(_)));
    assert_eq!(count(&mut shard, source, "new"), ACCEPTED);
}

#[test]
fn without_room_a_known_sketch_becomes_coarser_and_says_so() {
    let (mut shard, source) = shard_with(Limits { interval_bytes: 300, ..Limits::default() });
    let values: Vec<_> = (0..500).map(|n| f64::from(n % 60 - 30).exp2()).collect();
    let Recorded::Aggregated(notes) =
        shard.record(source, &sample("t", Kind::Timer, Values::Numbers(&values)), None)
    else {
        panic!("it was the first series");
    };
    assert!(notes.contains(Note::CoarseSketch));
    assert!(shard.accounts[source.get()].held.get(1) < 1_500);
}

#[test]
fn a_spelling_is_recalled_for_its_source_its_kind_and_itself_only() {
    let (mut shard, source) = shard_with(Limits::default());
    let other = shard.open_source(self::source(), Limits::default());
    let tags = [Tag::new("a", "1"), Tag::new("b", "")];
    let sample = Sample { tags: &tags, ..sample("n", Kind::Counter, Values::Numbers(&[1.0])) };
    let meter = Spelling { meter: true, ..spelling("n", Kind::Counter, ["#a:1,b:", ""]) };
    let spellings = [
        spelling("n", Kind::Counter, ["#a:1,b:", ""]),
        spelling("n", Kind::Counter, ["#b,a:1", ""]),
        spelling("n", Kind::Counter, ["#b:,a:1", ""]),
        spelling("n", Kind::Counter, ["#a:1,b:", "c:x"]),
        spelling("n", Kind::Counter, ["#a:1", "#b"]),
        spelling("n,a=1,b=", Kind::Counter, ["", ""]),
        meter,
    ];
    for (nth, spelled) in spellings.iter().enumerate() {
        for (earlier, it) in spellings.iter().enumerate() {
            let recalled = shard.recall(source, it);
            assert_eq!(recalled.is_some(), earlier < nth, "{it:?}");
        }
        let mut notes = Notes::NONE;
        if spelled.meter {
            notes.insert(Note::Meter);
        }
        let remember = Remember { via: source, spelling: *spelled, notes };
        shard.record(source, &sample, Some(&remember));
        let recalled = shard.recall(source, spelled).unwrap();
        assert_eq!(recalled.source(), source);
        assert_eq!((recalled.kind(), recalled.notes()), (Kind::Counter, notes));
        assert!(shard.recall(other, spelled).is_none());
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Counter) {
            assert!(shard.recall(source, &Spelling { kind, ..*spelled }).is_none());
        }
    }
    // What looks alike and is not.
    for (name, sections) in [
        ("n", ["#a:1,b", ""]),
        ("n", ["#b:a:1", ""]),
        ("n", ["#a:1,b:,", ""]),
        ("n", ["#a:1", ""]),
        ("n", ["", ""]),
        ("n#", ["a:1,b:", ""]),
        ("", ["n#a:1,b:", ""]),
        ("n", ["", "#a:1,b:"]),
    ] {
        assert!(shard.recall(source, &spelling(name, Kind::Counter, sections)).is_none());
    }
    assert_eq!(shard.accounts().map(|(.., series)| series).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn a_collision_of_hashes_gives_nobody_the_series_of_another() {
    let (mut shard, source) = shard_with(Limits::default());
    let other = shard.open_source(self::source(), Limits::default());
    for sections in [["", ""], ["", "e:x"]] {
        let sample = sample("n", Kind::Counter, Values::Numbers(&[1.0]));
        let own = spelling("n", Kind::Counter, sections);
        let remember = Remember { via: source, spelling: own, notes: Notes::NONE };
        shard.record(source, &sample, Some(&remember));
    }
    let (slot, _) = shard.roster.slots().next().unwrap();
    let stored = shard.roster.get(slot).unwrap().1.spellings;
    for (via, name, kind, sections) in [
        (other, "n", Kind::Counter, ["", ""]),
        (other, "n", Kind::Counter, ["", "e:x"]),
        (source, "n", Kind::Gauge, ["", "e:x"]),
        (source, "other", Kind::Counter, ["", ""]),
    ] {
        let spelling = spelling(name, kind, sections);
        let hash = shard.hash(via.serial, &spelling);
        for target in [Target::Plain(slot), Target::Ordered(slot), Target::Stored(stored)] {
            shard.index.insert(hash, target);
        }
        assert!(shard.recall(via, &spelling).is_none(), "{spelling:?}");
        let sample = sample(name, kind, Values::Numbers(&[1.0]));
        shard.record(via, &sample, None);
    }
    assert_eq!(shard.accounts().map(|(.., series)| series).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn a_claimed_series_is_recalled_through_the_socket_that_named_it_until_either_is_closed() {
    for claimed_first in [true, false] {
        let (mut shard, via) = shard_with(Limits::default());
        let claimed = shard.open_source(source(), Limits::default());
        let spelling = spelling("n", Kind::Gauge, ["c:x", ""]);
        let sample = sample("n", Kind::Gauge, Values::Numbers(&[1.0]));
        shard.record(claimed, &sample, Some(&Remember { via, spelling, notes: Notes::NONE }));
        assert_eq!(shard.recall(via, &spelling).unwrap().source(), claimed);
        assert!(shard.recall(claimed, &spelling).is_none());
        shard.close_source(if claimed_first { claimed } else { via }).unwrap();
        while shard.tidy() {}
        shard.swap(Interval::default());
        while shard.tidy() {}
        // The new source takes the place of the closed one.
        let new = shard.open_source(source(), Limits::default());
        assert_eq!(new.get(), if claimed_first { claimed } else { via }.get());
        assert!(shard.recall(new, &spelling).is_none());
        if claimed_first {
            assert!(shard.recall(via, &spelling).is_none());
        }
    }
}

#[test]
fn the_memo_is_bounded_by_number_and_bytes_and_by_the_length_of_one() {
    let limits = Limits { spellings: 5, ..Limits::default() };
    for (limits, bytes, kept) in [
        (limits, 1 << 20, 5),
        (Limits::default(), 4 * (size_of::<spellings::Stored>() + 30), 4),
        (Limits::default(), 1 << 20, 50),
        (Limits::default(), 0, 0),
    ] {
        let config = ShardConfig { spelling_bytes: bytes, ..ShardConfig::default() };
        let mut shard = Shard::new(config);
        let source = shard.open_source(self::source(), limits);
        let sample = sample("name", Kind::Counter, Values::Numbers(&[1.0]));
        let behind: Vec<_> = (0..50).map(|n| format!("c:container-{n:03}")).collect();
        let all = || behind.iter().map(|it| spelling("name", Kind::Counter, ["", it]));
        for spelling in all() {
            let remember = Remember { via: source, spelling, notes: Notes::NONE };
            assert_eq!(shard.record(source, &sample, Some(&remember)), ACCEPTED);
        }
        let recalled = all().filter(|it| shard.recall(source, it).is_some()).count();
        assert_eq!(recalled, kept);
        // Neither the plain spelling nor an order of tags takes of that.
        let spelling = spelling("name", Kind::Counter, ["", ""]);
        let remember = Remember { via: source, spelling, notes: Notes::NONE };
        shard.record(source, &sample, Some(&remember));
        assert!(shard.recall(source, &spelling).is_some());
    }
    let (mut shard, source) = shard_with(Limits::default());
    let long = format!("e:{}", "x".repeat(2_000));
    let spelling = spelling("name", Kind::Counter, ["", &long]);
    let remember = Remember { via: source, spelling, notes: Notes::NONE };
    let sample = sample("name", Kind::Counter, Values::Numbers(&[1.0]));
    assert_eq!(shard.record(source, &sample, Some(&remember)), ACCEPTED);
    assert!(shard.recall(source, &spelling).is_none());
}

#[test]
fn a_memo_that_was_emptied_recalls_nothing_and_learns_anew() {
    let (mut shard, source) = shard_with(Limits { spellings: 1, ..Limits::default() });
    let tags = [Tag::new("a", "1"), Tag::new("b", "")];
    let sample = Sample { tags: &tags, ..sample("n", Kind::Counter, Values::Numbers(&[1.0])) };
    let spellings = [["#a:1,b:", ""], ["#b,a:1", ""], ["#a:1,b:", "e:x"]];
    let spellings = spellings.map(|sections| spelling("n", Kind::Counter, sections));
    for _ in 0..3 {
        for spelling in spellings {
            assert!(shard.recall(source, &spelling).is_none());
            let remember = Remember { via: source, spelling, notes: Notes::NONE };
            shard.record(source, &sample, Some(&remember));
            assert!(shard.recall(source, &spelling).is_some());
        }
        shard.forget_spellings();
    }
    assert!(spellings.iter().all(|spelling| shard.recall(source, spelling).is_none()));
    assert_eq!(shard.accounts().next().unwrap().2, 1);
}

#[test]
fn a_place_is_taken_again_only_after_the_flush_side_could_hear_that_it_is_free() {
    let (mut shard, source) = shard_with(Limits::default());
    let mut rounds = Rounds::new();
    let slot_of = |shard: &mut Shard, name| {
        count(shard, source, name);
        let named = |(slot, _): &(Slot, u32)| shard.roster.get(*slot).unwrap().1.key.name() == name;
        shard.roster.slots().find(named).unwrap().0
    };
    let old = slot_of(&mut shard, "old");
    rounds.flush(&mut shard);
    // Idle for a second: told with the interval that is given back.
    rounds.flush(&mut shard);
    rounds.flush(&mut shard);
    assert!(!shard.tidy());
    assert_eq!(shard.config.total_series.taken(), 0, "it was forgotten");
    assert_ne!(slot_of(&mut shard, "before the swap"), old);
    assert!(!shard.tidy());
    assert_ne!(slot_of(&mut shard, "still before the swap"), old);
    rounds.flush(&mut shard);
    assert!(!shard.tidy());
    assert_eq!(slot_of(&mut shard, "after the swap"), old);
}

#[test]
fn a_series_that_is_used_again_before_it_is_forgotten_stays() {
    let (mut shard, source) = shard_with(Limits::default());
    let mut rounds = Rounds::new();
    count(&mut shard, source, "a");
    for _ in 0..3 {
        rounds.flush(&mut shard);
    }
    // The shard knows that it was idle, and does not forget it before it is tidied.
    count(&mut shard, source, "a");
    assert!(!shard.tidy());
    assert_eq!(shard.config.total_series.taken(), 1);
    assert_eq!(rounds.flush(&mut shard).len(), 1);
    // Idle once more, it goes.
    for _ in 0..3 {
        rounds.flush(&mut shard);
        assert!(!shard.tidy());
    }
    assert_eq!(shard.config.total_series.taken(), 0);
}

#[test]
fn series_never_mix_however_often_places_are_used_again() {
    let mut shard = Shard::new(ShardConfig::default());
    let mut rounds = Rounds::new();
    let sources = [(); 3].map(|()| source());
    let limits = Limits::default();
    let mut indices =
        sources.each_ref().map(|source| shard.open_source(Arc::clone(source), limits));
    let mut open = sources.clone();
    let mut blocks = 0;
    for round in 0..300usize {
        let mut expected = Vec::new();
        for (nth, index) in indices.iter().enumerate() {
            // Another number of new series each time, beside some that come now and then.
            let new = (0..round * 7 % 50 + nth).map(|n| format!("n{round}.{n}"));
            let old = (0..20).filter(|n| (round + n) % 5 == 0).map(|n| format!("old{n}"));
            for (n, name) in new.chain(old).enumerate() {
                let value = (round * 1000 + nth * 100 + n) as f64;
                let values = [value];
                let sample = sample(&name, Kind::Counter, Values::Numbers(&values));
                let spelling = spelling(&name, Kind::Counter, ["", "e:x"]);
                if let Some(known) = shard.recall(*index, &spelling) {
                    shard.add(known, Measure::Number { value, rate: 1.0, relative: false });
                } else {
                    let remember = Remember { via: *index, spelling, notes: Notes::NONE };
                    assert_eq!(shard.record(*index, &sample, Some(&remember)), ACCEPTED);
                }
                expected.push((open[nth].clone(), name, value));
            }
        }
        let told = rounds.flush(&mut shard);
        assert_eq!(told.len(), expected.len(), "round {round}");
        for (source, name, value) in &expected {
            let is_it = |(of, datapoint): &&(Arc<Source>, metric::Datapoint)| {
                of == source && datapoint.key.name() == name
            };
            let datapoint = &told.iter().find(is_it).unwrap().1;
            let metric::Value::Counter { sum, .. } = datapoint.value else { panic!("{name}") };
            assert_eq!(sum.to_bits(), value.to_bits(), "{name} in round {round}");
        }
        if round % 7 == 3 {
            // One of the sources makes room for another.
            let nth = round % 3;
            let part = shard.close_source(indices[nth]).unwrap();
            assert_eq!(rounds.flush.end(part, rounds.now).datapoints, []);
            open[nth] = source();
            indices[nth] = shard.open_source(Arc::clone(&open[nth]), limits);
        }
        if round % 4 != 1 {
            while shard.tidy() {}
        }
        if round == 100 {
            blocks = shard.roster.slots().map(|(slot, _)| slot.block()).max().unwrap();
        }
    }
    let most = shard.roster.slots().map(|(slot, _)| slot.block()).max().unwrap();
    assert!(most <= blocks + 4, "blocks are numbered up to {most}, then up to {blocks}");
}

#[test]
fn after_a_peak_nothing_is_left_of_its_series() {
    let (mut shard, source) = shard_with(Limits::default());
    let mut rounds = Rounds::new();
    for n in 0..5_000 {
        let name = format!("n{n}");
        let sample = sample(&name, Kind::Counter, Values::Numbers(&[1.0]));
        let spelling = spelling(&name, Kind::Counter, ["", "e:x"]);
        shard.record(
            source,
            &sample,
            Some(&Remember { via: source, spelling, notes: Notes::NONE }),
        );
    }
    for _ in 0..4 {
        rounds.flush(&mut shard);
        while shard.tidy() {}
    }
    assert_eq!(shard.config.total_series.taken(), 0);
    assert_eq!(shard.roster.slots().count(), 0);
    let account = &shard.accounts[source.get()];
    assert_eq!((account.series, account.spellings, account.blocks.len()), (0, 0, 0));
}

#[test]
fn a_source_is_closed_once_and_gives_its_counts_and_its_share() {
    for flushed in [false, true] {
        let (mut shard, index) = shard_with(Limits::default());
        let other = shard.open_source(source(), Limits::default());
        count(&mut shard, index, "a");
        count(&mut shard, other, "a");
        if flushed {
            shard.swap(Interval::default());
        }
        count(&mut shard, index, "b");
        let part = shard.close_source(index).unwrap();
        assert_eq!(part.is_announced, flushed);
        let names: Vec<_> = part.shares.iter().map(|(key, _)| key.name()).collect();
        assert_eq!(names, if flushed { &["b"][..] } else { &["a", "b"] });
        assert_eq!(part.counts.aggregated, 2);
        assert!(shard.close_source(index).is_none());
        assert_eq!(shard.accounts().count(), 1);
        assert_eq!(shard.config.total_series.taken(), 1);
        // Its index is given again only after the flush side has heard of its end.
        while shard.tidy() {}
        assert_ne!(shard.open_source(source(), Limits::default()).get(), index.get());
        shard.swap(Interval::default());
        while shard.tidy() {}
        let again = shard.open_source(source(), Limits::default());
        assert_eq!(again.get(), index.get());
        assert!(shard.close_source(index).is_none(), "the old one is closed, not the new one");
        assert!(shard.close_source(again).is_some());
    }
}

#[test]
fn what_another_shard_is_to_forget_is_not_forgotten_here() {
    let (mut rounds, mut shards) = (
        Rounds::new(),
        [0, 1].map(|number| Shard::new(ShardConfig { number, ..ShardConfig::default() })),
    );
    let sources = shards.each_mut().map(|shard| shard.open_source(source(), Limits::default()));
    count(&mut shards[0], sources[0], "a");
    (0..2).for_each(|_| drop(rounds.flush(&mut shards[0])));
    count(&mut shards[1], sources[1], "b");
    shards[1].swap(Interval::default());
    shards[1].swap(rounds.given_back.take().unwrap());
    while shards[1].tidy() {}
    assert_eq!(shards[1].accounts().map(|(.., series)| series).collect::<Vec<_>>(), [1]);
}
