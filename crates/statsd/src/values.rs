use metric::{GaugeSign, Kind, Note, Notes, Reason};

use crate::lossy::Decoder;
use crate::number;
use crate::reading::{Part, PartValue, Reading, Reject};

const LONGEST_MEMBER: usize = 1_024;

/// One sample as it stands in the line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawSample<'a> {
    /// The values, with the `:` between them.
    pub(crate) values: &'a [u8],
    /// The kind; `None` if the line ended before it.
    pub(crate) kind: Option<&'a [u8]>,
    /// The last `@` of this sample.
    pub(crate) rate: Option<&'a [u8]>,
    /// From the first of its values to the last of its kind.
    pub(crate) text: &'a [u8],
}

/// What the line says about all of its samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'a> {
    pub(crate) gauge_sign: GaugeSign,
    pub(crate) now: i64,
    /// The last `T` section.
    pub(crate) time: Option<&'a [u8]>,
    /// There is a section that only DogStatsD's clients write.
    pub(crate) dogstatsd: bool,
    pub(crate) decoder: Decoder<'a>,
}

/// A kind part: the kind, and whether it is a meter.
#[inline]
pub(crate) fn kind(text: &[u8]) -> Option<(Kind, bool)> {
    Some(match text {
        b"c" => (Kind::Counter, false),
        b"m" => (Kind::Counter, true),
        b"g" => (Kind::Gauge, false),
        b"ms" => (Kind::Timer, false),
        b"h" => (Kind::Histogram, false),
        b"d" => (Kind::Distribution, false),
        b"s" => (Kind::Set, false),
        _ => return None,
    })
}

/// Whether the first value of a sample is none: then tags that were taken out of the name cut it
/// inside a tag's value, and the line makes no sense.
pub(crate) fn begins_badly(sample: &RawSample<'_>) -> bool {
    let of_numbers = sample.kind.and_then(kind).is_some_and(|(kind, _)| kind != Kind::Set);
    let first = items(sample.values).next();
    of_numbers && first.is_some_and(|item| number::number(item) == Err(Reason::BadValue))
}

// What is packed, but for what is empty.
fn items(values: &[u8]) -> impl Iterator<Item = &[u8]> {
    values.split(|byte| *byte == b':').filter(|item| !item.is_empty())
}

/// Reads one sample: what is kept of it goes to the reading's parts, what is not to its rejects.
pub(crate) fn read<'a>(sample: &RawSample<'a>, common: &Common<'a>, reading: &mut Reading<'a>) {
    let (kind, meter) = match known_kind(sample) {
        Ok(known) => known,
        Err(reason) => return reading.rejects.push(Reject { reason, text: sample.text }),
    };
    let kept_before = reading.parts.len();
    let mut notes = Notes::NONE;
    if meter {
        notes.insert(Note::Meter);
    }
    let rate = rate(kind, sample.rate, &mut notes);
    if kind == Kind::Set {
        read_member(sample, common, &mut notes, reading);
    } else {
        read_numbers(sample.values, (kind, rate), common, &mut notes, reading);
    }
    if reading.parts.len() > kept_before {
        reading.notes = reading.notes.union(notes);
    }
}

fn known_kind(sample: &RawSample<'_>) -> Result<(Kind, bool), Reason> {
    let known = sample.kind.and_then(kind);
    let empty = match known {
        Some((Kind::Set, _)) => sample.values.is_empty(),
        _ => sample.values.iter().all(|byte| *byte == b':'),
    };
    match sample.kind {
        _ if empty => Err(Reason::NoValue),
        None | Some(b"") => Err(Reason::NoKind),
        Some(_) => known.ok_or(Reason::UnknownKind),
    }
}

fn read_member<'a>(
    sample: &RawSample<'a>,
    common: &Common<'a>,
    notes: &mut Notes,
    reading: &mut Reading<'a>,
) {
    let member = common.decoder.text(sample.values, notes);
    if member.len() > LONGEST_MEMBER {
        return reading.rejects.push(Reject { reason: Reason::TooLong, text: sample.text });
    }
    let timestamp = timestamp(Kind::Set, false, common.time, common.now, notes);
    let value = PartValue::Member(member);
    reading.parts.push(Part { kind: Kind::Set, value, relative: false, rate: 1.0, timestamp });
}

fn read_numbers<'a>(
    values: &'a [u8],
    (kind, rate): (Kind, f64),
    common: &Common<'_>,
    notes: &mut Notes,
    reading: &mut Reading<'a>,
) {
    // A packed gauge may go from values to changes and back: each run of either is a part.
    let mut run = None;
    for item in items(values) {
        let number = match number::number(item) {
            Ok(number) => number,
            Err(reason) => {
                reading.rejects.push(Reject { reason, text: item });
                continue;
            }
        };
        let relative = is_relative(kind, item, common.gauge_sign, common.dogstatsd);
        let from = reading.numbers.len() as u32;
        reading.numbers.push(number);
        if let (true, Some(part)) = (run == Some(relative), reading.parts.last_mut()) {
            part.value.take_next_number();
            continue;
        }
        run = Some(relative);
        let timestamp = timestamp(kind, relative, common.time, common.now, notes);
        let value = PartValue::Numbers { from, to: from + 1 };
        reading.parts.push(Part { kind, value, relative, rate, timestamp });
    }
}

/// Whether a gauge's value, given as it is written, is a change.
#[inline]
pub(crate) fn is_relative(kind: Kind, item: &[u8], sign: GaugeSign, dogstatsd: bool) -> bool {
    if kind != Kind::Gauge {
        return false;
    }
    match (sign, item.first()) {
        (GaugeSign::Auto | GaugeSign::Delta, Some(b'+')) | (GaugeSign::Delta, Some(b'-')) => true,
        (GaugeSign::Auto, Some(b'-')) => !dogstatsd,
        (GaugeSign::Auto | GaugeSign::Delta | GaugeSign::Absolute, _) => false,
    }
}

/// The rate in use.
#[inline]
pub(crate) fn rate(kind: Kind, written: Option<&[u8]>, notes: &mut Notes) -> f64 {
    let Some(written) = written else { return 1.0 };
    if matches!(kind, Kind::Gauge | Kind::Set) {
        notes.insert(Note::RateIgnored);
        return 1.0;
    }
    number::rate(written).unwrap_or_else(|| {
        notes.insert(Note::BadRate);
        1.0
    })
}

/// The client's own time, if the sample is one that has any and it is believed.
#[inline]
pub(crate) fn timestamp(
    kind: Kind,
    relative: bool,
    written: Option<&[u8]>,
    now: i64,
    notes: &mut Notes,
) -> Option<i64> {
    let written = written?;
    let usable = matches!(kind, Kind::Counter | Kind::Gauge) && !relative;
    let timestamp = if usable { number::timestamp(written, now) } else { None };
    if timestamp.is_none() {
        notes.insert(Note::BadTimestamp);
    }
    timestamp
}
