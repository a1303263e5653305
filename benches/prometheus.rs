//! Scrapes, from the newest values to the end of the answer, and what they cost others.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use api::{App, Endpoint, Latest, LatestConfig, Prometheus, PrometheusConfig, Server, Status};
use benches::{Intake, traffic};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

const SERIES: usize = 100_000;

/// A server with the newest values of so many series of every kind.
struct Served {
    path: PathBuf,
    _directory: TempDir,
    _runtime: Runtime,
}

impl Served {
    fn start(series: usize) -> Self {
        let latest = Latest::new(LatestConfig::default());
        let mut intake = Intake::default();
        intake.read(&traffic::mixed(series));
        let ended = intake.swap();
        intake.merge(ended).into_iter().for_each(|batch| latest.take_in(&Arc::new(batch)));
        assert_eq!(latest.counts().series, series as u64);

        let directory = TempDir::new().expect("a directory for a socket");
        let path = directory.path().join("metrics.sock");
        let runtime = Runtime::new().expect("a runtime");
        let within = runtime.enter();
        let server = Server::bind(&Endpoint::Unix(path.clone())).expect("a free path");
        let (feed, mut asked) = mpsc::channel::<oneshot::Sender<Arc<Status>>>(1);
        let config = PrometheusConfig::default();
        let prometheus = Some(Prometheus::new(config, latest, feed));
        runtime.spawn(server.serve(App { prometheus, ..App::default() }, CancellationToken::new()));
        runtime.spawn(async move {
            while let Some(tell) = asked.recv().await {
                let _ = tell.send(status());
            }
        });
        drop(within);
        Self { path, _directory: directory, _runtime: runtime }
    }
}

fn status() -> Arc<Status> {
    Arc::new(Status { version: 1, boot_id: "00c0ffee00c0ffee".into(), ..Status::default() })
}

/// The answer's bytes.
fn scrape(path: &Path, accept: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).expect("the server listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: \r\nAccept-Encoding: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n0\r\n\r\n"));
    answer
}

fn scrapes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scrape");
    group.sample_size(20);
    for series in [SERIES / 10, SERIES] {
        let served = Served::start(series);
        group.throughput(Throughput::Elements(series as u64));
        for (name, accept) in [("plain", "identity"), ("gzip", "gzip")] {
            group.bench_function(BenchmarkId::new(name, series), |bencher| {
                bencher.iter(|| black_box(scrape(&served.path, accept)));
            });
        }
    }
    group.finish();
}

/// What a worker does with lines of known series, while others read what came of them.
fn known_lines(criterion: &mut Criterion) {
    let lines = traffic::mixed(SERIES / 10);
    let mut intake = Intake::used_to(&lines);
    let served = Served::start(SERIES);
    let mut group = criterion.benchmark_group("known lines");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.bench_function("alone", |bencher| bencher.iter(|| intake.read(black_box(&lines))));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                black_box(scrape(&served.path, "gzip"));
            }
        });
        group.bench_function("while scraped", |bencher| {
            bencher.iter(|| intake.read(black_box(&lines)));
        });
        stop.store(true, Ordering::Relaxed);
    });
    group.finish();
}

criterion_group!(benches, scrapes, known_lines);
criterion_main!(benches);
