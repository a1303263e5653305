use crate::scan::find;

/// The pieces of a text between separators; an empty text is one empty piece.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'a> {
    text: &'a [u8],
    // Where the next piece begins; `None` behind the last one.
    at: Option<usize>,
    separator: u8,
}

#[inline]
pub(crate) fn pieces(text: &[u8], separator: u8) -> Pieces<'_> {
    Pieces { text, at: Some(0), separator }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.at?;
        let end = find([self.separator], self.text, start);
        self.at = end.map(|end| end + 1);
        Some(&self.text[start..end.unwrap_or(self.text.len())])
    }
}

/// Cuts a text at the first separator; without one there is nothing behind it.
#[inline]
pub(crate) fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match find([separator], text, 0) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}
