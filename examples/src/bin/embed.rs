//! How to use weir's parts inside another program: reads lines of StatsD from standard input and
//! prints what they came to, as at the flush that ends an interval.
//!
//! `statsd` reads lines, `aggregate` adds up their samples. Neither does I/O, reads a clock or starts
//! a thread: those are the program's own.
//! ```sh
//! printf 'page.views:2|c\npage.views:3|c\ntook:12:30|ms|@0.5\n' | cargo run -p examples --bin embed
//! ```
#![forbid(unsafe_code)]

use std::env;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aggregate::{Flush, FlushConfig, Interval, Limits, Recorded, Shard, ShardConfig, SourceIndex};
use metric::{Batch, Dimensions, Origin, ReadAs, Source};
use statsd::{StreamLine, StreamLines};

const USAGE: &str = "\
usage: embed < LINES
Reads lines of StatsD, such as page.views:1|c, and prints what they came to.";

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        let _ = writeln!(io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    }
    match run(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads on, as behind `head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "embed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let start = Instant::now();
    // The side that reads: a shard has one owner and needs no lock.
    let mut shard = Shard::new(ShardConfig::default());
    let listener = Origin::Listener { listener: "standard input".into() };
    let source = Source::new(listener, ReadAs::default());
    let index = shard.open_source(Arc::clone(&source), Limits::default());
    let mut lines = StreamLines::new(input);
    while let Some((number, line)) = lines.next_line()? {
        match line {
            StreamLine::Whole(line) => read(&mut shard, index, source.read_as, number, line),
            StreamLine::TooLong(_) => complain(number, "longer than any datagram"),
        }
    }
    let interval = shard.swap(Interval::default());

    // The side that flushes: it merges the intervals of all shards, and knows what outlives them.
    let config = FlushConfig::default();
    let quantiles = Arc::clone(&config.quantiles);
    let mut datapoints = Vec::new();
    Flush::new(config).merge(vec![interval], start.elapsed(), &mut |_, some| {
        datapoints.extend(some);
    });
    let batch = Batch {
        source,
        dimensions: Arc::new(Dimensions::default()),
        end_ms: unix_time().as_millis() as i64,
        interval_ms: start.elapsed().as_millis() as i32,
        first_seq: 0,
        quantiles,
        datapoints,
    };
    for point in batch.points() {
        writeln!(output, "{:?} {} {}", point.datapoint.key, point.stat, point.value)?;
    }
    output.flush()
}

fn read(shard: &mut Shard, source: SourceIndex, read_as: ReadAs, number: u64, line: &[u8]) {
    let reading = statsd::read(line, read_as, unix_time().as_secs() as i64);
    for reject in reading.rejects() {
        complain(number, reject.reason.name());
    }
    for sample in reading.samples() {
        if shard.record(source, &sample, None) == Recorded::OverSeriesLimit {
            complain(number, "too many series");
        }
    }
}

fn complain(line: u64, problem: &str) {
    let _ = writeln!(io::stderr(), "line {line}: {problem}");
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
