//! A disk that takes nothing, at any of the steps at which something is written: the queue, the
//! files of points, the containers, what is for the next process. Nobody who sends notices.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Agent, Points, Start, send, wait_for};
use crate::outputs::{account, output};
use crate::queue::{points, segments};
use crate::stand_in::{Collector, Reserved};

/// A directory with all that is ever written, and where the upstream is.
struct Node {
    dir: TempDir,
    upstream: SocketAddr,
}

impl Node {
    fn new(upstream: &Reserved) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), upstream: upstream.address() }
    }

    fn start(&self) -> Start {
        let written = output(&format!("file:{}", self.written().display()), "name = \"file\"");
        let streamed = output(&format!("avro+tcp://{}", self.upstream), "name = \"stream\"");
        let config = format!("shutdown_grace = \"3s\"\n{written}{streamed}");
        Start::in_dir(&self.dir).config(&config)
    }

    fn written(&self) -> PathBuf {
        self.dir.path().join("data/points")
    }

    fn hits(&self) -> f64 {
        Points::in_dir(&self.written()).sum("hits", "sum")
    }

    fn file_of(&self, container: &str) -> PathBuf {
        self.dir.path().join("data/containers").join(container)
    }
}

/// Sends so many samples, each in an interval of its own or nearly so.
fn sends(agent: &Agent, to: SocketAddr, samples: u64) {
    let received = |status: &Value| status["total"]["received"]["samples"].as_u64().unwrap();
    let before = received(&agent.status());
    for sent in 1..=samples {
        let offered = agent.status()["outputs"][0]["offered"].clone();
        send(to, "hits:1|c");
        let status = agent.status_when(|status| {
            received(status) == before + sent && status["outputs"][0]["offered"] != offered
        });
        adds_up(&status);
    }
}

/// Everything is there, and nothing was dropped.
fn adds_up(status: &Value) {
    assert_eq!(status["total"]["received"]["samples"], status["total"]["aggregated"]);
    for output in status["outputs"].as_array().unwrap() {
        let [offered, acknowledged, queued, dropped] = account(output);
        assert_eq!((offered, dropped), (acknowledged + queued, 0), "{output}");
    }
}

#[test]
fn a_disk_that_fills_up_stops_nothing_at_any_step_and_what_waited_is_written_when_there_is_room() {
    let upstream = Reserved::new();
    let node = Node::new(&upstream);
    let agent = node.start().survives_file_limit().start();
    let before = agent.register("before");
    sends(&agent, before, 2);
    wait_for(|| node.hits() == 2.0 && !segments(&node.dir).is_empty(), "what is written");

    agent.limit_files(Some(0));
    let during = agent.register("during");
    for port in [before, during] {
        sends(&agent, port, 2);
    }
    let full = agent.status_when(|status| {
        let [file, stream] = [&status["outputs"][0], &status["outputs"][1]];
        file["retries"] != 0 && stream["queue_degraded"] == true
    });
    adds_up(&full);
    assert_eq!(full["containers"]["registered"], 2);
    assert_eq!(full["containers"]["unsaved"], 1);
    assert!(full["outputs"][0]["last_error"].as_str().unwrap().contains("cannot write to"));
    assert!(full["outputs"][1]["last_error"].is_string());
    assert_eq!((agent.ask("GET", "/healthz", "").0, agent.ask("GET", "/readyz", "").0), (200, 503));
    agent.says(&["the queue cannot be kept on disk"]);
    agent.says(&["not delivered, will be tried again"]);
    agent.says(&["cannot write the file of container \"during\""]);

    agent.limit_files(None);
    let room = agent.status_when(|status| {
        let [file, stream] = [&status["outputs"][0], &status["outputs"][1]];
        let is_written = file["queued"] == 0 && stream["queue_degraded"] == false;
        is_written && status["containers"]["unsaved"] == 0
    });
    adds_up(&room);
    assert!(node.file_of("during").exists());
    assert_eq!(node.hits(), 6.0);
    agent.says(&["the queue is on disk again"]);

    // And at the stop: what could not be saved is missing, and nothing else.
    agent.limit_files(Some(0));
    send(before, "level:7|g");
    agent.received(7);
    let log = node.dir.path().join("log");
    agent.stop();
    let log = || fs::read_to_string(&log).unwrap();
    wait_for(|| log().contains("gauges and running totals will start anew"), "word of the state");
    let agent = node.start().start();
    let status = agent.status();
    assert_eq!(
        (&status["restored"]["gauges"], &status["restored"]["totals"]),
        (&0.into(), &0.into())
    );
    assert_eq!((agent.register("before"), agent.register("during")), (before, during));
    let collector = Collector::on(upstream.listen(), 0);
    agent.status_when(|status| status["outputs"][1]["queued"] == 0);
    // The kernel has acknowledged it; the collector may still have to read it.
    wait_for(|| points(&collector, 0) >= 6, "what was on disk at the stop");
    agent.stop();
}

#[test]
fn a_start_on_a_full_disk_serves_whoever_it_knows_and_delivers_what_it_has() {
    let upstream = Reserved::new();
    let node = Node::new(&upstream);
    let agent = node.start().start();
    let known = agent.register("known");
    sends(&agent, known, 3);
    agent.stop();

    let agent = node.start().on_a_full_disk().start();
    assert_eq!(agent.register("known"), known);
    let status = agent.status();
    assert_eq!(status["restored"]["totals"], 1, "what can be read is read");
    assert_eq!(status["unclean_previous_stop"], Value::Null);
    agent.says(&["of a crash it may not be known when it was"]);
    let new = agent.register("new");
    sends(&agent, known, 2);
    sends(&agent, new, 2);
    agent.status_when(|status| {
        status["outputs"][1]["queue_degraded"] == true && status["containers"]["unsaved"] == 1
    });
    let collector = Collector::on(upstream.listen(), 0);
    let status = agent.status_when(|status| status["outputs"][1]["queued"] == 0);
    adds_up(&status);
    assert_eq!(status["outputs"][1]["recovered"], 3);
    wait_for(|| collector.values(0, "hits").iter().sum::<f64>() == 7.0, "every point");

    agent.limit_files(None);
    let status = agent.status_when(|status| {
        status["outputs"][0]["queued"] == 0 && status["containers"]["unsaved"] == 0
    });
    adds_up(&status);
    agent.stop();
    assert_eq!(node.hits(), 7.0);

    // It stopped by itself; of a crash the next one knows.
    let agent = node.start().on_a_full_disk().start();
    assert_eq!(agent.status()["unclean_previous_stop"], Value::Null);
    agent.kill();
    let unclean = node.start().start().status()["unclean_previous_stop"].clone();
    assert_eq!(unclean["from"], Value::Null);
    assert!(unclean["to"].is_i64());
}
