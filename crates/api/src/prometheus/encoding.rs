//! What an `Accept-Encoding` asks for: RFC 9110, 12.5.3.

use hyper::header::{ACCEPT_ENCODING, HeaderMap};

/// Whether the asker takes gzip, and does not like it less than the plain text.
pub(super) fn is_gzip_wanted(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut plain) = (None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        // What is not ASCII names no coding that we have.
        for coding in value.to_str().unwrap_or_default().split(',') {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let (name, weight) = (name.trim(), thousandths(weight));
            if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                gzip = Some(weight);
            } else if name.eq_ignore_ascii_case("identity") {
                plain = Some(weight);
            } else if name == "*" {
                any = Some(weight);
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= plain.unwrap_or(0)
}

// A weight that is none is the default one.
fn thousandths(weight: &str) -> u16 {
    let weight = weight.trim();
    let given = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="));
    let given = given.and_then(|weight| weight.parse::<f32>().ok());
    given.filter(|weight| (0.0..=1.0).contains(weight)).map_or(1000, |it| (it * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_to_who_asks_for_it() {
        for (accepted, wanted) in [
            ("gzip", true),
            ("GZIP;q=0.5, identity;q=0.4", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("*", true),
            ("gzip;q=x", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("identity, gzip;q=0.1", false),
            ("br", false),
            ("gzipped", false),
        ] {
            let mut headers = HeaderMap::new();
            assert!(!is_gzip_wanted(&headers));
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(is_gzip_wanted(&headers), wanted, "{accepted}");
        }
    }
}
