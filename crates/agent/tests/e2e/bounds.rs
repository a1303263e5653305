//! What one container may take, that it is charged for it, and that no other notices.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Agent, Start, send, wait_for};
use crate::stand_in::{Mesos, World, task};

/// The account of a container.
pub(crate) fn of(status: &Value, id: &str) -> Value {
    let mut sources = status["sources"].as_array().unwrap().iter();
    sources.find(|source| source["container_id"] == id).unwrap().clone()
}

fn number(account: &Value, path: &str) -> u64 {
    account.pointer(path).unwrap().as_u64().unwrap()
}

/// A line for each of so many counters.
fn counters(numbers: std::ops::Range<u32>) -> String {
    numbers.fold(String::new(), |lines, n| lines + &format!("n{n}:1|c\n"))
}

/// How many lines of the log hold all of these.
fn logged(agent: &Agent, parts: &[&str]) -> usize {
    agent.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

#[test]
fn datagrams_over_a_containers_bytes_are_dropped_whole_and_their_samples_counted() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody waits here for a second to pass: the bucket holds 100 bytes, once.
    let config = "[limits]\nbytes_per_second = 1\nburst_bytes = 100\n";
    let agent = Start::in_dir(&dir).config(config).start();
    let (a, b) = (agent.register("a"), agent.register("b"));
    let forty = "n:1:2|c\nnot a line\n_sc|x|0\nx:1|c|#a:bcde";
    assert_eq!(forty.len(), 40);
    for _ in 0..3 {
        send(a, forty);
    }
    send(a, "0123456789:1|c|#too:large");
    // Larger than the bucket ever is.
    send(b, "x".repeat(101));
    send(b, "n:1|c");
    // A listener is no container.
    agent.send("n:1|c\n".repeat(100));
    let status = agent.received(5 * 3 + 1 + 2 + 100);
    let account = of(&status, "a");
    assert_eq!(account["received"], json!({"datagrams": 4, "bytes": 145, "samples": 16}));
    assert_eq!(account["throttled"], json!({"datagrams": 2, "bytes": 65, "samples": 6}));
    assert_eq!(account["aggregated"], 6);
    assert_eq!(account["rejected"]["no_value"], 2);
    assert_eq!(account["rejected"]["not_carried"], 2);
    let account = of(&status, "b");
    assert_eq!(account["throttled"], json!({"datagrams": 1, "bytes": 101, "samples": 1}));
    assert_eq!(account["aggregated"], 1);
    assert_eq!(
        status["lost_last_minute"],
        json!({"samples": 11, "datagrams": 0, "points": 0, "lines": 0})
    );
    wait_for(|| logged(&agent, &["throttled", "container b", "example=xxx"]) == 1, "its line");
    assert_eq!(logged(&agent, &["reason=\"throttled\"", "container a"]), 1);
    assert_eq!(agent.stop().sum("n", "sum"), 2.0 * 3.0 + 1.0 + 100.0);
}

#[test]
fn further_series_of_a_container_are_refused_and_its_known_ones_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config("[limits]\nseries = 3\n").start();
    let (a, b) = (agent.register("a"), agent.register("b"));
    send(a, "one:1|c\ntwo:1|g\nthree:1|s\nfour:1:2:3|ms\nfive:1|c\none:1|c");
    send(b, "one:1|c");
    agent.send(counters(0..20));
    let status = agent.received(29);
    let account = of(&status, "a");
    assert_eq!((number(&account, "/aggregated"), number(&account, "/over_series_limit")), (4, 4));
    assert_eq!(account["series"], 3);
    assert_eq!(of(&status, "b")["aggregated"], 1);
    wait_for(|| logged(&agent, &["over_series_limit", "container a"]) == 1, "its line");
    let points = agent.stop();
    assert_eq!(points.sum("one", "sum"), 3.0);
    assert!(points.0.iter().all(|point| point["name"] != "four"));
}

#[test]
fn all_sources_have_no_more_series_together_than_the_total_whoever_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = "workers = 2\n[limits]\ntotal_series = 10\n";
    let agent = Start::in_dir(&dir).config(config).start();
    let ports: Vec<_> = (0..4).map(|n| agent.register(&format!("c{n}"))).collect();
    for port in &ports {
        send(*port, counters(0..5));
    }
    agent.send("n:1|c");
    let status = agent.received(21);
    assert_eq!(status["total"]["series"], 10);
    assert_eq!(status["total"]["aggregated"], 10);
    assert_eq!(status["total"]["over_series_limit"], 11);
}

