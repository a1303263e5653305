use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use memchr::{memchr, memchr_iter};

/// The least that an aggregator does: a line's value is added to what has the hash of its other
/// bytes. Nothing is judged, compared, tagged, told apart by kind or ever flushed.
#[derive(Debug, Default)]
pub(super) struct Sums {
    hasher: RandomState,
    // By hash.
    sums: HashTable<(u64, f64)>,
}

impl Sums {
    pub(super) fn add_datagram(&mut self, payload: &[u8]) {
        let mut start = 0;
        for end in memchr_iter(b'\n', payload).chain([payload.len()]) {
            self.add_line(&payload[start..end]);
            start = end + 1;
        }
    }

    fn add_line(&mut self, line: &[u8]) -> Option<()> {
        let colon = memchr(b':', line)?;
        let bar = colon + memchr(b'|', &line[colon..])?;
        let mut hasher = self.hasher.build_hasher();
        hasher.write(&line[..colon]);
        hasher.write(&line[bar..]);
        let hash = hasher.finish();
        let digits = line[colon + 1..bar].iter().filter(|byte| byte.is_ascii_digit());
        let value = digits.fold(0.0, |value, digit| value * 10.0 + f64::from(digit - b'0'));
        let is_it = |(of, _): &(u64, f64)| *of == hash;
        self.sums.entry(hash, is_it, |(of, _)| *of).or_insert((hash, 0.0)).into_mut().1 += value;
        Some(())
    }

    pub(super) fn series(&self) -> usize {
        self.sums.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_s_value_is_added_to_those_of_lines_with_the_same_other_bytes() {
        let mut sums = Sums::default();
        sums.add_datagram(b"a:1|c|#k:v\nb:22|g\na:40|c|#k:v\n\nno line\na:5|c");
        let mut values: Vec<_> = sums.sums.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        assert_eq!(values, [5.0, 22.0, 41.0]);
    }
}
