use super::state::state;

/// As [`state`], past the checksums: the input stands in for what is in the chunks.
pub(crate) fn chunks(input: &[u8]) {
    let mut file = b"weirstat\x01\0\0\0".to_vec();
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&500_u64.to_le_bytes());
    file.extend_from_slice(&1_u128.to_le_bytes());
    let sum = crc32(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    // Each chunk's length is in its first two bytes.
    let mut rest = input;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (chunk, after) = after.split_at(length);
        file.extend_from_slice(&(length as u32).to_le_bytes());
        file.extend_from_slice(&crc32(chunk).to_le_bytes());
        file.extend_from_slice(chunk);
        rest = after;
    }
    state(&file);
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}
