//! The wall clock jumps; nothing but timestamps depends on it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Agent, Points, Start, run, send, wait_for};
use crate::outputs::{account, output};
use crate::stand_in::Reserved;

const DAY: i64 = 24 * 60 * 60;

/// A wall clock that an agent believes, and that can be set.
struct Clock {
    offset: File,
    path: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn new(dir: &TempDir) -> Self {
        let (path, library) = (dir.path().join("offset"), dir.path().join("shift.so"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/clock/shift.c");
        let mut cc = Command::new("cc");
        let made = run(cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source));
        assert!(made.status.success(), "{made:?}");
        let clock = Self { offset: File::create_new(&path).unwrap(), path, library };
        clock.set(0);
        clock
    }

    /// From now on it is off by so many seconds.
    fn set(&self, seconds: i64) {
        self.offset.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    fn is_believed_by(&self, start: Start) -> Start {
        start
            .env("LD_PRELOAD", self.library.to_str().unwrap())
            .env("WEIR_TEST_CLOCK", self.path.to_str().unwrap())
    }
}

/// Seconds since 1970, by the true clock.
fn true_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// When each flush of one process ended by the wall clock, and how long it says it was; that the
/// points are numbered without a gap, and in the order of these ends.
fn flushes(points: &[&Value]) -> Vec<(i64, i64)> {
    let mut flushes = Vec::new();
    for (number, point) in points.iter().enumerate() {
        assert_eq!(point["seq"], number);
        let flush = (point["ts"].as_i64().unwrap(), point["interval_ms"].as_i64().unwrap());
        if flushes.last() != Some(&flush) {
            flushes.push(flush);
        }
    }
    assert!(flushes.is_sorted_by(|one, next| one.0 < next.0), "{flushes:?}");
    flushes
}

fn adds_up(status: &Value) {
    let total = &status["total"];
    assert_eq!(total["received"]["samples"], total["aggregated"], "{total}");
    for output in status["outputs"].as_array().unwrap() {
        let [offered, acknowledged, queued, dropped] = account(output);
        assert_eq!((offered, dropped), (acknowledged + queued, 0), "{output}");
    }
}

/// What Prometheus is told of a series.
fn scraped(agent: &Agent, name: &str) -> Option<f64> {
    let (_, text) = agent.ask("GET", "/metrics", "");
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")))?;
    Some(line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

#[test]
fn a_wall_clock_that_jumps_costs_nothing_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new(&dir);
    let upstream = Reserved::new();
    let written = dir.path().join("data/points");
    // Whatever is old by any of these has become so while that much time passed.
    let config = format!(
        "gauge_expiry = \"1h\"\nseries_expiry = \"1h\"\ntotal_expiry = \"1h\"\n{}{}\
         [prometheus]\nexpiry = \"1h\"\n",
        output(&format!("file:{}", written.display()), "rotate_age = \"300ms\""),
        output(&format!("avro+tcp://{}", upstream.address()), "queue_age = \"1h\""),
    );
    let start = || clock.is_believed_by(Start::in_dir(&dir).config(&config)).start();
    let begun = Instant::now();
    let agent = start();
    let port = agent.register("c");
    send(port, "level:5|g");
    agent.received(1);

    // Back and forth, by less than an interval is long and by years, and at last to what is true.
    let jumps =
        [1, -1, 3_600, -3_600, 2 * DAY, -30 * DAY, 100 * 365 * DAY, 60 - true_now(), 2 * DAY, 0];
    let mut seen = Vec::new();
    for (sent, jump) in (1_u32..).zip(jumps) {
        clock.set(jump);
        seen.push((true_now() + jump) * 1000);
        send(port, "hits:1|c\ntook:7|ms");
        let flushed = || Points::in_dir(&written).sum("hits", "sum") == f64::from(sent);
        wait_for(flushed, "what was counted after a jump");
        adds_up(&agent.received(1 + 2 * u64::from(sent)));
        wait_for(|| scraped(&agent, "hits") == Some(f64::from(sent)), "the running total");
        assert_eq!(scraped(&agent, "level"), Some(5.0));
    }
    let log = agent.log();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
    let points = agent.stop();
    let passed = i64::try_from(begun.elapsed().as_millis()).unwrap();

    let of_it: Vec<_> = points.0.iter().collect();
    let flushes = flushes(&of_it);
    assert!(flushes.iter().all(|(_, length)| *length >= 1), "{flushes:?}");
    let lengths: i64 = flushes.iter().map(|(_, length)| length - 1).sum();
    assert!(lengths <= passed, "{lengths} ms in {passed} ms");
    // The gauge is told at each flush, whenever that was.
    assert_eq!(points.values("level", "value"), vec![5.0; flushes.len()]);
    // Timestamps follow the clock forward; behind what they were they do not go.
    let hits = points.0.iter().filter(|point| point["name"] == "hits");
    let told: Vec<_> = hits.map(|point| point["ts"].as_i64().unwrap()).collect();
    assert_eq!(told.len(), jumps.len());
    let mut latest = 0;
    for (told, wall) in told.into_iter().zip(seen) {
        let due = wall.max(latest);
        assert!((due - 1_000..=due + passed).contains(&told), "{told} instead of {due}");
        latest = told;
    }

    // Between two processes, too, it is time that passes which ends a gauge or a total.
    clock.set(2 * DAY);
    let agent = start();
    let status = agent.status();
    assert_eq!(
        (&status["restored"]["gauges"], &status["restored"]["totals"]),
        (&1.into(), &1.into())
    );
    send(agent.register("c"), "hits:1|c");
    wait_for(|| scraped(&agent, "hits") == Some(jumps.len() as f64 + 1.0), "the running total");
    assert_eq!(scraped(&agent, "level"), Some(5.0));
    agent.stop();
}
