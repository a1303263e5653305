//! From datapoints to Avro.
#![forbid(unsafe_code)]

use std::hint::black_box;

use benches::{Intake, traffic};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metric::Batch;
use ship::{Codec, Destination, OutputConfig, Schema};

const SERIES: usize = 10_000;

/// A flush of every kind of series, each touched once.
fn flush() -> Vec<Batch> {
    let lines = traffic::mixed(SERIES);
    let mut intake = Intake::default();
    intake.read(&lines);
    let ended = intake.swap();
    intake.merge(ended)
}

/// One flush, from batches to the payloads of a file.
fn encode(criterion: &mut Criterion) {
    let batches = flush();
    let points = batches.iter().map(Batch::len).sum::<usize>() as u64;
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(points));
    for (name, schema, codec) in [
        ("points, null", Schema::Points, Codec::Null),
        ("points, deflate", Schema::Points, Codec::Deflate),
        ("points, snappy", Schema::Points, Codec::Snappy),
        ("points, zstd", Schema::Points, Codec::Zstd),
        ("metric lists, null", Schema::MetricList, Codec::Null),
    ] {
        let file = Destination::File("points".into());
        let config = OutputConfig { schema, codec, ..OutputConfig::new(file) };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (payloads, ledger) = ship::encode(&config, "00c0ffee00c0ffee", &batches);
                assert_eq!(ledger.queued, points);
                black_box(payloads)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
