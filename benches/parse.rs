//! From bytes to samples.
#![forbid(unsafe_code)]

use std::hint::black_box;

use benches::{least, traffic};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metric::{Kind, ReadAs};

/// So many different lines of each form.
const LINES: usize = 1_000;

/// Lines of which the memo knows nothing, or whose form it is not asked for.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for (form, lines) in [
        ("untagged", traffic::untagged(LINES)),
        ("three tags", traffic::tagged(Kind::Counter, LINES)),
        ("three tags, eight values", traffic::packed(LINES)),
        ("bad", traffic::bad()),
    ] {
        group.throughput(Throughput::Elements(lines.len() as u64));
        group.bench_function(form, |bencher| {
            bencher.iter(|| {
                for line in &lines {
                    black_box(&statsd::read(black_box(line), ReadAs::default(), 0));
                }
            });
        });
    }
    group.finish();
}

/// The same forms by a reader that knows no others: how much of `read` is what the form costs anyhow.
fn least_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("least read");
    for (form, lines) in [
        ("untagged", traffic::untagged(LINES)),
        ("three tags", traffic::tagged(Kind::Counter, LINES)),
    ] {
        group.throughput(Throughput::Elements(lines.len() as u64));
        group.bench_function(form, |bencher| {
            bencher.iter(|| {
                for line in &lines {
                    black_box(&least::read(black_box(line)));
                }
            });
        });
    }
    group.finish();
}

/// Lines that the memo will be asked for.
fn skim(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("skim and measure");
    for (form, lines) in [
        ("untagged", traffic::untagged(LINES)),
        ("three tags", traffic::tagged(Kind::Counter, LINES)),
        ("three tags, mixed kinds", traffic::mixed(LINES)),
    ] {
        group.throughput(Throughput::Elements(lines.len() as u64));
        group.bench_function(form, |bencher| {
            bencher.iter(|| {
                for line in &lines {
                    let skim = statsd::skim(black_box(line));
                    black_box(skim.and_then(|skim| skim.measure(ReadAs::default(), 0)));
                }
            });
        });
    }
    group.finish();
}

/// Full datagrams, split only.
fn lines(criterion: &mut Criterion) {
    let lines = traffic::mixed(LINES);
    let datagrams = traffic::datagrams(&lines);
    let mut group = criterion.benchmark_group("lines");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.bench_function("1,432 bytes", |bencher| {
        bencher.iter(|| {
            for datagram in &datagrams {
                for line in statsd::lines(black_box(datagram)) {
                    black_box(line);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(parse, read, least_read, skim, lines);
criterion_main!(parse);
