//! Numbers and tables for people.

use std::fmt;
use std::time::Duration;

/// A count with its thousands apart.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Something a second.
pub(crate) fn rate(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.1} k/s", rate / 1e3),
        rate if rate >= 10.0 || rate == 0.0 => format!("{rate:.0}/s"),
        rate => format!("{rate:.2}/s"),
    }
}

/// A share of a whole.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => format!("{percent:.4} %"),
        percent => format!("{percent:.2} %"),
    }
}

/// Bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes if bytes >= 1e4 => format!("{:.1} kB", bytes / 1e3),
        bytes => format!("{bytes} B"),
    }
}

/// Seconds with what matters of their fraction.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}

/// A count as people write it on the command line: 50000, 50k, 1.5M.
pub(crate) fn parse_count(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no number above 0; write 50000, 50k or 1.5M");
    let (digits, times) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    if number.is_finite() && number > 0.0 { Ok(number * times) } else { Err(wrong()) }
}

/// A share, as people write it: 0.1% or 0.001.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no share; write 0.1% or 0.001");
    let (digits, times) =
        text.strip_suffix('%').map_or((text, 1.0), |digits| (digits.trim_end(), 0.01));
    let share: f64 = digits.parse().map_err(|_| wrong())?;
    let share = share * times;
    if (0.0..1.0).contains(&share) { Ok(share) } else { Err(wrong()) }
}

/// Bytes, as people write them: 1000000, 512MiB, 1GiB.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is no size; write 1000000, 512MiB or 1GiB");
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (digits, shift) = unit.unwrap_or((text, 0));
    let number: usize = digits.trim_end().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

/// Rows of cells: the first column to the left, the others to the right.
pub(crate) fn table(f: &mut impl fmt::Write, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut padded = row.iter().zip(&widths);
        let first = padded.next().map(|(cell, width)| format!("{cell:<width$}"));
        let others = padded.map(|(cell, width)| format!("{cell:>width$}"));
        let cells: Vec<String> = first.into_iter().chain(others).collect();
        writeln!(f, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.5, 50.0, 50_000.0, 2e6].map(rate),
            ["0.50/s", "50/s", "50.0 k/s", "2.00 M/s"]
        );
        assert_eq!([0.0, 0.00001, 0.5].map(percent), ["0 %", "0.0010 %", "50.00 %"]);
        assert_eq!([10, 20_000, 3_000_000].map(bytes), ["10 B", "20.0 kB", "3.0 MB"]);
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, expected) in [("50000", 5e4), ("50k", 5e4), ("1.5M", 1.5e6)] {
            assert_eq!(parse_count(text), Ok(expected));
        }
        assert!(
            ["", "k", "-1", "0", "nan", "inf", "1 000"].iter().all(|it| parse_count(it).is_err())
        );
        assert_eq!(parse_share("0.1%"), Ok(0.001));
        assert_eq!(parse_share("0.25"), Ok(0.25));
        assert!(["", "%", "100%", "-1%", "1"].iter().all(|text| parse_share(text).is_err()));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("1000"), Ok(1000));
        assert!(["", "0", "1GB", "99999999999GiB"].iter().all(|text| parse_bytes(text).is_err()));
    }

    #[test]
    fn a_tables_columns_are_as_wide_as_they_must_be() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut text = String::new();
        table(&mut text, &[row(["class", "sent", "lost"]), row(["set", "10,000", "0"])]).unwrap();
        assert_eq!(text, "class    sent  lost\nset    10,000     0\n");
    }
}
