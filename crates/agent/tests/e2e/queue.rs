//! What waits for an upstream: on disk, within its bounds, over stops and crashes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger as set_linger;
use serde_json::Value;
use ship::segment::{Found, Scan};
use tempfile::TempDir;

use crate::harness::{Agent, Start, wait_for};
use crate::outputs::{account, accounts_when, files, output};
use crate::stand_in::{Collector, Reply, Reserved, Server, records};

/// The points of a burst.
const POINTS: u64 = 1_000;

/// Has so many counters flushed, each with this value.
fn burst(agent: &Agent, value: u32) {
    let before = agent.status()["outputs"][0]["offered"].as_u64().unwrap();
    for part in 0..4 {
        let mut lines = String::new();
        for n in 0..POINTS / 4 {
            writeln!(lines, "m{part}.{n}:{value}|c").unwrap();
        }
        agent.send(lines);
    }
    accounts_when(agent, |it| it["offered"].as_u64().unwrap() == before + POINTS);
}

/// The first output's account, once this is true of it.
fn when(agent: &Agent, so: impl Fn(&Value) -> bool) -> Value {
    accounts_when(agent, so).swap_remove(0)
}

fn is_delivered(output: &Value) -> bool {
    output["queued"] == 0
}

/// The points that one connection has brought.
pub(crate) fn points(collector: &Collector, place: usize) -> u64 {
    let lists = collector.lists(place);
    lists.iter().map(|list| list["datapoints"].as_array().unwrap().len() as u64).sum()
}

/// The values that came of one of the counters, on any connection.
fn values(collector: &Collector) -> BTreeSet<u64> {
    let connections = collector.connections().len();
    let values = (0..connections).flat_map(|place| collector.values(place, "m0.0"));
    values.map(|value| value as u64).collect()
}

/// The queue's files on disk.
pub(crate) fn segments(dir: &TempDir) -> Vec<PathBuf> {
    let queues = fs::read_dir(dir.path().join("data/queue")).into_iter().flatten().flatten();
    queues.flat_map(|queue| files(&queue.path(), "segment")).collect()
}

fn bytes_on_disk(dir: &TempDir) -> u64 {
    segments(dir).iter().map(|file| file.metadata().map_or(0, |it| it.len())).sum()
}

/// The points that are written there, settled or not.
fn points_on_disk(dir: &TempDir) -> u64 {
    let mut points = 0;
    for file in segments(dir) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let marker = u64::from_str_radix(&name[17..], 16).unwrap().to_be_bytes();
        let mut scan = Scan::new(File::open(&file).unwrap(), marker).unwrap();
        while let Some(Found::Record(head)) = scan.next().unwrap() {
            points += u64::from(head.points);
        }
    }
    points
}

/// Bursts of these values, each of them on disk.
fn bursts_on_disk(agent: &Agent, dir: &TempDir, values: &[u32]) {
    for value in values {
        let before = points_on_disk(dir);
        burst(agent, *value);
        wait_for(|| points_on_disk(dir) == before + POINTS, "a burst on disk");
    }
}

#[test]
fn an_upstream_that_is_away_for_longer_than_the_queue_holds_costs_the_oldest_points_only() {
    for durability in ["disk", "memory"] {
        let dir = tempfile::tempdir().unwrap();
        let place = Reserved::new();
        let url = format!("avro+tcp://{}", place.address());
        let more = format!("queue_bytes = 100000\ndurability = {durability:?}");
        let agent = Start::in_dir(&dir).config(&output(&url, &more)).start();
        for value in 1..=8 {
            burst(&agent, value);
        }
        when(&agent, |it| {
            let is_full = it["dropped"]["queue_full"].as_u64() >= Some(3 * POINTS);
            is_full && it["queue_bytes"].as_u64() <= Some(100_000)
        });
        assert!(bytes_on_disk(&dir) <= 100_000);
        assert_eq!(bytes_on_disk(&dir) > 0, durability == "disk");

        let collector = Collector::on(place.listen(), 0);
        let output = when(&agent, is_delivered);
        agent.stop();
        let [offered, acknowledged, _, dropped] = account(&output);
        assert_eq!(offered, 8 * POINTS);
        assert_eq!(output["dropped"]["queue_full"], dropped);
        wait_for(|| points(&collector, 0) == acknowledged, "every acknowledged point");
        // The newest, to the last.
        let values = values(&collector);
        assert!(values.iter().rev().zip((1..=8).rev()).all(|(got, sent)| *got == sent));
        assert_eq!(bytes_on_disk(&dir), 0);
    }
}

