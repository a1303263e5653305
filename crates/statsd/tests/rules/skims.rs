use metric::ReadAs;

use crate::told::NOW;

#[test]
fn lines_of_one_series_have_one_spelling_wherever_rate_and_time_stand() {
    for lines in [
        &["a:1|c", "a:2.5|c", "a:x|c", "a:1:2|c", "a:1|c|@0.5", "a:1|c|T1|@x"][..],
        &["a:1|c|#k|c:x", "a:1|c|@1|#k|c:x", "a:1|c|#k|c:x|T1", "a:1|c|T1|#k|c:x|@1"],
        &["a:1|g|#k|@1|c:x", "a:-1|g|#k|T1|c:x", "a:1|g|T1|#k|@1|c:x", "a:1|g|#k|T1|c:x|@1"],
        &["a:1|c||x", "a:1|c||x|T1"],
    ] {
        let skims = lines.iter().map(|line| statsd::skim(line.as_bytes()).unwrap());
        let spellings: Vec<_> = skims.map(|skim| skim.spelling).collect();
        let alike = spellings.windows(2).all(|two| two[0] == two[1]);
        assert!(alike, "{lines:?}");
    }
    // What is read differently is spelt differently.
    let others = [
        "a:1|c",
        "b:1|c",
        "a:1|g",
        "a:1|m",
        "a:1|c|#k",
        "a:1|c|k",
        "a:1|c|#k|c:x",
        "a:1|c|#k|@1|c:x",
        "a:1|c|c:x|#k",
    ];
    for (i, one) in others.iter().enumerate() {
        for other in &others[..i] {
            let [one, other] = [one, other].map(|line| statsd::skim(line.as_bytes()).unwrap());
            assert_ne!(one.spelling, other.spelling);
        }
    }
}

#[test]
fn whatever_is_out_of_the_ordinary_is_left_to_reading_in_full() {
    for line in [
        "a",
        ":1|c",
        "a:1",
        "a|1:c",
        "a:1|x",
        "a:1|",
        "a:1|c:2|c",
        "a:1|c|@1:2|c",
        "a:1|c|#k|@1:2",
        "a:1|c|@1|@1",
        "a:1|c|T1|T1",
        "a:1|c|#a|@1|#b|T1|#c",
        "a:1|c|",
        "a:1|c||@1",
        "_e{1,1}:a|b",
        "_e{:1|c",
        "_sc|a|0",
        "_sc|a:1|c",
    ] {
        assert!(statsd::skim(line.as_bytes()).is_none(), "{line}");
    }
    let long = "x".repeat(1025);
    for line in
        ["a:|c", "a:x|c", "a:1:2|c", "a:nan|g", "a:|s", &format!("a:{long}|s"), "a:1|s", "a:-1|g"]
    {
        let skim = statsd::skim(line.as_bytes()).unwrap();
        let measured = skim.measure(ReadAs::default(), NOW).is_some();
        assert_eq!(measured, matches!(line, "a:1|s" | "a:-1|g"), "{line}");
    }
    let ill_formed = statsd::skim(b"a:\xff|s").unwrap();
    assert!(ill_formed.measure(ReadAs::default(), NOW).is_none());
    assert!(!statsd::read(b"a:\xff|s", ReadAs::default(), NOW).is_one_sample());
}
