use metric::ReadAs;

use super::*;
use crate::account::Reader;
use crate::corpus::Corpus;
use crate::shipped::{Form, Numbers, Spelling, Stat};

/// What a run was, to be varied by each test.
struct Run {
    expected: Account,
    seen: Seen,
    status: Option<status::Account>,
    kernel_dropped: Option<u64>,
    points_dropped: u64,
    origins: Vec<String>,
    is_mixed: bool,
}

const SENT: [&str; 4] = [
    "hits:2|c|#t:x\nhits:2|c|#t:x\nhits:2|c|#t:x",
    "level:5|g\nlevel:7|g\ntime:10|ms|@0.5\ntime:30|ms|@0.5",
    "users:a|s\nusers:b|s\nusers:a|s",
    "bad\nhits:2|c|#t:x",
];

fn shipped_in(form: Form) -> Seen {
    let mut seen = Seen::default();
    seen.form = Some(form);
    seen
}

impl Run {
    /// One of which all came out.
    fn whole() -> Self {
        let mut corpus = Corpus::new(1 << 20);
        for payload in SENT {
            corpus.push(0, payload.as_bytes()).unwrap();
        }
        let reader = Reader { read_as: ReadAs::default(), now: 0, origins: &[0] };
        let expected = Account::of(&corpus, 4, reader);
        let mut status = status::Account::default();
        status.received.datagrams = 4;
        status.received.samples = 12;
        status.aggregated = 11;
        status.rejected.insert("no_value".to_owned(), 1);
        let mut run = Self {
            expected,
            seen: shipped_in(Form::Points),
            status: Some(status),
            kernel_dropped: None,
            points_dropped: 0,
            origins: vec![String::new()],
            is_mixed: false,
        };
        run.ship(Kind::Counter, Stat::Sum, "hits", &[8.0]);
        run.ship(Kind::Gauge, Stat::Value, "level", &[5.0, 7.0]);
        run.ship(Kind::Timer, Stat::Count, "time", &[2.0, 2.0]);
        run.ship(Kind::Timer, Stat::Sum, "time", &[20.0, 60.0]);
        run.ship(Kind::Timer, Stat::Min, "time", &[10.0, 30.0]);
        run.ship(Kind::Timer, Stat::Max, "time", &[10.0, 30.0]);
        run.ship(Kind::Set, Stat::Count, "users", &[2.0]);
        run
    }

    fn ship(&mut self, kind: Kind, stat: Stat, name: &str, values: &[f64]) {
        let spelling = Spelling { kind: Some(kind), stat, container: "", name, time: None };
        let tags: &[(&str, &str)] = if name == "hits" { &[("t", "x")] } else { &[] };
        let mut numbers: Option<Numbers> = None;
        for (at, value) in values.iter().enumerate() {
            let (sum, at) = (*value, at as u64);
            let one = Numbers { count: 1, sum, least: sum, most: sum, last: sum, at };
            match &mut numbers {
                Some(numbers) => numbers.join(one),
                None => numbers = Some(one),
            }
        }
        let spelled = spelling.with(tags.iter().copied());
        match numbers {
            Some(numbers) => self.seen.numbers.insert(spelled, numbers),
            None => self.seen.numbers.remove(&spelled),
        };
    }

    fn status(&mut self) -> &mut status::Account {
        self.status.as_mut().unwrap()
    }

    fn verdict(&self) -> Verdict {
        Verdict::of(&Evidence {
            expected: &self.expected,
            seen: &self.seen,
            origins: &self.origins,
            is_mixed: self.is_mixed,
            marks: 0,
            status: self.status.as_ref(),
            kernel_dropped: self.kernel_dropped,
            points_dropped: self.points_dropped,
            cut_short: 0,
        })
    }
}

fn class(verdict: &Verdict, name: &str) -> Class {
    verdict.classes.iter().find(|class| class.name == name).unwrap().clone()
}

#[test]
fn a_whole_run_is_verified_with_and_without_a_status() {
    let mut run = Run::whole();
    let verdict = run.verdict();
    assert_eq!(verdict.unexplained, [""; 0]);
    assert_eq!((verdict.series.sent, verdict.series.right), (4, 4));
    let names: Vec<_> = verdict.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["counter", "gauge", "timer", "set", "no_value"]);
    let counter = class(&verdict, "counter");
    assert_eq!((counter.sent, counter.arrived, counter.series), (4, Range::exactly(4), 1));
    assert_eq!(class(&verdict, "no_value").refused, 1);
    assert!(verdict.to_string().ends_with("verified: everything is accounted for\n"), "{verdict}");
    run.status = None;
    assert!(run.verdict().is_good());
}

