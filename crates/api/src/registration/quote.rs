use std::fmt::Write as _;

/// `text` as Go's `%q` writes it, which is how the API names an id in its answers.
pub(super) fn go_quote(text: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut quoted, c));
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}"); // writing to a String cannot fail
        }
    }
    quoted.push('"');
    quoted
}

fn push(quoted: &mut String, c: char) {
    let code = u32::from(c);
    match c {
        '"' | '\\' => quoted.extend(['\\', c]),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        c if is_printable(c) => quoted.push(c),
        _ => {
            let _ = match code {
                ..0x80 => write!(quoted, "\\x{code:02x}"),
                0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                _ => write!(quoted, "\\U{code:08x}"),
            };
        }
    }
}

// Letters, marks, numbers, punctuation, symbols and the ASCII space. `escape_debug` knows them;
// after another character it leaves a combining mark as it is.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let mut pair = String::from('a');
    pair.push(c);
    pair.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_as_go_quotes_it() {
        for (text, quoted) in [
            (&b"abc-1.2_x"[..], r#""abc-1.2_x""#),
            (b"", r#""""#),
            (b"a b'c", r#""a b'c""#),
            (b"\"\\", r#""\"\\""#),
            (b"\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            (b"\0\x04\x1f\x7f", r#""\x00\x04\x1f\x7f""#),
            (b"\xff\xc3(\xe2\x98", r#""\xff\xc3(\xe2\x98""#),
            ("é\u{301}☺😀\u{fffd}".as_bytes(), "\"é\u{301}☺😀\u{fffd}\""),
            ("\u{a0}\u{2028}\u{feff}\u{80}".as_bytes(), r#""\u00a0\u2028\ufeff\u0080""#),
            ("\u{e0001}\u{10ffff}".as_bytes(), r#""\U000e0001\U0010ffff""#),
        ] {
            assert_eq!(go_quote(text), quoted);
        }
    }
}
