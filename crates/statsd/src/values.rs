use metric::{GaugeSign, Kind, Note, Notes, Reason};

use crate::reading::{Part, PartValue, Reading, Reject};
use crate::tags::pieces;
use crate::{lossy, number};

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
}

/// A kind part: the kind, and whether it is a meter.
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
    let of_numbers =
        sample.kind.and_then(kind).is_some_and(|(kind, _)| kind != Kind::Set);
    let first = pieces(sample.values, b':').find(|item| !item.is_empty());
    of_numbers && first.is_some_and(|item| number::number(item) == Err(Reason::BadValue))
}

/// Reads one sample: what is kept of it goes to the reading's parts, what is not to its rejects.
pub(crate) fn read<'a>(sample: &RawSample<'a>, common: &Common<'_>, reading: &mut Reading<'a>) {
    let kind_and_meter = sample.kind.and_then(kind);
    let is_set = matches!(kind_and_meter, Some((Kind::Set, _)));
    let empty = if is_set { sample.values.is_empty() } else { sample.values.iter().all(|b| *b == b':') };
    let refused = match (empty, sample.kind, kind_and_meter) {
        (true, _, _) => Reason::NoValue,
        (false, None | Some(b""), _) => Reason::NoKind,
        (false, Some(_), None) => Reason::UnknownKind,
        (false, Some(_), Some((kind, meter))) => {
            let kept_before = reading.parts.len();
            let (rate, rate_note) = rate(kind, sample.rate);
            if is_set {
                read_member(sample, common, reading);
            } else {
                read_numbers(sample.values, (kind, rate), common, reading);
            }
            if reading.parts.len() > kept_before {
                rate_note.into_iter().for_each(|note| reading.notes.insert(note));
                if meter {
                    reading.notes.insert(Note::Meter);
                }
            }
            return;
        }
    };
    reading.rejects.push(Reject { reason: refused, text: sample.text });
}

fn read_member<'a>(sample: &RawSample<'a>, common: &Common<'_>, reading: &mut Reading<'a>) {
    let mut ill_formed = false;
    let member = lossy::text(sample.values, &mut ill_formed);
    if member.len() > LONGEST_MEMBER {
        reading.rejects.push(Reject { reason: Reason::TooLong, text: sample.text });
        return;
    }
    if ill_formed {
        reading.notes.insert(Note::InvalidUtf8);
    }
    let timestamp = timestamp(Kind::Set, false, common, &mut reading.notes);
    let value = PartValue::Member(member);
    reading.parts.push(Part { kind: Kind::Set, value, relative: false, rate: 1.0, timestamp });
}

fn read_numbers<'a>(
    values: &'a [u8],
    (kind, rate): (Kind, f64),
    common: &Common<'_>,
    reading: &mut Reading<'a>,
) {
    // A packed gauge may go from values to changes and back: each run of either is a part.
    let mut run = None;
    for item in pieces(values, b':').filter(|item| !item.is_empty()) {
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
        let timestamp = timestamp(kind, relative, common, &mut reading.notes);
        let value = PartValue::Numbers { from, to: from + 1 };
        reading.parts.push(Part { kind, value, relative, rate, timestamp });
    }
}

/// Whether a gauge's value, given as it is written, is a change.
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

/// The rate in use, and what there is to note about the one that was written.
pub(crate) fn rate(kind: Kind, written: Option<&[u8]>) -> (f64, Option<Note>) {
    let Some(written) = written else { return (1.0, None) };
    if matches!(kind, Kind::Gauge | Kind::Set) {
        return (1.0, Some(Note::RateIgnored));
    }
    number::rate(written).map_or((1.0, Some(Note::BadRate)), |rate| (rate, None))
}

/// The client's own time for a sample, if it is one that has any.
fn timestamp(kind: Kind, relative: bool, common: &Common<'_>, notes: &mut Notes) -> Option<i64> {
    let (timestamp, note) = judged_time(kind, relative, common.time, common.now);
    note.into_iter().for_each(|note| notes.insert(note));
    timestamp
}

/// The time in use, and what there is to note about the one that was written.
pub(crate) fn judged_time(
    kind: Kind,
    relative: bool,
    written: Option<&[u8]>,
    now: i64,
) -> (Option<i64>, Option<Note>) {
    let Some(written) = written else { return (None, None) };
    let usable = matches!(kind, Kind::Counter | Kind::Gauge) && !relative;
    let timestamp = if usable { number::timestamp(written, now) } else { None };
    (timestamp, if timestamp.is_none() { Some(Note::BadTimestamp) } else { None })
}
