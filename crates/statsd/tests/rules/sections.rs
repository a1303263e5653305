use crate::told::{NOW, check, words};

#[test]
fn a_section_is_known_by_its_exact_beginning() {
    check(&[
        ("a:1|c|e:x|card:low|e:|card:", "a counter 1"),
        ("a:1|c|", "a counter 1 ~unknown_section"),
        ("a:1|c|x||", "a counter 1 ~unknown_section"),
        ("a:1|c|E:x", "a counter 1 ~unknown_section"),
        ("a:1|c|card", "a counter 1 ~unknown_section"),
        ("a:1|c| #k", "a counter 1 ~unknown_section"),
        ("a:1|c|t1700000000", "a counter 1 ~unknown_section"),
        ("a:1|c|C:x", "a counter 1 ~unknown_section"),
        ("a:1|c|Tuesday", "a counter 1 ~bad_timestamp"),
    ]);
}

#[test]
fn a_container_is_the_last_one_without_its_mark() {
    check(&[
        ("a:1|c|c:x", "a counter 1 c:x"),
        ("a:1|c|c:ci-x", "a counter 1 c:x"),
        ("a:1|c|c:ci-ci-x", "a counter 1 c:ci-x"),
        ("a:1|c|c:CI-x", "a counter 1 c:CI-x"),
        ("a:1|c|c:x|c:y", "a counter 1 c:y"),
        ("a:1|c|c:x|c:", "a counter 1"),
        ("a:1|c|c:ci-", "a counter 1"),
        ("a:1|c|c:x:y", "a counter 1 c:x:y"),
        ("a:1|c:x|c|c:y", "a counter 1 c:y !bad_value=x"),
    ]);
}

#[test]
fn a_time_is_believed_from_an_hour_ago_to_ten_minutes_ahead() {
    for (time, seconds) in [
        ("1700000000", Some(NOW)),
        ("1699996400", Some(NOW - 3600)),
        ("1699996399", None),
        ("1699996399.99", None),
        ("1700000600", Some(NOW + 600)),
        ("1700000600.99", Some(NOW + 600)),
        ("1700000601", None),
        ("1700000000.", Some(NOW)),
        ("0001700000000", Some(NOW)),
        ("", None),
        (".5", None),
        ("-1", None),
        ("+1700000000", None),
        ("1.7e9", None),
        ("1700000000x", None),
        ("1700000000.1.2", None),
        ("18446744075409551616", None),
        ("99999999999999999999999999", None),
    ] {
        let line = format!("a:1|c|T{time}");
        let reading = statsd::read(line.as_bytes(), metric::ReadAs::default(), NOW);
        assert_eq!(reading.samples().next().expect("a counter").timestamp, seconds, "{line}");
        assert_eq!(
            reading.notes().contains(metric::Note::BadTimestamp),
            seconds.is_none(),
            "{line}"
        );
    }
}

#[test]
fn the_ends_of_time_are_no_overflow() {
    for now in [i64::MIN, i64::MAX, 0, -1] {
        let reading = statsd::read(b"a:1|c|T9223372036854775807", metric::ReadAs::default(), now);
        let expected = if now == i64::MAX {
            "a counter 1 T9223372036854775807"
        } else {
            "a counter 1 ~bad_timestamp"
        };
        assert_eq!(words(&reading), expected);
    }
}

#[test]
fn only_counters_and_gauges_have_a_time_and_it_is_judged_sample_by_sample() {
    check(&[
        ("a:1|c|T1700000000", "a counter 1 T1700000000"),
        ("a:1|m|T1700000000", "a counter 1 T1700000000 ~meter"),
        ("a:1|g|T1700000000", "a gauge 1 T1700000000"),
        ("a:-1|g|T1700000000", "a gauge -1 T1700000000"),
        ("a:+1|g|T1700000000", "a gauge +1 ~bad_timestamp"),
        ("a:+1:2|g|T1700000000", "a gauge +1 a gauge 2 T1700000000 ~bad_timestamp"),
        ("a:1|ms|T1700000000", "a timer 1 ~bad_timestamp"),
        ("a:1|h|T1700000000", "a histogram 1 ~bad_timestamp"),
        ("a:1|d|T1700000000", "a distribution 1 ~bad_timestamp"),
        ("a:1|s|T1700000000", "a set \"1\" ~bad_timestamp"),
        ("a:1|ms:2|c|T1700000000", "a timer 1 a counter 2 T1700000000 ~bad_timestamp"),
        ("a:1|c|T1700000000|T1", "a counter 1 ~bad_timestamp"),
        ("a:1|c|T1|T1700000000", "a counter 1 T1700000000"),
    ]);
}