#[test]
fn after_a_kill_the_next_process_delivers_what_was_queued() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let server = Server::start(|_| Reply::Answer(503, String::new()));
    let stream = output(&format!("avro+tcp://{}", place.address()), "name = \"stream\"");
    let posted = output(&format!("http://{}/", server.address), "name = \"post\"");
    let config = stream + &posted;
    let agent = Start::in_dir(&dir).config(&config).start();
    for value in 1..=5 {
        burst(&agent, value);
    }
    wait_for(|| points_on_disk(&dir) == 2 * 5 * POINTS, "all of it in both queues");
    agent.kill();

    let collector = Collector::on(place.listen(), 0);
    let mut taken = Vec::new();
    server.answers(move |asked| {
        taken.push(asked.body.len());
        Reply::Answer(200, String::new())
    });
    let agent = Start::in_dir(&dir).config(&config).start();
    // A container is served, whatever there is to deliver.
    agent.register("c");
    let outputs = accounts_when(&agent, |it| it["recovered"] == 5 * POINTS && is_delivered(it));
    for output in &outputs {
        assert_eq!(account(output)[3], 0, "nothing is lost: {output}");
        assert_eq!(output["acknowledged"], output["recovered"]);
    }
    agent.stop();
    wait_for(|| values(&collector).len() == 5, "every burst");
    assert_eq!(collector.values(0, "m0.0"), [1.0, 2.0, 3.0, 4.0, 5.0], "in order");
    wait_for(|| points(&collector, 0) == 5 * POINTS, "every point, once");
    let posted: Vec<_> = server.asked().iter().rev().take(6).map(|it| it.body.clone()).collect();
    let posted: BTreeSet<_> = posted
        .iter()
        .flat_map(|body| records(body))
        .filter(|point| point["name"] == "m0.0")
        .map(|point| point["seq"].as_i64())
        .collect();
    assert_eq!(posted.len(), 5);
    assert_eq!(segments(&dir), Vec::<PathBuf>::new());
}

#[test]
fn a_restart_with_a_full_queue_takes_what_is_new_and_delivers_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let url = format!("avro+tcp://{}", place.address());
    let config = output(&url, "queue_bytes = 100000");
    let agent = Start::in_dir(&dir).config(&config).start();
    for value in 1..=6 {
        burst(&agent, value);
    }
    agent.send("last:1|c");
    let before = when(&agent, |it| it["offered"] == 6 * POINTS + 1);
    assert!(before["dropped"]["queue_full"].as_u64() > Some(0), "{before}");
    agent.stop();

    let agent = Start::in_dir(&dir).config(&config).start();
    agent.register("c");
    let found = when(&agent, |it| it["recovered"] != 0);
    assert_eq!(found["recovered"], before["queued"], "as many as were kept");
    burst(&agent, 9);
    let collector = Collector::on(place.listen(), 0);
    let output = when(&agent, is_delivered);
    let [offered, acknowledged, _, dropped] = account(&output);
    assert_eq!(offered, output["recovered"].as_u64().unwrap() + POINTS);
    assert_eq!(dropped, output["dropped"]["queue_full"]);
    agent.stop();
    wait_for(|| points(&collector, 0) == acknowledged, "every acknowledged point");
    assert!(values(&collector).contains(&9));
}

#[test]
fn a_stop_keeps_what_nobody_takes_and_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let config = "shutdown_grace = \"10m\"\n".to_owned()
        + &output(&format!("avro+tcp://{}", place.address()), "");
    let agent = Start::in_dir(&dir).config(&config).start();
    for value in 1..=3 {
        burst(&agent, value);
    }
    agent.send("last:1|c");
    let log = dir.path().join("log");
    // Within a minute, says the harness.
    agent.stop();
    let kept = format!("points={}", 3 * POINTS + 1);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.lines().any(|it| it.contains("kept on disk") && it.contains(&kept)), "{log}");
    assert!(!log.contains("stopped before everything was delivered"), "{log}");

    let collector = Collector::on(place.listen(), 0);
    let agent = Start::in_dir(&dir).config(&config).start();
    let output = when(&agent, |it| it["recovered"] == 3 * POINTS + 1 && is_delivered(it));
    assert_eq!(account(&output), [3 * POINTS + 1, 3 * POINTS + 1, 0, 0]);
    agent.stop();
    wait_for(|| points(&collector, 0) == 3 * POINTS + 1, "every point, once");
}