#[test]
fn what_the_kernel_dropped_explains_what_is_lacking_and_no_more() {
    let mut run = Run::whole();
    // The first datagram, of three samples that add 2 each, is lost.
    run.ship(Kind::Counter, Stat::Sum, "hits", &[2.0]);
    let lacking = run.verdict();
    assert_eq!(
        lacking.unexplained,
        ["3 samples did not come out, and nothing says where they were lost"]
    );
    assert_eq!((class(&lacking, "counter").unexplained, lacking.samples.unexplained), (3, 3));
    assert_eq!(lacking.examples, ["hits|c|#t:x: sum 2, should be 8"]);

    run.status().received.datagrams = 3;
    run.status().received.samples = 9;
    run.status().aggregated = 8;
    let undropped = run.verdict();
    assert_eq!(
        undropped.unexplained,
        ["1 datagrams neither reached the agent nor were dropped by its kernel"]
    );
    run.status().kernel_dropped = 1;
    let dropped = run.verdict();
    assert_eq!(dropped.unexplained, [""; 0]);
    assert_eq!(class(&dropped, "counter").lost, Range::exactly(3));
    assert_eq!(dropped.samples.dropped, Range::exactly(3));

    // The kernel's word without the agent's.
    run.status = None;
    run.kernel_dropped = Some(1);
    assert!(run.verdict().is_good());
    run.kernel_dropped = Some(0);
    assert!(!run.verdict().is_good());
}

#[test]
fn what_came_out_although_it_was_lost_is_unexplained() {
    let mut run = Run::whole();
    run.status().received.datagrams = 3;
    run.status().received.samples = 8;
    run.status().aggregated = 7;
    run.status().kernel_dropped = 1;
    // Four samples are said to be lost; gauge, timer and set may lack at most two of them.
    assert_eq!(run.verdict().unexplained, ["2 samples came out that are said to have been lost"]);
}

#[test]
fn limits_explain_what_is_lacking() {
    let mut run = Run::whole();
    run.ship(Kind::Counter, Stat::Sum, "hits", &[]);
    run.status().aggregated = 7;
    run.status().over_series_limit = 4;
    let verdict = run.verdict();
    assert_eq!(verdict.unexplained, [""; 0]);
    assert_eq!(class(&verdict, "counter").lost, Range::exactly(4));
    assert_eq!((verdict.series.short, verdict.samples.over_series_limit), (1, 4));
}

#[test]
fn an_operators_rule_explains_what_is_lacking() {
    let mut run = Run::whole();
    run.ship(Kind::Counter, Stat::Sum, "hits", &[]);
    run.status().aggregated = 7;
    run.status().rejected.insert("dropped_by_rule".to_owned(), 4);
    let verdict = run.verdict();
    assert_eq!(verdict.unexplained, [""; 0]);
    assert_eq!(verdict.samples.dropped_by_rule, 4);
    let told = verdict.to_string();
    assert!(told.contains("7 aggregated, 5 refused (4 by a rule), "), "{told}");
}

#[test]
fn too_much_is_wrong_whatever_was_lost() {
    for (kind, stat, name, values) in [
        (Kind::Counter, Stat::Sum, "hits", &[10.0][..]),
        (Kind::Gauge, Stat::Value, "level", &[8.0]),
        (Kind::Timer, Stat::Count, "time", &[6.0]),
        (Kind::Timer, Stat::Max, "time", &[31.0]),
        (Kind::Timer, Stat::Min, "time", &[11.0]),
        (Kind::Timer, Stat::Sum, "time", &[81.0]),
        (Kind::Set, Stat::Count, "users", &[3.0]),
    ] {
        let mut run = Run::whole();
        run.ship(kind, stat, name, values);
        let verdict = run.verdict();
        assert_eq!(verdict.series.wrong, 1, "{name} {stat:?}");
        assert_eq!(verdict.unexplained, ["1 series total what was never sent"], "{name} {stat:?}");
        assert_eq!(verdict.examples.len(), 1);
    }
}

#[test]
fn a_lower_level_or_fewer_members_are_short_not_wrong() {
    for (kind, stat, name, values, lost) in [
        (Kind::Gauge, Stat::Value, "level", &[5.0][..], Range::new(1, 2)),
        (Kind::Timer, Stat::Count, "time", &[2.0], Range::exactly(1)),
        (Kind::Set, Stat::Count, "users", &[1.0], Range::new(1, 2)),
        (Kind::Set, Stat::Count, "users", &[], Range::exactly(3)),
    ] {
        let mut run = Run::whole();
        run.ship(kind, stat, name, values);
        let verdict = run.verdict();
        assert_eq!(class(&verdict, kind.name()).lost, lost, "{name}");
        assert_eq!((verdict.series.short, verdict.series.wrong), (1, 0), "{name}");
        assert!(!verdict.is_good());
    }
}

#[test]
fn members_of_several_intervals_are_held_against_bounds() {
    let mut run = Run::whole();
    run.ship(Kind::Set, Stat::Count, "users", &[2.0, 1.0]);
    assert!(run.verdict().is_good());
    run.ship(Kind::Set, Stat::Count, "users", &[1.0, 1.0]);
    assert!(run.verdict().is_good());
}

#[test]
fn refusals_are_held_against_the_reasons() {
    let mut run = Run::whole();
    run.status().rejected.insert("bad_value".to_owned(), 1);
    run.status().aggregated = 10;
    let verdict = run.verdict();
    assert_eq!(
        verdict.unexplained[0],
        "1 samples were refused as bad_value that should not have been"
    );
    assert_eq!(class(&verdict, "bad_value").unexplained, 1);
    let mut run = Run::whole();
    run.status().rejected.clear();
    run.status().aggregated = 12;
    assert_eq!(
        run.verdict().unexplained,
        ["1 samples did not come out, and nothing says where they were lost"]
    );
}

