//! The command line, start and stop.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::harness::{Start, run, wait_for};

fn weir(args: &[&str]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_weir")).args(args))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn help_and_version_teach() {
    let help = weir(&["--help"]);
    assert!(help.status.success());
    for word in ["Examples:", "weir demo", "--listen", "--config", "Signals:", "parse", "cat"] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
    let version = weir(&["--version"]);
    assert!(text(&version.stdout).starts_with(concat!("weir ", env!("CARGO_PKG_VERSION"), " (")));
    assert_eq!(weir(&["--no-such-flag"]).status.code(), Some(2));
    assert_eq!(weir(&["run", "--listen", "tcp://x"]).status.code(), Some(2));
}

#[test]
fn check_prints_what_run_accepts_and_points_at_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weir.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "flush_interval = \"5s\"\n").unwrap();
    let printed = weir(&["check", "--config", path]);
    assert!(printed.status.success());
    assert!(text(&printed.stdout).contains("flush_interval = \"5s\""));
    std::fs::write(&file, &printed.stdout).unwrap();
    assert_eq!(weir(&["check", "--config", path]).stdout, printed.stdout);

    std::fs::write(&file, "workers = 1\nflush = \"5s\"\n").unwrap();
    let wrong = weir(&["check", "--config", path]);
    assert_eq!(wrong.status.code(), Some(1));
    for part in [path, "line 2", "flush", "flush_interval"] {
        assert!(text(&wrong.stderr).contains(part), "{part} in {}", text(&wrong.stderr));
    }
}

#[test]
fn every_example_configuration_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut checked = 0;
    for folder in ["examples/configs", "examples/docker", "deploy/packaging"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let output = weir(&["check", "--config", path.to_str().unwrap()]);
            assert!(output.status.success(), "{}: {}", path.display(), text(&output.stderr));
            checked += 1;
        }
    }
    assert!(checked >= 6);
}

#[test]
fn a_second_agent_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let first = Start::in_dir(&dir).start();
    assert!(Start::in_dir(&dir).refuse().contains("another agent uses the data directory"));
    let other = tempfile::tempdir().unwrap();
    let listen = format!("udp://{}", first.udp());
    let said = Start::in_dir(&other).flag("--listen", &listen).refuse();
    assert!(said.contains("in use"), "{said}");
    let said = Start::in_dir(&other).flag("--http", &first.http.unwrap().to_string()).refuse();
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn health_and_readiness_say_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    // A port where nobody listens.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!("[[output]]\nurl = \"avro+tcp://{gone}\"\n");
    let agent = Start::in_dir(&dir).config(&config).start();
    assert_eq!(agent.ask("GET", "/healthz", ""), (200, "ok".to_owned()));
    let (status, why) = agent.ask("GET", "/readyz", "");
    assert_eq!(status, 503);
    assert!(why.contains(&format!("output {gone}: ")), "{why}");
}

#[test]
fn a_stop_is_over_within_the_grace_period_though_a_peer_is_stuck() {
    let dir = tempfile::tempdir().unwrap();
    // It accepts by its backlog, and never reads.
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "shutdown_grace = \"2s\"\n[[output]]\nurl = \"http://{}/\"\n",
        stuck.local_addr().unwrap()
    );
    let agent = Start::in_dir(&dir).config(&config).start();
    agent.send("a:1|c");
    agent.status_when(|status| status["outputs"][0]["queued"] == 1);
    let start = Instant::now();
    agent.stop();
    // On a busy machine the process itself may be slow.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_stop_is_over_within_the_grace_period_though_the_disk_is_stuck() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config("shutdown_grace = \"3s\"\n").start();
    // Whoever opens it to write waits for a reader, who never comes.
    let state = dir.path().join("data/state.new");
    assert!(run(Command::new("mkfifo").arg(&state)).status.success());
    agent.send("a:1|c");
    agent.received(1);
    assert_eq!(agent.stop().sum("a", "sum"), 1.0);
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("are not saved in time"), "{log}");
}

#[test]
fn a_request_that_does_not_end_takes_no_grace_period_from_the_last_flush() {
    let dir = tempfile::tempdir().unwrap();
    let config = "shutdown_grace = \"1s\"\nflush_interval = \"1h\"\n";
    let agent = Start::in_dir(&dir).config(config).start();
    agent.send("a:1|c");
    agent.received(1);
    let mut half = TcpStream::connect(agent.http.unwrap()).unwrap();
    half.write_all(b"GET /status.json HTTP/1.1\r\n").unwrap();
    // The connection before is accepted first.
    agent.ask("GET", "/healthz", "");
    assert_eq!(agent.stop().sum("a", "sum"), 1.0);
}

#[test]
fn datagrams_sent_before_the_stop_are_in_the_last_flush() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config("flush_interval = \"1h\"\n").start();
    for _ in 0..200 {
        agent.send("last:1|c");
    }
    assert_eq!(agent.stop().sum("last", "sum"), 200.0);
}

#[test]
fn the_demo_shows_what_its_containers_say() {
    let demo = weir(&["demo", "--flush-interval", "300ms", "--tables", "2"]);
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    let shown = text(&demo.stdout);
    for word in
        ["shop-frontend", "shop-cart", "shop-payments", "page.views page=home", "carts.open"]
    {
        assert!(shown.contains(word), "{word} in {shown}");
    }
}

#[test]
fn what_receives_goes_before_what_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let niceness = || -> BTreeMap<String, i32> {
        let threads = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
        // "TID (NAME) STATE ...", the niceness is the 16th behind the state: proc_pid_stat(5).
        let told =
            threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
        told.filter_map(|told| {
            let (thread, numbers) = told.rsplit_once(") ")?;
            let (_, name) = thread.split_once(" (")?;
            Some((name.to_owned(), numbers.split(' ').nth(16)?.parse().ok()?))
        })
        .collect()
    };
    // A thread has its name and rank a moment after it was begun.
    let is_so = || {
        let niceness = niceness();
        let Some(worker) = niceness.get("worker-0") else { return false };
        let is = |name: &str, rank| niceness.get(name) == Some(&rank);
        is("api", *worker)
            && ["flush", "ship-encode", "ship-write"]
                .iter()
                .all(|name| is(name, (worker + 5).min(19)))
    };
    wait_for(is_so, "the ranks of all threads");
}