#[test]
fn a_peer_that_accepts_and_never_reads_fills_the_queue_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", listener.local_addr().unwrap());
    let agent = Start::in_dir(&dir).config(&output(&url, "queue_bytes = 100000")).start();
    let (mute, _) = listener.accept().unwrap();
    let mut value = 0;
    let full = loop {
        value += 1;
        burst(&agent, value);
        let output = when(&agent, |_| true);
        if output["dropped"]["queue_full"].as_u64() >= Some(POINTS) {
            break output;
        }
    };
    assert!(full["queued"].as_u64() > Some(0));
    assert!(bytes_on_disk(&dir) <= 100_000);

    // What is unread makes this a reset; then somebody reads.
    drop(mute);
    let collector = Collector::on(listener, 0);
    let output = when(&agent, is_delivered);
    assert!(output["resent"].as_u64() > Some(0), "{output}");
    let [offered, acknowledged, _, dropped] = account(&output);
    assert_eq!((offered, offered - acknowledged), (u64::from(value) * POINTS, dropped));
    agent.stop();
    wait_for(|| values(&collector).contains(&u64::from(value)), "the newest burst");
}

#[test]
fn a_slow_peer_gets_everything_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", listener.local_addr().unwrap());
    let agent = Start::in_dir(&dir).config(&output(&url, "")).start();
    let reading = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let (mut all, mut part) = (Vec::new(), [0; 2_000]);
        loop {
            let read = peer.read(&mut part).unwrap();
            all.extend_from_slice(&part[..read]);
            if read == 0 {
                return all;
            }
            // Slowness is what this is about: some hundred thousand bytes a second.
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    for value in 1..=12 {
        burst(&agent, value);
    }
    let output = when(&agent, is_delivered);
    assert_eq!(account(&output), [12 * POINTS, 12 * POINTS, 0, 0]);
    agent.stop();
    let lists = records(&reading.join().unwrap());
    let points = lists.iter().flat_map(|list| list["datapoints"].as_array().unwrap());
    let of_one = points.filter(|point| point["name"] == "m0.0");
    let values: Vec<_> = of_one.map(|point| point["value"].as_f64().unwrap() as u32).collect();
    assert_eq!(values, (1..=12).collect::<Vec<_>>());
}

#[test]
fn peers_that_reset_and_half_close_cost_nothing_that_they_had_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", listener.local_addr().unwrap());
    let agent = Start::in_dir(&dir).config(&output(&url, "resend = 1000000")).start();
    let mut value = 0;
    for is_reset in [true, false, true, false] {
        let (mut peer, _) = listener.accept().unwrap();
        value += 1;
        burst(&agent, value);
        let mut part = [0; 5_000];
        peer.read_exact(&mut part).unwrap();
        if is_reset {
            drop(peer);
        } else {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            // All that came; it is read, but a peer like this one forgets it.
            let _ = peer.read_to_end(&mut Vec::new());
        }
    }
    let collector = Collector::on(listener, 0);
    wait_for(|| values(&collector) == BTreeSet::from([1, 2, 3, 4]), "every burst");
    let output = when(&agent, is_delivered);
    assert_eq!(account(&output), [4 * POINTS, 4 * POINTS, 0, 0], "each is counted once");
    agent.stop();
}

