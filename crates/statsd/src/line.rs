use memchr::memchr2;
use metric::{Notes, ReadAs, Reason};

use crate::lossy::Decoder;
use crate::pieces::{cut_near, pieces};
use crate::reading::Reading;
use crate::sections::Sections;
use crate::skim::skim;
use crate::values::{self, Common, RawSample};
use crate::{event, name, tags};

const LONGEST_NAME: usize = 1_024;

/// Reads one line, stripped and not empty, as its listener's settings say; `now` is in unix
/// seconds and decides which times are believed.
// Hot path where the memo does not know a line: no allocation for an ordinary one.
pub fn read(line: &[u8], read_as: ReadAs, now: i64) -> Reading<'_> {
    let mut reading = Reading::default();
    let outcome = if line.starts_with(b"_e{") {
        event::read_event(line, &mut reading)
    } else if line.starts_with(b"_sc|") {
        event::read_check(line, &mut reading)
    } else {
        read_metric(line, read_as, now, &mut reading)
    };
    if let Err(reason) = outcome {
        reading = Reading::refused(reason, line);
    }
    reading
}

/// What a line adds to "samples received", [`Reading::received`], for less than a whole reading
/// costs.
// Hot path where samples are counted and not added up.
pub fn count(line: &[u8], read_as: ReadAs, now: i64) -> u64 {
    match skim(line) {
        Some(skim) if skim.is_one_sample() => 1,
        Some(_) | None => read(line, read_as, now).received(),
    }
}

fn read_metric<'a>(
    line: &'a [u8],
    read_as: ReadAs,
    now: i64,
    reading: &mut Reading<'a>,
) -> Result<(), Reason> {
    let colon = memchr2(b':', b'|', line).filter(|at| line[*at] == b':').ok_or(Reason::NoValue)?;
    let decoder = Decoder::of(line);
    let mut notes = Notes::NONE;

    let (name, has_name_tags) =
        name::read(&line[..colon], read_as.name_tags, &decoder, &mut reading.tags, &mut notes);
    let Split { mut first, mut further, sections } = split(&line[colon + 1..]);
    let mut said = Sections::default();
    for section in sections.into_iter().flat_map(|sections| pieces(sections, b'|')) {
        said.add(section, &decoder, &mut reading.tags, &mut notes);
    }
    if said.rate.is_some() {
        further.last_mut().unwrap_or(&mut first).rate = said.rate;
    }

    if name.is_empty() {
        return Err(Reason::EmptyName);
    }
    if name.len() > LONGEST_NAME {
        return Err(Reason::TooLong);
    }
    tags::finish(&mut reading.tags)?;
    if has_name_tags && values::begins_badly(&first) {
        return Err(Reason::BadValue);
    }

    reading.name = name;
    reading.container_id = said.container_id(&decoder, &mut notes);
    let common = Common {
        gauge_sign: read_as.gauge_sign,
        now,
        time: said.time,
        dogstatsd: said.dogstatsd,
        decoder,
    };
    values::read(&first, &common, reading);
    for sample in &further {
        values::read(sample, &common, reading);
    }
    if !reading.parts.is_empty() {
        reading.notes = reading.notes.union(notes);
    }
    Ok(())
}

/// What follows a line's name.
struct Split<'a> {
    first: RawSample<'a>,
    // No allocation for an ordinary line, which has none.
    further: Vec<RawSample<'a>>,
    sections: Option<&'a [u8]>,
}

fn split(text: &[u8]) -> Split<'_> {
    let (first, mut end) = sample(text);
    let mut further = Vec::new();
    loop {
        match end {
            End::Line => return Split { first, further, sections: None },
            End::Sections(sections) => return Split { first, further, sections: Some(sections) },
            End::Sample(text) => {
                let (sample, next_end) = sample(text);
                further.push(sample);
                end = next_end;
            }
        }
    }
}

/// What follows a sample.
enum End<'a> {
    Line,
    /// Everything behind the `|`.
    Sections(&'a [u8]),
    /// Everything behind the `:`.
    Sample(&'a [u8]),
}

/// Reads off one sample. The first part is values, the second a kind, whatever they look like. A
/// `:` in the kind part begins the next sample, and so does one in a rate that follows the kind
/// part directly or behind other rates.
fn sample(text: &[u8]) -> (RawSample<'_>, End<'_>) {
    let (values, behind) = cut_near(text, b'|');
    let mut sample = RawSample { values, kind: None, rate: None, text: values };
    let Some(behind) = behind else { return (sample, End::Line) };
    let (kind, mut end) = up_to_separator(behind);
    sample.kind = Some(kind);
    sample.text = &text[..values.len() + 1 + kind.len()];
    while let End::Sections([b'@', rate @ ..]) = end {
        let rate_and_end = up_to_separator(rate);
        (sample.rate, end) = (Some(rate_and_end.0), rate_and_end.1);
    }
    (sample, end)
}

fn up_to_separator(text: &[u8]) -> (&[u8], End<'_>) {
    match text.iter().position(|byte| matches!(byte, b'|' | b':')) {
        Some(at) if text[at] == b':' => (&text[..at], End::Sample(&text[at + 1..])),
        Some(at) => (&text[..at], End::Sections(&text[at + 1..])),
        None => (text, End::Line),
    }
}
