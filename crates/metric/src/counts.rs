use std::ops::{Add, AddAssign};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Why a value, a sample or a line was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// A number that is none.
    BadValue,
    /// A service check that is not written as one.
    BadCheck,
    /// An event that is not written as one.
    BadEvent,
    /// The operator's rules have its metric dropped.
    DroppedByRule,
    /// No name before the first `:`.
    EmptyName,
    /// No kind after the values.
    NoKind,
    /// Nothing to measure.
    NoValue,
    /// An event or a check: read, but no output carries them.
    NotCarried,
    /// A number beyond a float's range, or `nan` or `inf`.
    NotFinite,
    /// A name, a tag, a set member or a line over its limit.
    TooLong,
    /// More than 64 tags.
    TooManyTags,
    /// The part of a line that was left when the kernel cut a datagram.
    Truncated,
    /// A kind that is not one of c, g, ms, h, d, s, m.
    UnknownKind,
}

/// What was noticed about a line of which something was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Note {
    /// A piece of the name's tags that is no pair was dropped.
    BadNameTag,
    /// A sample rate that is none was read as 1.
    BadRate,
    /// A time that is none, not believable or not usable was ignored.
    BadTimestamp,
    /// A distribution's values span too much for its stated error; it was made coarser.
    CoarseSketch,
    /// An empty tag was dropped.
    EmptyTag,
    /// A change took a gauge below zero: often a client that means an absolute value.
    GaugeBelowZero,
    /// Bytes that are no UTF-8 became U+FFFD.
    InvalidUtf8,
    /// A meter was read as a counter.
    Meter,
    /// A sample rate of a gauge or a set was ignored.
    RateIgnored,
    /// A sum left the finite range and is held at its edge.
    Saturated,
    /// A client's tag that has the name of a dimension was kept as `exported_<name>`.
    TagClash,
    /// A section that is not known was ignored.
    UnknownSection,
}

impl Reason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 13] = [
        Self::BadValue,
        Self::BadCheck,
        Self::BadEvent,
        Self::DroppedByRule,
        Self::EmptyName,
        Self::NoKind,
        Self::NoValue,
        Self::NotCarried,
        Self::NotFinite,
        Self::TooLong,
        Self::TooManyTags,
        Self::Truncated,
        Self::UnknownKind,
    ];

    /// The word for it in everything that weir writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadValue => "bad_value",
            Self::BadCheck => "bad_check",
            Self::BadEvent => "bad_event",
            Self::DroppedByRule => "dropped_by_rule",
            Self::EmptyName => "empty_name",
            Self::NoKind => "no_kind",
            Self::NoValue => "no_value",
            Self::NotCarried => "not_carried",
            Self::NotFinite => "not_finite",
            Self::TooLong => "too_long",
            Self::TooManyTags => "too_many_tags",
            Self::Truncated => "truncated",
            Self::UnknownKind => "unknown_kind",
        }
    }
}

impl Note {
    /// Every note, in the order of their codes, which is that of their names.
    pub const ALL: [Self; 12] = [
        Self::BadNameTag,
        Self::BadRate,
        Self::BadTimestamp,
        Self::CoarseSketch,
        Self::EmptyTag,
        Self::GaugeBelowZero,
        Self::InvalidUtf8,
        Self::Meter,
        Self::RateIgnored,
        Self::Saturated,
        Self::TagClash,
        Self::UnknownSection,
    ];

    /// The word for it in everything that weir writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadNameTag => "bad_name_tag",
            Self::BadRate => "bad_rate",
            Self::BadTimestamp => "bad_timestamp",
            Self::CoarseSketch => "coarse_sketch",
            Self::EmptyTag => "empty_tag",
            Self::GaugeBelowZero => "gauge_below_zero",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Meter => "meter",
            Self::RateIgnored => "rate_ignored",
            Self::Saturated => "saturated",
            Self::TagClash => "tag_clash",
            Self::UnknownSection => "unknown_section",
        }
    }
}

/// A set of notes: what was noticed about one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes(u16);

impl Notes {
    /// No note.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub fn insert(&mut self, note: Note) {
        self.0 |= 1 << note as u16;
    }

    /// Whether it is among them.
    pub fn contains(self, note: Note) -> bool {
        self.0 & (1 << note as u16) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The notes of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Its notes, sorted by name.
    pub fn iter(self) -> impl Iterator<Item = Note> {
        Note::ALL.into_iter().filter(move |note| self.contains(*note))
    }
}

/// What came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Datagrams.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their samples, in values: what was read of them plus what was refused.
    pub samples: u64,
}

