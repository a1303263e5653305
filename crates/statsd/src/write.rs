use std::fmt;
use std::io::Write;

use metric::{Kind, ReadAs, Sample, Tag, Values};

use crate::{lines, read};

/// A sample that no line can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable;

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no line reads as this sample: a separator stands in its name, tags or member")
    }
}

impl std::error::Error for Unwritable {}

/// Appends a line, without a line feed, that a listener of these settings reads as this very
/// sample, at the sample's own time if it has one.
///
/// Some samples cannot be written, such as one whose tag holds a comma or a gauge's negative value
/// where every sign is a change: then nothing is appended.
pub fn write(sample: &Sample<'_>, read_as: ReadAs, to: &mut Vec<u8>) -> Result<(), Unwritable> {
    let start = to.len();
    append(sample, to);
    if says(sample, &to[start..], read_as) {
        return Ok(());
    }
    to.truncate(start);
    Err(Unwritable)
}

// Whether a name holds tags or a member ends in white space is the reader's to say.
fn says(sample: &Sample<'_>, line: &[u8], read_as: ReadAs) -> bool {
    let reading = read(line, read_as, sample.timestamp.unwrap_or(0));
    reading.samples().eq([*sample])
        && reading.rejects().is_empty()
        && reading.notes().is_empty()
        && lines(line).eq([line])
}

fn append(sample: &Sample<'_>, to: &mut Vec<u8>) {
    to.extend_from_slice(sample.name.as_bytes());
    match sample.values {
        Values::Numbers(numbers) => {
            for number in numbers {
                to.push(b':');
                if sample.relative && number.is_sign_positive() {
                    to.push(b'+');
                }
                append_number(*number, to);
            }
        }
        Values::Member(member) => {
            to.push(b':');
            to.extend_from_slice(member.as_bytes());
        }
    }
    to.push(b'|');
    to.extend_from_slice(sample.kind.code().as_bytes());
    if sample.rate < 1.0 && !matches!(sample.kind, Kind::Gauge | Kind::Set) {
        to.extend_from_slice(b"|@");
        append_number(sample.rate, to);
    }
    for (i, Tag { key, value }) in sample.tags.iter().enumerate() {
        to.extend_from_slice(if i == 0 { b"|#" } else { b"," });
        to.extend_from_slice(key.as_bytes());
        if !value.is_empty() {
            to.push(b':');
            to.extend_from_slice(value.as_bytes());
        }
    }
    if let Some(container_id) = sample.container_id {
        to.extend_from_slice(b"|c:ci-");
        to.extend_from_slice(container_id.as_bytes());
    }
    if let Some(timestamp) = sample.timestamp {
        to.extend_from_slice(b"|T");
        to.extend_from_slice(timestamp.to_string().as_bytes());
    }
}

// The shortest form that reads back; with an exponent where that is shorter.
fn append_number(number: f64, to: &mut Vec<u8>) {
    let start = to.len();
    let written = write!(to, "{number:?}");
    debug_assert!(written.is_ok(), "a Vec takes all");
    if to[start..].ends_with(b".0") {
        to.truncate(to.len() - 2);
    }
}
