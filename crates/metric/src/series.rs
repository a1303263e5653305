use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use triomphe::ThinArc;

use crate::{Kind, Tag};

/// What names a series within its source: kind, name and sorted tags, in one shared allocation.
///
/// A clone is another handle to the same bytes, as small as a pointer.
#[derive(Clone)]
pub struct SeriesKey(ThinArc<(), u8>);

/// The bytes of a key before those of its tags' lengths.
const HEAD: usize = 5;

impl SeriesKey {
    /// The key of these; `tags` are sorted and no two alike, as a [`crate::Sample`]'s are.
    pub fn new(kind: Kind, name: &str, tags: &[Tag<'_>]) -> Self {
        let mut bytes = Vec::new();
        Self::write(&mut bytes, kind, name, tags);
        Self::from_written(&bytes)
    }

    /// Appends the key's bytes, so that a look-up need not allocate a key.
    ///
    /// The form is: kind, the name's length and where the text begins (two bytes each, little
    /// endian), the lengths of each key and value (one or two bytes each), and the text: name and
    /// tags, each as it is spelled most plainly, `name#key:value,key:value`. So a line that spells
    /// its series in this way is compared with the key as it stands. A sample's limits keep every
    /// length below 4,097.
    pub fn write(to: &mut Vec<u8>, kind: Kind, name: &str, tags: &[Tag<'_>]) {
        let start = to.len();
        to.extend_from_slice(&[0; HEAD]);
        for tag in tags {
            write_len(to, tag.key.len());
            write_len(to, tag.value.len());
        }
        let [name_low, name_high] = (name.len() as u16).to_le_bytes();
        let [text_low, text_high] = ((to.len() - start) as u16).to_le_bytes();
        let head = [kind as u8, name_low, name_high, text_low, text_high];
        to[start..start + HEAD].copy_from_slice(&head);
        to.extend_from_slice(name.as_bytes());
        for (i, tag) in tags.iter().enumerate() {
            to.push(if i == 0 { b'#' } else { b',' });
            to.extend_from_slice(tag.key.as_bytes());
            to.push(b':');
            to.extend_from_slice(tag.value.as_bytes());
        }
    }

    /// The key whose bytes [`SeriesKey::write`] wrote.
    pub fn from_written(bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice((), bytes))
    }

    /// As [`SeriesKey::from_written`], of bytes that nobody vouches for: `None` unless they are what
    /// [`SeriesKey::write`] writes.
    pub fn checked(bytes: &[u8]) -> Option<Self> {
        let &[kind, name_low, name_high, text_low, text_high] = bytes.first_chunk::<HEAD>()?;
        let kind = Kind::from_code(kind)?;
        let text_at = usize::from(u16::from_le_bytes([text_low, text_high]));
        let (head, text) = bytes.split_at_checked(text_at)?;
        let mut text = std::str::from_utf8(text).ok()?;
        let mut lens = head.get(HEAD..)?;
        let name = usize::from(u16::from_le_bytes([name_low, name_high]));
        let name = take_text(&mut text, name)?;
        let mut tags: Vec<Tag<'_>> = Vec::new();
        while let Some((key, value)) = read_lens(&mut lens) {
            take_text(&mut text, 1)?;
            let key = take_text(&mut text, key)?;
            take_text(&mut text, 1)?;
            let tag = Tag::new(key, take_text(&mut text, value)?);
            if tag.key.is_empty() || tags.last().is_some_and(|last| *last >= tag) {
                return None;
            }
            tags.push(tag);
        }
        let key = Self::new(kind, name, &tags);
        (key.as_bytes() == bytes).then_some(key)
    }

    /// The bytes that [`SeriesKey::write`] wrote.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// What its samples mean.
    pub fn kind(&self) -> Kind {
        Kind::from_code(self.as_bytes()[0]).expect("a key starts with the code of its kind")
    }

    /// The metric's name.
    pub fn name(&self) -> &str {
        text(self.spelled().name)
    }

    /// Its tags, sorted by key, then value.
    pub fn tags(&self) -> Tags<'_> {
        Tags(self.spelled())
    }

    /// The name and the tags as a line may spell them.
    // Hot path: runs once per line.
    #[inline]
    pub fn spelled(&self) -> Spelled<'_> {
        Spelled::in_written(self.as_bytes())
    }
}

/// A series as a line may spell it, in the plainest way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelled<'a> {
    /// The metric's name.
    pub name: &'a [u8],
    /// The tags in their order, each `key:value`, after a `#` and with commas between them; empty
    /// where there are none.
    pub section: &'a [u8],
    // The lengths of keys and values.
    lens: &'a [u8],
}

impl<'a> Spelled<'a> {
    /// What is spelled in the bytes that [`SeriesKey::write`] wrote.
    // Hot path: runs once per line.
    #[inline]
    pub fn in_written(written: &'a [u8]) -> Self {
        let [_, name_low, name_high, text_low, text_high] =
            *written.first_chunk::<HEAD>().expect("a key has a head");
        let text_at = usize::from(u16::from_le_bytes([text_low, text_high]));
        let (head, text) = written.split_at(text_at);
        let name = usize::from(u16::from_le_bytes([name_low, name_high]));
        let (name, section) = text.split_at(name);
        Self { name, section, lens: &head[HEAD..] }
    }

    /// Where each of the tags ends in the section; the first begins at 1, each other one byte after
    /// the end of the one before it.
    // Hot path: runs once per line.
    #[inline]
    pub fn tag_ends(self) -> impl Iterator<Item = usize> {
        let (mut lens, mut end) = (self.lens, 0);
        std::iter::from_fn(move || {
            let (key, value) = read_lens(&mut lens)?;
            end += key + value + 2;
            Some(end)
        })
    }
}

