//! The examples run, and show what they promise.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use metric::{Batch, Datapoint, Kind, Origin, ReadAs, SeriesKey, Source, Value};
use ship::{OutputConfig, Outputs};

const EMIT: &str = env!("CARGO_BIN_EXE_emit");
const COLLECTOR: &str = env!("CARGO_BIN_EXE_collector");
const EMBED: &str = env!("CARGO_BIN_EXE_embed");

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

fn emit(host: &str, port: &str) -> Output {
    Command::new(EMIT).env("STATSD_UDP_HOST", host).env("STATSD_UDP_PORT", port).output().unwrap()
}

#[test]
fn emit_sends_one_counter_that_reads_without_a_note() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let emitted = emit("127.0.0.1", &socket.local_addr().unwrap().port().to_string());
    assert!(emitted.status.success(), "{}", text(&emitted.stderr));

    let mut datagram = [0; 1500];
    let length = socket.recv(&mut datagram).unwrap();
    let reading = statsd::read(&datagram[..length], ReadAs::default(), 0);
    let [sample] = reading.samples().collect::<Vec<_>>()[..] else { panic!("{reading:?}") };
    assert_eq!((sample.name, sample.kind), ("page.views", Kind::Counter));
    assert_eq!(sample.tags.len(), 2);
    assert!(reading.notes().is_empty() && reading.rejects().is_empty());
}

#[test]
fn emit_says_what_its_environment_lacks() {
    let emitted = emit("127.0.0.1", "http");
    assert_eq!(emitted.status.code(), Some(2));
    assert!(text(&emitted.stderr).contains("STATSD_UDP_PORT: \"http\" is no port"));

    let emitted = Command::new(EMIT).env_remove("STATSD_UDP_HOST").output().unwrap();
    assert_eq!(emitted.status.code(), Some(2));
    assert!(text(&emitted.stderr).contains("STATSD_UDP_HOST: environment variable not found"));
    assert!(text(&emitted.stderr).contains("usage: "));
}

/// A running `collector`; it is killed when dropped.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn collector_prints_the_records_of_an_output() {
    let mut command = Command::new(COLLECTOR);
    command.arg("127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut collector = Collector(command.spawn().unwrap());
    let mut stderr = BufReader::new(collector.0.stderr.take().unwrap()).lines();
    let said = stderr.next().unwrap().unwrap();
    let address = said.strip_prefix("listening on ").unwrap();

    send_gauge(&format!("avro+tcp://{address}"));
    let mut line = String::new();
    BufReader::new(collector.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["topic"], "unknown_container");
    assert_eq!(record["datapoints"][0]["name"], "carts.open");
    assert_eq!(record["datapoints"][0]["value"], 3.0);
    assert!(stderr.next().unwrap().unwrap().ends_with(" left"));
}

fn send_gauge(url: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let config = OutputConfig::new(url.parse().unwrap());
    let queues = tempfile::tempdir().unwrap();
    let boot_id = "00c0ffee00c0ffee";
    let outputs = Outputs::start(vec![config], queues.path(), boot_id, runtime.handle()).unwrap();
    let container = Origin::Container { container_id: "shop".into() };
    outputs.offer(&Arc::new(Batch {
        source: Source::new(container, ReadAs::default()),
        dimensions: Arc::default(),
        end_ms: 1_700_000_000_000,
        interval_ms: 10_000,
        first_seq: 0,
        quantiles: Arc::default(),
        datapoints: vec![Datapoint {
            key: SeriesKey::new(Kind::Gauge, "carts.open", &[]),
            timestamp: None,
            value: Value::Gauge(3.0),
        }],
    }));
    outputs.end_flush();
    outputs.stop(Duration::from_secs(20));
}

#[test]
fn collector_says_how_it_is_used_and_what_it_cannot_have() {
    let without = Command::new(COLLECTOR).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
    assert!(text(&without.stderr).starts_with("usage: collector ADDR:PORT"));

    let nowhere = Command::new(COLLECTOR).arg("nowhere").output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).starts_with("collector: nowhere: "));
}

#[test]
fn embed_prints_what_the_lines_of_an_interval_came_to() {
    let mut command = Command::new(EMBED);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = b"\
page.views:2|c|#page:home\n\
page.views:3|c|@0.5|#page:home\n\
carts.open:5|g\n\
carts.open:-2|g\n\
no line at all\n\
user:ann|s\n\
user:ben|s\n\
took:12|ms\n";
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let printed = child.wait_with_output().unwrap();
    assert!(printed.status.success());
    assert_eq!(text(&printed.stderr), "line 5: no_value\n");
    let lines: Vec<_> = text(&printed.stdout).lines().collect();
    assert_eq!(
        lines[..4],
        [
            "page.views|c|#page:home sum 8",
            "carts.open|g value 3",
            "user|s count 2",
            "took|ms count 1",
        ]
    );
    assert_eq!(lines.last().unwrap(), &"took|ms p999 12");
}
