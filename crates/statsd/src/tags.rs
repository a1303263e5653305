use memchr::{memchr, memchr_iter};
use metric::{Note, Notes, Reason, Tag};
use smallvec::SmallVec;

use crate::lossy;

pub(crate) type Tags<'a> = SmallVec<[Tag<'a>; 4]>;

const MOST_TAGS: usize = 64;
const MOST_BYTES: usize = 4_096;

/// The pieces between separators; an empty text is one empty piece.
pub(crate) fn pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(separator, text).chain(std::iter::once(text.len())).map(move |end| {
        let piece = &text[start..end];
        start = end + 1;
        piece
    })
}

/// Adds the tags of a `#` section, given without the `#`: `k:v,k2,k3:`.
pub(crate) fn add_section<'a>(text: &'a [u8], tags: &mut Tags<'a>, notes: &mut Notes) {
    for piece in pieces(text, b',') {
        let (key, value) = match memchr(b':', piece) {
            Some(colon) => (&piece[..colon], &piece[colon + 1..]),
            None => (piece, &piece[piece.len()..]),
        };
        if key.is_empty() {
            notes.insert(Note::EmptyTag);
        } else {
            add(key, value, tags, notes);
        }
    }
}

/// Adds one tag, whose key is not empty.
pub(crate) fn add<'a>(key: &'a [u8], value: &'a [u8], tags: &mut Tags<'a>, notes: &mut Notes) {
    let mut ill_formed = false;
    let key = lossy::text(key, &mut ill_formed);
    let value = lossy::text(value, &mut ill_formed);
    if ill_formed {
        notes.insert(Note::InvalidUtf8);
    }
    tags.push(Tag { key, value });
}

/// Brings the tags in their order, removes exact duplicates, and judges what is left.
pub(crate) fn finish(tags: &mut Tags<'_>) -> Result<(), Reason> {
    if tags.len() > 1 && !tags.is_sorted_by(|a, b| a < b) {
        tags.sort_unstable();
        tags.dedup();
    }
    if tags.len() > MOST_TAGS {
        return Err(Reason::TooManyTags);
    }
    let bytes: usize = tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum();
    if bytes > MOST_BYTES { Err(Reason::TooLong) } else { Ok(()) }
}
