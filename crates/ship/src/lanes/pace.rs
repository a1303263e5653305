use std::time::Duration;

use tokio::time::Instant;

/// How fast a backlog may go: it is bounded, so that a thousand nodes that come back at once do not
/// bring down what they have waited for.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Instant,
}

/// Bytes in a second. The largest payload is a pause of less than a second.
const RATE: u32 = 8 << 20;

impl Pace {
    /// The first payload may go at once.
    pub(crate) fn new() -> Self {
        Self { next: Instant::now() }
    }

    /// Whether the next payload may go.
    pub(crate) fn is_due(&self) -> bool {
        self.next <= Instant::now()
    }

    /// Waits until it may; without end, if it may already.
    pub(crate) async fn due(&self) {
        if self.is_due() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.next).await;
    }

    /// A payload of this size goes now.
    pub(crate) fn took(&mut self, bytes: usize) {
        let time = Duration::from_secs(bytes as u64) / RATE;
        self.next = self.next.max(Instant::now()) + time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_backlog_goes_at_eight_mebibytes_a_second_without_long_pauses() {
        let mut pace = Pace::new();
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        for _ in 0..16 {
            let before = Instant::now();
            if !pace.is_due() {
                pace.due().await;
            }
            longest = longest.max(before.elapsed());
            // The largest payload: a file that got its last block.
            pace.took(5 << 20);
        }
        pace.due().await;
        assert!(begun.elapsed().abs_diff(Duration::from_secs(10)) < Duration::from_millis(20));
        assert!(longest < Duration::from_secs(1), "{longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_up_nothing() {
        let mut pace = Pace::new();
        tokio::time::advance(Duration::from_mins(1)).await;
        pace.took(8 << 20);
        assert!(!pace.is_due());
    }
}
