//! JSON as Go's encoder writes it.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

/// A text in quotes. What a page that shows it could trip over is escaped.
pub(super) fn text(to: &mut Vec<u8>, text: &str) {
    to.push(b'"');
    let mut written = 0;
    for (at, c) in text.char_indices() {
        let escape: &[u8] = match c {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '<' => b"\\u003c",
            '>' => b"\\u003e",
            '&' => b"\\u0026",
            '\u{2028}' => b"\\u2028",
            '\u{2029}' => b"\\u2029",
            '\0'..'\u{20}' => {
                to.extend_from_slice(&text.as_bytes()[written..at]);
                let hex = b"0123456789abcdef";
                let code = c as usize;
                to.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex[code >> 4], hex[code & 0xf]]);
                written = at + 1;
                continue;
            }
            _ => continue,
        };
        to.extend_from_slice(&text.as_bytes()[written..at]);
        to.extend_from_slice(escape);
        written = at + c.len_utf8();
    }
    to.extend_from_slice(&text.as_bytes()[written..]);
    to.push(b'"');
}

/// A finite number: the shortest digits that mean it, with an exponent only below 1e-6 and from
/// 1e21 on.
pub(super) fn number(to: &mut String, value: f64) {
    let size = value.abs();
    // Writing to a String cannot fail.
    let _ = if size < 1e-6 && size > 0.0 {
        write!(to, "{value:e}")
    } else if size < 1e21 {
        write!(to, "{value}")
    } else {
        let digits = format!("{value:e}");
        write!(to, "{}", digits.replace('e', "e+"))
    };
}

/// A moment in whole seconds.
pub(super) fn time(at: SystemTime) -> impl Display {
    // What is before 1970 is a clock that was never set.
    humantime::format_rfc3339_seconds(at.max(SystemTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_text_is_escaped_as_go_does() {
        for (plain, written) in [
            ("", r#""""#),
            ("a.b-ü 💧", r#""a.b-ü 💧""#),
            ("a\"b\\c/d", r#""a\"b\\c/d""#),
            ("<a href=\"x\">&", r#""\u003ca href=\"x\"\u003e\u0026""#),
            ("\n\r\t\0\u{8}\u{c}\u{1f}\u{7f}é", "\"\\n\\r\\t\\u0000\\u0008\\u000c\\u001f\u{7f}é\""),
            ("x\u{2028}y\u{2029}", r#""x\u2028y\u2029""#),
        ] {
            let mut to = Vec::new();
            text(&mut to, plain);
            assert_eq!(String::from_utf8(to).unwrap(), written);
        }
    }

    #[test]
    fn a_number_is_written_as_go_does() {
        for (value, written) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.25, "-3.25"),
            (0.1, "0.1"),
            (1_479_588_678_444.0, "1479588678444"),
            (123_456_789_012_345_680.0, "123456789012345680"),
            (999_999_999_999_999_900_000.0, "999999999999999900000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-7"),
            (-5e-324, "-5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            let mut to = String::new();
            number(&mut to, value);
            assert_eq!(to, written);
            assert_eq!(to.parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn a_time_is_in_whole_seconds_of_utc() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_546_398_245_999);
        assert_eq!(time(at).to_string(), "2019-01-02T03:04:05Z");
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(time(before).to_string(), "1970-01-01T00:00:00Z");
    }
}
