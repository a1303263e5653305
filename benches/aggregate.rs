//! From samples to series and, at a flush, to datapoints.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::{Intake, measure, traffic};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use metric::{Kind, ReadAs};

const SERIES: usize = 10_000;

/// A line for each series, of each kind and of all kinds.
fn traffics() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let of = |kind: Kind| (kind.name(), traffic::tagged(kind, SERIES));
    let mut traffics: Vec<_> = Kind::ALL.map(of).into();
    traffics.push(("mixed", traffic::mixed(SERIES)));
    traffics
}

/// Known series, their lines skimmed before.
fn recall_and_add(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recall and add");
    group.throughput(Throughput::Elements(SERIES as u64));
    for (kind, lines) in traffics() {
        let mut intake = Intake::used_to(&lines);
        let skimmed: Vec<_> = lines
            .iter()
            .filter_map(|line| {
                let skim = statsd::skim(line)?;
                Some((skim.spelling, measure(&skim.measure(ReadAs::default(), 0)?)))
            })
            .collect();
        assert_eq!(skimmed.len(), SERIES);
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                for (spelling, measure) in &skimmed {
                    if let Some(known) = intake.shard.recall(intake.index, spelling) {
                        black_box(intake.shard.add(known, *measure));
                    }
                }
            });
        });
    }
    group.finish();
}

/// All that a worker does with a line of a known series once it has it.
fn known_lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("known lines");
    for (form, lines) in [
        ("untagged", traffic::untagged(SERIES)),
        ("three tags, mixed", traffic::mixed(SERIES)),
        ("three tags, mixed, a million", traffic::mixed(100 * SERIES)),
    ] {
        group.throughput(Throughput::Elements(lines.len() as u64));
        let mut intake = Intake::used_to(&lines);
        group.bench_function(form, |bencher| bencher.iter(|| intake.read(black_box(&lines))));
    }
    group.finish();
}

/// Series that come for the first time: read in full, made, and their spelling remembered.
fn new_series(criterion: &mut Criterion) {
    let lines = traffic::mixed(SERIES);
    let mut group = criterion.benchmark_group("new series");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("three tags, mixed", |bencher| {
        bencher.iter_batched_ref(
            Intake::default,
            |intake| intake.read(black_box(&lines)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// How long a worker is kept from its sockets by a flush: by no more than a cold cache if it has
/// many series.
fn swap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("swap");
    for series in [100, SERIES, 100 * SERIES] {
        let lines = traffic::mixed(series);
        let mut intake = Intake::used_to(&lines);
        group.bench_function(BenchmarkId::from_parameter(series), |bencher| {
            bencher.iter_custom(|times| {
                timed(times, || {
                    intake.read(&lines);
                    let start = Instant::now();
                    let ended = black_box(intake.swap());
                    let took = start.elapsed();
                    intake.merge(ended);
                    took
                })
            });
        });
    }
    group.finish();
}

/// The flush side's work on an interval in which each series was touched once.
fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(SERIES as u64));
    for (kind, lines) in traffics() {
        let mut intake = Intake::used_to(&lines);
        group.bench_function(kind, |bencher| {
            bencher.iter_custom(|times| {
                timed(times, || {
                    intake.read(&lines);
                    let ended = intake.swap();
                    let start = Instant::now();
                    let batches = intake.merge(ended);
                    let took = start.elapsed();
                    drop(black_box(batches));
                    took
                })
            });
        });
    }
    group.finish();
}

/// Series that nobody uses any more: the flush side finds them, the worker forgets them.
fn expiry(criterion: &mut Criterion) {
    let lines = traffic::mixed(SERIES);
    let mut group = criterion.benchmark_group("expiry");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.sample_size(20);
    group.bench_function("flush side", |bencher| {
        bencher.iter_custom(|times| {
            timed(times, || {
                let mut intake = Intake::tired_of(&lines);
                let ended = intake.swap();
                let start = Instant::now();
                black_box(intake.merge(ended));
                start.elapsed()
            })
        });
    });
    group.bench_function("worker", |bencher| {
        bencher.iter_custom(|times| {
            timed(times, || {
                let mut intake = Intake::tired_of(&lines);
                let ended = intake.swap();
                intake.merge(ended);
                // What is to be forgotten comes with the interval that was merged.
                black_box(intake.swap());
                let start = Instant::now();
                intake.tidy();
                start.elapsed()
            })
        });
    });
    group.finish();
}

/// The sum of what each time took, by its own watch: what it prepares is not counted.
fn timed(times: u64, mut each: impl FnMut() -> Duration) -> Duration {
    (0..times).map(|_| each()).sum()
}

criterion_group!(aggregate, recall_and_add, known_lines, new_series, swap, merge, expiry);
criterion_main!(aggregate);
