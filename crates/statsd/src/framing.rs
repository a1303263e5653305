use std::io::{self, BufRead};

use memchr::{memchr, memrchr};

use crate::scan::find;

/// The longest line of a stream or a file, in bytes, before anything is stripped from it. Those of
/// a datagram are never longer.
pub const LONGEST_LINE: usize = 65_535;

/// The lines of a datagram: split at line feeds, white space stripped from their ends, empty ones
/// left out.
pub fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines { bytes, at: 0 }
}

/// See [`lines`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    // Where the next line begins; behind the last one it is behind the end.
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    // Hot path: runs once per line.
    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.at < self.bytes.len() {
            let end = find([b'\n'], self.bytes, self.at).unwrap_or(self.bytes.len());
            let line = strip(&self.bytes[self.at..end]);
            self.at = end + 1;
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }
}

/// Splits a datagram that the kernel cut into its whole lines and the line that was cut, which is
/// whatever follows the last line feed, perhaps nothing.
pub fn split_cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(memrchr(b'\n', bytes).map_or(0, |last| last + 1))
}

/// Strips what may stand at a line's end: space, tab, CR.
#[inline]
pub(crate) fn strip(line: &[u8]) -> &[u8] {
    match line {
        // None of them is above a space.
        [.., last] if *last > b' ' => line,
        _ => strip_white(line),
    }
}

fn strip_white(line: &[u8]) -> &[u8] {
    let kept = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    &line[..kept.map_or(0, |last| last + 1)]
}

/// The lines of a stream, each held only while it is looked at, and never more than
/// [`LONGEST_LINE`] bytes of one.
#[derive(Debug)]
pub struct StreamLines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
}

/// One line of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamLine<'a> {
    /// A stripped line, not empty.
    Whole(&'a [u8]),
    /// The beginning, unstripped, of a line that is too long; all of it was passed over.
    TooLong(&'a [u8]),
}

impl<R: BufRead> StreamLines<R> {
    /// The lines of this stream.
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), number: 0 }
    }

    /// The next line with its number, counted from 1, left out ones too; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, StreamLine<'_>)>> {
        loop {
            self.line.clear();
            let Some(too_long) = self.fill()? else { return Ok(None) };
            self.number += 1;
            if too_long {
                return Ok(Some((self.number, StreamLine::TooLong(&self.line))));
            }
            let kept = strip(&self.line).len();
            if kept > 0 {
                return Ok(Some((self.number, StreamLine::Whole(&self.line[..kept]))));
            }
        }
    }

    // Reads one line without its line feed; `None` at the end, else whether it was too long.
    fn fill(&mut self) -> io::Result<Option<bool>> {
        let (mut any, mut too_long) = (false, false);
        loop {
            let bytes = match self.from.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                return Ok(any.then_some(too_long));
            }
            any = true;
            let end = memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let room = LONGEST_LINE - self.line.len();
            too_long |= part.len() > room;
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let taken = part.len() + usize::from(end.is_some());
            self.from.consume(taken);
            if end.is_some() {
                return Ok(Some(too_long));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_stripped_from_ends_only_and_empty_lines_are_left_out() {
        let bytes = b"a:1|c \t\r\n\r\n \n\x0c\n b\r:1|c\r\r\n\nc";
        let seen: Vec<_> = lines(bytes).collect();
        assert_eq!(seen, [&b"a:1|c"[..], b"\x0c", b" b\r:1|c", b"c"]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"\n\n").count(), 0);
    }

    #[test]
    fn a_cut_line_is_what_follows_the_last_line_feed() {
        assert_eq!(split_cut(b"a\nb\nc"), (&b"a\nb\n"[..], &b"c"[..]));
        assert_eq!(split_cut(b"a\n"), (&b"a\n"[..], &b""[..]));
        assert_eq!(split_cut(b"a"), (&b""[..], &b"a"[..]));
    }

    #[test]
    fn a_line_of_a_stream_is_bounded_and_the_next_is_read() {
        let longest = vec![b'x'; LONGEST_LINE];
        let mut text = b"\n a \n".to_vec();
        text.extend_from_slice(&longest);
        text.extend_from_slice(b"\nyy");
        text.extend_from_slice(&longest);
        text.extend_from_slice(b"\n\nend");
        // A tiny buffer makes every line come in pieces.
        let mut stream = StreamLines::new(io::BufReader::with_capacity(7, &text[..]));
        assert_eq!(stream.next_line().unwrap(), Some((2, StreamLine::Whole(b" a"))));
        assert_eq!(stream.next_line().unwrap(), Some((3, StreamLine::Whole(&longest))));
        let Some((4, StreamLine::TooLong(start))) = stream.next_line().unwrap() else {
            panic!("the fourth line is too long")
        };
        assert_eq!((start.len(), &start[..3]), (LONGEST_LINE, &b"yyx"[..]));
        assert_eq!(stream.next_line().unwrap(), Some((6, StreamLine::Whole(b"end"))));
        assert_eq!(stream.next_line().unwrap(), None);
    }
}
