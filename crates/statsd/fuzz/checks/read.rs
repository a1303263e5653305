//! Whatever the bytes are, what is read of them keeps to its bounds and is accounted for.

use metric::{GaugeSign, Kind, ReadAs, Sample, Values};
use statsd::{LONGEST_LINE, Reading, StreamLine, StreamLines};

const NOW: i64 = 1_700_000_000;

/// The first byte chooses the settings, the others are a datagram.
pub(crate) fn read(input: &[u8]) {
    let Some((settings, datagram)) = input.split_first() else { return };
    let read_as = ReadAs {
        gauge_sign: match settings % 3 {
            0 => GaugeSign::Auto,
            1 => GaugeSign::Delta,
            _ => GaugeSign::Absolute,
        },
        name_tags: settings & 0x80 == 0,
        trust_container: false,
    };
    for line in statsd::lines(datagram) {
        let reading = statsd::read(line, read_as, NOW);
        check_reading(&reading, line);
        assert_eq!(statsd::count(line, read_as, NOW), reading.received());
        check_writing(&reading, read_as);
        // The same bytes at another place, with nothing beside them.
        let alone = line.to_vec();
        let again = statsd::read(&alone, read_as, NOW);
        assert_eq!(format!("{reading:?}"), format!("{again:?}"));
    }
    check_stream(datagram);
}

fn check_reading(reading: &Reading<'_>, line: &[u8]) {
    let values: usize = reading.samples().map(|sample| sample.values.count()).sum();
    let others = usize::from(reading.event().is_some()) + usize::from(reading.check().is_some());
    let rejects = reading.rejects().len();
    assert_eq!(reading.received(), (values + others + rejects) as u64);
    assert!(reading.received() > 0, "no line goes without a trace");
    assert!(others == 0 || (values == 0 && rejects == 0));
    assert!(values + others > 0 || reading.notes().is_empty(), "a note is of something kept");
    assert_eq!(reading.spelling_notes().union(reading.notes()), reading.notes());

    let inside = line.as_ptr_range();
    for reject in reading.rejects() {
        let text = reject.text.as_ptr_range();
        assert!(inside.start <= text.start && text.end <= inside.end);
    }
    for sample in reading.samples() {
        check_sample(&sample);
    }
    if let Some(event) = reading.event() {
        assert!(!event.title.is_empty());
        check_tags(&event.tags);
    }
    if let Some(check) = reading.check() {
        assert!(!check.name.is_empty() && check.name.len() <= 1024 && check.status <= 3);
        check_tags(&check.tags);
    }
}

fn check_sample(sample: &Sample<'_>) {
    assert!(!sample.name.is_empty() && sample.name.len() <= 1024);
    check_tags(sample.tags);
    match sample.values {
        Values::Numbers(numbers) => {
            assert!(sample.kind != Kind::Set && !numbers.is_empty());
            assert!(numbers.iter().all(|number| number.is_finite()));
        }
        Values::Member(member) => {
            assert!(sample.kind == Kind::Set && !member.is_empty() && member.len() <= 1024);
        }
    }
    assert!((1e-9..=1.0).contains(&sample.rate));
    assert!(sample.rate >= 1.0 || !matches!(sample.kind, Kind::Gauge | Kind::Set));
    assert!(!sample.relative || (sample.kind == Kind::Gauge && sample.timestamp.is_none()));
    if let Some(timestamp) = sample.timestamp {
        assert!((NOW - 3600..=NOW + 600).contains(&timestamp));
        assert!(matches!(sample.kind, Kind::Counter | Kind::Gauge));
    }
    assert_ne!(sample.container_id, Some(""));
}

fn check_tags(tags: &[metric::Tag<'_>]) {
    assert!(tags.len() <= 64 && tags.is_sorted_by(|a, b| a < b));
    assert!(tags.iter().all(|tag| !tag.key.is_empty()));
    assert!(tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum::<usize>() <= 4096);
}

fn check_writing(reading: &Reading<'_>, read_as: ReadAs) {
    let mut line = b"before".to_vec();
    for sample in reading.samples() {
        line.truncate(6);
        let written = statsd::write(&sample, read_as, &mut line);
        assert!(line.starts_with(b"before"));
        if written.is_err() {
            assert_eq!(line.len(), 6, "nothing of what cannot be written is left");
            continue;
        }
        let now = sample.timestamp.unwrap_or(NOW);
        assert!(statsd::read(&line[6..], read_as, now).samples().eq([sample]));
    }
}

fn check_stream(bytes: &[u8]) {
    if bytes.len() > LONGEST_LINE {
        return; // a datagram is shorter
    }
    let mut whole = statsd::lines(bytes);
    let mut stream = StreamLines::new(std::io::BufReader::with_capacity(16, bytes));
    while let Some((_, line)) = stream.next_line().expect("a slice can be read") {
        match line {
            StreamLine::Whole(line) => assert_eq!(Some(line), whole.next()),
            StreamLine::TooLong(_) => panic!("no line of a datagram is too long"),
        }
    }
    assert_eq!(whole.next(), None);
}
