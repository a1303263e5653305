//! From datapoints to Avro.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::Write as _;

use benches::{Intake, traffic};
use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use metric::Batch;
use ship::{Codec, Destination, OutputConfig, Schema};

/// A flush of so many series of every kind, each touched once, and how many points it is.
fn flush(series: usize) -> (Vec<Batch>, u64) {
    let lines = traffic::mixed(series);
    let mut intake = Intake::default();
    intake.read(&lines);
    let ended = intake.swap();
    let batches = intake.merge(ended);
    let points = batches.iter().map(Batch::len).sum::<usize>() as u64;
    (batches, points)
}

fn config(schema: Schema, codec: Codec) -> OutputConfig {
    OutputConfig { schema, codec, ..OutputConfig::new(Destination::File("points".into())) }
}

/// From batches to the payloads of a file.
fn payloads(config: &OutputConfig, (batches, points): &(Vec<Batch>, u64)) -> Vec<Bytes> {
    let (payloads, ledger) = ship::encode(config, "00c0ffee00c0ffee", batches);
    assert_eq!(ledger.queued, *points);
    payloads
}

/// One flush in each form.
fn encode(criterion: &mut Criterion) {
    let flush = flush(10_000);
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(flush.1));
    for (name, schema, codec) in [
        ("points, null", Schema::Points, Codec::Null),
        ("points, deflate", Schema::Points, Codec::Deflate),
        ("points, snappy", Schema::Points, Codec::Snappy),
        ("points, zstd", Schema::Points, Codec::Zstd),
        ("metric lists, null", Schema::MetricList, Codec::Null),
    ] {
        let config = config(schema, codec);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(payloads(&config, &flush)));
        });
    }
    group.finish();
}

/// A flush of a million series, and beside it what its bytes cost if they are only copied, or only
/// deflated, payload by payload, by the same library at the same level.
fn encode_a_million(criterion: &mut Criterion) {
    let flush = flush(1_000_000);
    let bytes = payloads(&config(Schema::Points, Codec::Null), &flush);
    let mut group = criterion.benchmark_group("encode a million series");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.throughput(Throughput::Elements(flush.1));
    for (name, codec) in [("points, null", Codec::Null), ("points, deflate", Codec::Deflate)] {
        let config = config(Schema::Points, codec);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(payloads(&config, &flush)));
        });
    }
    group.bench_function("bare copy", |bencher| {
        bencher.iter(|| black_box(bytes.iter().map(|it| it.to_vec()).collect::<Vec<_>>()));
    });
    group.bench_function("bare deflate", |bencher| {
        bencher.iter(|| black_box(bytes.iter().map(|it| deflate(it)).collect::<Vec<_>>()));
    });
    group.finish();
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut deflater = DeflateEncoder::new(Vec::new(), Compression::fast());
    deflater.write_all(bytes).and_then(|()| deflater.finish()).expect("memory takes everything")
}

criterion_group!(benches, encode, encode_a_million);
criterion_main!(benches);
