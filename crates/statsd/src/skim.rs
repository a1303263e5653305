use memchr::memchr;
use metric::{Kind, Notes, ReadAs, Spelling};

use crate::framing::strip;
use crate::number;
use crate::scan::{Marks, find};
use crate::sections::Section;
use crate::values;

/// A line as far as a quick look tells: one sample with one value, nothing out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skim<'a> {
    /// What decides its series, and all its notes but those of [`Measured`].
    pub spelling: Spelling<'a>,
    value: &'a [u8],
    own: Own<'a>,
}

/// What a line's sections say of it alone, not of its series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Own<'a> {
    rate: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    dogstatsd: bool,
}

/// What differs from line to line of one spelling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured<'a> {
    /// The value.
    pub value: Measure<'a>,
    /// A gauge's value is a change of it.
    pub relative: bool,
    /// The rate in use.
    pub rate: f64,
    /// The client's time, if it is believed.
    pub timestamp: Option<i64>,
    /// Of the notes only those about rate and time.
    pub notes: Notes,
}

/// The value of a skimmed line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure<'a> {
    /// Finite.
    Number(f64),
    /// Not empty, at most 1,024 bytes.
    Member(&'a str),
}

/// Looks at a line for the bytes that decide its series. `None` sends the caller to [`crate::read`]:
/// for whatever has several samples, an unknown kind, several rates or times, a lone empty section, or
/// sections in more than two runs between rate and time.
#[inline]
pub fn skim(line: &[u8]) -> Option<Skim<'_>> {
    skim_marked(line, Marks::of(line))
}

/// The lines of a datagram as [`crate::lines`] gives them, each with a look at it by [`skim()`]: for
/// less than both cost one after the other.
pub fn skims(bytes: &[u8]) -> Skims<'_> {
    Skims { rest: bytes }
}

/// See [`skims`].
#[derive(Clone, Debug)]
pub struct Skims<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Skims<'a> {
    type Item = (&'a [u8], Option<Skim<'a>>);

    // Hot path: runs once per line.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let marks = Marks::of(self.rest);
            let feed = marks.feed(self.rest).unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at(feed);
            self.rest = rest.get(1..).unwrap_or_default();
            let line = strip(line);
            if !line.is_empty() {
                return Some((line, skim_marked(line, marks)));
            }
        }
        None
    }
}

// Hot path: runs once per line.
#[inline]
fn skim_marked(line: &[u8], marks: Marks) -> Option<Skim<'_>> {
    let colon = marks.colon_or_bar(line)?;
    let name = &line[..colon];
    if line[colon] != b':' || name.is_empty() || line.starts_with(b"_e{") {
        return None;
    }
    let bar = marks.bar(line, colon + 1)?;
    let kind_len = match line[bar + 1..] {
        [_] | [_, b'|', ..] => 1,
        [_, _] | [_, _, b'|', ..] => 2,
        _ => return None,
    };
    let kind_end = bar + 1 + kind_len;
    let (kind, meter) = values::kind(&line[bar + 1..kind_end])?;
    let (sections, own) = match line.get(kind_end + 1..) {
        None => ([&b""[..]; 2], Own::default()),
        Some(tags @ [b'#', ..]) if marks.bar(line, kind_end + 1).is_none() => {
            ([tags, b""], Own { dogstatsd: true, ..Own::default() })
        }
        Some(_) => Own::among(line, kind_end)?,
    };
    let spelling = Spelling { name, kind, meter, sections };
    Some(Skim { spelling, value: &line[colon + 1..bar], own })
}

impl<'a> Own<'a> {
    // Takes a line's own sections from among all from this `|` on, and leaves the spelling's.
    #[inline(never)]
    fn among(line: &'a [u8], from: usize) -> Option<([&'a [u8]; 2], Self)> {
        let mut own = Self::default();
        let mut runs = Runs::default();
        // A run begins at the `|` before its first section.
        let (mut run_start, mut at) = (from, from);
        while at < line.len() {
            let end = find([b'|'], line, at + 1).unwrap_or(line.len());
            let section = Section::of(&line[at + 1..end]);
            own.dogstatsd |= section.is_dogstatsd();
            let place = match section {
                // Behind a `:` in it another sample might begin.
                Section::Rate(rate) if memchr(b':', rate).is_some() => return None,
                Section::Rate(rate) => Some((&mut own.rate, rate)),
                Section::Time(time) => Some((&mut own.time, time)),
                Section::Tags(_) | Section::Container(_) | Section::Ignored | Section::Unknown => {
                    None
                }
            };
            if let Some((place, text_of_it)) = place {
                if place.replace(text_of_it).is_some() {
                    return None;
                }
                runs.add(&line[run_start..at])?;
                run_start = end;
            }
            at = end;
        }
        runs.add(&line[run_start..at])?;
        Some((runs.sections, own))
    }
}

/// The sections between those that are a line's own.
#[derive(Default)]
struct Runs<'a> {
    sections: [&'a [u8]; 2],
    count: usize,
}

impl<'a> Runs<'a> {
    // `run` is empty, or a `|` and sections.
    fn add(&mut self, run: &'a [u8]) -> Option<()> {
        match run {
            [] => {}
            // One empty section would look like none.
            [_] => return None,
            [_, sections @ ..] => {
                *self.sections.get_mut(self.count)? = sections;
                self.count += 1;
            }
        }
        Some(())
    }
}

impl<'a> Skim<'a> {
    /// Whether the line adds exactly one to "samples received", kept or refused.
    pub(crate) fn is_one_sample(&self) -> bool {
        self.spelling.kind == Kind::Set || memchr(b':', self.value).is_none()
    }

    /// Judges what is this line's own. `None` sends the caller to [`crate::read`]: the value is
    /// not one plain good one.
    // Hot path: runs once per line.
    #[inline]
    pub fn measure(&self, read_as: ReadAs, now: i64) -> Option<Measured<'a>> {
        let kind = self.spelling.kind;
        let value = if kind == Kind::Set {
            if self.value.is_empty() || self.value.len() > 1_024 {
                return None;
            }
            Measure::Member(std::str::from_utf8(self.value).ok()?)
        } else {
            Measure::Number(number::number(self.value).ok()?)
        };
        let mut notes = Notes::NONE;
        let relative =
            values::is_relative(kind, self.value, read_as.gauge_sign, self.own.dogstatsd);
        let rate = values::rate(kind, self.own.rate, &mut notes);
        let timestamp = values::timestamp(kind, relative, self.own.time, now, &mut notes);
        Some(Measured { value, relative, rate, timestamp, notes })
    }
}
