use std::time::{Duration, Instant};

/// A packet that is not full leaves this long after its first line came.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

/// The datagram that is being filled: whole lines, a line feed between two.
#[derive(Debug)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    lines: u64,
    due: Option<Instant>,
    most: usize,
}

impl Packet {
    /// One of `most` bytes; a longer line is a packet of its own.
    pub(crate) fn new(most: usize) -> Self {
        Self { bytes: Vec::with_capacity(most), lines: 0, due: None, most }
    }

    /// Adds a line; what has no room beside it goes to `send` first, with its number of lines.
    // Runs once per relayed line.
    pub(crate) fn add(&mut self, line: &[u8], now: Instant, mut send: impl FnMut(&[u8], u64)) {
        if self.lines > 0 && self.bytes.len() + 1 + line.len() > self.most {
            self.take(&mut send);
        }
        if line.len() > self.most {
            send(line, 1);
            return;
        }
        if self.lines > 0 {
            self.bytes.push(b'\n');
        } else {
            self.due = Some(now + LINGER);
        }
        self.bytes.extend_from_slice(line);
        self.lines += 1;
    }

    /// Empties it.
    pub(crate) fn take(&mut self, mut send: impl FnMut(&[u8], u64)) {
        if self.lines > 0 {
            send(&self.bytes, self.lines);
            self.bytes.clear();
            self.lines = 0;
            self.due = None;
        }
    }

    /// When it is to leave, if there is anything in it.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(most: usize, lines: &[&str]) -> Vec<(String, u64)> {
        let mut packets = Vec::new();
        let mut send = |bytes: &[u8], lines| {
            packets.push((String::from_utf8(bytes.to_vec()).unwrap(), lines));
        };
        let mut packet = Packet::new(most);
        for line in lines {
            packet.add(line.as_bytes(), Instant::now(), &mut send);
        }
        packet.take(&mut send);
        packets
    }

    #[test]
    fn lines_are_packed_up_to_the_limit_and_never_split() {
        let of = |text: &str, lines| (text.to_owned(), lines);
        assert_eq!(packed(7, &["abc", "def"]), [of("abc\ndef", 2)]);
        assert_eq!(packed(6, &["abc", "def"]), [of("abc", 1), of("def", 1)]);
        assert_eq!(packed(7, &["a", "b", "c", "d", "e"]), [of("a\nb\nc\nd", 4), of("e", 1)]);
        assert_eq!(packed(3, &["abc"]), [of("abc", 1)]);
        assert_eq!(packed(3, &["a", "abcd", "b"]), [of("a", 1), of("abcd", 1), of("b", 1)]);
        assert_eq!(packed(3, &[]), []);
    }

    #[test]
    fn a_packet_is_due_a_while_after_its_first_line() {
        let now = Instant::now();
        let mut packet = Packet::new(100);
        assert_eq!(packet.due(), None);
        packet.add(b"a", now, |_, _| panic!("there is room"));
        packet.add(b"b", now + LINGER, |_, _| panic!("there is room"));
        assert_eq!(packet.due(), Some(now + LINGER));
        packet.take(|_, _| {});
        assert_eq!(packet.due(), None);
    }
}
