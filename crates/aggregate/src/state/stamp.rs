use std::time::Duration;

/// A moment, by the clocks that go on when a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// In unix milliseconds, as the wall clock has it.
    pub wall_ms: i64,
    /// Since the system was booted, the time that it slept included.
    pub since_boot: Duration,
    /// Which boot that was; 0 if it is not known.
    pub boot: u128,
}

impl Stamp {
    /// How long before this the other moment was; `None` if nobody can tell.
    ///
    /// Within one boot the wall clock may jump as it likes. Over a boot there is nothing else.
    pub fn since(&self, earlier: &Self) -> Option<Duration> {
        if self.boot == earlier.boot && self.boot != 0 {
            return self.since_boot.checked_sub(earlier.since_boot);
        }
        let millis = self.wall_ms.checked_sub(earlier.wall_ms)?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_counts_only_over_a_boot() {
        let stamp = |wall_ms, since_boot, boot| Stamp {
            wall_ms,
            since_boot: Duration::from_secs(since_boot),
            boot,
        };
        let minute = Some(Duration::from_mins(1));
        let saved = stamp(1_000_000, 100, 7);
        for (now, since) in [
            (stamp(1_060_000, 160, 7), minute),
            (stamp(-5, 160, 7), minute),
            (stamp(i64::MAX, 160, 7), minute),
            (stamp(1_060_000, 3, 8), minute),
            (stamp(999_999, 3, 8), None),
            (stamp(1_060_000, 160, 0), minute),
            (stamp(1_060_000, 99, 7), None),
            (stamp(1_000_000, 100, 7), Some(Duration::ZERO)),
        ] {
            assert_eq!(now.since(&saved), since, "{now:?}");
        }
        assert_eq!(stamp(i64::MAX, 0, 0).since(&stamp(i64::MIN, 0, 0)), None);
    }
}