// The longer of both lists.
const MOST: usize =
    if Reason::ALL.len() > Note::ALL.len() { Reason::ALL.len() } else { Note::ALL.len() };

/// A count for each reason or note; written with every known name, 0 included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally<K> {
    counts: [u64; MOST],
    of: std::marker::PhantomData<K>,
}

/// The account of one source, or of several, since the start of the process.
///
/// `received.samples` = `aggregated` + all `rejected` + `throttled.samples` + `over_series_limit`,
/// in every reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// What came in.
    pub received: Received,
    /// Samples that became part of a series.
    pub aggregated: u64,
    /// Samples that were refused, by reason.
    pub rejected: Tally<Reason>,
    /// Datagrams over the source's share of bytes: dropped whole, their samples counted.
    pub throttled: Received,
    /// Samples of new series that found their source at its limit of series.
    pub over_series_limit: u64,
    /// Lines that were kept with a remark.
    pub notes: Tally<Note>,
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    pub kernel_dropped: u64,
    /// Datagrams that the kernel cut.
    pub truncated: u64,
    /// Datagrams that were left in the socket when it had to be closed.
    pub closed_unread: u64,
}

impl Counts {
    /// Whether every sample that was received is accounted for.
    pub fn adds_up(&self) -> bool {
        self.received.samples
            == self.aggregated
                + self.rejected.sum()
                + self.throttled.samples
                + self.over_series_limit
    }

    /// Counts every note of a line.
    pub fn note(&mut self, notes: Notes) {
        if !notes.is_empty() {
            for note in notes.iter() {
                self.notes.add(note, 1);
            }
        }
    }

    /// Counts refused samples, which were received too.
    pub fn reject(&mut self, reason: Reason, samples: u64) {
        self.received.samples += samples;
        self.rejected.add(reason, samples);
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.aggregated += other.aggregated;
        self.rejected += other.rejected;
        self.throttled += other.throttled;
        self.over_series_limit += other.over_series_limit;
        self.notes += other.notes;
        self.kernel_dropped += other.kernel_dropped;
        self.truncated += other.truncated;
        self.closed_unread += other.closed_unread;
    }
}

impl AddAssign for Received {
    fn add_assign(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.bytes += other.bytes;
        self.samples += other.samples;
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

/// What a [`Tally`] counts: a closed list with a name for each.
pub trait Counted: Copy + 'static {
    /// Every member, in the order of their codes.
    const ALL: &'static [Self];
    /// Its place in that list.
    fn index(self) -> usize;
    /// Its name.
    fn name(self) -> &'static str;
}

impl Counted for Reason {
    const ALL: &'static [Self] = &Self::ALL;

    fn index(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Counted for Note {
    const ALL: &'static [Self] = &Self::ALL;

    fn index(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        self.name()
    }
}

impl<K: Counted> Tally<K> {
    /// The count of one.
    pub fn get(&self, of: K) -> u64 {
        self.counts[of.index()]
    }

    /// Counts `n` more of one.
    pub fn add(&mut self, of: K, n: u64) {
        self.counts[of.index()] += n;
    }

    /// The counts of all together.
    pub fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { counts: [0; MOST], of: std::marker::PhantomData }
    }
}

impl<K> AddAssign for Tally<K> {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

impl<K: Counted> Serialize for Tally<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(K::ALL.len()))?;
        for of in K::ALL {
            map.serialize_entry(of.name(), &self.get(*of))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_places_in_the_lists_and_notes_are_sorted_by_name() {
        assert!(Reason::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
        assert!(Note::ALL.iter().enumerate().all(|(i, note)| *note as usize == i));
        assert!(Note::ALL.is_sorted_by_key(|note| note.name()));
    }

    #[test]
    fn counts_add_up_with_every_way_of_losing_a_sample() {
        let mut counts = Counts::default();
        counts.received.samples = 3;
        counts.aggregated = 2;
        assert!(!counts.adds_up());
        counts.over_series_limit = 1;
        assert!(counts.adds_up());
        counts.reject(Reason::NoKind, 2);
        assert!((counts + counts).adds_up());
        assert_eq!((counts + counts).rejected.get(Reason::NoKind), 4);
    }

    #[test]
    fn every_known_reason_is_written() {
        let json = serde_json::to_value(Counts::default()).unwrap();
        assert_eq!(json["rejected"]["bad_value"], 0);
        assert_eq!(json["rejected"].as_object().unwrap().len(), Reason::ALL.len());
        assert_eq!(json["notes"].as_object().unwrap().len(), Note::ALL.len());
    }
}
