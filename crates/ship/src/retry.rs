use std::time::Duration;

use crate::Retry;
use crate::sync::random;

/// How long to wait before the next attempt: doubles with each failure, and is never quite the
/// same on two nodes.
#[derive(Debug)]
pub(crate) struct Backoff {
    retry: Retry,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, next: retry.first }
    }

    /// The wait before the next attempt, between a half and the whole of its step.
    pub(crate) fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.retry.most);
        let jitter = (random() >> 11) as f64 / (1_u64 << 53) as f64;
        step.mul_f64(0.5 + jitter / 2.0)
    }

    /// An attempt succeeded: the next wait is the first again.
    pub(crate) fn succeeded(&mut self) {
        self.next = self.retry.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Retry::default());
        for step in [1, 2, 4, 8, 16, 32, 60, 60] {
            let step = Duration::from_secs(step);
            let wait = backoff.wait();
            assert!(step / 2 <= wait && wait <= step, "{wait:?} is not within {step:?}");
        }
        backoff.succeeded();
        assert!(backoff.wait() <= Duration::from_secs(1));
    }
}
