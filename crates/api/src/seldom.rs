use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_mins(1);

/// Lets a repeated complaint into the log once a minute.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// How many complaints this one stands for, itself included; `None` if it is too soon for one.
    pub(crate) fn due(&self) -> Option<u64> {
        let (last, kept_back) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept_back += 1;
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_within_a_minute_is_kept_back_and_counted() {
        let seldom = Seldom::default();
        assert_eq!(seldom.due(), Some(1));
        assert_eq!(seldom.due(), None);
        assert_eq!(seldom.due(), None);
        let Some(long_ago) = Instant::now().checked_sub(PAUSE) else {
            return;
        };
        seldom.0.lock().unwrap().0 = Some(long_ago);
        assert_eq!(seldom.due(), Some(3));
        assert_eq!(seldom.due(), None);
    }
}
