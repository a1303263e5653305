use std::num::NonZeroU64;

use metric::{SeriesKey, Spelled, Spelling};

/// How a spelling that is not the plain one writes a series' tags: in which order, and which bare.
///
/// So a spelling need not be kept to be recognised: it is compared with the series' key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order(NonZeroU64);

/// Of so many tags an order is kept.
const MOST_TAGS: usize = 12;
// For each tag of the spelling, from the lowest bits: its place in the key; above them 12 bits that
// tell which are bare.
const PLACE_BITS: usize = 4;
const PLACES: usize = 1 << PLACE_BITS;
const BARE_BITS: usize = MOST_TAGS * PLACE_BITS;
const TAKEN: u64 = 1 << 63;

/// Whether this is the plain spelling of a series.
// Hot path: runs once per line.
#[inline]
pub(super) fn is_plain(key: &SeriesKey, spelling: &Spelling<'_>) -> bool {
    let spelled = key.spelled();
    is_ordinary(key, spelling)
        && is_same(spelled.name, spelling.name)
        && is_same(spelled.section, spelling.sections[0])
}

// Whether nothing but the name and the tags is in a spelling.
#[inline]
fn is_ordinary(key: &SeriesKey, spelling: &Spelling<'_>) -> bool {
    key.as_bytes()[0] == spelling.kind as u8 && !spelling.meter && spelling.sections[1].is_empty()
}

impl Order {
    /// The order in which this spelling writes the tags of this series, if that is all by which it
    /// differs from the plain one.
    pub(super) fn of(key: &SeriesKey, spelling: &Spelling<'_>) -> Option<Self> {
        let (tags, count) = Tags::of(key.spelled())?;
        if key.spelled().name != spelling.name || !is_ordinary(key, spelling) {
            return None;
        }
        let section = spelling.sections[0].strip_prefix(b"#")?;
        let mut left: Vec<_> = (0..count).map(|place| Some(tags.tag(place))).collect();
        let mut order = TAKEN;
        let mut written = 0;
        for (i, piece) in section.split(|byte| *byte == b',').enumerate() {
            let is_piece = |tag: &&[u8]| *tag == piece || tag.strip_suffix(b":") == Some(piece);
            let place = left.iter().position(|tag| tag.as_ref().is_some_and(is_piece))?;
            let is_bare = left[place].take().is_some_and(|tag| tag != piece);
            order |= (place as u64) << (i * PLACE_BITS) | u64::from(is_bare) << (BARE_BITS + i);
            written += 1;
        }
        NonZeroU64::new(order).filter(|_| written == count).map(Self)
    }

    /// Whether this is the spelling that writes this series' tags in this order.
    // Hot path: runs once per line.
    pub(super) fn is_of(self, key: &SeriesKey, spelling: &Spelling<'_>) -> bool {
        let spelled = key.spelled();
        if !is_same(spelled.name, spelling.name) || !is_ordinary(key, spelling) {
            return false;
        }
        let Some((tags, count)) = Tags::of(spelled) else { return false };
        let mut rest = spelling.sections[0];
        for i in 0..count {
            let Some((first, after)) = rest.split_first() else { return false };
            let tag = self.tag(&tags, i);
            if *first != mark(i) || after.len() < tag.len() {
                return false;
            }
            let (same, after) = after.split_at(tag.len());
            if !is_same(same, tag) {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }

    /// Appends the section that writes this series' tags in this order.
    pub(super) fn write(self, key: &SeriesKey, to: &mut Vec<u8>) {
        if let Some((tags, count)) = Tags::of(key.spelled()) {
            for i in 0..count {
                to.push(mark(i));
                to.extend_from_slice(self.tag(&tags, i));
            }
        }
    }

    // The tag that is written at this place.
    #[inline]
    fn tag<'k>(self, tags: &Tags<'k>, i: usize) -> &'k [u8] {
        let tag = tags.tag((self.0.get() >> (i * PLACE_BITS)) as usize % PLACES);
        let is_bare = (self.0.get() >> (BARE_BITS + i)) & 1 == 1;
        if is_bare { &tag[..tag.len() - 1] } else { tag }
    }
}

fn mark(i: usize) -> u8 {
    if i == 0 { b'#' } else { b',' }
}

// Names and tags are mostly too short for a call of memcmp to pay.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && is_same_by::<16>(one, other)
            .or_else(|| is_same_by::<4>(one, other))
            .unwrap_or_else(|| one.iter().eq(other))
}

// Chunk by chunk, the last of which may lie over the one before it; `None` if they are shorter than
// one.
#[inline]
fn is_same_by<const N: usize>(one: &[u8], other: &[u8]) -> Option<bool> {
    let is_same_end = one.last_chunk::<N>()? == other.last_chunk()?;
    let (one, other) = (one.as_chunks::<N>().0, other.as_chunks().0);
    Some(is_same_end && one.iter().zip(other).all(|(one, other)| one == other))
}

/// A few tags of which any can be had.
struct Tags<'k> {
    section: &'k [u8],
    // The first begins at 1, each other one byte after the end of the one before it.
    ends: [u16; PLACES],
}

impl<'k> Tags<'k> {
    /// The tags and how many they are, if an order of so many can be kept.
    #[inline]
    fn of(spelled: Spelled<'k>) -> Option<(Self, usize)> {
        let mut ends = [0; PLACES];
        let mut count = 0;
        for end in spelled.tag_ends() {
            if count == MOST_TAGS {
                return None;
            }
            ends[count + 1] = end as u16;
            count += 1;
        }
        Some((Self { section: spelled.section, ends }, count))
    }

    #[inline]
    fn tag(&self, place: usize) -> &'k [u8] {
        let (start, end) = (self.ends[place % PLACES], self.ends[(place + 1) % PLACES]);
        &self.section[usize::from(start) + 1..usize::from(end)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_are_told_from_those_that_differ_in_one_place() {
        for len in 0..40 {
            let one: Vec<u8> = (0..len).collect();
            assert!(is_same(&one, &one.clone()), "{len}");
            assert!(!is_same(&one, &[&one[..], b"x"].concat()), "{len}");
            for place in 0..one.len() {
                let mut other = one.clone();
                other[place] ^= 0x80;
                assert!(!is_same(&one, &other), "{place} of {len}");
            }
        }
    }
}
