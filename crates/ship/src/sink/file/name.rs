use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of a file of points without its ending: when it was begun, by which process, and its
/// number in that process. Ordered by age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    begun: String,
    boot_id: String,
    number: u64,
}

impl FileName {
    pub(crate) fn new(begun: SystemTime, boot_id: &str, number: u64) -> Self {
        Self { begun: basic_utc(begun), boot_id: boot_id.to_owned(), number }
    }
}

impl Ord for FileName {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |name: &Self| (name.begun.clone(), name.boot_id.clone(), name.number);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for FileName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.begun, self.boot_id, self.number)
    }
}

impl FromStr for FileName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let (Some(begun), Some(boot_id), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let is_time = begun.len() == 16
            && begun.bytes().enumerate().all(|(place, byte)| match place {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        let is_id = !boot_id.is_empty() && boot_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let name = Self {
            begun: begun.to_owned(),
            boot_id: boot_id.to_owned(),
            number: number.parse().map_err(|_| ())?,
        };
        // Only what we would write ourselves is ours.
        if is_time && is_id && name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

/// `20260102T030405Z`.
fn basic_utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Counted from 1 March of the year 0, so that a leap day is a year's last day.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!(
        "{:04}{month:02}{date:02}T{:02}{:02}{:02}Z",
        era * 400 + year,
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_written_as_utc() {
        for (seconds, written) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_767_323_045, "20260102T030405Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(basic_utc(UNIX_EPOCH + Duration::from_secs(seconds)), written);
        }
    }

    #[test]
    fn a_name_is_read_back_and_no_other_text_is_a_name() {
        let name = FileName::new(UNIX_EPOCH, "00c0ffee00c0ffee", 12);
        assert_eq!(name.to_string(), "19700101T000000Z-00c0ffee00c0ffee-12");
        assert_eq!(name.to_string().parse(), Ok(name));
        for other in [
            "",
            "points",
            "19700101T000000Z-00c0ffee",
            "19700101T000000Z--1",
            "19700101T000000Z-00c0ffee-01",
            "19700101T000000Z-00c0ffee-1-2",
            "1970-01-01",
            "1970010100000000-00c0ffee-1",
        ] {
            assert_eq!(other.parse::<FileName>(), Err(()), "{other}");
        }
    }

    #[test]
    fn names_are_ordered_by_age() {
        let at =
            |seconds, number| FileName::new(UNIX_EPOCH + Duration::from_secs(seconds), "a", number);
        assert!(at(1, 9) < at(1, 10));
        assert!(at(1, 10) < at(2, 0));
    }
}
