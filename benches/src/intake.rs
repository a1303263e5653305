use std::sync::Arc;
use std::time::Duration;

use aggregate::{
    Flush, FlushConfig, Interval, Limits, Measure, Remember, Shard, ShardConfig, SourceIndex,
};
use metric::{Batch, Counts, Dimensions, Origin, ReadAs, Source};
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
    flushes: u32,
    spare: Vec<Interval>,
}

impl Default for Intake {
    fn default() -> Self {
        let listener = Origin::Listener { listener: "udp://127.0.0.1:8125".into() };
        let source = Source::new(listener, ReadAs::default());
        let mut shard = Shard::new(ShardConfig::default());
        let index = shard.open_source(Arc::clone(&source), Limits::NONE);
        let flush = Flush::new(FlushConfig::default());
        Self { shard, index, source, flush, flushes: 0, spare: Vec::new() }
    }
}

impl Intake {
    /// A shard that knows these lines, at the beginning of an interval. Both of its intervals, the
    /// one that is filled and the one that is merged meanwhile, have the memory that they need.
    pub fn used_to(lines: &[Vec<u8>]) -> Self {
        let mut intake = Self::default();
        for _ in 0..4 {
            intake.read(lines);
            let ended = intake.swap();
            intake.merge(ended);
        }
        intake
    }

    /// Reads lines, each a sample or bad.
    pub fn read(&mut self, lines: &[Vec<u8>]) {
        for line in lines {
            self.read_line(line);
        }
    }

    /// Reads one line. Returns whether its bytes were known, so that it cost one look-up and one
    /// addition.
    #[inline]
    pub fn read_line(&mut self, line: &[u8]) -> bool {
        let skim = statsd::skim(line);
        let measured = skim.as_ref().and_then(|skim| skim.measure(self.source.read_as, 0));
        let (Some(skim), Some(measured)) = (skim, measured) else {
            self.read_in_full(line, None);
            return false;
        };
        let Some(known) = self.shard.recall(self.index, &skim.spelling) else {
            self.read_in_full(line, Some(&skim));
            return false;
        };
        let notes = self.shard.add(known, measure(&measured));
        let counts = self.shard.counts_mut(known.source());
        counts.received.samples += 1;
        counts.note(known.notes().union(measured.notes).union(notes));
        true
    }

    #[cold]
    fn read_in_full(&mut self, line: &[u8], skim: Option<&Skim<'_>>) {
        let reading = statsd::read(line, self.source.read_as, 0);
        let counts = self.counts_mut();
        counts.received.samples += reading.received();
        for reject in reading.rejects() {
            counts.rejected.add(reject.reason, 1);
        }
        let remember = skim.filter(|_| reading.is_one_sample()).map(|skim| Remember {
            via: self.index,
            spelling: skim.spelling,
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
        self.flushes += 1;
        let at = Duration::from_secs(10) * self.flushes;
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
