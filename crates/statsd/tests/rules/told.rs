use metric::{GaugeSign, ReadAs, Values};
use statsd::Reading;

pub(crate) const NOW: i64 = 1_700_000_000;

/// What is read of a line, in words: its samples, then `!` its rejects, then `~` its notes.
///
/// `a counter 1 2 @0.5 #k=v T1700000000 c:id !bad_value=x ~bad_rate`
pub(crate) fn told(line: &[u8], read_as: ReadAs) -> String {
    words(&statsd::read(line, read_as, NOW))
}

pub(crate) fn words(reading: &Reading<'_>) -> String {
    let mut words = Vec::new();
    for sample in reading.samples() {
        words.extend([sample.name.to_owned(), sample.kind.name().to_owned()]);
        match sample.values {
            Values::Numbers(numbers) if sample.relative => {
                words.extend(numbers.iter().map(|number| format!("{number:+}")));
            }
            Values::Numbers(numbers) => words.extend(numbers.iter().map(f64::to_string)),
            Values::Member(member) => words.push(format!("{member:?}")),
        }
        if sample.rate < 1.0 {
            words.push(format!("@{}", sample.rate));
        }
        words.extend(tag_words(sample.tags));
        words.extend(sample.timestamp.map(|time| format!("T{time}")));
        words.extend(sample.container_id.map(|id| format!("c:{id}")));
    }
    if let Some(event) = reading.event() {
        words.push(format!("event {:?} {:?}", event.title, event.text));
        words.extend(tag_words(&event.tags));
    }
    if let Some(check) = reading.check() {
        words.push(format!("check {:?} {}", check.name, check.status));
        words.extend(tag_words(&check.tags));
    }
    for reject in reading.rejects() {
        words.push(format!("!{}={}", reject.reason.name(), statsd::shown(reject.text)));
    }
    words.extend(reading.notes().iter().map(|note| format!("~{}", note.name())));
    words.join(" ")
}

fn tag_words(tags: &[metric::Tag<'_>]) -> Option<String> {
    let words: Vec<_> = tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
    (!words.is_empty()).then(|| format!("#{}", words.join(",")))
}

/// Reads every line of a table with the default settings.
#[track_caller]
pub(crate) fn check(table: &[(&str, &str)]) {
    for (line, expected) in table {
        assert_eq!(told(line.as_bytes(), ReadAs::default()), *expected, "{line:?}");
    }
}

/// As [`check`], for lines that are no text.
#[track_caller]
pub(crate) fn check_bytes(table: &[(&[u8], &str)]) {
    for (line, expected) in table {
        assert_eq!(told(line, ReadAs::default()), *expected, "{}", line.escape_ascii());
    }
}

pub(crate) fn signed(gauge_sign: GaugeSign) -> ReadAs {
    ReadAs { gauge_sign, ..ReadAs::default() }
}
