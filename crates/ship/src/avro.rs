//! Avro's binary form of what our records hold: <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>.

/// What is written into a block: one object of its schema.
pub(crate) trait Object {
    /// Appends it in Avro's binary form.
    fn write(&self, to: &mut Vec<u8>);
}

/// An `int` or a `long`: zigzag, in groups of seven bits, the lowest first.
// Hot path: runs several times per point.
#[inline]
pub(crate) fn long(to: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag > 0x7f {
        to.push((zigzag as u8 & 0x7f) | 0x80);
        zigzag >>= 7;
    }
    to.push(zigzag as u8);
}

/// A `double`.
#[inline]
pub(crate) fn double(to: &mut Vec<u8>, value: f64) {
    to.extend_from_slice(&value.to_le_bytes());
}

/// A `string`: its length, then itself.
#[inline]
pub(crate) fn string(to: &mut Vec<u8>, text: &str) {
    long(to, text.len() as i64);
    to.extend_from_slice(text.as_bytes());
}

/// The items of an `array` or a `map` that are so many, in one block: `written` is the items.
pub(crate) fn block(to: &mut Vec<u8>, items: usize, written: impl FnOnce(&mut Vec<u8>)) {
    if items > 0 {
        long(to, items as i64);
        written(to);
    }
    to.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_is_a_zigzag_varint() {
        let examples: [(i64, &[u8]); 7] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (64, &[0x80, 1]),
            (160, &[0xc0, 2]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (value, bytes) in examples {
            let mut written = Vec::new();
            long(&mut written, value);
            assert_eq!(written, bytes, "{value}");
        }
    }
}
