//! What the newest values take beside the keys, which they share with the intake.
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use api::{Latest, LatestConfig, Newest, Place};
use metric::{
    Batch, Datapoint, Kind, Origin, Quantiles, ReadAs, SeriesKey, Source, Summary, Value,
};

/// The system's allocator, which counts the bytes that this thread has of it.
struct Counting;

thread_local! {
    // Neither lazy nor dropped: to count takes no memory itself.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(more: usize, less: usize) {
    BYTES.set(BYTES.get().wrapping_add(more).wrapping_sub(less));
}

// SAFETY: every call is handed on to the system's allocator as it came, so what that one guarantees
// to its callers is guaranteed here, and what it asks of them they were asked for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.dealloc(at, layout) }
    }
}

const EXPIRY: Duration = Duration::from_mins(2);

fn number(i: usize) -> Datapoint {
    let value = Value::Counter { sum: 1.0, total: i as f64 };
    Datapoint { key: SeriesKey::new(Kind::Counter, &format!("c{i}"), &[]), timestamp: None, value }
}

fn distribution(i: usize) -> Datapoint {
    let quantiles = [1.0; 5].into();
    let summary =
        Summary { count: 1.0, sum: 1.0, min: 1.0, max: 1.0, mean: 1.0, stddev: 0.0, quantiles };
    let value = Value::Summary(Box::new(summary));
    Datapoint { key: SeriesKey::new(Kind::Timer, &format!("t{i}"), &[]), timestamp: None, value }
}

fn batches(sources: usize, series: usize, datapoint: fn(usize) -> Datapoint) -> Vec<Arc<Batch>> {
    let quantiles = Arc::new(Quantiles::default());
    let of_source = |id: usize| {
        let container_id = format!("container-{id}").into();
        let source = Source::new(Origin::Container { container_id }, ReadAs::default());
        let quantiles = &quantiles;
        // A flush tells so many at once.
        (0..series).step_by(4096).map(move |from| {
            let some = from..series.min(from + 4096);
            Arc::new(Batch {
                source: source.clone(),
                dimensions: Arc::default(),
                end_ms: 1000,
                interval_ms: 1000,
                first_seq: 0,
                quantiles: quantiles.clone(),
                datapoints: some.map(datapoint).collect(),
            })
        })
    };
    (0..sources).flat_map(of_source).collect()
}

fn bytes_taken(latest: &Latest, batches: &[Arc<Batch>]) -> usize {
    let before = BYTES.get();
    for batch in batches {
        latest.take_in(batch);
    }
    latest.end_flush();
    BYTES.get().wrapping_sub(before)
}

#[test]
fn a_series_takes_no_more_than_is_said() {
    for (sources, series, datapoint, most) in [
        (1, 100_000, number as fn(usize) -> Datapoint, 68),
        (100, 1_000, number, 68),
        (1_000, 50, number, 90),
        (1, 100_000, distribution, 156),
        (1_000, 50, distribution, 178),
    ] {
        let latest = Latest::new(LatestConfig::default());
        let batches = batches(sources, series, datapoint);
        let taken = bytes_taken(&latest, &batches) / (sources * series);
        assert!(taken <= most, "{sources} x {series}: {taken} bytes a series");
        // The next flush has the same series, and takes nothing.
        assert_eq!(bytes_taken(&latest, &batches), 0);
    }
}

#[test]
fn a_reader_has_a_piece_at_a_time() {
    let latest = Latest::new(LatestConfig::default());
    bytes_taken(&latest, &batches(1, 100_000, number));
    let held = latest.sources().remove(0);
    let (mut place, mut seen, mut sum) = (Place::default(), Vec::new(), 0.0);
    let before = BYTES.get();
    let mut most = 0;
    loop {
        let is_more = held.read(&mut place, EXPIRY, &mut seen);
        most = most.max(BYTES.get().wrapping_sub(before));
        for seen in seen.drain(..) {
            if let Newest::Number(total) = seen.newest {
                sum += total;
            }
        }
        if !is_more {
            break;
        }
    }
    assert_eq!(sum, 4_999_950_000.0);
    assert!(most < 32 << 10, "{most} bytes");
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_given_back() {
    let latest = Latest::new(LatestConfig::default());
    let before = BYTES.get();
    bytes_taken(&latest, &batches(10, 10_000, distribution));
    tokio::time::advance(EXPIRY + Duration::from_secs(2)).await;
    latest.end_flush();
    // The running totals of a distribution stay for an hour.
    let kept = BYTES.get().wrapping_sub(before) / 100_000;
    assert!(kept <= 72, "{kept} bytes a series");
    tokio::time::advance(Duration::from_hours(1)).await;
    latest.end_flush();
    let kept = BYTES.get().wrapping_sub(before);
    assert!(kept < 16 << 10, "{kept} bytes in all");
}
