use metric::{Note, Notes, Reason, Tag};
use smallvec::SmallVec;

use crate::lossy::Decoder;
use crate::scan::tag_ends;

pub(crate) type Tags<'a> = SmallVec<[Tag<'a>; 4]>;

const MOST_TAGS: usize = 64;
const MOST_BYTES: usize = 4_096;

/// Adds the tags of a `#` section, given without the `#`: `k:v,k2,k3:`.
pub(crate) fn add_section<'a>(
    text: &'a [u8],
    decoder: &Decoder<'a>,
    tags: &mut Tags<'a>,
    notes: &mut Notes,
) {
    let well_formed = decoder.well_formed(text);
    let mut start = 0;
    loop {
        let (key_end, end) = tag_ends(text, start);
        let value_start = end.min(key_end + 1);
        if start == key_end {
            notes.insert(Note::EmptyTag);
        } else if let Some(text) = well_formed {
            tags.push(Tag::new(&text[start..key_end], &text[value_start..end]));
        } else {
            add(&text[start..key_end], &text[value_start..end], decoder, tags, notes);
        }
        if end == text.len() {
            return;
        }
        start = end + 1;
    }
}

/// Adds one tag, whose key is not empty.
pub(crate) fn add<'a>(
    key: &'a [u8],
    value: &'a [u8],
    decoder: &Decoder<'a>,
    tags: &mut Tags<'a>,
    notes: &mut Notes,
) {
    tags.push(Tag { key: decoder.text(key, notes), value: decoder.text(value, notes) });
}

/// Brings the tags in their order, removes exact duplicates, and judges what is left. They are of a
/// text of so many bytes.
#[inline]
pub(crate) fn finish(tags: &mut Tags<'_>, len: usize) -> Result<(), Reason> {
    if tags.is_empty() { Ok(()) } else { finish_some(tags, len) }
}

fn finish_some(tags: &mut Tags<'_>, len: usize) -> Result<(), Reason> {
    // Most keys differ in their first byte, which costs less than a comparison of all.
    let first = |tag: &Tag<'_>| tag.key.as_bytes().first().copied();
    if !tags.is_sorted_by(|a, b| first(a) < first(b) || a < b) {
        tags.sort_unstable();
        tags.dedup();
    }
    if tags.len() > MOST_TAGS {
        return Err(Reason::TooManyTags);
    }
    // Decoded, a byte takes three at most: those of U+FFFD.
    let may_be_too_long = len > MOST_BYTES / 3;
    if may_be_too_long && bytes(tags) > MOST_BYTES { Err(Reason::TooLong) } else { Ok(()) }
}

fn bytes(tags: &[Tag<'_>]) -> usize {
    tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum()
}
