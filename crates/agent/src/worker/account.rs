use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metric::{Counts, Note, Source, Tally};

/// How long the line of a source that ended is shown.
const SHOWN: Duration = Duration::from_hours(1);

/// How many such lines one worker keeps: as many as there may be containers.
const MOST_SHOWN: usize = 10_000;

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
    /// The port that it had, if it ended; otherwise the open sockets tell.
    pub(crate) port: Option<u16>,
}

impl SourceAccount {
    /// Of a source from which nothing can have come yet.
    pub(crate) fn none_yet(source: Arc<Source>) -> Self {
        Self { source, counts: Counts::default(), series: 0, ended: false, port: None }
    }
}

/// What the flush side noticed about one source's series.
#[derive(Debug)]
pub(crate) struct SourceNotes {
    pub(super) source: Arc<Source>,
    notes: Tally<Note>,
    is_counted: AtomicBool,
}

impl SourceNotes {
    pub(crate) fn new(source: Arc<Source>, notes: Tally<Note>) -> Self {
        Self { source, notes, is_counted: AtomicBool::new(false) }
    }

    /// Adds them to the source's account at one worker, unless another has done so.
    pub(super) fn count_once(&self, counts: &mut Counts) {
        // Relaxed: nothing else is told by it.
        if !self.is_counted.swap(true, Ordering::Relaxed) {
            counts.notes += self.notes;
        }
    }
}

/// The accounts of sources that ended: each for an hour, then all together.
#[derive(Debug, Default)]
pub(super) struct Ended {
    lately: VecDeque<Line>,
    before: Counts,
}

#[derive(Debug)]
struct Line {
    since: Instant,
    source: Arc<Source>,
    port: Option<u16>,
    counts: Counts,
}

impl Ended {
    /// Keeps the account of a source that ends, with the port that it had.
    pub(super) fn add(
        &mut self,
        source: Arc<Source>,
        port: Option<u16>,
        counts: &Counts,
        now: Instant,
    ) {
        self.lately.push_back(Line { since: now, source, port, counts: *counts });
        self.fold(now);
    }

    /// The account of a source that is still shown.
    pub(super) fn find(&mut self, source: &Source) -> Option<&mut Counts> {
        let mut latest_first = self.lately.iter_mut().rev();
        latest_first.find(|line| *line.source == *source).map(|line| &mut line.counts)
    }

    /// The lines that are still shown, and the sum of the others.
    pub(super) fn accounts(&mut self, now: Instant) -> (Vec<SourceAccount>, Counts) {
        self.fold(now);
        let account = |line: &Line| SourceAccount {
            source: line.source.clone(),
            counts: line.counts,
            series: 0,
            ended: true,
            port: line.port,
        };
        (self.lately.iter().map(account).collect(), self.before)
    }

    fn fold(&mut self, now: Instant) {
        while let Some(line) = self.lately.front() {
            if self.lately.len() <= MOST_SHOWN && now.duration_since(line.since) < SHOWN {
                return;
            }
            self.before += line.counts;
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
        ended.add(source(), Some(7), &counts, start);
        let (lines, before) = ended.accounts(start + SHOWN / 2);
        assert_eq!((lines.len(), lines[0].counts, before), (1, counts, Counts::default()));
        assert_eq!(lines[0].port, Some(7));
        let (lines, before) = ended.accounts(start + SHOWN);
        assert_eq!((lines.len(), before), (0, counts));
    }

    #[test]
    fn many_ended_sources_leave_a_bounded_number_of_lines() {
        let mut ended = Ended::default();
        let now = Instant::now();
        let counts = Counts { aggregated: 1, ..Counts::default() };
        (0..MOST_SHOWN + 9_000).for_each(|_| ended.add(source(), Some(7), &counts, now));
        let (lines, before) = ended.accounts(now);
        assert_eq!((lines.len(), before.aggregated), (MOST_SHOWN, 9_000));
    }

    #[test]
    fn notes_that_come_after_the_end_are_counted_once() {
        let mut ended = Ended::default();
        let (now, source) = (Instant::now(), source());
        ended.add(source.clone(), None, &Counts::default(), now);
        let mut notes = Tally::default();
        notes.add(Note::Saturated, 2);
        let notes = SourceNotes::new(source.clone(), notes);
        for _ in 0..2 {
            notes.count_once(ended.find(&source).unwrap());
        }
        assert_eq!(ended.accounts(now).0[0].counts.notes.get(Note::Saturated), 2);
    }
}
