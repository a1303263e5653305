//! Reading and adding up lines of known series does not allocate; what a series takes, and that it is
//! given back.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

#[path = "../counting.rs"]
mod counting;

use std::net::UdpSocket;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use benches::{Intake, traffic};
use counting::{Counting, NOTHING, allocated, held};
use metric::{Kind, Origin, ReadAs, SeriesKey, Source};
use ship::{OutputConfig, Outputs, Surroundings};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERIES: usize = 2_000;

#[test]
fn a_line_whose_bytes_are_known_does_not_allocate() {
    let mut traffics =
        vec![("untagged", traffic::untagged(SERIES)), ("mixed", traffic::mixed(SERIES))];
    traffics.extend(Kind::ALL.map(|kind| (kind.name(), traffic::tagged(kind, SERIES))));
    for (traffic, lines) in traffics {
        let mut intake = Intake::used_to(&lines);
        let mut known = 0;
        let allocated = allocated(|| {
            for line in &lines {
                known += intake.read(slice::from_ref(line));
            }
        });
        assert_eq!((known, allocated), (SERIES, NOTHING), "{traffic}");
        assert!(intake.counts_mut().adds_up());
    }
}

#[test]
fn handing_a_line_to_a_relay_does_not_allocate() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("statsd+udp://{}", receiver.local_addr().unwrap());
    let config = OutputConfig::new(url.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (nowhere, boot_id) = (Path::new("/nowhere"), "00c0ffee00c0ffee");
    let outputs = Outputs::start(vec![config], nowhere, boot_id, runtime.handle()).unwrap();
    let around =
        Surroundings { dimensions: Arc::new(|_| Arc::default()), is_own: Arc::new(|_| false) };
    let mut inlets = outputs.start_relays(1, &around).unwrap().remove(0);
    let origin = Origin::Container { container_id: "c".into() };
    let source = Source::new(origin, ReadAs::default());
    let lines = traffic::mixed(SERIES);
    let allocated = allocated(|| {
        for batch in lines.chunks(64) {
            for line in batch {
                inlets[0].put(&source, line);
            }
            inlets[0].end_batch();
        }
    });
    assert_eq!(allocated, NOTHING);
    outputs.stop(Duration::from_mins(1));
    let ledger = &outputs.ledgers()[0];
    assert_eq!((ledger.offered, ledger.acknowledged), (SERIES as u64, SERIES as u64));
}

#[test]
fn reading_an_ordinary_line_in_full_does_not_allocate() {
    for lines in [traffic::untagged(SERIES), traffic::mixed(SERIES)] {
        let allocated = allocated(|| {
            for line in &lines {
                let reading = statsd::read(line, ReadAs::default(), 0);
                assert!(reading.is_one_sample());
            }
        });
        assert_eq!(allocated, NOTHING);
    }
}

#[test]
fn a_swap_of_intervals_that_were_in_use_does_not_allocate() {
    let lines = traffic::mixed(SERIES);
    let mut intake = Intake::used_to(&lines);
    intake.read(&lines);
    let mut ended = None;
    assert_eq!(allocated(|| ended = Some(intake.swap())), NOTHING);
    assert_eq!(
        intake.merge(ended.unwrap()).iter().map(|batch| batch.datapoints.len()).sum::<usize>(),
        SERIES
    );
}

#[test]
fn a_new_series_allocates_and_is_seen_to() {
    let mut intake = Intake::default();
    let lines = traffic::mixed(1);
    assert!(allocated(|| assert_eq!(intake.read(&lines), 0)).times > 0);
    assert_eq!(intake.read(&lines), 1);
}

/// So many that what comes in large pieces hardly matters.
const MANY: usize = 100_000;

/// What each of so many series takes, all of them in use in both intervals.
fn bytes_a_series(intake: &mut Intake, lines: &[Vec<u8>]) -> usize {
    usize::try_from(held(|| *intake = Intake::used_to(lines))).unwrap() / MANY
}

/// What its key takes: itself, and the count of those who share it and its length before it.
fn bytes_of_key(line: &[u8]) -> usize {
    let reading = statsd::read(line, ReadAs::default(), 0);
    let sample = reading.samples().next().unwrap();
    SeriesKey::new(sample.kind, sample.name, sample.tags).as_bytes().len() + 16
}

#[test]
fn a_series_takes_no_more_than_is_said_beside_its_key() {
    for kind in Kind::ALL {
        // A number for each of two intervals; a value or a member is one more, in a log.
        let most = if matches!(kind, Kind::Counter | Kind::Gauge) { 100 } else { 130 };
        let lines = traffic::tagged(kind, MANY);
        let mut intake = Intake::default();
        let bytes = bytes_a_series(&mut intake, &lines);
        let beside = bytes - bytes_of_key(&lines[0]);
        assert!(beside <= most, "{}: {beside} bytes beside the key", kind.name());
    }
}

#[test]
fn what_has_expired_is_given_back() {
    let lines = traffic::mixed(MANY);
    let mut intake = Intake::default();
    let left = held(|| {
        intake = Intake::tired_of(&lines);
        // The flush side finds them, the worker forgets them and says so, and the flush side does
        // as well; the empty intervals are exchanged once more.
        for _ in 0..4 {
            let ended = intake.swap();
            intake.merge(ended);
            intake.tidy();
        }
    });
    assert_eq!(intake.shard.series(intake.index), 0);
    let left = usize::try_from(left).unwrap();
    assert!(left < 5 * MANY, "{left} bytes are left of {MANY} series");
}
