use std::hash::{Hash, Hasher};

use crate::Kind;

/// The bytes of a line that decide its series, as they stand: nothing split, sorted or decoded.
///
/// Two lines of one source with equal spellings are of the same series and have the same notes but
/// for those about rate, time and value. The reverse does not hold: one series has many spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling<'a> {
    /// Everything before the first `:`, tags in the name included.
    pub name: &'a [u8],
    /// The kind that the kind part names.
    pub kind: Kind,
    /// The kind part is `m`: a counter with a note.
    pub meter: bool,
    /// The sections but for rate and time, each run of them with the `|` between them: before and
    /// after the first rate or time. Empty where there is none.
    pub sections: [&'a [u8]; 2],
}

impl Spelling<'_> {
    /// How many bytes [`Spelling::write`] appends.
    pub fn stored_len(&self) -> usize {
        5 + self.name.len() + self.sections[0].len() + self.sections[1].len()
    }

    /// Appends a form that is equal for equal spellings only.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.head());
        to.extend_from_slice(self.name);
        to.extend_from_slice(self.sections[0]);
        to.extend_from_slice(self.sections[1]);
    }

    /// Whether `stored` is what [`Spelling::write`] wrote for an equal spelling.
    // Hot path: runs once per line.
    pub fn is_stored_as(&self, stored: &[u8]) -> bool {
        let (name, first) = (self.name.len(), self.sections[0].len());
        stored.len() == self.stored_len()
            && stored[..5] == self.head()
            && stored[5..5 + name] == *self.name
            && stored[5 + name..5 + name + first] == *self.sections[0]
            && stored[5 + name + first..] == *self.sections[1]
    }

    // A datagram's 65,535 bytes bound both lengths.
    fn head(&self) -> [u8; 5] {
        let name = (self.name.len() as u16).to_le_bytes();
        let first = (self.sections[0].len() as u16).to_le_bytes();
        let kind = self.kind as u8 | if self.meter { 0x80 } else { 0 };
        [kind, name[0], name[1], first[0], first[1]]
    }
}

impl Hash for Spelling<'_> {
    // Hot path: runs once per line. Lengths are left out: a collision is only slow, and equality decides.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.name);
        state.write(self.sections[0]);
        if !self.sections[1].is_empty() {
            state.write(self.sections[1]);
        }
        state.write_u8(self.kind as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_spelling_is_recognised_and_no_other() {
        let spelling = Spelling {
            name: b"a.b",
            kind: Kind::Counter,
            meter: false,
            sections: [b"#k:v", b"c:x"],
        };
        let mut stored = Vec::new();
        spelling.write(&mut stored);
        assert_eq!(stored.len(), spelling.stored_len());
        assert!(spelling.is_stored_as(&stored));
        for other in [
            Spelling { meter: true, ..spelling },
            Spelling { kind: Kind::Gauge, ..spelling },
            Spelling { name: b"a.b#", sections: [b"k:v", b"c:x"], ..spelling },
            Spelling { sections: [b"#k:vc", b":x"], ..spelling },
        ] {
            assert!(!other.is_stored_as(&stored), "{other:?}");
        }
    }
}
