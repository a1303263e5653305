//! What a scrape takes while it is answered, beside what is shown.
#![allow(unsafe_code, clippy::unwrap_used)] // an allocator cannot be written without; a helper's unwrap is an assertion

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{App, Endpoint, Latest, LatestConfig, Prometheus, PrometheusConfig, Server, Status};
use metric::{
    Batch, Datapoint, Kind, Origin, Quantiles, ReadAs, SeriesKey, Source, Summary, Tag, Value,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The system's allocator, which counts the bytes that the process has of it, and the most it had.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator as it came, so what that one guarantees
// to its callers is guaranteed here, and what it asks of them they were asked for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let bytes = BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(bytes, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.dealloc(at, layout) }
    }
}

const SERIES: usize = 10_000;

/// So many series, of so many names.
fn say(latest: &Latest, names: usize, kind: Kind) {
    let source = Origin::Container { container_id: "c1".into() };
    let value = if kind == Kind::Counter {
        Value::Counter { sum: 1.0, total: 1.0 }
    } else {
        let quantiles = [1.0; 5].into();
        let (count, sum, min, max, mean, stddev) = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0);
        Value::Summary(Box::new(Summary { count, sum, min, max, mean, stddev, quantiles }))
    };
    let datapoint = |i: usize| {
        let (name, tag) = (format!("service.requests.{}", i % names), i.to_string());
        let key = SeriesKey::new(kind, &name, &[Tag::new("number", &tag)]);
        Datapoint { key, timestamp: None, value: value.clone() }
    };
    latest.take_in(&Arc::new(Batch {
        source: Source::new(source, ReadAs::default()),
        dimensions: Arc::default(),
        end_ms: 1000,
        interval_ms: 1000,
        first_seq: 0,
        quantiles: Arc::new(Quantiles::default()),
        datapoints: (0..SERIES).map(datapoint).collect(),
    }));
}

fn status() -> Status {
    Status { version: 1, boot_id: "00c0ffee00c0ffee".into(), ..Status::default() }
}

/// How many bytes come.
fn scrape(path: &Path) -> usize {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: \r\n\r\n").unwrap();
    let (mut piece, mut received) = ([0; 8192], 0);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => return received,
            more => received += more,
        }
    }
}

#[tokio::test]
async fn a_scrape_takes_no_more_than_is_said_whatever_the_length_of_its_text() {
    let directory = tempfile::tempdir().unwrap();
    for (names, kind, most, text) in [
        (1, Kind::Counter, 80, 50),
        (SERIES, Kind::Counter, 160, 150),
        (1, Kind::Timer, 180, 400),
        (SERIES, Kind::Timer, 430, 1_100),
    ] {
        let latest = Latest::new(LatestConfig::default());
        say(&latest, names, kind);
        let (feed, mut asked) = mpsc::channel::<oneshot::Sender<_>>(1);
        tokio::spawn(async move {
            while let Some(tell) = asked.recv().await {
                let _ = tell.send(Arc::new(status()));
            }
        });
        let prometheus = Some(Prometheus::new(PrometheusConfig::default(), latest, feed));
        let path = directory.path().join(format!("{names}-{kind}"));
        let server = Server::bind(&Endpoint::Unix(path.clone())).unwrap();
        let stop = CancellationToken::new();
        let app = App { prometheus, ..App::default() };
        let serving = tokio::spawn(server.serve(app, stop.clone()));

        let before = BYTES.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let received = tokio::task::spawn_blocking(move || scrape(&path)).await.unwrap();
        let taken = (MOST.load(Ordering::Relaxed) - before) / SERIES;
        stop.cancel();
        serving.await.unwrap();
        assert!(received > text * SERIES, "{names} {kind}: {received} bytes of text");
        assert!(taken <= most, "{names} {kind}: {taken} bytes a series");
    }
}
