use metric::{Note, Notes, Reason, Tag};
use smallvec::SmallVec;

use crate::lossy::Decoder;
use crate::pieces::{cut_near, pieces};

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
    for piece in pieces(text, b',') {
        let (key, value) = cut_near(piece, b':');
        if key.is_empty() {
            notes.insert(Note::EmptyTag);
        } else {
            add(key, value.unwrap_or_default(), decoder, tags, notes);
        }
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
    match (decoder.well_formed(key), decoder.well_formed(value)) {
        (Some(key), Some(value)) => tags.push(Tag::new(key, value)),
        _ => tags.push(Tag { key: decoder.text(key, notes), value: decoder.text(value, notes) }),
    }
}

/// Brings the tags in their order, removes exact duplicates, and judges what is left.
pub(crate) fn finish(tags: &mut Tags<'_>) -> Result<(), Reason> {
    if !tags.is_sorted_by(|a, b| a < b) {
        tags.sort_unstable();
        tags.dedup();
    }
    if tags.len() > MOST_TAGS {
        return Err(Reason::TooManyTags);
    }
    let bytes: usize = tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum();
    if bytes > MOST_BYTES { Err(Reason::TooLong) } else { Ok(()) }
}