#[test]
fn a_full_disk_stops_nothing_and_is_used_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let config = output(&format!("avro+tcp://{}", place.address()), "");
    let agent = Start::in_dir(&dir).config(&config).survives_file_limit().start();
    bursts_on_disk(&agent, &dir, &[1]);
    // The next one does not fit.
    agent.limit_files(Some(bytes_on_disk(&dir) + 10_000));
    burst(&agent, 2);
    let output = when(&agent, |it| it["queue_degraded"] == true);
    assert!(output["last_error"].as_str().is_some());
    agent.says(&["the queue cannot be kept on disk"]);
    burst(&agent, 3);
    agent.register("c");
    assert_eq!(account(&when(&agent, |_| true)), [3 * POINTS, 0, 3 * POINTS, 0]);

    agent.limit_files(None);
    when(&agent, |it| it["queue_degraded"] == false);
    agent.says(&["the queue is on disk again"]);
    bursts_on_disk(&agent, &dir, &[4]);
    agent.kill();
    let collector = Collector::on(place.listen(), 0);
    let agent = Start::in_dir(&dir).config(&config).start();
    let output = when(&agent, |it| it["recovered"] != 0 && is_delivered(it));
    assert_eq!(account(&output), [4 * POINTS, 4 * POINTS, 0, 0]);
    agent.stop();
    wait_for(|| values(&collector) == BTreeSet::from([1, 2, 3, 4]), "every burst");
}

#[test]
fn with_a_disk_that_never_works_an_output_delivers_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", listener.local_addr().unwrap());
    let collector = Collector::on(listener, 0);
    fs::create_dir(dir.path().join("data")).unwrap();
    // A queue's directory cannot be made where a file is.
    fs::write(dir.path().join("data/queue"), "").unwrap();
    let agent = Start::in_dir(&dir).config(&output(&url, "")).start();
    burst(&agent, 1);
    let output = when(&agent, |it| is_delivered(it) && it["queue_degraded"] == true);
    assert_eq!(account(&output), [POINTS, POINTS, 0, 0]);
    agent.send("last:1|c");
    agent.stop();
    wait_for(|| points(&collector, 0) == POINTS + 1, "the last flush too");
}

/// As a newer version would begin its file.
fn newer(file: &Path) {
    let mut head = ship::segment::file_head();
    head[8] += 1;
    // The checksum of the first twelve bytes, bit by bit.
    let check = !head[..12].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1))
        })
    });
    head[12..].copy_from_slice(&check.to_le_bytes());
    fs::write(file, head).unwrap();
}

#[test]
fn damaged_records_and_files_of_a_newer_version_are_counted_and_cost_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let config = output(&format!("avro+tcp://{}", place.address()), "");
    let agent = Start::in_dir(&dir).config(&config).start();
    bursts_on_disk(&agent, &dir, &[1, 2, 3]);
    agent.kill();
    let segment = segments(&dir).remove(0);
    let file = File::options().write(true).open(&segment).unwrap();
    file.write_all_at(b"?", bytes_on_disk(&dir) / 2).unwrap();
    file.write_all_at(b"torn", bytes_on_disk(&dir)).unwrap();
    newer(&segment.with_file_name("00000000000000ff-0123456789abcdef.segment"));

    let collector = Collector::on(place.listen(), 0);
    let agent = Start::in_dir(&dir).config(&config).start();
    let output = when(&agent, |it| it["recovered"] == 3 * POINTS && is_delivered(it));
    assert_eq!((&output["damaged_records"], &output["newer_files"]), (&1.into(), &1.into()));
    assert_eq!(account(&output), [3 * POINTS, 2 * POINTS, 0, POINTS]);
    assert_eq!(output["dropped"]["damaged"], POINTS);
    agent.stop();
    wait_for(|| values(&collector) == BTreeSet::from([1, 3]), "the others");
    let left = files(segment.parent().unwrap(), "newer");
    assert_eq!(left.len(), 1, "it waits for the version that can read it");
}

#[test]
fn the_queue_of_an_output_that_is_not_configured_is_kept_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let gone = output(&format!("avro+tcp://{}", place.address()), "name = \"gone\"");
    let other = output(&format!("file:{}", dir.path().join("points").display()), "");
    let agent = Start::in_dir(&dir).config(&gone).start();
    burst(&agent, 1);
    agent.stop();
    let agent = Start::in_dir(&dir).config(&other).start();
    agent.says(&["the queue of an output that is not configured"]);
    agent.stop();

    let collector = Collector::on(place.listen(), 0);
    let agent = Start::in_dir(&dir).config(&gone).start();
    when(&agent, |it| it["recovered"] == POINTS && is_delivered(it));
    agent.stop();
    wait_for(|| points(&collector, 0) == POINTS, "what was kept");
}

