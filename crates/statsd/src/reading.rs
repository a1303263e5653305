use std::borrow::Cow;

use metric::{Kind, Note, Notes, Reason, Sample, Tag, Values};
use smallvec::SmallVec;

/// All that one line says, and all that was wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Reading<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) tags: SmallVec<[Tag<'a>; 4]>,
    pub(crate) container_id: Option<Cow<'a, str>>,
    pub(crate) parts: SmallVec<[Part<'a>; 1]>,
    pub(crate) numbers: SmallVec<[f64; 2]>,
    pub(crate) rejects: SmallVec<[Reject<'a>; 1]>,
    pub(crate) notes: Notes,
    pub(crate) other: Option<Box<Other<'a>>>,
}

/// What a sample has of its own; the rest it shares with the line's others.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) kind: Kind,
    pub(crate) value: PartValue<'a>,
    pub(crate) relative: bool,
    pub(crate) rate: f64,
    pub(crate) timestamp: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) enum PartValue<'a> {
    /// From and up to these places in the reading's numbers.
    Numbers {
        from: u32,
        to: u32,
    },
    Member(Cow<'a, str>),
}

impl PartValue<'_> {
    /// Takes the next number in too; a set's member has none.
    pub(crate) fn take_next_number(&mut self) {
        match self {
            Self::Numbers { to, .. } => *to += 1,
            Self::Member(_) => {}
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Other<'a> {
    Event(Event<'a>),
    Check(Check<'a>),
}

/// A value, a sample or a line that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject<'a> {
    /// Why.
    pub reason: Reason,
    /// The bytes that were refused: of a value that item; of a sample its values and kind; of a
    /// line all of it.
    pub text: &'a [u8],
}

/// An event: something that happened, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Not empty.
    pub title: Cow<'a, str>,
    /// May be empty and may have several lines.
    pub text: Cow<'a, str>,
    /// As a sample's.
    pub tags: SmallVec<[Tag<'a>; 4]>,
}

/// A service check: whether something is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// Not empty, at most 1,024 bytes.
    pub name: Cow<'a, str>,
    /// 0 ok, 1 warning, 2 critical, 3 unknown.
    pub status: u8,
    /// As a sample's.
    pub tags: SmallVec<[Tag<'a>; 4]>,
}

impl<'a> Reading<'a> {
    /// Refuses the line whole: nothing else is said of it.
    #[cold]
    pub(crate) fn refuse(&mut self, reason: Reason, line: &'a [u8]) {
        *self = Self::default();
        self.rejects.push(Reject { reason, text: line });
    }

    /// The samples that were kept, in the order of the line.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.parts.iter().map(|part| Sample {
            name: &self.name,
            kind: part.kind,
            values: match &part.value {
                PartValue::Numbers { from, to } => {
                    Values::Numbers(&self.numbers[*from as usize..*to as usize])
                }
                PartValue::Member(member) => Values::Member(member),
            },
            relative: part.relative,
            rate: part.rate,
            tags: &self.tags,
            timestamp: part.timestamp,
            container_id: self.container_id.as_deref(),
        })
    }

    /// What was refused, in the order of the line.
    pub fn rejects(&self) -> &[Reject<'a>] {
        &self.rejects
    }

    /// What was noticed about what was kept.
    pub fn notes(&self) -> Notes {
        self.notes
    }

    /// The notes that every line of the same spelling has: all but those about rate and time,
    /// which each line is judged on anew.
    pub fn spelling_notes(&self) -> Notes {
        let judged_anew = [Note::BadRate, Note::BadTimestamp, Note::RateIgnored];
        let mut notes = Notes::NONE;
        for note in self.notes.iter().filter(|note| !judged_anew.contains(note)) {
            notes.insert(note);
        }
        notes
    }

    /// The container that the client says it speaks from, kept for what has no sample too.
    pub fn container_id(&self) -> Option<&str> {
        self.container_id.as_deref()
    }

    /// The event that the line is.
    pub fn event(&self) -> Option<&Event<'a>> {
        match self.other.as_deref() {
            Some(Other::Event(event)) => Some(event),
            Some(Other::Check(_)) | None => None,
        }
    }

    /// The check that the line is.
    pub fn check(&self) -> Option<&Check<'a>> {
        match self.other.as_deref() {
            Some(Other::Check(check)) => Some(check),
            Some(Other::Event(_)) | None => None,
        }
    }

    /// What the line adds to "samples received": its values, kept or refused, or one for an event
    /// or a check.
    pub fn received(&self) -> u64 {
        let members = self.parts.iter().filter(|part| part.kind == Kind::Set).count();
        let kept = self.numbers.len() + members + usize::from(self.other.is_some());
        (kept + self.rejects.len()) as u64
    }

    /// Whether the line's spelling stands for its series and its [`Reading::spelling_notes`]:
    /// exactly one sample was kept, nothing was refused, and no note is due to its value.
    pub fn is_one_sample(&self) -> bool {
        let [part] = &self.parts[..] else { return false };
        let decoded = matches!(part.value, PartValue::Member(Cow::Owned(_)));
        self.rejects.is_empty() && !decoded
    }
}

/// Refused bytes as they are shown to people: the first 200, ill-formed UTF-8 replaced.
pub fn shown(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(200)])
}
