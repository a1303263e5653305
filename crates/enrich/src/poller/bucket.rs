use tokio::time::{Duration, Instant};

/// A token bucket: full at first, one token comes back at a time.
#[derive(Debug)]
pub(super) struct Bucket {
    capacity: u32,
    tokens: u32,
    every: Duration,
    /// When the last token came back, or would have into a full bucket.
    since: Instant,
}

impl Bucket {
    /// `capacity` is one at least.
    pub(super) fn new(capacity: u32, every: Duration, now: Instant) -> Self {
        let capacity = capacity.max(1);
        Self { capacity, tokens: capacity, every, since: now }
    }

    /// When a token is there, which may be past.
    pub(super) fn ready(&self) -> Instant {
        if self.tokens > 0 { self.since } else { self.since + self.every }
    }

    /// Takes a token, or the next one before it is there.
    pub(super) fn take(&mut self, now: Instant) {
        while self.tokens < self.capacity && now >= self.since + self.every {
            self.tokens += 1;
            self.since += self.every;
        }
        if self.tokens == self.capacity {
            self.since = now;
        }
        self.tokens = self.tokens.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_one_token_at_a_time() {
        let start = Instant::now();
        let every = Duration::from_secs(5);
        let mut bucket = Bucket::new(4, every, start);
        let mut now = start;
        let mut taken = Vec::new();
        for _ in 0..7 {
            now = now.max(bucket.ready());
            bucket.take(now);
            taken.push((now - start).as_secs());
        }
        assert_eq!(taken, [0, 0, 0, 0, 5, 10, 15]);
        // Two come back in ten seconds, and no more than four ever.
        now = start + Duration::from_secs(25);
        for after in [25, 25, 30] {
            now = now.max(bucket.ready());
            bucket.take(now);
            assert_eq!((now - start).as_secs(), after);
        }
        now = start + Duration::from_hours(1);
        let mut burst = 0;
        while bucket.ready() <= now {
            bucket.take(now);
            burst += 1;
        }
        assert_eq!(burst, 4);
    }
}
