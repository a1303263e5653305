use memchr::{memchr, memchr2};
use metric::{Kind, Notes, ReadAs, Spelling};

use crate::number;
use crate::pieces::cut_near;
use crate::sections::Section;
use crate::values;

/// A line as far as a quick look tells: one sample with one value, nothing out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skim<'a> {
    /// What decides its series, and all its notes but those of [`Measured`].
    pub spelling: Spelling<'a>,
    value: &'a [u8],
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
// Hot path: runs once per line.
pub fn skim(line: &[u8]) -> Option<Skim<'_>> {
    let colon = memchr2(b':', b'|', line)?;
    if line[colon] != b':' || colon == 0 || line.starts_with(b"_e{") {
        return None;
    }
    let (value, behind) = cut_near(&line[colon + 1..], b'|');
    let behind = behind?;
    let (kind_text, _) = cut_near(behind, b'|');
    let (kind, meter) = values::kind(kind_text)?;

    let mut skim = Skim {
        spelling: Spelling { name: &line[..colon], kind, meter, sections: [b"", b""] },
        value,
        rate: None,
        time: None,
        dogstatsd: false,
    };
    skim.take_sections(&behind[kind_text.len()..])?;
    Some(skim)
}

impl<'a> Skim<'a> {
    // `text` is empty or begins with the `|` of the first section.
    fn take_sections(&mut self, text: &'a [u8]) -> Option<()> {
        // A run begins at the `|` before its first section.
        let (mut runs, mut run_start, mut at) = (0, 0, 0);
        while at < text.len() {
            let start = at + 1;
            let end = memchr(b'|', &text[start..]).map_or(text.len(), |bar| start + bar);
            let section = Section::of(&text[start..end]);
            self.dogstatsd |= section.is_dogstatsd();
            let own = match section {
                Section::Rate(rate) => {
                    // Behind a `:` in it another sample might begin.
                    if memchr(b':', rate).is_some() {
                        return None;
                    }
                    Some((&mut self.rate, rate))
                }
                Section::Time(time) => Some((&mut self.time, time)),
                Section::Tags(_) | Section::Container(_) | Section::Ignored | Section::Unknown => {
                    None
                }
            };
            if let Some((place, text_of_it)) = own {
                if place.replace(text_of_it).is_some() {
                    return None;
                }
                self.take_run(&mut runs, &text[run_start..at])?;
                run_start = end;
            }
            at = end;
        }
        self.take_run(&mut runs, &text[run_start..at])
    }

    // `run` is empty, or a `|` and sections.
    fn take_run(&mut self, runs: &mut usize, run: &'a [u8]) -> Option<()> {
        match run {
            [] => Some(()),
            // One empty section would look like none.
            [_] => None,
            [_, sections @ ..] => {
                *self.spelling.sections.get_mut(*runs)? = sections;
                *runs += 1;
                Some(())
            }
        }
    }

    /// Whether the line adds exactly one to "samples received", kept or refused.
    pub(crate) fn is_one_sample(&self) -> bool {
        self.spelling.kind == Kind::Set || memchr(b':', self.value).is_none()
    }

    /// Judges what is this line's own. `None` sends the caller to [`crate::read`]: the value is
    /// not one plain good one.
    // Hot path: runs once per line.
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
        let relative = values::is_relative(kind, self.value, read_as.gauge_sign, self.dogstatsd);
        let rate = values::rate(kind, self.rate, &mut notes);
        let timestamp = values::timestamp(kind, relative, self.time, now, &mut notes);
        Some(Measured { value, relative, rate, timestamp, notes })
    }
}
