use std::fmt::Write as _;

/// What the names of temporary files begin with. No container's file has such a name: there a `%`
/// is followed by two hexadecimal digits or by `-`.
pub(super) const TEMPORARY: &str = "%weir-tmp-";

/// What files are called while two swap their names.
pub(super) const PARKED: &str = "%weir-parked-";

/// The end of the names of files that were set aside.
pub(super) const BAD: &str = ".bad";

// A name may have 255 bytes; this leaves room for `.bad`.
const LONGEST: usize = 240;

/// The name of a container's file: the id itself, with every byte outside `[A-Za-z0-9._-]` written
/// as `%` and two hexadecimal digits, and so is the dot of a final `.bad`. Where that would be too
/// long for a name, its first 200 bytes, `%-` and the start of the id's SHA-256. No two ids have one
/// name.
pub(super) fn of(container_id: &str) -> String {
    let plain_end = container_id.len() - if container_id.ends_with(BAD) { BAD.len() } else { 0 };
    let mut name = String::with_capacity(container_id.len());
    for (at, byte) in container_id.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if plain && at != plain_end {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    if name.len() > LONGEST {
        let digest = ring::digest::digest(&ring::digest::SHA256, container_id.as_bytes());
        name.truncate(200);
        name.push_str("%-");
        for byte in &digest.as_ref()[..16] {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

pub(super) fn temporary(number: u64) -> String {
    format!("{TEMPORARY}{}-{number}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_id_is_its_own_name_and_odd_bytes_are_encoded() {
        for (id, name) in [
            ("5f0b3a9c-b8f8-4b86-9f1e-3a6d1a1ab0aa", "5f0b3a9c-b8f8-4b86-9f1e-3a6d1a1ab0aa"),
            ("a.b_c-D9", "a.b_c-D9"),
            ("a b", "a%20b"),
            ("50%", "50%25"),
            ("ü", "%C3%BC"),
            ("x.bad", "x%2Ebad"),
            (".bad", "%2Ebad"),
            ("x.bad.1", "x.bad.1"),
            (&format!("{TEMPORARY}1"), "%25weir-tmp-1"),
        ] {
            assert_eq!(of(id), name);
        }
    }

    #[test]
    fn ids_too_long_for_a_name_still_have_names_of_their_own() {
        let (one, other) = (format!("{}a", "ü".repeat(127)), format!("{}b", "ü".repeat(127)));
        assert!(of(&one).len() <= LONGEST);
        assert_ne!(of(&one), of(&other));
        assert_eq!(of(&one), of(&one));
        let (fits, long) = ("x".repeat(LONGEST), "x".repeat(255));
        assert_eq!(of(&fits), fits);
        assert!(of(&long).starts_with(&"x".repeat(200)));
        assert!(of(&long).len() <= LONGEST);
    }
}
