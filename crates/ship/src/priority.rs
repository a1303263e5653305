//! What flushes gives way to what receives: what is late by it is late, but what a worker does not
//! receive meanwhile is lost. A flush of many series takes seconds of a processor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::nice;

use crate::sync::lock;

/// So much nicer than the workers: a third of their weight where both want the same processor. All
/// else that runs there goes before it too, so it is not more.
const STEPS: i32 = 5;

/// The longest pause: what a worker has not caught up with in this time it will not soon.
const PAUSE: Duration = Duration::from_millis(100);

/// The least time to work between two pauses: a fraction of what a receive buffer holds.
const STINT: Duration = Duration::from_millis(4);

/// And the most, when pauses are of no use.
const LONGEST_STINT: Duration = Duration::from_secs(1);

/// After a pause there is at least this part of it to work.
const PART: u32 = 4;

/// How often a thread that pauses looks whether it may go on: so that no worker has to wake it.
const LOOK: Duration = Duration::from_millis(1);

/// Lets all threads that have not done so go before the calling one, where processors are short.
///
/// Where the system forbids it, everything stays as it is.
pub fn be_nicer() {
    // On Linux it is of this thread alone: setpriority(2), BUGS.
    let _ = nice(STEPS);
}

/// Whether workers are behind, and how those who flush pause then: all at the same time.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many workers are behind.
    behind: AtomicUsize,
    /// No worker comes near it.
    turns: Mutex<Turns>,
}

/// The pauses of those who flush, and the time to work in between.
#[derive(Debug)]
struct Turns {
    /// When the pause began, or the time to work.
    since: Instant,
    pausing: bool,
    stint: Duration,
}

/// One worker's word on whether it is behind. Dropped, it is not.
#[derive(Debug)]
pub struct Behind {
    backlog: Backlog,
    is_behind: bool,
}

impl Backlog {
    /// What a worker speaks by; at first it is not behind.
    pub fn worker(&self) -> Behind {
        Behind { backlog: self.clone(), is_behind: false }
    }

    /// Pauses while workers are behind. To be called between two pieces of work, each of a few
    /// milliseconds at most.
    ///
    /// A pause takes a tenth of a second at most, and a fifth of the time at least is left to work;
    /// more and more, up to ten elevenths, if the workers do not catch up while it lasts.
    pub fn give_way(&self) {
        while self.is_any() && lock(&self.0.turns).is_pause(Instant::now()) {
            thread::park_timeout(LOOK);
        }
        if !self.is_any() {
            lock(&self.0.turns).end_pause(Instant::now());
        }
    }

    fn is_any(&self) -> bool {
        // Relaxed: nothing else is told by it.
        self.0.behind.load(Ordering::Relaxed) > 0
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { since: Instant::now(), pausing: false, stint: STINT }
    }
}

impl Turns {
    /// Whether it is time to pause, now that workers are behind.
    fn is_pause(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let is_over = passed >= if self.pausing { PAUSE } else { self.stint };
        if is_over {
            if self.pausing {
                // In vain.
                self.stint = LONGEST_STINT.min((2 * self.stint).max(PAUSE / PART));
            }
            (self.since, self.pausing) = (now, !self.pausing);
        }
        self.pausing
    }

    /// The workers have caught up.
    fn end_pause(&mut self, now: Instant) {
        if self.pausing {
            self.stint = STINT.max(now.saturating_duration_since(self.since) / PART);
            (self.since, self.pausing) = (now, false);
        }
    }
}

impl Behind {
    /// The worker's last turn left something in its sockets, or did not.
    // Hot path: runs once per turn, and shares nothing unless it changes.
    #[inline]
    pub fn set(&mut self, is_behind: bool) {
        if is_behind == self.is_behind {
            return;
        }
        self.is_behind = is_behind;
        let behind = &self.backlog.0.behind;
        if is_behind {
            behind.fetch_add(1, Ordering::Relaxed);
        } else {
            behind.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_backlog_lasts_until_no_worker_is_behind() {
        let backlog = Backlog::default();
        let (mut one, mut other) = (backlog.worker(), backlog.worker());
        assert!(!backlog.is_any());
        one.set(true);
        one.set(true);
        other.set(true);
        one.set(false);
        assert!(backlog.is_any());
        drop(other);
        assert!(!backlog.is_any());
    }

    #[test]
    fn whoever_gives_way_goes_on_when_the_workers_have_caught_up() {
        let backlog = Backlog::default();
        let mut worker = backlog.worker();
        worker.set(true);
        let long_ago = Instant::now().checked_sub(STINT).unwrap();
        lock(&backlog.0.turns).since = long_ago;
        thread::scope(|scope| {
            scope.spawn(|| backlog.give_way());
            while !lock(&backlog.0.turns).pausing {
                thread::yield_now();
            }
            worker.set(false);
        });
        let turns = lock(&backlog.0.turns);
        assert!(!turns.pausing && turns.since > long_ago);
    }

    #[test]
    fn between_two_pauses_there_is_time_to_work() {
        let mut turns = Turns::default();
        let mut now = turns.since;
        assert!(!turns.is_pause(now + STINT.saturating_sub(MILLISECOND)));
        now += STINT;
        assert!(turns.is_pause(now));
        turns.end_pause(now + 8 * MILLISECOND);
        now += 8 * MILLISECOND;
        assert_eq!(turns.stint, STINT);
        assert!(!turns.is_pause(now + STINT.saturating_sub(MILLISECOND)));
        now += STINT;
        assert!(turns.is_pause(now));
        turns.end_pause(now + 80 * MILLISECOND);
        assert_eq!(turns.stint, 20 * MILLISECOND);
    }

    #[test]
    fn pauses_that_are_of_no_use_become_rare_and_those_that_are_frequent_again() {
        let mut turns = Turns::default();
        let mut now = turns.since;
        let mut stints = Vec::new();
        while now < turns.since + LONGEST_STINT && stints.len() < 8 {
            now += turns.stint;
            assert!(turns.is_pause(now));
            assert!(turns.is_pause(now + PAUSE.saturating_sub(MILLISECOND)));
            now += PAUSE;
            assert!(!turns.is_pause(now));
            stints.push(turns.stint.as_millis());
        }
        assert_eq!(stints, [25, 50, 100, 200, 400, 800, 1000, 1000]);
        now += turns.stint;
        assert!(turns.is_pause(now));
        turns.end_pause(now + MILLISECOND);
        assert_eq!(turns.stint, STINT);
    }
}
