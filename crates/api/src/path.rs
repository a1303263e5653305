//! Paths as Go reads and writes them.

use std::fmt::Write as _;

/// Go's path.Clean of an absolute path, but that a slash at the end stays.
pub(crate) fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut clean = Vec::with_capacity(path.len() + 1);
    for segment in &segments {
        clean.push(b'/');
        clean.extend_from_slice(segment);
    }
    if segments.is_empty() || path.ends_with(b"/") {
        clean.push(b'/');
    }
    clean
}

/// `None` if the encoding is broken.
pub(crate) fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let [high, low, after @ ..] = after else {
                return None;
            };
            decoded.push(hex(*high)? << 4 | hex(*low)?);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// What Go leaves as it is in a path stays.
pub(crate) fn percent_encode(path: &[u8]) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    encoded
}