fn take_text<'a>(text: &mut &'a str, len: usize) -> Option<&'a str> {
    let (taken, rest) = text.split_at_checked(len)?;
    *text = rest;
    Some(taken)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("a key is written from texts")
}

fn write_len(to: &mut Vec<u8>, len: usize) {
    if len < 0x80 {
        to.push(len as u8);
    } else {
        to.extend_from_slice(&[len as u8 | 0x80, (len >> 7) as u8]);
    }
}

#[inline]
fn read_len(bytes: &[u8]) -> (usize, &[u8]) {
    match *bytes {
        [low, ref rest @ ..] if low < 0x80 => (usize::from(low), rest),
        [low, high, ref rest @ ..] => (usize::from(low & 0x7f) | usize::from(high) << 7, rest),
        [_] | [] => (0, &[]),
    }
}

// The lengths of the next tag's key and value.
#[inline]
fn read_lens(lens: &mut &[u8]) -> Option<(usize, usize)> {
    if lens.is_empty() {
        return None;
    }
    let (key, after_key) = read_len(lens);
    let (value, after_value) = read_len(after_key);
    *lens = after_value;
    Some((key, value))
}

/// The tags of a series, as pairs of key and value.
#[derive(Clone, Debug)]
pub struct Tags<'a>(Spelled<'a>);

impl<'a> Iterator for Tags<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = read_lens(&mut self.0.lens)?;
        let (key, rest) = self.0.section[1..].split_at(key);
        let (value, rest) = rest[1..].split_at(value);
        self.0.section = rest;
        Some((text(key), text(value)))
    }
}

impl PartialEq for SeriesKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SeriesKey {}

impl PartialOrd for SeriesKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SeriesKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for SeriesKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.name(), self.kind().code())?;
        for (i, (key, value)) in self.tags().enumerate() {
            write!(f, "{}{key}:{value}", if i == 0 { "|#" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_what_it_was_made_of() {
        let tags = [Tag::new("a", ""), Tag::new("é", "x:y"), Tag::new("é", "z")];
        let key = SeriesKey::new(Kind::Timer, "request.time", &tags);
        assert_eq!(key.kind(), Kind::Timer);
        assert_eq!(key.name(), "request.time");
        assert_eq!(key.tags().collect::<Vec<_>>(), [("a", ""), ("é", "x:y"), ("é", "z")]);
        assert_eq!(format!("{key:?}"), "request.time|ms|#a:,é:x:y,é:z");
    }

    #[test]
    fn a_key_shows_its_plain_spelling() {
        let long = "v".repeat(3000);
        let tags = [Tag::new("a", ""), Tag::new("b", "x,y:z"), Tag::new("k", &long)];
        let key = SeriesKey::new(Kind::Counter, &"n".repeat(128), &tags);
        let spelled = key.spelled();
        assert_eq!(spelled.name, "n".repeat(128).as_bytes());
        assert_eq!(spelled.section, format!("#a:,b:x,y:z,k:{long}").as_bytes());
        assert_eq!(spelled.tag_ends().collect::<Vec<_>>(), [3, 11, 3014]);
        assert_eq!(spelled.section.len(), 3014);
        assert_eq!(key.tags().last(), Some(("k", &*long)));
        let key = SeriesKey::new(Kind::Gauge, "g", &[]);
        let spelled = key.spelled();
        assert_eq!((spelled.name, spelled.section), (&b"g"[..], &b""[..]));
    }

    #[test]
    fn only_the_bytes_of_a_key_are_taken_for_one() {
        let long = "v".repeat(3000);
        let tags = [Tag::new("a", ""), Tag::new("é", "x,y:z"), Tag::new("k", &long)];
        for tags in [&tags[..0], &tags[..2], &tags[..1], &[Tag::new("k", &long)]] {
            let key = SeriesKey::new(Kind::Timer, "name", tags);
            let bytes = key.as_bytes();
            assert_eq!(SeriesKey::checked(bytes), Some(key.clone()));
            for at in 0..bytes.len() {
                // What is taken is a key all the same: another letter, say.
                let mut other = bytes.to_vec();
                other[at] ^= 0x55;
                let other = SeriesKey::checked(&other);
                assert!(other.is_none_or(|other| other != key && other.tags().count() < 9));
                assert_eq!(SeriesKey::checked(&bytes[..at]), None);
            }
        }
        let unsorted = [Tag::new("b", ""), Tag::new("a", "")];
        let twice = [Tag::new("a", ""), Tag::new("a", "")];
        for tags in [unsorted, twice] {
            let key = SeriesKey::new(Kind::Set, "n", &tags);
            assert_eq!(SeriesKey::checked(key.as_bytes()), None);
        }
        assert_eq!(SeriesKey::checked(b""), None);
    }

    #[test]
    fn texts_that_run_together_alike_are_different_keys() {
        let one = SeriesKey::new(Kind::Set, "ab", &[Tag::new("c", "")]);
        let other = SeriesKey::new(Kind::Set, "a", &[Tag::new("bc", "")]);
        assert_ne!(one, other);
        let one = SeriesKey::new(Kind::Set, "a", &[Tag::new("b", "c,d:")]);
        let other = SeriesKey::new(Kind::Set, "a", &[Tag::new("b", "c"), Tag::new("d", "")]);
        assert_eq!(one.spelled().section, other.spelled().section);
        assert_ne!(one, other);
    }
}
