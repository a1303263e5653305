use std::borrow::Cow;

use metric::{Note, Notes};

use crate::lossy::Decoder;
use crate::tags::{self, Tags};

/// A part of a line behind a sample's kind, known by how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section<'a> {
    /// `@`: the sample rate.
    Rate(&'a [u8]),
    /// `#`: tags.
    Tags(&'a [u8]),
    /// `T`: the time.
    Time(&'a [u8]),
    /// `c:`: the client's container.
    Container(&'a [u8]),
    /// `e:` and `card:`: nothing that is used.
    Ignored,
    Unknown,
}

impl<'a> Section<'a> {
    pub(crate) fn of(part: &'a [u8]) -> Self {
        match part {
            [b'@', rate @ ..] => Self::Rate(rate),
            [b'#', tags @ ..] => Self::Tags(tags),
            [b'T', time @ ..] => Self::Time(time),
            [b'c', b':', container @ ..] => Self::Container(container),
            [b'e', b':', ..] | [b'c', b'a', b'r', b'd', b':', ..] => Self::Ignored,
            _ => Self::Unknown,
        }
    }

    /// Whether only DogStatsD's clients write such a section.
    pub(crate) fn is_dogstatsd(&self) -> bool {
        match self {
            Self::Tags(_) | Self::Time(_) | Self::Container(_) | Self::Ignored => true,
            Self::Rate(_) | Self::Unknown => false,
        }
    }
}

/// What the sections of a line say of all its samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sections<'a> {
    /// The last rate: the last sample's.
    pub(crate) rate: Option<&'a [u8]>,
    /// The last time.
    pub(crate) time: Option<&'a [u8]>,
    container: Option<&'a [u8]>,
    pub(crate) dogstatsd: bool,
}

impl<'a> Sections<'a> {
    /// Takes one more in; tags go to `tags`.
    pub(crate) fn add(
        &mut self,
        part: &'a [u8],
        decoder: &Decoder<'a>,
        tags: &mut Tags<'a>,
        notes: &mut Notes,
    ) {
        let section = Section::of(part);
        self.dogstatsd |= section.is_dogstatsd();
        match section {
            Section::Rate(rate) => self.rate = Some(rate),
            Section::Tags(text) => tags::add_section(text, decoder, tags, notes),
            Section::Time(time) => self.time = Some(time),
            Section::Container(container) => self.container = Some(container),
            Section::Ignored => {}
            Section::Unknown => notes.insert(Note::UnknownSection),
        }
    }

    /// The container of the last `c:`, without one leading `ci-`; empty is none.
    #[inline]
    pub(crate) fn container_id(
        &self,
        decoder: &Decoder<'a>,
        notes: &mut Notes,
    ) -> Option<Cow<'a, str>> {
        let container = self.container?;
        let id = container.strip_prefix(b"ci-").unwrap_or(container);
        (!id.is_empty()).then(|| decoder.text(id, notes))
    }
}
