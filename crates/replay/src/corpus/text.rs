use std::io::BufRead;

use statsd::{StreamLine, StreamLines};

use super::{Corpus, LONGEST_DATAGRAM};
use crate::error::ReplayError;

/// How lines are put into datagrams: each takes as many as both limits allow, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    /// The most lines of a datagram.
    pub(crate) lines: usize,
    /// The most bytes of a datagram.
    pub(crate) bytes: usize,
}

impl Packing {
    /// Whether a line of this length still goes into a datagram.
    pub(crate) fn has_room(self, lines: usize, bytes: usize, line: usize) -> bool {
        lines == 0 || (lines < self.lines && bytes + 1 + line <= self.bytes.min(LONGEST_DATAGRAM))
    }
}

/// Reads lines, all of them in one lane.
pub(super) fn read(
    from: impl BufRead,
    name: &str,
    mut corpus: Corpus,
    packing: Packing,
) -> Result<Corpus, ReplayError> {
    let mut lines = StreamLines::new(from);
    let mut open: Vec<u8> = Vec::new();
    let mut held = 0;
    loop {
        let failed = |source| ReplayError::Input { input: name.into(), source };
        let Some((number, line)) = lines.next_line().map_err(failed)? else { break };
        let line = match line {
            StreamLine::Whole(line) if line.len() <= LONGEST_DATAGRAM => line,
            StreamLine::Whole(_) | StreamLine::TooLong(_) => {
                return Err(ReplayError::LongLine { input: name.into(), line: number });
            }
        };
        if !packing.has_room(held, open.len(), line.len()) {
            corpus.push(0, &open)?;
            open.clear();
            held = 0;
        }
        if held > 0 {
            open.push(b'\n');
        }
        open.extend_from_slice(line);
        held += 1;
    }
    if held > 0 {
        corpus.push(0, &open)?;
    }
    Ok(corpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str, lines: usize, bytes: usize) -> Vec<String> {
        let packing = Packing { lines, bytes };
        let corpus = read(text.as_bytes(), "test", Corpus::new(1 << 20), packing).unwrap();
        let payload =
            |it: &super::super::Datagram| String::from_utf8(corpus.payload(*it).to_vec()).unwrap();
        corpus.datagrams().iter().map(payload).collect()
    }

    #[test]
    fn lines_are_packed_up_to_either_limit() {
        let text = "a:1|c\n\nb:1|c \nc:1|c";
        assert_eq!(packed(text, 1, 100), ["a:1|c", "b:1|c", "c:1|c"]);
        assert_eq!(packed(text, 2, 100), ["a:1|c\nb:1|c", "c:1|c"]);
        assert_eq!(packed(text, 9, 11), ["a:1|c\nb:1|c", "c:1|c"]);
        assert_eq!(packed(text, 9, 10), ["a:1|c", "b:1|c", "c:1|c"]);
        assert_eq!(packed(text, 9, 1), ["a:1|c", "b:1|c", "c:1|c"]);
    }

    #[test]
    fn a_line_that_no_datagram_holds_is_refused_by_its_number() {
        let text = format!("a:1|c\n{}\n", "x".repeat(65_508));
        let packing = Packing { lines: 1, bytes: 1432 };
        let error = read(text.as_bytes(), "it", Corpus::new(1 << 20), packing).unwrap_err();
        assert!(matches!(error, ReplayError::LongLine { line: 2, .. }), "{error}");
    }
}
