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
}
