use std::time::Instant;

/// A token bucket of bytes. It starts full and fills up as time goes by.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    // In billionths of a byte, so that no time between two batches is too short to count. Both are
    // below 2^64: a bucket holds 16 GiB at most.
    most: u64,
    left: u64,
    filled: Option<Instant>,
}

const BILLION: u64 = 1_000_000_000;

impl Bucket {
    /// A full one.
    pub(crate) fn full(per_second: u64, bytes: u64) -> Self {
        let most = bytes.saturating_mul(BILLION);
        Self { per_second, most, left: most, filled: None }
    }

    /// Whether it has the size and the pace of another.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (self.per_second, self.most) == (other.per_second, other.most)
    }

    /// Takes so many bytes out, if there are as many; otherwise none.
    // Hot path: runs once per datagram.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        // All datagrams of a batch have one time.
        if self.filled != Some(now) {
            self.fill(now);
        }
        let wanted = (bytes as u64).saturating_mul(BILLION);
        let has_room = wanted <= self.left;
        if has_room {
            self.left -= wanted;
        }
        has_room
    }

    fn fill(&mut self, now: Instant) {
        let passed = self.filled.map_or(0, |then| now.saturating_duration_since(then).as_nanos());
        let more = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(self.per_second);
        self.left = self.left.saturating_add(more).min(self.most);
        self.filled = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_bucket_is_taken_at_once_and_then_so_much_in_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::full(1_000, 300);
        assert!(bucket.take(200, at(0)));
        assert!(!bucket.take(101, at(0)));
        assert!(bucket.take(100, at(0)), "what was refused took nothing");
        assert!(bucket.take(0, at(0)));
        assert!(!bucket.take(1, at(0)));
        assert!(!bucket.take(51, at(50)));
        assert!(bucket.take(50, at(50)));
        // Never more than it holds, however long nobody came.
        assert!(!bucket.take(301, at(1_000_000)));
        assert!(bucket.take(300, at(1_000_000)));
        assert!(!bucket.take(1, at(1_000_000)));
    }

    #[test]
    fn the_shortest_times_add_up_and_the_largest_numbers_hold() {
        let start = Instant::now();
        let mut bucket = Bucket::full(1_000, 1_000);
        assert!(bucket.take(1_000, start));
        let times = (1..=2_000).map(|n| start + n * Duration::from_micros(500));
        assert_eq!(
            times.filter(|time| bucket.take(1, *time)).count(),
            1_000,
            "one byte in each millisecond"
        );
        let mut huge = Bucket::full(16 << 30, 16 << 30);
        assert!(huge.take(16 << 30, start));
        assert!(!huge.take(1, start));
        assert!(huge.take(16 << 30, start + Duration::from_hours(10_000)));
    }
}
