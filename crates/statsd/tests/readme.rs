//! What `README.md` tells users is what is done: each of its examples is read, and no reason and no
//! note is left out.

use metric::{GaugeSign, Note, ReadAs, Reason, Sample, Tag, Values};
use statsd::Reading;

const README: &str = include_str!("../README.md");

/// The clock of the examples.
const NOW: i64 = 1_700_000_000;

/// The settings of a listener, as the first line of a block of examples has them.
fn read_as(settings: &str) -> ReadAs {
    let mut read_as = ReadAs::default();
    for setting in settings.split_whitespace() {
        match setting {
            "gauge_sign=delta" => read_as.gauge_sign = GaugeSign::Delta,
            "gauge_sign=absolute" => read_as.gauge_sign = GaugeSign::Absolute,
            "name_tags=false" => read_as.name_tags = false,
            _ => panic!("{setting}: no such setting"),
        }
    }
    read_as
}

/// The examples with their settings: a line, and what it is.
fn examples() -> Vec<(ReadAs, &'static str, &'static str)> {
    let mut examples = Vec::new();
    let mut block = None;
    for text in README.lines() {
        if let Some(info) = text.strip_prefix("```") {
            block = info.strip_prefix("statsd").filter(|_| block.is_none()).map(read_as);
        } else if let Some(read_as) = block {
            let (line, is) = text.split_once(" => ").expect("an example is `line => what it is`");
            examples.push((read_as, line, is));
        }
    }
    examples
}

fn told(reading: &Reading<'_>) -> String {
    let mut told: Vec<_> = reading.samples().map(sample).collect();
    if let Some(event) = reading.event() {
        told.push(format!("event {:?} {:?}{}", event.title, event.text, tags(&event.tags)));
    }
    if let Some(check) = reading.check() {
        told.push(format!("check {} {}{}", check.name, check.status, tags(&check.tags)));
    }
    for reject in reading.rejects() {
        told.push(format!("refused {} {:?}", reject.reason.name(), statsd::shown(reject.text)));
    }
    told.extend(reading.notes().iter().map(|note| format!("note {}", note.name())));
    told.join(", ")
}

fn sample(sample: Sample<'_>) -> String {
    let by = if sample.relative { " by" } else { "" };
    let values = match sample.values {
        Values::Numbers(numbers) => spaced(numbers),
        Values::Member(member) => format!(" {member:?}"),
    };
    let rate = if sample.rate < 1.0 { format!(" @{}", sample.rate) } else { String::new() };
    let time = sample.timestamp.map_or_else(String::new, |time| format!(" at {time}"));
    let from = sample.container_id.map_or_else(String::new, |id| format!(" from {id}"));
    let (kind, name, tags) = (sample.kind.name(), sample.name, tags(sample.tags));
    format!("{kind} {name}{by}{values}{rate}{tags}{time}{from}")
}

fn tags(tags: &[Tag<'_>]) -> String {
    spaced(tags.iter().map(|tag| format!("#{}={}", tag.key, tag.value)))
}

fn spaced(words: impl IntoIterator<Item = impl ToString>) -> String {
    words.into_iter().flat_map(|word| [" ".to_owned(), word.to_string()]).collect()
}

#[test]
fn every_example_is_read_as_it_says() {
    let examples = examples();
    assert!(examples.len() > 50, "only {} examples were found", examples.len());
    for (read_as, line, is) in examples {
        let lines: Vec<_> = statsd::lines(line.as_bytes()).collect();
        assert_eq!(told(&statsd::read(lines[0], read_as, NOW)), is, "{line}");
    }
}

#[test]
fn every_reason_and_every_note_has_its_row() {
    let names = Reason::ALL.map(Reason::name).into_iter().chain(Note::ALL.map(Note::name));
    for name in names {
        let rows = README.lines().filter(|text| text.starts_with(&format!("| `{name}` |")));
        assert_eq!(rows.count(), 1, "{name}");
    }
}