#[test]
fn what_is_new_is_not_held_up_by_what_has_waited() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", listener.local_addr().unwrap());
    let config = "flush_interval = \"100ms\"\n".to_owned() + &output(&url, "name = \"out\"");
    let place = listener.local_addr().unwrap();
    drop(listener);
    let agent = Start::in_dir(&dir).config(&config).start();
    for value in 1..=20 {
        burst(&agent, value);
    }
    when(&agent, |it| it["retries"] != 0);
    let listener = TcpListener::bind(place).unwrap();
    let (peer, _): (TcpStream, _) = listener.accept().unwrap();
    // Somebody has begun to read, but not much: the backlog fills what buffers there are.
    when(&agent, |it| it["acknowledged"] != 0);
    burst(&agent, 99);
    let reading = std::thread::spawn(move || {
        let (mut peer, mut all) = (peer, Vec::new());
        peer.read_to_end(&mut all).unwrap();
        all
    });
    when(&agent, is_delivered);
    agent.stop();
    let lists = records(&reading.join().unwrap());
    let points = lists.iter().flat_map(|list| list["datapoints"].as_array().unwrap());
    let of_one = points.filter(|point| point["name"] == "m0.0");
    let values: Vec<_> = of_one.map(|point| point["value"].as_f64().unwrap() as u32).collect();
    assert_eq!(values.len(), 21);
    let new = values.iter().position(|value| *value == 99).unwrap();
    assert!(new < 16, "it came behind {new} of 20 that had waited");
    let old: Vec<_> = values.into_iter().filter(|value| *value != 99).collect();
    let mut sorted = old.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=20).collect::<Vec<_>>());
}

/// What a process has in memory, in bytes.
fn resident(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// What an upstream does that takes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Takes {
    /// It is not there.
    IsAway,
    /// It accepts, and reads nothing.
    ReadsNothing,
    /// It accepts, and resets.
    Resets,
    /// It accepts, and is done.
    HalfCloses,
}

impl Takes {
    /// What it does, until the test program ends.
    fn go_on(self, place: Reserved) {
        if self == Self::IsAway {
            return std::mem::forget(place);
        }
        let listener = place.listen();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for peer in listener.incoming() {
                let peer = peer.unwrap();
                match self {
                    Self::IsAway | Self::ReadsNothing => {}
                    Self::Resets => {
                        set_linger(&peer, Some(Duration::ZERO)).unwrap();
                        continue;
                    }
                    Self::HalfCloses => peer.shutdown(Shutdown::Write).unwrap(),
                }
                open.push(peer);
            }
        });
    }
}

#[test]
fn an_upstream_that_takes_nothing_costs_disk_and_not_memory_however_long_it_does() {
    for takes in [Takes::IsAway, Takes::ReadsNothing, Takes::Resets, Takes::HalfCloses] {
        let dir = tempfile::tempdir().unwrap();
        let place = Reserved::new();
        let url = format!("avro+tcp://{}", place.address());
        takes.go_on(place);
        let agent = Start::in_dir(&dir).config(&output(&url, "")).start();
        // Gauges, each of which is told at every flush.
        let tag = "x".repeat(900);
        for part in 0..100 {
            let lines: Vec<_> = (0..60).map(|n| format!("m{part}.{n}:1|g|#tag:{tag}")).collect();
            agent.send(lines.join("\n"));
            // So much fits into a receive buffer.
            if part % 2 == 1 {
                agent.received((part + 1) * 60);
            }
        }
        let resident_at = |mebibytes: u64| {
            let output = when(&agent, |it| it["queue_bytes"].as_u64() >= Some(mebibytes << 20));
            let [offered, acknowledged, queued, dropped] = account(&output);
            assert_eq!((offered, dropped), (acknowledged + queued, 0), "{takes:?}: {output}");
            assert_eq!(output["queue_degraded"], false, "{takes:?}");
            resident(&agent)
        };
        let (early, late) = (resident_at(16), resident_at(64));
        // Some of what is live is in memory, too.
        assert!(late < early + (24 << 20), "{takes:?}: {early} grew to {late} bytes");
    }
}
