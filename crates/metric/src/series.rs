use std::fmt;
use std::sync::Arc;

use crate::{Kind, Tag};

/// What names a series within its source: kind, name and sorted tags, in one shared allocation.
///
/// A clone is another handle to the same bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey(Arc<[u8]>);

impl SeriesKey {
    /// The key of these; `tags` are sorted and no two alike, as a [`crate::Sample`]'s are.
    pub fn new(kind: Kind, name: &str, tags: &[Tag<'_>]) -> Self {
        let mut bytes = Vec::new();
        Self::write(&mut bytes, kind, name, tags);
        Self::from_written(&bytes)
    }

    /// Appends the key's bytes, so that a look-up need not allocate a key.
    ///
    /// The form is: kind, then name, then each key and value, each text as its length (two bytes,
    /// little endian) and its bytes. A sample's limits keep every length far below 65,536.
    pub fn write(to: &mut Vec<u8>, kind: Kind, name: &str, tags: &[Tag<'_>]) {
        to.push(kind as u8);
        let texts = tags.iter().flat_map(|tag| [tag.key.as_ref(), tag.value.as_ref()]);
        for text in std::iter::once(name).chain(texts) {
            to.extend_from_slice(&(text.len() as u16).to_le_bytes());
            to.extend_from_slice(text.as_bytes());
        }
    }

    /// The key whose bytes [`SeriesKey::write`] wrote.
    pub fn from_written(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }

    /// The bytes that [`SeriesKey::write`] wrote.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What its samples mean.
    pub fn kind(&self) -> Kind {
        Kind::from_code(self.0[0]).expect("a key starts with the code of its kind")
    }

    /// The metric's name.
    pub fn name(&self) -> &str {
        text_at(&self.0, 1).0
    }

    /// Its tags, sorted by key, then value.
    pub fn tags(&self) -> Tags<'_> {
        let (_, next) = text_at(&self.0, 1);
        Tags { bytes: &self.0, next }
    }
}

fn text_at(bytes: &[u8], at: usize) -> (&str, usize) {
    let start = at + 2;
    let end = start + usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    (std::str::from_utf8(&bytes[start..end]).expect("a key is written from texts"), end)
}

/// The tags of a series, as pairs of key and value.
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> Iterator for Tags<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.bytes.len() {
            return None;
        }
        let (key, after_key) = text_at(self.bytes, self.next);
        let (value, after_value) = text_at(self.bytes, after_key);
        self.next = after_value;
        Some((key, value))
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
    fn texts_that_run_together_alike_are_different_keys() {
        let one = SeriesKey::new(Kind::Set, "ab", &[Tag::new("c", "")]);
        let other = SeriesKey::new(Kind::Set, "a", &[Tag::new("bc", "")]);
        assert_ne!(one, other);
    }
}
