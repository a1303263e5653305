use metric::Reason;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while1};
use nom::character::complete::one_of;
use nom::combinator::{all_consuming, opt, recognize};
use nom::{IResult, Parser};

// Powers of ten that a float holds exactly.
const TENS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Reads a decimal number, rounded to the nearest float; always finite.
// Hot path: runs once per value.
#[inline]
pub(crate) fn number(text: &[u8]) -> Result<f64, Reason> {
    match short_decimal(text) {
        Some(value) => Ok(value),
        None => any_number(text),
    }
}

// Up to 15 digits with an optional point: an integer below 2^53 and a power of ten, both exact, so
// that their quotient is the nearest float.
#[inline]
fn short_decimal(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let (mut integer, mut point) = (0_u64, None);
    for (place, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => integer = integer * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && digits.len() > 1 => point = Some(place),
            _ => return None,
        }
    }
    let value = match point {
        None => integer as f64,
        Some(point) => integer as f64 / TENS[digits.len() - 1 - point],
    };
    Some(if negative { -value } else { value })
}

#[cold]
fn any_number(text: &[u8]) -> Result<f64, Reason> {
    if all_consuming(grammar).parse(text).is_err() {
        let word = all_consuming(not_a_number).parse(text).is_ok();
        return Err(if word { Reason::NotFinite } else { Reason::BadValue });
    }
    match fast_float2::parse::<f64, _>(text) {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Reason::NotFinite),
        Err(_) => Err(Reason::BadValue),
    }
}

// [sign] (digits [. [digits]] | . digits) [e [sign] digits]
fn grammar(text: &[u8]) -> IResult<&[u8], &[u8]> {
    let mantissa = alt((
        recognize((digits1, opt((one_of(".".as_bytes()), digits0)))),
        recognize((one_of(".".as_bytes()), digits1)),
    ));
    let exponent = (one_of("eE".as_bytes()), opt(one_of("+-".as_bytes())), digits1);
    recognize((opt(one_of("+-".as_bytes())), mantissa, opt(exponent))).parse(text)
}

fn not_a_number(text: &[u8]) -> IResult<&[u8], &[u8]> {
    let word = alt((tag_no_case("nan"), tag_no_case("infinity"), tag_no_case("inf")));
    recognize((opt(one_of("+-".as_bytes())), word)).parse(text)
}

fn digits0(text: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while(|byte: u8| byte.is_ascii_digit()).parse(text)
}

fn digits1(text: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(|byte: u8| byte.is_ascii_digit()).parse(text)
}

/// Reads a sample rate: a number in [1e-9, 1].
pub(crate) fn rate(text: &[u8]) -> Option<f64> {
    number(text).ok().filter(|rate| (1e-9..=1.0).contains(rate))
}

/// Reads a time in whole unix seconds, the fraction cut off, if it is at most an hour ago and at
/// most ten minutes ahead.
pub(crate) fn timestamp(text: &[u8], now: i64) -> Option<i64> {
    let (_, seconds) = all_consuming(seconds).parse(text).ok()?;
    let seconds = seconds
        .iter()
        .try_fold(0_i64, |sum, byte| sum.checked_mul(10)?.checked_add(i64::from(byte - b'0')))?;
    (now.saturating_sub(3600)..=now.saturating_add(600)).contains(&seconds).then_some(seconds)
}

fn seconds(text: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, seconds) = digits1(text)?;
    let (rest, _) = opt((one_of(".".as_bytes()), digits0)).parse(rest)?;
    Ok((rest, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest_float() {
        for text in [
            "0",
            "1",
            "-1",
            "+1",
            "1.",
            ".5",
            "-.5",
            "+0.1",
            "0.3",
            "123456789012345",
            "99999.99999",
            "1e3",
            "1E+3",
            "1.5e-3",
            "5e-324",
            "1.7976931348623157e308",
            "00012",
            "0.000000000000001",
            "9007199254740993",
            "123456789.123456789123456789",
            "2.5e0",
        ] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(number(text.as_bytes()).map(f64::to_bits), Ok(expected.to_bits()), "{text}");
        }
        let many = format!("0.{}1", "3".repeat(2000));
        assert_eq!(number(many.as_bytes()), Ok(many.parse().unwrap()));
        assert_eq!(number(b"1e-99999999999999999999"), Ok(0.0));
        assert!(number(b"-0").unwrap().is_sign_negative());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", ".", "+", "-", "+-1", "--1", "1e", "1e+", "e5", "1.2.3", "0x10", "1_000", " 1",
            "1 ", "1,5", "nano", "infinit", "i", "١", ".e1", "+.", "1e5.0",
        ] {
            assert_eq!(number(text.as_bytes()), Err(Reason::BadValue), "{text}");
        }
        for text in [
            "nan",
            "NaN",
            "+nan",
            "-NAN",
            "inf",
            "-Inf",
            "infinity",
            "+INFINITY",
            "1e400",
            "-1e309",
            "1e99999999999999999999",
        ] {
            assert_eq!(number(text.as_bytes()), Err(Reason::NotFinite), "{text}");
        }
    }

    #[test]
    fn a_rate_is_above_zero_and_at_most_one() {
        for (text, expected) in [
            ("1", Some(1.0)),
            ("+.5", Some(0.5)),
            ("1e-9", Some(1e-9)),
            ("0.9e-9", None),
            ("0", None),
            ("-0.5", None),
            ("1.0000001", None),
            ("", None),
            ("nan", None),
            ("0.5:2", None),
        ] {
            assert_eq!(rate(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_believed_for_an_hour_back_and_ten_minutes_ahead() {
        for (text, expected) in [
            ("10000", Some(10_000)),
            ("6400", Some(6_400)),
            ("6399", None),
            ("6399.9", None),
            ("10600.9", Some(10_600)),
            ("10601", None),
            ("10000.", Some(10_000)),
            (".5", None),
            ("", None),
            ("-1", None),
            ("+10000", None),
            ("1e4", None),
            ("99999999999999999999", None),
            ("0000010000", Some(10_000)),
        ] {
            assert_eq!(timestamp(text.as_bytes(), 10_000), expected, "{text}");
        }
    }
}
