//! The quick look at a line never says anything that reading it in full does not.

use metric::{GaugeSign, ReadAs, Values};
use statsd::Measure;

const NOW: i64 = 1_700_000_000;

/// The first byte chooses the settings; the others are lines, each compared with each.
pub(crate) fn skim(input: &[u8]) {
    let Some((settings, text)) = input.split_first() else { return };
    let read_as = ReadAs {
        gauge_sign: match settings % 3 {
            0 => GaugeSign::Auto,
            1 => GaugeSign::Delta,
            _ => GaugeSign::Absolute,
        },
        name_tags: settings & 0x80 == 0,
        trust_container: false,
    };
    let one_by_one = statsd::lines(text).map(|line| (line, statsd::skim(line)));
    assert!(statsd::skims(text).eq(one_by_one));
    let lines: Vec<_> = statsd::lines(text).take(8).collect();
    for known in &lines {
        for line in &lines {
            agrees(known, line, read_as);
        }
    }
}

/// Holds what a memo knows of one line against another line in full, if their spellings are alike
/// and the memo would be asked. Tells whether they were.
pub(crate) fn agrees(known: &[u8], line: &[u8], read_as: ReadAs) -> bool {
    let (Some(known_skim), Some(skim)) = (statsd::skim(known), statsd::skim(line)) else {
        return false;
    };
    let mut stored = Vec::new();
    known_skim.spelling.write(&mut stored);
    let alike = known_skim.spelling == skim.spelling;
    assert_eq!(skim.spelling.is_stored_as(&stored), alike);
    let known = statsd::read(known, read_as, NOW);
    let Some(measured) = skim.measure(read_as, NOW).filter(|_| alike && known.is_one_sample())
    else {
        return false;
    };

    let reading = statsd::read(line, read_as, NOW);
    assert!(reading.is_one_sample());
    assert_eq!(reading.spelling_notes(), known.spelling_notes());
    assert_eq!(reading.notes(), known.spelling_notes().union(measured.notes));
    assert_eq!(reading.container_id(), known.container_id());
    let sample = reading.samples().next().expect("one was kept");
    let expected = known.samples().next().expect("one was kept");
    assert_eq!(
        (sample.name, sample.kind, sample.tags),
        (expected.name, expected.kind, expected.tags)
    );
    assert_eq!(sample.container_id, expected.container_id);
    assert_eq!(sample.relative, measured.relative);
    assert_eq!(sample.rate.to_bits(), measured.rate.to_bits());
    assert_eq!(sample.timestamp, measured.timestamp);
    match (sample.values, measured.value) {
        (Values::Numbers([number]), Measure::Number(value)) => {
            assert_eq!(number.to_bits(), value.to_bits());
        }
        (Values::Member(member), Measure::Member(value)) => assert_eq!(member, value),
        (values, value) => panic!("{values:?} was measured as {value:?}"),
    }
    true
}
