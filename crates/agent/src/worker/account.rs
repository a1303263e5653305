use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metric::{Counts, Note, Source};

/// How long the line of a source that ended is shown.
const SHOWN: Duration = Duration::from_secs(3600);

/// How many such lines one worker keeps.
const MOST_SHOWN: usize = 1_000;

/// The accounts of one worker, all of one moment.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// Its sources, and those that ended lately.
    pub(crate) sources: Vec<SourceAccount>,
    /// Those that ended longer ago, together.
    pub(crate) ended: Counts,
}

/// One source's account.
#[derive(Clone, Debug)]
pub(crate) struct SourceAccount {
    pub(crate) source: Arc<Source>,
    pub(crate) counts: Counts,
    pub(crate) series: usize,
    pub(crate) ended: bool,
}

impl SourceAccount {
    /// Of a source from which nothing can have come yet.
    pub(crate) fn none_yet(source: Arc<Source>) -> Self {
        Self { source, counts: Counts::default(), series: 0, ended: false }
    }
}

/// The accounts of sources that ended: each for an hour, then all together.
#[derive(Debug, Default)]
pub(super) struct Ended {
    lately: VecDeque<(Instant, Arc<Source>, Counts)>,
    before: Counts,
}

impl Ended {
    /// Keeps the account of a source that ends.
    pub(super) fn add(&mut self, source: Arc<Source>, counts: Counts, now: Instant) {
        self.lately.push_back((now, source, counts));
        self.fold(now);
    }

    /// Counts what was noticed about a source after it ended.
    pub(super) fn note(&mut self, source: &Arc<Source>, note: Note, times: u64) {
        let ended = self.lately.iter_mut().rev().find(|(_, ended, _)| ended == source);
        let counts = ended.map_or(&mut self.before, |(_, _, counts)| counts);
        counts.notes.add(note, times);
    }

    /// The lines that are still shown, and the sum of the others.
    pub(super) fn accounts(&mut self, now: Instant) -> (Vec<SourceAccount>, Counts) {
        self.fold(now);
        let line = |(_, source, counts): &(Instant, Arc<Source>, Counts)| SourceAccount {
            source: source.clone(),
            counts: *counts,
            series: 0,
            ended: true,
        };
        (self.lately.iter().map(line).collect(), self.before)
    }

    fn fold(&mut self, now: Instant) {
        while let Some((since, _, counts)) = self.lately.front() {
            if self.lately.len() <= MOST_SHOWN && now.duration_since(*since) < SHOWN {
                return;
            }
            self.before += *counts;
            self.lately.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metric::{Origin, ReadAs, Reason};

    fn source() -> Arc<Source> {
        Source::new(Origin::Container { container_id: "a".into() }, ReadAs::default())
    }

    #[test]
    fn a_source_that_ended_is_shown_for_an_hour_and_then_in_the_sum() {
        let mut ended = Ended::default();
        let start = Instant::now();
        let mut counts = Counts::default();
        counts.reject(Reason::NoKind, 3);
        ended.add(source(), counts, start);
        let (lines, before) = ended.accounts(start + SHOWN / 2);
        assert_eq!((lines.len(), lines[0].counts, before), (1, counts, Counts::default()));
        let (lines, before) = ended.accounts(start + SHOWN);
        assert_eq!((lines.len(), before), (0, counts));
    }

    #[test]
    fn ten_thousand_ended_sources_leave_a_bounded_number_of_lines() {
        let mut ended = Ended::default();
        let now = Instant::now();
        let counts = Counts { aggregated: 1, ..Counts::default() };
        (0..10_000).for_each(|_| ended.add(source(), counts, now));
        let (lines, before) = ended.accounts(now);
        assert_eq!((lines.len(), before.aggregated), (MOST_SHOWN, 9_000));
    }

    #[test]
    fn a_note_finds_its_source_after_the_end() {
        let mut ended = Ended::default();
        let (now, source) = (Instant::now(), source());
        ended.add(source.clone(), Counts::default(), now);
        ended.note(&source, Note::Saturated, 2);
        assert_eq!(ended.accounts(now).0[0].counts.notes.get(Note::Saturated), 2);
    }
}
