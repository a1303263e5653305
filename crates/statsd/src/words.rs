/// One byte in each place of a word.
pub(crate) const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The top bit of each byte of a word that is this one. Above the first of them others may be taken
/// for one.
#[inline]
pub(crate) const fn places(byte: u8, word: u64) -> u64 {
    let zero_there = word ^ repeat(byte);
    zero_there.wrapping_sub(repeat(0x01)) & !zero_there & repeat(0x80)
}

/// The place of the first byte of which [`places`] gave the top bit.
#[inline]
pub(crate) const fn first_place(places: u64) -> usize {
    (places.trailing_zeros() / 8) as usize
}
