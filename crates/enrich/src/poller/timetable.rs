use std::hash::{BuildHasher as _, RandomState};

use tokio::time::{Duration, Instant};

use super::bucket::Bucket;
use crate::Config;

// A clock has an end, and nothing may panic there.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// When the agent is asked what.
#[derive(Debug)]
pub(super) struct Timetable {
    bucket: Bucket,
    refresh: Regular,
    resources: Option<Regular>,
    snapshot: Option<Regular>,
}

/// What is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Everything about who is who, and why.
    pub(super) contexts: Option<Look>,
    /// What containers use.
    pub(super) resources: bool,
    /// What the agent tells of itself.
    pub(super) snapshot: bool,
}

/// Why it is looked who is who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The last look is a while ago.
    Refresh,
    /// A container is new.
    Wanted,
}

#[derive(Clone, Copy, Debug)]
struct Regular {
    every: Duration,
    due: Instant,
}

impl Regular {
    // Whether it was due, and then it is due again after what its interval becomes.
    fn take(&mut self, now: Instant, next: impl Fn(Duration) -> Duration) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + next(self.every).min(LONGEST);
        }
        is_due
    }
}

impl Timetable {
    /// Everything is due now.
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let regular = |every| Regular { every, due: now };
        Self {
            bucket: Bucket::new(config.burst, config.every, now),
            refresh: regular(config.refresh),
            resources: config.resources.map(regular),
            snapshot: config.snapshot.map(regular),
        }
    }

    /// When the next turn is, if contexts are wished for then.
    pub(super) fn next(&self, wanted: Option<Instant>) -> Instant {
        let wanted = wanted.map(|due| due.max(self.bucket.ready()));
        let resources = self.resources.map(|resources| self.shared(resources));
        let snapshot = self.snapshot.map(|snapshot| snapshot.due);
        let others = [wanted, resources, snapshot].into_iter().flatten();
        others.fold(self.refresh.due, Instant::min)
    }

    /// What is due now.
    pub(super) fn take(&mut self, wanted: Option<Instant>, now: Instant) -> Turn {
        let is_wanted = wanted.is_some_and(|due| due.max(self.bucket.ready()) <= now);
        // Before the refresh is taken, which it may wait for.
        let waits = self.resources.is_some_and(|resources| self.shared(resources) > now);
        let contexts = if self.refresh.take(now, jittered) {
            Some(Look::Refresh)
        } else if is_wanted {
            self.bucket.take(now);
            Some(Look::Wanted)
        } else {
            None
        };
        let is_due = |regular: &mut Option<Regular>, next: fn(Duration) -> Duration| {
            regular.as_mut().is_some_and(|it| it.take(now, next))
        };
        Turn {
            contexts,
            // Not jittered: a refresh shall come a little later, not a little earlier.
            resources: (contexts.is_some() || !waits) && is_due(&mut self.resources, |every| every),
            snapshot: is_due(&mut self.snapshot, jittered),
        }
    }

    // One answer tells who containers are and what they use: if a refresh is near, it is waited for.
    fn shared(&self, resources: Regular) -> Instant {
        let near = resources.due..=resources.due + resources.every.min(LONGEST) / 8;
        if near.contains(&self.refresh.due) { self.refresh.due } else { resources.due }
    }
}

/// Up to a tenth longer, so that a cluster's nodes do not all ask at once; never shorter, for
/// reconciling counts on the time between two.
pub(super) fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    time.min(LONGEST).mul_f64(1.0 + random / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Turn = Turn { contexts: Some(Look::Refresh), resources: false, snapshot: false };

    fn timetable(refresh: u64, resources: u64, snapshot: u64, now: Instant) -> Timetable {
        let some = |seconds| (seconds > 0).then(|| Duration::from_secs(seconds));
        let config = Config {
            refresh: Duration::from_secs(refresh),
            resources: some(resources),
            snapshot: some(snapshot),
            ..Config::default()
        };
        Timetable::new(&config, now)
    }

    // The turns of this time.
    fn turns(mut timetable: Timetable, start: Instant, seconds: u64) -> Vec<Turn> {
        let mut turns = Vec::new();
        loop {
            let now = timetable.next(None);
            if now >= start + Duration::from_secs(seconds) {
                return turns;
            }
            let turn = timetable.take(None, now);
            assert_ne!(turn, Turn::default(), "woken for nothing");
            turns.push(turn);
        }
    }

    #[test]
    fn of_equal_intervals_every_refresh_brings_the_resources_and_nothing_else_does() {
        let start = Instant::now();
        let turns = turns(timetable(60, 60, 0, start), start, 6000);
        assert!((91..=100).contains(&turns.len()), "{}", turns.len());
        assert!(turns.iter().all(|turn| *turn == Turn { resources: true, ..REFRESH }));
    }

    #[test]
    fn what_is_off_is_never_due() {
        let start = Instant::now();
        assert!(turns(timetable(60, 0, 0, start), start, 600).iter().all(|it| *it == REFRESH));
    }

    #[test]
    fn each_is_due_once_an_interval_at_most() {
        let start = Instant::now();
        let turns = turns(timetable(600, 10, 30, start), start, 6000);
        let count = |of: fn(&Turn) -> bool| turns.iter().filter(|turn| of(turn)).count();
        assert!((9..=10).contains(&count(|turn| turn.contexts == Some(Look::Refresh))));
        assert_eq!(count(|turn| turn.resources), 600);
        assert!((180..=200).contains(&count(|turn| turn.snapshot)));
    }

    #[test]
    fn a_look_for_a_new_container_brings_resources_that_are_due() {
        let start = Instant::now();
        let mut timetable = timetable(60, 60, 0, start);
        timetable.take(None, start);
        let soon = start + Duration::from_secs(20);
        assert_eq!(timetable.next(Some(soon)), soon);
        assert_eq!(
            timetable.take(Some(soon), soon),
            Turn { contexts: Some(Look::Wanted), ..REFRESH }
        );
        // The refresh may be up to six seconds later than the resources.
        let due = timetable.resources.unwrap().due;
        let turn = timetable.take(Some(due), due);
        assert!(turn.contexts.is_some() && turn.resources);
    }
}
