use std::time::{Duration, Instant};

/// Lets a log line through once in ten seconds.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    last: Option<Instant>,
    hidden: u64,
}

impl Seldom {
    /// Whether a line may be written now; if so, how many were not since the last.
    pub(super) fn may_speak(&mut self, now: Instant) -> Option<u64> {
        const INTERVAL: Duration = Duration::from_secs(10);
        if self.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            self.hidden += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_hidden_is_told_with_the_next_line() {
        let start = Instant::now();
        let mut seldom = Seldom::default();
        assert_eq!(seldom.may_speak(start), Some(0));
        assert_eq!(seldom.may_speak(start + Duration::from_secs(1)), None);
        assert_eq!(seldom.may_speak(start + Duration::from_secs(9)), None);
        assert_eq!(seldom.may_speak(start + Duration::from_secs(10)), Some(2));
    }
}
