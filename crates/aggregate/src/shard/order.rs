use std::num::NonZeroU64;

use metric::{SeriesKey, Spelling};

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

type Tag<'a> = (&'a [u8], &'a [u8]);

/// Appends a tag as sections write it.
fn write_tag(to: &mut Vec<u8>, (key, value): Tag<'_>, is_first: bool, is_bare: bool) {
    to.push(if is_first { b'#' } else { b',' });
    to.extend_from_slice(key);
    if !is_bare {
        to.push(b':');
        to.extend_from_slice(value);
    }
}

/// Appends the one section of a series' plain spelling: a `#`, then its tags in their order, each
/// `key:value`, with commas between them; nothing where it has none.
pub(super) fn write_plain(to: &mut Vec<u8>, key: &[u8]) {
    for (i, tag) in split(key).1.enumerate() {
        write_tag(to, tag, i == 0, false);
    }
}

/// Whether this is the plain spelling of a series.
// Hot path: runs once per line.
pub(super) fn is_plain(key: &SeriesKey, spelling: &Spelling<'_>) -> bool {
    let Some((mut section, tags)) = only_section(key, spelling) else { return false };
    for (i, tag) in tags.enumerate() {
        match strip_tag(section, tag, i == 0, false) {
            Some(rest) => section = rest,
            None => return false,
        }
    }
    section.is_empty()
}

impl Order {
    /// The order in which this spelling writes the tags of this series, if that is all by which it
    /// differs from the plain one.
    pub(super) fn of(key: &SeriesKey, spelling: &Spelling<'_>) -> Option<Self> {
        let (section, tags) = only_section(key, spelling)?;
        let mut left: Vec<_> = tags.map(Some).collect();
        if left.len() > MOST_TAGS {
            return None;
        }
        let mut order = TAKEN;
        let mut count = 0;
        for (i, piece) in section.strip_prefix(b"#")?.split(|byte| *byte == b',').enumerate() {
            let place = left.iter().position(|tag| tag.is_some_and(|tag| is_piece(piece, tag)))?;
            let (key, _) = left[place].take()?;
            let is_bare = piece.len() == key.len();
            order |= (place as u64) << (i * PLACE_BITS) | u64::from(is_bare) << (BARE_BITS + i);
            count += 1;
        }
        NonZeroU64::new(order).filter(|_| count == left.len()).map(Self)
    }

    /// Whether this is the spelling that writes this series' tags in this order.
    // Hot path: runs once per line.
    pub(super) fn is_of(self, key: &SeriesKey, spelling: &Spelling<'_>) -> bool {
        let Some((mut section, tags)) = only_section(key, spelling) else { return false };
        let (tags, count) = placed(tags);
        for i in 0..count {
            match strip_tag(section, tags[self.place(i)], i == 0, self.is_bare(i)) {
                Some(rest) => section = rest,
                None => return false,
            }
        }
        section.is_empty()
    }

    /// Appends the section that writes this series' tags in this order.
    pub(super) fn write(self, key: &SeriesKey, to: &mut Vec<u8>) {
        let (tags, count) = placed(split(key.as_bytes()).1);
        for i in 0..count {
            write_tag(to, tags[self.place(i)], i == 0, self.is_bare(i));
        }
    }

    fn place(self, i: usize) -> usize {
        (self.0.get() >> (i * PLACE_BITS)) as usize % PLACES
    }

    fn is_bare(self, i: usize) -> bool {
        self.0.get() >> (BARE_BITS + i) & 1 == 1
    }
}

// The first run of sections and the series' tags, if nothing but the tags' form can differ.
fn only_section<'a, 'k>(
    key: &'k SeriesKey,
    spelling: &Spelling<'a>,
) -> Option<(&'a [u8], impl Iterator<Item = Tag<'k>>)> {
    let key = key.as_bytes();
    let (name, tags) = split(key);
    let same = name == spelling.name
        && key[0] == spelling.kind as u8
        && !spelling.meter
        && spelling.sections[1].is_empty();
    same.then_some((spelling.sections[0], tags))
}

fn strip_tag<'a>(
    section: &'a [u8],
    (key, value): Tag<'_>,
    is_first: bool,
    is_bare: bool,
) -> Option<&'a [u8]> {
    let mark: &[u8] = if is_first { b"#" } else { b"," };
    let rest = section.strip_prefix(mark)?.strip_prefix(key)?;
    if is_bare { Some(rest) } else { rest.strip_prefix(b":")?.strip_prefix(value) }
}

fn is_piece(piece: &[u8], (key, value): Tag<'_>) -> bool {
    match piece.strip_prefix(key) {
        Some([]) => value.is_empty(),
        Some([b':', rest @ ..]) => rest == value,
        Some(_) | None => false,
    }
}

fn placed<'k>(tags: impl Iterator<Item = Tag<'k>>) -> ([Tag<'k>; PLACES], usize) {
    let mut all: [Tag<'k>; PLACES] = [(b"", b""); PLACES];
    let mut count = 0;
    for (place, tag) in all.iter_mut().zip(tags) {
        *place = tag;
        count += 1;
    }
    (all, count)
}

// The name and the tags in a key's bytes, as `SeriesKey::write` says, without looking at the texts.
fn split(key: &[u8]) -> (&[u8], impl Iterator<Item = Tag<'_>>) {
    let (name, mut rest) = text(&key[1..]);
    let tags = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (key, after_key) = text(rest);
        let (value, after_value) = text(after_key);
        rest = after_value;
        Some((key, value))
    });
    (name, tags)
}

fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    bytes[2..].split_at(len)
}