#[test]
fn a_task_sets_its_containers_limits_by_labels_which_become_no_tags() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::start(World::default());
    let agent =
        Start::in_dir(&dir).config(&mesos.config()).config("[limits]\nseries = 5\n").start();
    let (few, many, usual) =
        (agent.register("few"), agent.register("many"), agent.register("usual"));
    let lines = |from: u32| counters(from..from + 10);
    send(few, "first:1|c");
    agent.received(1);
    let few_labels =
        [("DCOS_METRICS_WEIR_SERIES", "1"), ("DCOS_METRICS_WEIR_BURST_BYTES", "a\u{1b}lot")];
    let many_labels = [
        ("DCOS_METRICS_WEIR_SERIES", "20"),
        ("DCOS_METRICS_WEIR_SERVES", "1"),
        ("DCOS_METRICS_team", "blue"),
    ];
    mesos.knows(World::running([
        task("few.1", None, &["few"], &few_labels),
        task("many.1", None, &["many"], &many_labels),
        task("usual.1", None, &["usual"], &[]),
    ]));
    mesos.told();
    // What is known travels to the workers on its own: what tells that it has arrived is refused.
    let mut sent = 1;
    let status = agent.status_when(|status| {
        send(few, "second:1|c");
        sent += 1;
        of(status, "few")["over_series_limit"] != 0
    });
    assert_eq!(status["settings_ignored"], 2);
    send(many, lines(0));
    send(usual, lines(0));
    let status = agent.received(sent + 20);
    assert_eq!(of(&status, "many")["over_series_limit"], 0);
    assert_eq!(of(&status, "usual")["over_series_limit"], 5);
    send(many, lines(5) + &lines(15));
    let status = agent.received(sent + 40);
    assert_eq!(of(&status, "many")["over_series_limit"], 5);
    let ignored = ["container few", "BURST_BYTES=a\\x1blot", "expected a whole number"];
    wait_for(|| logged(&agent, &ignored) == 1, "a line about the label");
    wait_for(|| logged(&agent, &["container many", "no such setting"]) == 1, "another");
    let points = agent.stop();
    let point = points.0.iter().rfind(|point| point["container_id"] == "many").unwrap();
    let tags: Vec<_> = point["tags"].as_object().unwrap().keys().cloned().collect();
    assert!(tags.contains(&"team".to_owned()), "{tags:?}");
    assert!(!tags.iter().any(|tag| tag.contains("WEIR")), "{tags:?}");
}

#[test]
fn a_container_that_floods_does_not_slow_one_that_is_polite() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config("workers = 1\n").start();
    let polite = agent.register("polite");
    let ports: Vec<_> = (0..3).map(|n| agent.register(&format!("loud{n}"))).collect();
    // Long datagrams, short ones, and what has to be read in full.
    let floods = ["a:1|c\n".repeat(5_000), "b:1|c".to_owned(), "x\n".repeat(400)];
    let flooding = AtomicBool::new(true);
    thread::scope(|scope| {
        for (port, flood) in ports.iter().zip(&floods) {
            let flooding = &flooding;
            scope.spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                while flooding.load(Ordering::Relaxed) {
                    // A full buffer is what a flood is for.
                    let _ = socket.send_to(flood.as_bytes(), port);
                }
            });
        }
        let result = std::panic::catch_unwind(|| {
            agent.status_when(|status| {
                ports
                    .iter()
                    .enumerate()
                    .all(|(n, _)| of(status, &format!("loud{n}"))["received"]["datagrams"] != 0)
            });
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for round in 1..=20 {
                // No more than the smallest usual buffer holds.
                for _ in 0..100 {
                    socket.send_to(b"polite:1|c", polite).unwrap();
                }
                agent.status_when(|status| of(status, "polite")["aggregated"] == round * 100);
            }
        });
        flooding.store(false, Ordering::Relaxed);
        result.unwrap();
    });
    let account = of(&agent.status(), "polite");
    assert_eq!((number(&account, "/aggregated"), number(&account, "/kernel_dropped")), (2_000, 0));
}
