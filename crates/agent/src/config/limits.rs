use serde::{Deserialize, Serialize};

/// Bounds that an honest service never meets. Those of a container can be set by a label of its
/// task, too: [`Limits::set`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Of each container: what is over it for longer than `burst_bytes` lasts is dropped, by whole
    /// datagrams. Default 32 MiB.
    pub(crate) bytes_per_second: u64,
    /// Of each container: what may come at once. No larger datagram is ever taken. Default 64 MiB.
    pub(crate) burst_bytes: u64,
    /// Of each container: live series. Default 10,000.
    pub(crate) series: usize,
    /// Of each container: what its sets and sketches may take in one interval. Default 16 MiB.
    pub(crate) interval_bytes: usize,
    /// Sources that `c:` sections may make, of each trusted listener; the rest is the listener's.
    pub(crate) trusted_sources: usize,
    /// Live series of all sources. Default 2,000,000.
    pub(crate) total_series: usize,
    /// Points that may wait for their container's context; more go without.
    pub(crate) waiting_points: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_per_second: 32 << 20,
            burst_bytes: 64 << 20,
            series: 10_000,
            interval_bytes: 16 << 20,
            trusted_sources: 1_000,
            total_series: 2_000_000,
            waiting_points: 100_000,
        }
    }
}

/// What a label may ask for at most: where a number is no bound any more.
const MOST_BYTES: u64 = 16 << 30;
const MOST_INTERVAL_BYTES: u64 = 1 << 30;

impl Limits {
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, value) in
            [("bytes_per_second", self.bytes_per_second), ("burst_bytes", self.burst_bytes)]
        {
            if value == 0 || value > MOST_BYTES {
                return Err(format!("limits.{key}: expected 1 to {MOST_BYTES}"));
            }
        }
        for (key, value) in [
            ("series", self.series),
            ("interval_bytes", self.interval_bytes),
            ("total_series", self.total_series),
        ] {
            if value == 0 {
                return Err(format!("limits.{key}: expected 1 or more"));
            }
        }
        Ok(())
    }

    /// Takes one setting of a task, by its key in capitals; says why it cannot be taken.
    ///
    /// It may be below the operator's or above it: what bounds it then is `total_series`, and for
    /// bytes what is more than any container can use.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let up_to = |most: u64| {
            let number = value.trim().parse::<u64>().ok().filter(|n| (1..=most).contains(n));
            number.ok_or_else(|| format!("expected a whole number from 1 to {most}"))
        };
        match key {
            "BYTES_PER_SECOND" => self.bytes_per_second = up_to(MOST_BYTES)?,
            "BURST_BYTES" => self.burst_bytes = up_to(MOST_BYTES)?,
            "SERIES" => self.series = up_to(self.total_series as u64)? as usize,
            "INTERVAL_BYTES" => self.interval_bytes = up_to(MOST_INTERVAL_BYTES)? as usize,
            _ => {
                return Err("there is no such setting; there are BYTES_PER_SECOND, BURST_BYTES, \
                            SERIES and INTERVAL_BYTES"
                    .to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_may_set_what_is_its_own_within_what_makes_sense() {
        let mut limits = Limits::default();
        for (key, value) in [
            ("BYTES_PER_SECOND", "1"),
            ("BURST_BYTES", "17179869184"),
            ("SERIES", "2000000"),
            ("INTERVAL_BYTES", " 100 "),
        ] {
            limits.set(key, value).unwrap();
        }
        let expected = Limits {
            bytes_per_second: 1,
            burst_bytes: 16 << 30,
            series: 2_000_000,
            interval_bytes: 100,
            ..Limits::default()
        };
        assert_eq!(limits, expected);
        for (key, value, why) in [
            ("SERIES", "2000001", "from 1 to 2000000"),
            ("SERIES", "0", "from 1"),
            ("SERIES", "-1", "whole number"),
            ("SERIES", "1e3", "whole number"),
            ("SERIES", "", "whole number"),
            ("BURST_BYTES", "99999999999999999999999", "from 1 to 17179869184"),
            ("series", "1", "no such setting"),
            ("TOTAL_SERIES", "1", "no such setting"),
            ("", "1", "no such setting"),
        ] {
            let error = limits.set(key, value).unwrap_err();
            assert!(error.contains(why), "{key}={value}: {error}");
        }
        assert_eq!(limits, expected, "what is refused changes nothing");
    }
}
