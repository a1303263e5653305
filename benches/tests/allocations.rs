//! Reading and adding up lines of known series does not allocate.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use benches::{Intake, traffic};
use metric::{Kind, Origin, ReadAs, Source};
use ship::{OutputConfig, Outputs, Surroundings};

/// The system's allocator, which counts how often this thread asked it for memory.
struct Counting;

thread_local! {
    // Neither lazy nor dropped: to count takes no memory itself.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is handed on to the system's allocator as it came, so what that one guarantees
// to its callers is guaranteed here, and what it asks of them they were asked for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.dealloc(at, layout) }
    }
}

/// How often this thread allocates while it does this.
fn allocations(what: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    what();
    ALLOCATIONS.get() - before
}

const SERIES: usize = 2_000;

#[test]
fn a_line_whose_bytes_are_known_does_not_allocate() {
    let mut traffics =
        vec![("untagged", traffic::untagged(SERIES)), ("mixed", traffic::mixed(SERIES))];
    traffics.extend(Kind::ALL.map(|kind| (kind.name(), traffic::tagged(kind, SERIES))));
    for (traffic, lines) in traffics {
        let mut intake = Intake::used_to(&lines);
        let mut known = 0;
        let allocated = allocations(|| {
            for line in &lines {
                known += intake.read(slice::from_ref(line));
            }
        });
        assert_eq!((known, allocated), (SERIES, 0), "{traffic}");
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
    let allocated = allocations(|| {
        for batch in lines.chunks(64) {
            for line in batch {
                inlets[0].put(&source, line);
            }
            inlets[0].end_batch();
        }
    });
    assert_eq!(allocated, 0);
    outputs.stop(Duration::from_mins(1));
    let ledger = &outputs.ledgers()[0];
    assert_eq!((ledger.offered, ledger.acknowledged), (SERIES as u64, SERIES as u64));
}

#[test]
fn reading_an_ordinary_line_in_full_does_not_allocate() {
    for lines in [traffic::untagged(SERIES), traffic::mixed(SERIES)] {
        let allocated = allocations(|| {
            for line in &lines {
                let reading = statsd::read(line, ReadAs::default(), 0);
                assert!(reading.is_one_sample());
            }
        });
        assert_eq!(allocated, 0);
    }
}

#[test]
fn a_swap_of_intervals_that_were_in_use_does_not_allocate() {
    let lines = traffic::mixed(SERIES);
    let mut intake = Intake::used_to(&lines);
    intake.read(&lines);
    let mut ended = None;
    assert_eq!(allocations(|| ended = Some(intake.swap())), 0);
    assert_eq!(
        intake.merge(ended.unwrap()).iter().map(|batch| batch.datapoints.len()).sum::<usize>(),
        SERIES
    );
}

#[test]
fn a_new_series_allocates_and_is_seen_to() {
    let mut intake = Intake::default();
    let lines = traffic::mixed(1);
    assert!(allocations(|| assert_eq!(intake.read(&lines), 0)) > 0);
    assert_eq!(intake.read(&lines), 1);
}
