use memchr::{memchr, memchr2};
use metric::{Notes, ReadAs, Reason};
use smallvec::SmallVec;

use crate::reading::Reading;
use crate::sections::{Parts, Sections};
use crate::values::{self, Common, RawSample};
use crate::{event, name, tags};

const LONGEST_NAME: usize = 1_024;

/// Reads one line, stripped and not empty, as its listener's settings say; `now` is in unix
/// seconds and decides which times are believed.
// Hot path where the memo does not know a line: no allocation for an ordinary one.
pub fn read(line: &[u8], read_as: ReadAs, now: i64) -> Reading<'_> {
    if line.starts_with(b"_e{") {
        event::read_event(line)
    } else if line.starts_with(b"_sc|") {
        event::read_check(line)
    } else {
        match memchr2(b':', b'|', line) {
            Some(colon) if line[colon] == b':' => read_metric(line, colon, read_as, now),
            Some(_) | None => Reading::refused(Reason::NoValue, line),
        }
    }
}

fn read_metric(line: &[u8], colon: usize, read_as: ReadAs, now: i64) -> Reading<'_> {
    let (name_text, rest) = (&line[..colon], &line[colon + 1..]);
    let mut reading = Reading::default();
    let mut notes = Notes::NONE;

    let (name, has_name_tags) =
        name::name(name_text, read_as.name_tags, &mut reading.tags, &mut notes);
    let (mut samples, sections) = split(rest);
    let mut said = Sections::default();
    for part in sections {
        said.add(part, &mut reading.tags, &mut notes);
    }
    if let (Some(rate), Some(last)) = (said.rate, samples.last_mut()) {
        last.rate = Some(rate);
    }

    let refused = if name.is_empty() {
        Some(Reason::EmptyName)
    } else if name.len() > LONGEST_NAME {
        Some(Reason::TooLong)
    } else if let Err(reason) = tags::finish(&mut reading.tags) {
        Some(reason)
    } else if has_name_tags && values::begins_badly(&samples[0]) {
        Some(Reason::BadValue)
    } else {
        None
    };
    if let Some(reason) = refused {
        return Reading::refused(reason, line);
    }

    reading.name = name;
    reading.container_id = said.container_id(&mut notes);
    let common = Common {
        gauge_sign: read_as.gauge_sign,
        now,
        time: said.time,
        dogstatsd: said.dogstatsd,
    };
    for sample in &samples {
        values::read(sample, &common, &mut reading);
    }
    if !reading.parts.is_empty() {
        reading.notes = reading.notes.union(notes);
    }
    reading
}

/// Splits what follows the name into samples, at least one, and the sections behind them.
///
/// The first part is values, the second a kind, whatever they look like. A `:` in a kind part
/// begins the next sample's values, and so does one in a rate that follows a kind part directly or
/// behind other rates.
fn split(text: &[u8]) -> (SmallVec<[RawSample<'_>; 1]>, impl Iterator<Item = &[u8]>) {
    let mut samples = SmallVec::new();
    let mut parts = Parts::of(text);
    let mut values = parts.next().unwrap_or_default();
    // Where the values begin in `text`.
    let mut start = 0;
    loop {
        let Some(part) = parts.next() else {
            samples.push(RawSample { values, kind: None, rate: None, text: values });
            break;
        };
        let (kind, mut next_values) = split_at_colon(part);
        let end = start + values.len() + 1 + kind.len();
        let mut sample =
            RawSample { values, kind: Some(kind), rate: None, text: &text[start..end] };
        while next_values.is_none() && parts.rest().is_some_and(|rest| rest.starts_with(b"@")) {
            let (rate, next) = split_at_colon(&parts.next().unwrap_or_default()[1..]);
            (sample.rate, next_values) = (Some(rate), next);
        }
        samples.push(sample);
        match next_values {
            Some(next) => {
                values = next;
                start = text.len() - parts.rest().map_or(0, |rest| rest.len() + 1) - next.len();
            }
            None => break,
        }
    }
    (samples, parts)
}

fn split_at_colon(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b':', part) {
        Some(colon) => (&part[..colon], Some(&part[colon + 1..])),
        None => (part, None),
    }
}
