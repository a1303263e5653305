//! What holds for every line, whatever it is. The same cases are tried at every run.

use std::borrow::Cow;
use std::cell::Cell;

use metric::{GaugeSign, Kind, ReadAs, Sample, Tag, Values};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[path = "../fuzz/checks/read.rs"]
mod read;
#[path = "../fuzz/checks/skim.rs"]
mod skim;

const NOW: i64 = 1_700_000_000;

fn for_each<S: Strategy>(cases: u32, of: &S, check: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(of, |case| {
        check(case);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn settings() -> impl Strategy<Value = ReadAs> {
    let sign = select(vec![GaugeSign::Auto, GaugeSign::Delta, GaugeSign::Absolute]);
    (sign, any::<bool>()).prop_map(|(gauge_sign, name_tags)| ReadAs {
        gauge_sign,
        name_tags,
        trust_container: false,
    })
}

/// Bytes that mean something in a line, more often than not in a place where they do not.
fn nearly_a_line() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        &b":"[..],
        b"|",
        b"@",
        b"#",
        b",",
        b";",
        b"[",
        b"]",
        b"=",
        b"T",
        b"c:",
        b"e:",
        b"card:",
        b"ci-",
        b"a",
        b"b",
        b"c",
        b"g",
        b"ms",
        b"h",
        b"d",
        b"s",
        b"m",
        b"1",
        b"-2",
        b"+3",
        b".5",
        b"1e9",
        b"nan",
        b"1|c",
        b":1|g",
        b"|#k:v",
        b"|@0.5",
        b"|T1700000000",
        b",k=v",
        b"_e{",
        b"_e{1,1}:a|b",
        b"_sc|",
        b"_sc|a|0",
        b"\\n",
        b" ",
        b"\r",
        b"\xff",
        b"\xe2\x82",
        "é".as_bytes(),
        b"\0",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn no_input_breaks_a_bound_or_goes_without_a_trace() {
    let datagram = prop::collection::vec(nearly_a_line(), 0..4);
    for_each(2_000, &(any::<u8>(), datagram), |(settings, lines)| {
        read::read(&[&[settings][..], &lines.join(&b'\n')].concat());
    });
    for_each(1_000, &prop::collection::vec(any::<u8>(), 0..200), |input| read::read(&input));
}

#[test]
fn the_reading_of_a_line_never_depends_on_its_neighbours() {
    let lines = prop::collection::vec(nearly_a_line(), 1..6);
    for_each(1_000, &(lines, settings()), |(texts, read_as)| {
        let readings = |bytes: &[u8]| -> Vec<_> {
            let read = |line| format!("{:?}", statsd::read(line, read_as, NOW));
            statsd::lines(bytes).map(read).collect()
        };
        let alone: Vec<_> = texts.iter().flat_map(|text| readings(text)).collect();
        assert_eq!(readings(&texts.join(&b'\n')), alone);
    });
}

/// A sample as it can be made, borrowed from nothing.
#[derive(Clone, Debug)]
struct Made {
    name: String,
    kind: Kind,
    numbers: Vec<f64>,
    member: String,
    relative: bool,
    rate: f64,
    tags: Vec<Tag<'static>>,
    timestamp: Option<i64>,
    container_id: Option<String>,
}

impl Made {
    fn sample(&self) -> Sample<'_> {
        Sample {
            name: &self.name,
            kind: self.kind,
            values: match self.kind {
                Kind::Set => Values::Member(&self.member),
                Kind::Counter
                | Kind::Gauge
                | Kind::Timer
                | Kind::Histogram
                | Kind::Distribution => Values::Numbers(&self.numbers),
            },
            relative: self.relative,
            rate: self.rate,
            tags: &self.tags,
            timestamp: self.timestamp,
            container_id: self.container_id.as_deref(),
        }
    }
}

fn made(
    name: &'static str,
    member: &'static str,
    key: &'static str,
    value: &'static str,
) -> impl Strategy<Value = Made> {
    let tag = (key, value)
        .prop_map(|(key, value)| Tag { key: Cow::Owned(key), value: Cow::Owned(value) });
    let finite = any::<f64>().prop_filter("finite", |number| number.is_finite());
    let number = prop_oneof![finite, (-1_000_000..1_000_000_i32).prop_map(f64::from)];
    (
        (name, select(Kind::ALL.to_vec()), member, any::<bool>()),
        prop::collection::vec(number, 1..5),
        prop_oneof![Just(1.0), 1e-9..=1.0],
        prop::collection::btree_set(tag, 0..6),
        prop::option::of(NOW - 3600..=NOW + 600),
        prop::option::of("(ci-)?[a-f0-9-]{1,12}"),
    )
        .prop_map(
            |((name, kind, member, relative), numbers, rate, tags, time, container_id)| {
                let relative = relative && kind == Kind::Gauge;
                let timed = matches!(kind, Kind::Counter | Kind::Gauge) && !relative;
                Made {
                    name,
                    kind,
                    numbers,
                    member,
                    relative,
                    rate: if matches!(kind, Kind::Gauge | Kind::Set) { 1.0 } else { rate },
                    tags: tags.into_iter().collect(),
                    timestamp: time.filter(|_| timed),
                    container_id,
                }
            },
        )
}

#[test]
fn every_sample_without_separators_in_its_texts_can_be_written_and_reads_back() {
    let of = made(
        "[a-zé.][a-zé. #\\[,;]{0,20}",
        "[a-zé:][ a-z:+-]{0,9}",
        "[a-zé =;#\\[]{1,8}",
        "[a-zé:= ]{0,8}[a-z]",
    );
    for_each(2_000, &of, |made| {
        // A sign is a change or it is not: each way of writing has its setting.
        let gauge_sign = if made.relative { GaugeSign::Delta } else { GaugeSign::Absolute };
        let read_as = ReadAs { gauge_sign, name_tags: false, trust_container: false };
        let mut line = Vec::new();
        assert_eq!(statsd::write(&made.sample(), read_as, &mut line), Ok(()));
        let now = made.timestamp.unwrap_or(NOW);
        let reading = statsd::read(&line, read_as, now);
        assert!(reading.samples().eq([made.sample()]), "{}", line.escape_ascii());
        assert!(reading.is_one_sample() && reading.notes().is_empty());
    });
}

#[test]
fn a_sample_with_any_texts_is_written_as_it_reads_or_not_at_all() {
    let of =
        made("[a=,#:|;\\[\\] \r\n]{0,5}", "[a:|\n\r ]{0,4}", "[a:,|\n]{0,3}", "[a:,| \n]{0,3}");
    let (written, refused) = (Cell::new(0), Cell::new(0));
    for_each(3_000, &(of, settings()), |(made, read_as)| {
        let mut line = b"a:1|c\n".to_vec();
        if statsd::write(&made.sample(), read_as, &mut line).is_err() {
            refused.set(refused.get() + 1);
            assert_eq!(line, b"a:1|c\n");
            return;
        }
        written.set(written.get() + 1);
        let now = made.timestamp.unwrap_or(NOW);
        let lines: Vec<_> = statsd::lines(&line).collect();
        assert_eq!(lines.len(), 2);
        assert!(statsd::read(lines[1], read_as, now).samples().eq([made.sample()]));
    });
    assert!(written.get() > 100 && refused.get() > 100, "{written:?} {refused:?}");
}

/// What two lines of one spelling have in common.
#[derive(Clone, Debug)]
struct Spelt {
    name: &'static [u8],
    kind: &'static [u8],
    // Before and after the first rate or time.
    sections: [Vec<&'static [u8]>; 2],
}

fn spelt() -> impl Strategy<Value = Spelt> {
    let name = select(vec![
        &b"a"[..],
        b"a.b",
        "é".as_bytes(),
        b"a\xff",
        b"a,k=v",
        b"a[k=v,x]b",
        b"a;k=v",
        b"a,k=\xff",
        b"a#b",
        b",k=v",
        b"a,u=http",
    ]);
    let kind = select(vec![&b"c"[..], b"g", b"g", b"ms", b"h", b"d", b"s", b"s", b"m"]);
    let section = || {
        let section = select(vec![
            &b"#k:v"[..],
            b"#b,a,b",
            b"#",
            b"#,\xff",
            b"c:ci-x",
            b"c:",
            b"c:\xff",
            b"e:",
            b"card:low",
            b"x",
            b"",
            b"y:1",
        ]);
        prop::collection::vec(section, 0..3)
    };
    (name, kind, section(), section()).prop_map(|(name, kind, before, after)| Spelt {
        name,
        kind,
        sections: [before, after],
    })
}

/// What a line has of its own: its values, and where its rate and its time stand.
fn own() -> impl Strategy<Value = (&'static [u8], [Vec<&'static [u8]>; 3])> {
    let values = select(vec![
        &b"1"[..],
        b"2.5",
        b"-3",
        b"+4",
        b"-0",
        b"0.1",
        b"123456789.123456789",
        b"5e-324",
        b"1",
        b"7",
        b"8",
        b"nan",
        b"x",
        b"1:2",
        b"",
        b":",
        b"\xff",
        "é".as_bytes(),
        b"x:y",
        b"1e400",
    ]);
    let rate = select(vec![&b"@0.5"[..], b"@1", b"@", b"@2", b"@1:2|c"]);
    let time = select(vec![&b"T1700000000"[..], b"T1699996400.5", b"T1", b"T"]);
    let places = (0..8_usize, 0..8_usize, any::<bool>());
    (values, rate, time, places).prop_map(|(values, rate, time, (at, when, rate_first))| {
        let mut places = [vec![], vec![], vec![]];
        let mut put = |place: usize, section| {
            if let Some(place) = places.get_mut(place) {
                place.push(section);
            }
        };
        if rate_first {
            put(at, rate);
        }
        put(when, time);
        if !rate_first {
            put(at, rate);
        }
        (values, places)
    })
}

fn line(spelt: &Spelt, (values, places): &(&[u8], [Vec<&[u8]>; 3])) -> Vec<u8> {
    let [before, between, after] = places;
    let head = [spelt.name, b":", values, b"|", spelt.kind].concat();
    let sections = [before, &spelt.sections[0], between, &spelt.sections[1], after];
    let sections = sections.into_iter().flatten().copied();
    std::iter::once(&head[..]).chain(sections).collect::<Vec<_>>().join(&b'|')
}

#[test]
fn a_skimmed_line_says_what_reading_it_in_full_does() {
    let compared = Cell::new(0);
    for_each(10_000, &(spelt(), own(), own(), settings()), |(spelt, one, other, read_as)| {
        let agreed = skim::agrees(&line(&spelt, &one), &line(&spelt, &other), read_as);
        compared.set(compared.get() + u32::from(agreed));
    });
    assert!(compared.get() > 1_000, "only {compared:?} pairs had one spelling");
}

#[test]
fn skimming_nearly_a_line_never_says_more_than_reading_it() {
    let lines = prop::collection::vec(nearly_a_line(), 1..4);
    for_each(1_000, &(any::<u8>(), lines), |(settings, lines)| {
        skim::skim(&[&[settings][..], &lines.join(&b'\n')].concat());
    });
}
