use wide::u8x16;

const CHUNK: usize = 16;

/// Where in a line, from this place on, the first of these bytes stands; not for zeros.
///
/// For what is mostly a few bytes away: a call of memchr costs more than they do.
// Hot path: runs several times per line.
#[inline]
pub(crate) fn find<const N: usize>(bytes: [u8; N], line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = line.get(at..)?.first_chunk() {
        let places = places(bytes, *chunk);
        if places != 0 {
            return Some(at + places.trailing_zeros() as usize);
        }
        at += CHUNK;
    }
    let (last, start) = last_chunk(line);
    let places = places(bytes, last) >> (at - start);
    (places != 0).then_some(at + places.trailing_zeros() as usize)
}

/// Where the tag that begins at this place ends, and before that its key: at the first `,`, and at the
/// first `:` or `,`; or where the tags end.
// Hot path where lines are read in full: both are mostly in the same chunk.
#[inline]
pub(crate) fn tag_ends(tags: &[u8], from: usize) -> (usize, usize) {
    let (chunk, shift) = if let Some(chunk) = tags[from..].first_chunk() {
        (*chunk, 0)
    } else {
        let (last, start) = last_chunk(tags);
        (last, from - start)
    };
    let commas = places([b','], chunk) >> shift;
    let ends = commas | (places([b':'], chunk) >> shift);
    let of = |places: u32| (places != 0).then(|| from + places.trailing_zeros() as usize);
    let behind = from + CHUNK;
    let key_end = of(ends).or_else(|| find([b':', b','], tags, behind));
    let end = of(commas).or_else(|| find([b','], tags, behind));
    (key_end.unwrap_or(tags.len()), end.unwrap_or(tags.len()))
}

/// Where the bytes stand that part lines and their pieces: a bit for each of the first 64 bytes
/// from where a line begins, which may go on behind it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    feeds: u64,
    colons: u64,
    bars: u64,
}

/// So many bytes are marked at once: most lines are no longer.
const MARKED: usize = 64;

impl Marks {
    // Hot path: runs once per line.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut marks = Self::default();
        for at in (0..MARKED).step_by(CHUNK) {
            let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
                // It may lie over the one before it, and marks the same there.
                let (last, start) = last_chunk(bytes);
                marks.add(last, start);
                break;
            };
            marks.add(*chunk, at);
        }
        marks
    }

    #[inline]
    fn add(&mut self, chunk: [u8; CHUNK], at: usize) {
        let places = |byte| u64::from(places([byte], chunk)) << at;
        self.feeds |= places(b'\n');
        self.colons |= places(b':');
        self.bars |= places(b'|');
    }

    /// The first line feed of what is marked.
    #[inline]
    pub(crate) fn feed(self, bytes: &[u8]) -> Option<usize> {
        first(self.feeds).or_else(|| find([b'\n'], bytes, MARKED))
    }

    /// The first `:` or `|` of the line that is marked.
    #[inline]
    pub(crate) fn colon_or_bar(self, line: &[u8]) -> Option<usize> {
        let place = first(self.colons | self.bars).or_else(|| find([b':', b'|'], line, MARKED))?;
        (place < line.len()).then_some(place)
    }

    /// The first `|` of the line that is marked, from this place on.
    #[inline]
    pub(crate) fn bar(self, line: &[u8], from: usize) -> Option<usize> {
        let behind = self.bars.checked_shr(from as u32).and_then(first);
        let marked = behind.map(|behind| from + behind);
        let place = marked.or_else(|| find([b'|'], line, from.max(MARKED)))?;
        (place < line.len()).then_some(place)
    }
}

#[inline]
fn first(marks: u64) -> Option<usize> {
    (marks != 0).then(|| marks.trailing_zeros() as usize)
}

// The chunk that ends with the line, and where it begins; of a shorter line all of it and zeros.
#[inline]
fn last_chunk(line: &[u8]) -> ([u8; CHUNK], usize) {
    if let Some(last) = line.last_chunk() {
        return (*last, line.len() - CHUNK);
    }
    let mut last = [0; CHUNK];
    last[..line.len()].copy_from_slice(line);
    (last, 0)
}

// A bit for each place of a chunk where one of these bytes stands.
#[inline]
fn places<const N: usize>(bytes: [u8; N], chunk: [u8; CHUNK]) -> u32 {
    let chunk = u8x16::from(chunk);
    let found = bytes.map(|byte| chunk.simd_eq(u8x16::splat(byte)));
    found.into_iter().fold(u8x16::ZERO, |all, it| all | it).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands_in_lines_of_every_length() {
        for len in 0..70 {
            for (one, from) in (0..=len).flat_map(|one| (0..=len).map(move |from| (one, from))) {
                let mut line = vec![b'.'; len];
                let places = [one, one + 5].map(|place| Some(place).filter(|place| *place < len));
                for (place, byte) in places.iter().zip(*b":|") {
                    place.map(|place| line[place] = byte);
                }
                let [colon, bar] = places.map(|place| place.filter(|place| *place >= from));
                assert_eq!(find([b':'], &line, from), colon);
                assert_eq!(find([b'|'], &line, from), bar);
                assert_eq!(find([b'|', b':'], &line, from), colon.or(bar));
            }
        }
    }

    #[test]
    fn a_tag_and_its_key_end_where_looking_byte_by_byte_says_so_in_tags_of_every_length() {
        for len in 0..70 {
            for (one, other) in (0..=len).flat_map(|one| (0..=len).map(move |other| (one, other))) {
                let mut tags = vec![b'.'; len];
                for (place, byte) in [(one, b':'), (other, b',')] {
                    if let Some(at) = tags.get_mut(place) {
                        *at = byte;
                    }
                }
                for from in [0, 1, 15, 16, 17, len / 2, len].into_iter().filter(|it| *it <= len) {
                    let find = |is_it: fn(&u8) -> bool| {
                        tags[from..].iter().position(is_it).map_or(len, |at| from + at)
                    };
                    let ends = (find(|it| matches!(it, b':' | b',')), find(|it| *it == b','));
                    assert_eq!(tag_ends(&tags, from), ends, "{one} {other} {from} of {len}");
                }
            }
        }
    }

    #[test]
    fn marks_tell_what_looking_byte_by_byte_tells_of_a_line_and_not_of_what_follows_it() {
        for len in 0..140 {
            for places in (0..len).map(|at| [at, at + 7, at + 20, at + 40]) {
                let mut bytes = vec![b'.'; len];
                for (place, byte) in places.iter().zip(*b":||\n") {
                    if let Some(at) = bytes.get_mut(*place) {
                        *at = byte;
                    }
                }
                let marks = Marks::of(&bytes);
                let feed = bytes.iter().position(|byte| *byte == b'\n');
                assert_eq!(marks.feed(&bytes), feed, "{places:?} of {len}");
                for line in [&bytes[..feed.unwrap_or(len)], &bytes[..feed.unwrap_or(len) / 2]] {
                    let first = line.iter().position(|byte| matches!(byte, b':' | b'|'));
                    assert_eq!(marks.colon_or_bar(line), first, "{places:?} of {len}");
                    for from in 0..=line.len() {
                        let bar = line[from..].iter().position(|byte| *byte == b'|');
                        assert_eq!(marks.bar(line, from), bar.map(|bar| from + bar));
                    }
                }
            }
        }
    }
}