#[test]
fn an_account_that_does_not_hold_together_is_unexplained() {
    let mut run = Run::whole();
    run.status().aggregated = 5;
    assert_eq!(run.verdict().unexplained, ["the agent's own account does not add up"]);
    let mut run = Run::whole();
    run.status().received.datagrams = 6;
    assert!(run.verdict().unexplained[0].starts_with("2 datagrams more than were sent"));
    let mut run = Run::whole();
    run.status().received.samples = 11;
    run.status().aggregated = 10;
    assert!(run.verdict().unexplained[0].starts_with("1 samples were never read, but 0 datagrams"));
}

#[test]
fn points_that_an_output_dropped_are_explained_by_it_only() {
    let mut run = Run::whole();
    run.seen.missing = 3;
    run.ship(Kind::Counter, Stat::Sum, "hits", &[]);
    assert_eq!(run.verdict().unexplained.len(), 2);
    run.points_dropped = 3;
    assert!(run.verdict().is_good());
    assert!(run.verdict().to_string().contains("went with the points that were dropped"));
    run.seen.repeated = 1;
    run.seen.problem = Some("torn".to_owned());
    assert_eq!(
        run.verdict().unexplained,
        ["1 points were shipped again", "what was shipped cannot all be read: torn"]
    );
}

#[test]
fn a_point_that_was_dropped_explains_one_series() {
    let mut run = Run::whole();
    run.points_dropped = 1;
    run.ship(Kind::Counter, Stat::Sum, "hits", &[]);
    assert!(run.verdict().is_good());
    run.ship(Kind::Set, Stat::Count, "users", &[]);
    assert_eq!(
        run.verdict().unexplained,
        ["3 samples did not come out, and nothing says where they were lost"]
    );
    run.points_dropped = 2;
    assert!(run.verdict().is_good());
}

#[test]
fn a_changed_gauge_begins_where_it_was() {
    let mut corpus = Corpus::new(1 << 20);
    corpus.push(0, b"g:+2|g").unwrap();
    let reader = Reader { read_as: ReadAs::default(), now: 0, origins: &[0] };
    let mut run = Run::whole();
    run.expected = Account::of(&corpus, 3, reader);
    run.seen = shipped_in(Form::Points);
    run.ship(Kind::Gauge, Stat::Value, "g", &[10.0]);
    run.status = None;
    assert_eq!(run.verdict().series.short, 1);
    let spelling = Spelling {
        kind: Some(Kind::Gauge),
        stat: Stat::Value,
        container: "",
        name: "g",
        time: None,
    };
    run.seen.levels.insert(spelling.with(std::iter::empty::<(&str, &str)>()), 4.0);
    assert!(run.verdict().is_good());
}

#[test]
fn several_shared_listeners_leave_gauges_unchecked() {
    let mut run = Run::whole();
    run.is_mixed = true;
    run.ship(Kind::Gauge, Stat::Value, "level", &[99.0]);
    let verdict = run.verdict();
    assert!(verdict.is_good());
    assert_eq!(verdict.series.unchecked, 1);
}

#[test]
fn lists_tell_series_apart_by_name_and_tags_alone() {
    let mut corpus = Corpus::new(1 << 20);
    corpus.push(0, b"a:1|c\nb:2|c\nb:3|g\nt:4|ms|#container_id:x").unwrap();
    let reader = Reader { read_as: ReadAs::default(), now: 0, origins: &[0] };
    let mut run = Run::whole();
    run.expected = Account::of(&corpus, 1, reader);
    run.origins = vec!["c1".to_owned()];
    run.status = None;
    run.seen = shipped_in(Form::Lists);
    let mark = crate::shipped::Mark {
        container: "c1".to_owned(),
        source_tags: vec!["container_id".to_owned()],
        most: 1.0,
    };
    run.seen.marks.insert("mark".to_owned(), mark);
    let tag = ("exported_container_id", "x");
    for (name, value, own) in [
        ("a", 1.0, None),
        ("b", 5.0, None),
        ("t.count", 1.0, Some(tag)),
        ("t.sum", 4.0, Some(tag)),
        ("t.lower", 4.0, Some(tag)),
        ("t.upper", 4.0, Some(tag)),
        ("t.p99", 4.0, Some(tag)),
        ("t.other", 4.0, Some(tag)),
    ] {
        let spelling =
            Spelling { kind: None, stat: Stat::Value, container: "c1", name, time: None };
        let spelled = spelling.with([("container_id", "c1")].into_iter().chain(own));
        let one = Numbers { count: 1, sum: value, least: value, most: value, last: value, at: 0 };
        run.seen.numbers.insert(spelled, one);
    }
    let verdict = run.verdict();
    assert_eq!(verdict.unexplained, [""; 0]);
    let counts = &verdict.series;
    assert_eq!((counts.right, counts.unchecked, counts.others), (2, 2, 1));
}
