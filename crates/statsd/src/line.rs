use metric::{Notes, ReadAs, Reason};
use smallvec::SmallVec;

use crate::lossy::Decoder;
use crate::pieces::pieces;
use crate::reading::Reading;
use crate::scan::find;
use crate::sections::Sections;
use crate::skim::skim;
use crate::values::{self, Common, RawSample};
use crate::{event, name, ordinary, tags};

const LONGEST_NAME: usize = 1_024;

/// Reads one line, stripped and not empty, as its listener's settings say; `now` is in unix
/// seconds and decides which times are believed.
// Hot path where the memo does not know a line: no allocation for an ordinary one.
pub fn read(line: &[u8], read_as: ReadAs, now: i64) -> Reading<'_> {
    if let Some(reading) = ordinary::read(line, read_as, now) {
        return reading;
    }
    read_any(line, read_as, now)
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

/// Reads any line.
#[inline(never)]
pub(crate) fn read_any(line: &[u8], read_as: ReadAs, now: i64) -> Reading<'_> {
    let mut reading = Reading::default();
    let outcome = if line.starts_with(b"_e{") {
        event::read_event(line, &mut reading)
    } else if line.starts_with(b"_sc|") {
        event::read_check(line, &mut reading)
    } else {
        read_metric(line, read_as, now, &mut reading)
    };
    if let Err(reason) = outcome {
        reading.refuse(reason, line);
    }
    reading
}

fn read_metric<'a>(
    line: &'a [u8],
    read_as: ReadAs,
    now: i64,
    reading: &mut Reading<'a>,
) -> Result<(), Reason> {
    let colon = find([b':', b'|'], line, 0);
    let colon = colon.filter(|at| line[*at] == b':').ok_or(Reason::NoValue)?;
    let decoder = Decoder::of(line);
    let mut notes = Notes::NONE;

    let (name, has_name_tags) =
        name::read(line, colon, read_as.name_tags, &decoder, &mut reading.tags, &mut notes);
    let (mut samples, sections) = split(line, colon + 1);
    let mut said = Sections::default();
    for section in sections.into_iter().flat_map(|sections| pieces(sections, b'|')) {
        said.add(section, &decoder, &mut reading.tags, &mut notes);
    }
    if let (Some(rate), Some(last)) = (said.rate, samples.last_mut()) {
        last.rate = Some(rate);
    }

    if !is_a_name(&name) {
        return Err(if name.is_empty() { Reason::EmptyName } else { Reason::TooLong });
    }
    tags::finish(&mut reading.tags, line.len())?;
    if has_name_tags && samples.first().is_some_and(values::begins_badly) {
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
    for sample in &samples {
        values::read(sample, &common, reading);
    }
    if !reading.parts.is_empty() {
        reading.notes = reading.notes.union(notes);
    }
    Ok(())
}

/// Whether a name, its tags taken out, is neither empty nor too long.
pub(crate) fn is_a_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
}

/// The samples that stand from here on, at least one, and what follows them.
#[inline]
fn split(line: &[u8], from: usize) -> (SmallVec<[RawSample<'_>; 1]>, Option<&[u8]>) {
    let mut samples = SmallVec::new();
    let mut at = from;
    loop {
        let (sample, end) = sample(line, at);
        samples.push(sample);
        match end {
            End::Line => return (samples, None),
            End::Sections(at) => return (samples, Some(&line[at..])),
            End::Sample(next) => at = next,
        }
    }
}

/// What follows a sample, and where it begins.
enum End {
    Line,
    /// Behind the `|`.
    Sections(usize),
    /// Behind the `:`.
    Sample(usize),
}

/// Reads off one sample. The first part is values, the second a kind, whatever they look like. A
/// `:` in the kind part begins the next sample, and so does one in a rate that follows the kind
/// part directly or behind other rates.
#[inline]
fn sample(line: &[u8], from: usize) -> (RawSample<'_>, End) {
    let Some(bar) = find([b'|'], line, from) else {
        let values = &line[from..];
        return (RawSample { values, kind: None, rate: None, text: values }, End::Line);
    };
    let (kind, mut end) = up_to_separator(line, bar + 1);
    let text = &line[from..bar + 1 + kind.len()];
    let mut sample = RawSample { values: &line[from..bar], kind: Some(kind), rate: None, text };
    while let End::Sections(at) = end
        && line.get(at) == Some(&b'@')
    {
        let (rate, behind) = up_to_separator(line, at + 1);
        (sample.rate, end) = (Some(rate), behind);
    }
    (sample, end)
}

#[inline]
fn up_to_separator(line: &[u8], from: usize) -> (&[u8], End) {
    match find([b'|', b':'], line, from) {
        Some(at) if line[at] == b':' => (&line[from..at], End::Sample(at + 1)),
        Some(at) => (&line[from..at], End::Sections(at + 1)),
        None => (&line[from..], End::Line),
    }
}
