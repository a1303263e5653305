use metric::{ReadAs, Reason};

use crate::told::check;

#[track_caller]
fn refused(line: &[u8]) -> Option<Reason> {
    let reading = statsd::read(line, ReadAs::default(), 0);
    let samples = reading.samples().count() + usize::from(reading.check().is_some());
    assert_eq!(samples + reading.rejects().len(), 1, "{}", line.escape_ascii());
    if let [reject] = reading.rejects() {
        assert_eq!(reject.text.len() > 200, line.len() > 200);
    }
    reading.rejects().first().map(|reject| reject.reason)
}

#[test]
fn a_name_and_a_member_have_1024_bytes_of_text() {
    let too_long = Some(Reason::TooLong);
    // Each ill-formed sequence, of whatever length, becomes three bytes.
    for (unit, width) in [(&b"x"[..], 1), (b"\xc3\xa9", 2), (b"\xff", 3), (b"\xe2\x82", 3)] {
        let most = [unit.repeat(1024 / width), b"x".repeat(1024 % width)].concat();
        let more = [&most[..], b"x"].concat();
        for (text, expected) in [(most, None), (more, too_long)] {
            assert_eq!(refused(&[&text[..], b":1|c"].concat()), expected);
            assert_eq!(refused(&[&text[..], b",k=v:1|c"].concat()), expected);
            assert_eq!(refused(&[b"m:", &text[..], b"|s"].concat()), expected);
            assert_eq!(refused(&[b"_sc|", &text[..], b"|0"].concat()), expected);
        }
    }
}

#[test]
fn a_member_that_is_too_long_refuses_its_sample_only() {
    let line = [b"m:1|c:", &b"x".repeat(1025)[..], b"|s:2|c"].concat();
    let reading = statsd::read(&line, ReadAs::default(), 0);
    assert_eq!((reading.samples().count(), reading.rejects().len()), (2, 1));
    assert_eq!(reading.rejects()[0].text, &line[6..line.len() - 4]);
}

#[test]
fn a_line_has_64_tags_once_they_are_merged() {
    let tags = |count: usize| (0..count).map(|i| format!("k{i}")).collect::<Vec<_>>();
    let sections = |count| format!("m:1|c|#{}", tags(count).join(","));
    assert_eq!(refused(sections(64).as_bytes()), None);
    assert_eq!(refused(sections(65).as_bytes()), Some(Reason::TooManyTags));
    assert_eq!(refused(format!("{},k1,k2|#k3", sections(64)).as_bytes()), None);
    let in_name = |count| format!("m;{}=:1|c", tags(count).join("=;"));
    assert_eq!(refused(in_name(64).as_bytes()), None);
    assert_eq!(refused(format!("{}|#k1", in_name(64)).as_bytes()), None);
    assert_eq!(refused(format!("{}|#x", in_name(64)).as_bytes()), Some(Reason::TooManyTags));
}

#[test]
fn the_tags_of_a_line_have_4096_bytes_of_text() {
    let line = |value: &[u8]| [b"m:1|c|#k:", value, b",k:", value].concat();
    assert_eq!(refused(&line(&b"x".repeat(4095))), None);
    assert_eq!(refused(&line(&b"x".repeat(4096))), Some(Reason::TooLong));
    assert_eq!(refused(&line(&b"\xff".repeat(1365))), None);
    assert_eq!(refused(&line(&b"\xff".repeat(1366))), Some(Reason::TooLong));
    let half = "x".repeat(2046);
    assert_eq!(refused(format!("m,k={half}:1|c|#ll:{half}x").as_bytes()), None);
    assert_eq!(refused(format!("m,k={half}:1|c|#ll:{half}xx").as_bytes()), Some(Reason::TooLong));
}

#[test]
fn checks_of_the_whole_line_go_from_left_to_right() {
    let name = "n".repeat(1025);
    let tags: Vec<_> = (0..65).map(|i| format!("{i}:{}", "x".repeat(100))).collect();
    let tags = tags.join(",");
    for (line, expected) in [
        (format!("{name}|1:c"), Reason::NoValue),
        (format!(",k=v:x|c|#{tags}"), Reason::EmptyName),
        (format!("{name},k=v:x|c|#{tags}"), Reason::TooLong),
        (format!("n,k=v:x|c|#{tags}"), Reason::TooManyTags),
        (format!("n,k=v:x|c|#k:{}", "x".repeat(5000)), Reason::TooLong),
        (format!("_sc|{name}|0|#{tags}"), Reason::TooLong),
        (format!("_sc|{name}|4"), Reason::BadCheck),
        (format!("_sc|n|0|#{tags}"), Reason::TooManyTags),
        (format!("_e{{1,1}}:a|b|#{tags}"), Reason::TooManyTags),
    ] {
        assert_eq!(refused(line.as_bytes()), Some(expected), "{line}");
    }
}

#[test]
fn a_line_that_is_refused_whole_has_neither_samples_nor_notes() {
    check(&[
        (":1|c:x|c|#,|y", "!empty_name=:1|c:x|c|#,|y"),
        (",k=v,:1|m|@x|c:y", "!empty_name=,k=v,:1|m|@x|c:y"),
    ]);
}
