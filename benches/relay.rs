//! What it costs a worker to hand lines to a relay.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::traffic;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metric::{Origin, ReadAs, Source};
use ship::{OutputConfig, Outputs, Surroundings};

/// So many lines that all of a round fit what a worker may be ahead.
const LINES: usize = 10_000;

/// How many lines a worker finds in its sockets at once.
const BATCH: usize = 64;

/// Lines are put while the relay takes them; a round begins when it has taken the last one's.
fn hand_over(criterion: &mut Criterion) {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = receiver.local_addr().expect("it is bound");
    let url = format!("statsd+udp://{address}").parse().expect("it is a relay's URL");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the system gives it its threads");
    let (nowhere, boot_id) = (Path::new("/nowhere"), "00c0ffee00c0ffee");
    let configs = vec![OutputConfig::new(url)];
    let outputs = Outputs::start(configs, nowhere, boot_id, runtime.handle());
    let outputs = outputs.expect("a relay needs no directory");
    let around =
        Surroundings { dimensions: Arc::new(|_| Arc::default()), is_own: Arc::new(|_| false) };
    let mut inlets = outputs.start_relays(1, &around).expect("the system gives it a thread");
    let inlet = &mut inlets[0][0];
    let origin = Origin::Container { container_id: "c".into() };
    let source = Source::new(origin, ReadAs::default());
    let lines = traffic::mixed(LINES);

    let mut group = criterion.benchmark_group("relay");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("hand over", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let offered = outputs.ledgers()[0].offered;
                let begun = Instant::now();
                for batch in lines.chunks(BATCH) {
                    for line in batch {
                        inlet.put(&source, black_box(line));
                    }
                    inlet.end_batch();
                }
                taken += begun.elapsed();
                while outputs.ledgers()[0].offered < offered + LINES as u64 {
                    std::thread::yield_now();
                }
            }
            taken
        });
    });
    group.finish();
    let ledger = &outputs.ledgers()[0];
    assert_eq!(ledger.dropped.total(), 0, "what is refused costs less");
    outputs.stop(Duration::from_secs(10));
}

criterion_group!(benches, hand_over);
criterion_main!(benches);
