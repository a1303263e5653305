use std::borrow::Cow;

/// Text in place of bytes, each ill-formed sequence of UTF-8 replaced by U+FFFD; tells of that.
pub(crate) fn text<'a>(bytes: &'a [u8], ill_formed: &mut bool) -> Cow<'a, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            *ill_formed = true;
            String::from_utf8_lossy(bytes)
        }
    }
}

/// As [`text`], for bytes that were put together.
pub(crate) fn owned_text<'a>(bytes: Vec<u8>, ill_formed: &mut bool) -> Cow<'a, str> {
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| {
        *ill_formed = true;
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    }))
}
