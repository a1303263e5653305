use std::sync::Arc;
use std::time::Duration;

use aggregate::{
    Flush, FlushConfig, Interval, Limits, Measure, Remember, Shard, ShardConfig, Sought,
    SourceIndex,
};
use metric::{Batch, Counts, Dimensions, Origin, ReadAs, Source, Spelling};
use smallvec::SmallVec;
use statsd::{Measured, Skim};

/// One source's lines on their way through a shard and its flushes, as a worker and the flush
/// thread take them, without sockets and threads.
#[derive(Debug)]
pub struct Intake {
    /// Where the samples are added up.
    pub shard: Shard,
    /// Whose they are.
    pub index: SourceIndex,
    source: Arc<Source>,
    flush: Flush,
    /// When the last interval ended.
    at: Duration,
    spare: Vec<Interval>,
}

/// So many lines are looked at before the first of them is added.
const AHEAD: usize = 32;

struct Ahead<'a> {
    line: &'a [u8],
    skim: Skim<'a>,
    sought: Sought,
}

impl Default for Intake {
    fn default() -> Self {
        let listener = Origin::Listener { listener: "udp://127.0.0.1:8125".into() };
        let source = Source::new(listener, ReadAs::default());
        let mut shard = Shard::new(ShardConfig::default());
        let index = shard.open_source(Arc::clone(&source), Limits::NONE);
        let flush = Flush::new(FlushConfig::default());
        Self { shard, index, source, flush, at: Duration::ZERO, spare: Vec::new() }
    }
}

impl Intake {
    /// A shard that knows these lines, at the beginning of an interval. Both of its intervals, the
    /// one that is filled and the one that is merged meanwhile, have the memory that they need.
    pub fn used_to(datagrams: &[Vec<u8>]) -> Self {
        let mut intake = Self::default();
        for _ in 0..4 {
            intake.read(datagrams);
            let ended = intake.swap();
            intake.merge(ended);
        }
        intake
    }

    /// A shard whose series nobody has touched for so long that the flush side will give all of
    /// them up when it merges the next interval.
    pub fn tired_of(datagrams: &[Vec<u8>]) -> Self {
        let mut intake = Self::used_to(datagrams);
        // Longer than any of the defaults.
        intake.at += Duration::from_hours(2);
        intake
    }

    /// Forgets what the flush side gave up, as a worker does between batches.
    pub fn tidy(&mut self) {
        while self.shard.tidy() {}
    }

    /// Reads datagrams as a worker reads those of a batch. Returns how many lines were known by
    /// their bytes.
    pub fn read(&mut self, datagrams: &[Vec<u8>]) -> usize {
        let pays = self.shard.outgrows_the_cache();
        let (mut known, mut ahead) = (0, SmallVec::new());
        for datagram in datagrams {
            for (line, skim) in statsd::skims(datagram) {
                let Some(skim) = skim else {
                    known += self.read_group(&mut ahead);
                    self.read_in_full(line, None);
                    continue;
                };
                let sought = self.shard.seek(self.index, &skim.spelling);
                if !pays {
                    known += usize::from(self.read_line(line, &skim, sought));
                    continue;
                }
                ahead.push(Ahead { line, skim, sought });
                if ahead.len() == AHEAD {
                    known += self.read_group(&mut ahead);
                }
            }
        }
        known + self.read_group(&mut ahead)
    }

    fn read_group(&mut self, ahead: &mut SmallVec<[Ahead<'_>; AHEAD]>) -> usize {
        self.shard.fetch(ahead, |it| &mut it.sought);
        let mut known = 0;
        for it in &*ahead {
            known += usize::from(self.read_line(it.line, &it.skim, it.sought));
        }
        ahead.clear();
        known
    }

    #[inline]
    fn read_line(&mut self, line: &[u8], skim: &Skim<'_>, sought: Sought) -> bool {
        let known = skim.measure(self.source.read_as, 0).and_then(|measured| {
            let recalled = self.shard.recall_sought(sought, self.index, &skim.spelling)?;
            Some((measured, recalled))
        });
        let Some((measured, recalled)) = known else {
            self.read_in_full(line, Some(skim.spelling));
            return false;
        };
        let notes = self.shard.add(recalled, measure(&measured));
        let counts = self.shard.counts_mut(recalled.source());
        counts.received.samples += 1;
        counts.note(recalled.notes().union(measured.notes).union(notes));
        true
    }

    #[cold]
    fn read_in_full(&mut self, line: &[u8], spelling: Option<Spelling<'_>>) {
        let reading = statsd::read(line, self.source.read_as, 0);
        let counts = self.counts_mut();
        counts.received.samples += reading.received();
        for reject in reading.rejects() {
            counts.rejected.add(reject.reason, 1);
        }
        let remember = spelling.filter(|_| reading.is_one_sample()).map(|spelling| Remember {
            via: self.index,
            spelling,
            notes: reading.spelling_notes(),
        });
        for sample in reading.samples() {
            self.shard.record(self.index, &sample, remember.as_ref());
        }
    }

    /// The account of what was read.
    pub fn counts_mut(&mut self) -> &mut Counts {
        self.shard.counts_mut(self.index)
    }

    /// Takes the interval, and goes on with one that was merged before if there is one.
    pub fn swap(&mut self) -> Interval {
        let empty = self.spare.pop().unwrap_or_default();
        self.shard.swap(empty)
    }

    /// Merges an interval, as the flush thread does, and keeps it for a later swap.
    pub fn merge(&mut self, ended: Interval) -> Vec<Batch> {
        self.at += Duration::from_secs(10);
        let at = self.at;
        let mut batches = Vec::new();
        let merged = self.flush.merge(vec![ended], at, &mut |source, datapoints| {
            batches.push(Batch {
                source: Arc::clone(source),
                dimensions: Arc::new(Dimensions::default()),
                end_ms: 1_700_000_000_000 + at.as_millis() as i64,
                interval_ms: 10_000,
                first_seq: 0,
                quantiles: Arc::default(),
                datapoints,
            });
        });
        self.spare.extend(merged.intervals);
        batches
    }
}

/// What a skimmed line adds to its series.
#[inline]
pub fn measure<'a>(measured: &Measured<'a>) -> Measure<'a> {
    match measured.value {
        statsd::Measure::Number(value) => {
            Measure::Number { value, rate: measured.rate, relative: measured.relative }
        }
        statsd::Measure::Member(member) => Measure::Member(member),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic;

    #[test]
    fn a_shard_that_is_tired_of_its_series_forgets_them_all() {
        let lines = traffic::mixed(1_000);
        let mut intake = Intake::tired_of(&lines);
        assert_eq!(intake.shard.series(intake.index), 1_000);
        let ended = intake.swap();
        intake.merge(ended);
        intake.swap();
        intake.tidy();
        assert_eq!(intake.shard.series(intake.index), 0);
    }
}
