use memchr::memchr;

/// The pieces of a text between separators; an empty text is one empty piece.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

pub(crate) fn pieces(text: &[u8], separator: u8) -> Pieces<'_> {
    Pieces { rest: Some(text), separator }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let (piece, behind) = cut(rest, self.separator);
        self.rest = behind;
        Some(piece)
    }
}

/// Cuts a text at the first separator; without one there is nothing behind it.
#[inline]
pub(crate) fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(separator, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// As [`cut`], for what is mostly a few bytes long: a call of memchr costs more than they do.
#[inline]
pub(crate) fn cut_near(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}
