use std::borrow::Cow;

use metric::{Note, Notes};

/// A line whose parts become text, each ill-formed sequence of UTF-8 replaced by U+FFFD.
///
/// Whether there is any is found out once for the whole line: a part ends where an ASCII character
/// stands, so all parts of a well-formed line are well-formed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder<'a> {
    line: &'a [u8],
    well_formed: Option<&'a str>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn of(line: &'a [u8]) -> Self {
        Self { line, well_formed: std::str::from_utf8(line).ok() }
    }

    /// Itself, if there is nothing to replace.
    pub(crate) fn if_well_formed(self) -> Option<Self> {
        self.well_formed.map(|_| self)
    }

    /// The text of a part of the line.
    #[inline]
    pub(crate) fn text(&self, part: &'a [u8], notes: &mut Notes) -> Cow<'a, str> {
        match self.well_formed(part) {
            Some(text) => Cow::Borrowed(text),
            None => text(part, notes),
        }
    }

    /// The text of a part of a line that is well-formed as a whole.
    #[inline]
    pub(crate) fn well_formed(&self, part: &'a [u8]) -> Option<&'a str> {
        // A part from elsewhere would only be slow: it is compared, not trusted.
        let start = part.as_ptr().addr().wrapping_sub(self.line.as_ptr().addr());
        self.well_formed?.get(start..start.wrapping_add(part.len()))
    }
}

#[cold]
fn text<'a>(part: &'a [u8], notes: &mut Notes) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(part) {
        return Cow::Borrowed(text);
    }
    notes.insert(Note::InvalidUtf8);
    String::from_utf8_lossy(part)
}

/// The text of bytes that were put together.
pub(crate) fn owned_text<'a>(bytes: Vec<u8>, notes: &mut Notes) -> Cow<'a, str> {
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| {
        notes.insert(Note::InvalidUtf8);
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    }))
}
