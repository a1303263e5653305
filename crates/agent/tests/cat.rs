//! `weir cat`: what the outputs write comes back as lines of JSON.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use metric::{
    Batch, Datapoint, Dimensions, Kind, Origin, Quantiles, ReadAs, SeriesKey, Source, Value,
};
use ship::{OutputConfig, Outputs};

fn weir_cat() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("cat").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn cat(inputs: &[&Path]) -> Output {
    weir_cat().args(inputs).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

fn batch(points: i64) -> Arc<Batch> {
    let gauge = |level: i64| Datapoint {
        key: SeriesKey::new(Kind::Gauge, "level", &[]),
        timestamp: None,
        value: Value::Gauge(level as f64),
    };
    Arc::new(Batch {
        source: Source::new(Origin::Container { container_id: "c1".into() }, ReadAs::default()),
        dimensions: Arc::new(Dimensions { hostname: "h1".into(), ..Dimensions::default() }),
        end_ms: 1_700_000_000_000,
        interval_ms: 10_000,
        first_seq: 0,
        quantiles: Arc::new(Quantiles::default()),
        datapoints: (0..points).map(gauge).collect(),
    })
}

/// Carries one batch for each of these sizes, a flush each, and stops.
fn ship(url: &str, flushes: &[i64]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let config = OutputConfig::new(url.parse().unwrap());
    let queues = tempfile::tempdir().unwrap();
    let boot_id = "00c0ffee00c0ffee";
    let outputs = Outputs::start(vec![config], queues.path(), boot_id, runtime.handle()).unwrap();
    for points in flushes {
        outputs.offer(&batch(*points));
        outputs.end_flush();
    }
    outputs.stop(Duration::from_secs(20));
    assert_eq!(outputs.ledgers()[0].dropped.total(), 0);
}

/// A complete file with one block for each of these sizes.
fn file(dir: &Path, flushes: &[i64]) -> PathBuf {
    ship(&format!("file:{}", dir.display()), flushes);
    let mut entries = fs::read_dir(dir).unwrap();
    entries.next().unwrap().unwrap().path()
}

#[test]
fn a_file_of_points_is_printed_as_a_line_each_in_the_schemas_order() {
    let dir = tempfile::tempdir().unwrap();
    let printed = cat(&[&file(dir.path(), &[1, 1])]);
    assert!(printed.status.success());
    assert_eq!(text(&printed.stderr), "");
    let line = concat!(
        r#"{"ts":1700000000000,"interval_ms":10000,"name":"level","kind":"gauge","#,
        r#""stat":"value","value":0.0,"unit":"","host":"h1","cluster_id":"","agent_id":"","#,
        r#""framework_id":"","framework_name":"","executor_id":"","task_id":"","#,
        r#""task_name":"","container_id":"c1","tags":{},"boot_id":"00c0ffee00c0ffee","seq":0}"#,
        "\n"
    );
    assert_eq!(text(&printed.stdout), line.repeat(2));
}

#[test]
fn several_files_and_standard_input_are_printed_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &[3]);
    let mut command = weir_cat();
    command.arg(&path).arg("-").arg(&path).stdin(fs::File::open(&path).unwrap());
    let printed = command.output().unwrap();
    assert!(printed.status.success());
    assert_eq!(text(&printed.stdout).lines().count(), 9);
}

#[test]
fn a_part_is_printed_to_its_last_whole_block_and_a_torn_complete_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &[2, 1]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.pop();
    for (name, success, note) in [
        ("torn.part", true, "cut off after 1 whole blocks; a file that is being written"),
        ("torn.avro", false, "cut off after 1 whole blocks\n"),
    ] {
        let torn = dir.path().join(name);
        fs::write(&torn, &bytes).unwrap();
        let printed = cat(&[&torn, &path]);
        assert_eq!(printed.status.success(), success, "{name}");
        assert!(text(&printed.stderr).contains(note), "{}", text(&printed.stderr));
        assert_eq!(
            text(&printed.stdout).lines().count(),
            5,
            "the next file is printed all the same"
        );
    }
}

#[test]
fn what_is_no_avro_or_not_there_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes.txt");
    fs::write(&notes, "Object of my desire").unwrap();
    for (input, error) in [
        (notes, "not an Avro object container file"),
        (dir.path().join("missing"), "No such file"),
        (PathBuf::from("tcp://not an address"), "cannot listen"),
    ] {
        let printed = cat(&[&input]);
        assert_eq!(printed.status.code(), Some(1), "{}", input.display());
        assert!(text(&printed.stderr).contains(error), "{}", text(&printed.stderr));
        assert_eq!(text(&printed.stderr).lines().count(), 1);
        assert_eq!(text(&printed.stdout), "");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &[5_000]);
    let mut child = weir_cat().arg(&path).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let printed = child.wait_with_output().unwrap();
    assert!(printed.status.success());
    assert_eq!(text(&printed.stderr), "");
}

/// A `weir cat` that listens; it is killed when dropped.
struct Collector {
    child: Child,
    address: String,
}

impl Collector {
    fn start() -> Self {
        let mut child = weir_cat().arg("tcp://127.0.0.1:0").spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.strip_prefix("weir cat: ").unwrap();
        let address = address.strip_suffix(": listening\n").unwrap().to_owned();
        child.stderr = Some(stderr.into_inner());
        Self { child, address }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_listening_cat_prints_each_block_as_it_comes_and_survives_a_hostile_sender() {
    let mut collector = Collector::start();
    let mut stdout = BufReader::new(collector.child.stdout.take().unwrap());
    let mut stderr = BufReader::new(collector.child.stderr.take().unwrap());
    let url = format!("avro+tcp://{}", collector.address);
    let mut line = String::new();

    ship(&url, &[1]);
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with(r#"{"topic":"unknown_container","tags":[{"key":"framework_id""#));

    let mut hostile = TcpStream::connect(&collector.address).unwrap();
    hostile.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    line.clear();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("not an Avro object container file"), "{line}");
    let _ = hostile.read(&mut [0; 16]);

    ship(&url, &[2]);
    line.clear();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains(r#"{"name":"level","time_ms":1700000000000,"value":1.0}"#), "{line}");
}
