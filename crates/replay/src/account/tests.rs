use super::*;
use metric::Tag;

fn corpus(payloads: &[&str]) -> Corpus {
    let mut corpus = Corpus::new(1 << 20);
    for payload in payloads {
        corpus.push(0, payload.as_bytes()).unwrap();
    }
    corpus
}

fn account(payloads: &[&str], datagrams: u64) -> Account {
    let reader = Reader { read_as: ReadAs::default(), now: 1_700_000_000, origins: &[0] };
    Account::of(&corpus(payloads), datagrams, reader)
}

fn of<'a>(account: &'a Account, kind: Kind, name: &str, tags: &[Tag<'_>]) -> &'a Expected {
    let series = SeriesKey::new(kind, name, tags);
    &account.series[&Key { origin: 0, series, time: None }]
}

#[test]
fn a_counter_totals_its_values_by_their_rates() {
    let account = account(&["a:1|c|#t:x\na:2:3|c|@0.5|#t:x", "a:7|c"], 2);
    let expected = of(&account, Kind::Counter, "a", &[Tag::new("t", "x")]);
    assert_eq!(expected.samples, 3);
    let step = Span { least: 1.0, most: 6.0 };
    assert_eq!(expected.total, Total::Counter { sum: 11.0, magnitude: 11.0, step });
    assert_eq!((account.samples, account.datagrams, account.series.len()), (4, 2, 2));
    assert_eq!(account.of_a_datagram, Some((1, 3)));
}

#[test]
fn a_gauge_is_its_last_level_and_the_changes_since() {
    let account = account(&["g:5|g", "g:+1|g\ng:9|g\ng:-2|g", "h:+2|g"], 3);
    for (name, level, changes) in [("g", Some(9.0), -2.0), ("h", None, 2.0)] {
        let Total::Gauge { set, change, has_changes, .. } =
            &of(&account, Kind::Gauge, name, &[]).total
        else {
            panic!("{name}")
        };
        assert_eq!((*set, *change, *has_changes), (level, changes, true));
    }
}

#[test]
fn a_summary_has_weight_sum_and_extremes_and_a_set_its_members() {
    let account = account(&["t:4:8|ms|@0.5\nt:1|ms\nu:x|s\nu:y|s\nu:x|s"], 1);
    let Total::Summary { weight, sum, values, .. } = of(&account, Kind::Timer, "t", &[]).total
    else {
        panic!()
    };
    assert_eq!((weight, sum, values.least, values.most), (5.0, 25.0, 1.0, 8.0));
    let Total::Set { members } = &of(&account, Kind::Set, "u", &[]).total else { panic!() };
    assert_eq!(members.len(), 2);
    assert_eq!(of(&account, Kind::Set, "u", &[]).samples, 3);
}

#[test]
fn what_must_be_refused_is_counted_by_its_reason() {
    let account = account(&["a:x:1|c\nnothing\n_e{1,1}:a|b\n_sc|a|9"], 1);
    let refused: Vec<_> = account.refused.iter().map(|(reason, count)| (*reason, *count)).collect();
    assert_eq!(refused, [("bad_check", 1), ("bad_value", 1), ("no_value", 1), ("not_carried", 1)]);
    assert_eq!(account.samples, 5);
}

#[test]
fn passes_are_what_sending_the_same_again_is() {
    let payloads = [
        "a:1.5|c|@0.1\ng:+1|g\nh:3|g\nh:+2|g",
        "t:4|ms\nbad\nu:x|s",
        "h:+1|g\nu:y|s\na:-3|c",
        "g:+0.5|g\nt:9:1|ms|@0.5",
    ];
    for datagrams in [1, 3, 4, 5, 8, 11] {
        let cycled: Vec<&str> = payloads.iter().copied().cycle().take(datagrams as usize).collect();
        let (at_once, one_by_one) = (account(&payloads, datagrams), account(&cycled, datagrams));
        assert_eq!(at_once.series, one_by_one.series, "{datagrams}");
        assert_eq!(at_once.refused, one_by_one.refused);
        assert_eq!((at_once.samples, at_once.datagrams), (one_by_one.samples, datagrams));
        assert_eq!(at_once.of_a_datagram, one_by_one.of_a_datagram);
    }
}

#[test]
fn a_gauge_with_a_believed_time_is_a_series_of_its_own() {
    let account = account(&["g:1|g|T1700000000\ng:2|g\nc:1|c|T1700000000\nc:1|c"], 1);
    let times: Vec<_> = account.series.keys().filter_map(|key| key.time).collect();
    assert_eq!(times, [1_700_000_000]);
    assert_eq!(account.series.len(), 3);
}
