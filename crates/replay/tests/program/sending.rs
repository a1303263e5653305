//! What it sends, records and says, without an agent.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, Running, file, path_of, program, run, said};

fn listener() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn received(at: &UdpSocket, count: usize) -> Vec<String> {
    let mut buffer = [0; 2000];
    let mut next = || {
        let length = at.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn lines_are_sent_in_their_order_as_many_in_a_datagram_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let lines = file(&directory, "lines.txt", "a:1|c\nb:2|c\n\nc:3|c\n");
    let (socket, to) = listener();
    for (packing, expected) in [
        (&["--lines", "1"][..], &["a:1|c", "b:2|c", "c:3|c"][..]),
        (&["--lines", "2", "--segments"], &["a:1|c\nb:2|c", "c:3|c"]),
    ] {
        let common = [lines.as_str(), "--to", &to, "--status", "none", "--flat-out"];
        let output = run(&[&common[..], packing].concat());
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(received(&socket, expected.len()), expected);
        let sent = format!("sent: {} datagrams, 3 lines", expected.len());
        assert!(said(&output).contains(&sent), "{}", said(&output));
        assert!(said(&output).contains("lost: 0 datagrams, 0 %"), "{}", said(&output));
    }
}

#[test]
fn a_warm_up_is_sent_before_and_not_told() {
    let directory = tempfile::tempdir().unwrap();
    let lines = file(&directory, "lines.txt", "a:1|c\nb:2|c\n");
    let (socket, to) = listener();
    let common = [&lines, "--to", &to, "--status", "none", "--rate", "100", "--warm-up", "50ms"];
    let output = run(&common);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("sent: 2 datagrams"), "{}", said(&output));
    socket.set_nonblocking(true).unwrap();
    let all = std::iter::from_fn(|| socket.recv(&mut [0; 10]).ok()).count();
    assert!(all >= 2 + 2, "{all}");
}

#[test]
fn what_was_recorded_is_replayed_byte_by_byte() {
    let directory = tempfile::tempdir().unwrap();
    let capture = path_of(&directory.path().join("it.pcap"));
    let recording = program(&["record", "--port", "0", "--datagrams", "3", &capture])
        .stderr(Stdio::piped())
        .spawn();
    let mut recording = Running(recording.unwrap());
    let mut told = BufReader::new(recording.0.stderr.take().unwrap()).lines();
    let line = told.next().unwrap().unwrap();
    let at = line.split("udp://").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let lines = file(&directory, "lines.txt", "a:1|c|#t:é\nb:2|g\nc:3|ms|@0.5\n");
    assert!(run(&[&lines, "--to", &at, "--status", "none", "--rate", "1k"]).status.success());
    assert!(recording.0.wait().unwrap().success());
    assert_eq!(told.next().unwrap().unwrap(), "3 datagrams recorded, 0 dropped by the kernel");

    let (socket, to) = listener();
    let port = at.rsplit(':').next().unwrap();
    let output =
        run(&[&capture, "--port", port, "--speed", "100x", "--to", &to, "--status", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(received(&socket, 3), ["a:1|c|#t:é", "b:2|g", "c:3|ms|@0.5"]);

    let other = run(&[&capture, "--port", "1", "--to", &to]);
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).contains("no datagram to send; passed over: 3 to other ports"));
}

#[test]
fn a_recording_ends_with_a_signal_and_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let capture = path_of(&directory.path().join("it.pcap"));
    let recording =
        program(&["record", "--port", "0", &capture]).stderr(Stdio::piped()).spawn().unwrap();
    let mut recording = Running(recording);
    let mut told = BufReader::new(recording.0.stderr.take().unwrap()).lines();
    told.next().unwrap().unwrap();
    let pid = Pid::from_raw(recording.0.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(recording.0.wait().unwrap().success());
    assert_eq!(std::fs::read(capture).unwrap().len(), 24);
}

#[test]
fn the_same_scenario_is_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(
        &directory,
        "it.toml",
        "about = \"a\"\nseed = 7\nseries = 20\nkinds = { c = 1, g = 1 }\nchoice = \"even\"\nlines = 40\n",
    );
    let (socket, to) = listener();
    let sent = [(); 2].map(|()| {
        let output = run(&[&scenario, "--to", &to, "--status", "none", "--flat-out"]);
        assert!(output.status.success(), "{}", said(&output));
        let count = said(&output).split(' ').nth(1).unwrap().parse().unwrap();
        received(&socket, count)
    });
    assert_eq!(sent[0], sent[1]);
}

#[test]
fn a_signal_ends_the_sending_and_the_rest_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let lines = file(&directory, "lines.txt", "a:1|c\n");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (socket, to) = listener();
        let pace = ["--status", "none", "--rate", "100", "--duration", "1h"];
        let mut sending = program(&[&[&lines, "--to", &to], &pace[..]].concat());
        let mut sending = Running(sending.stdout(Stdio::piped()).spawn().unwrap());
        received(&socket, 1);
        let pid = Pid::from_raw(sending.0.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        let mut told = BufReader::new(sending.0.stdout.take().unwrap()).lines();
        assert!(told.next().unwrap().unwrap().starts_with("sent: "));
        assert!(sending.0.wait().unwrap().success());
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let lines = file(&directory, "lines.txt", "a:1|c\n");
    let (_socket, to) = listener();
    let output = run(&[&lines, "--flat-out", "--to", &to, "--json", "/no/such/it"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("sent: "), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/it"));
}

#[test]
fn the_floor_receives_what_is_searched_for() {
    let directory = tempfile::tempdir().unwrap();
    let lines = file(&directory, "lines.txt", &"a:1|c\n".repeat(64));
    let port = {
        let (free, _) = listener();
        free.local_addr().unwrap().port().to_string()
    };
    let floor = format!("{} floor --port {port}", env!("CARGO_BIN_EXE_weir-replay"));
    let json = path_of(&directory.path().join("it.json"));
    let html = path_of(&directory.path().join("it.html"));
    let to = format!("127.0.0.1:{port}");
    let output = run(&[
        &lines,
        "--to",
        &to,
        "--status",
        "none",
        "--spawn",
        &floor,
        "--search",
        "0.99",
        "--duration",
        "100ms",
        "--search-rounds",
        "2",
        "--json",
        &json,
        "--html",
        &html,
    ]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("highest: "), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let rounds = report["search"]["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    assert!(report["search"]["median"].as_f64().unwrap() > 0.0);
    assert!(rounds[0]["probes"][0]["cpu_share"].as_f64().is_some());
    assert!(std::fs::read_to_string(html).unwrap().contains("CPU by rate"));
}

#[test]
fn the_floor_adds_up_what_it_receives_if_it_is_asked_to() {
    let told = floor("--add", "a:1|c\na:2|c\na:3|g\n", "100");
    let (received, series) = told.split_once(" in ").unwrap();
    assert_eq!(received, "3 datagrams, 15 bytes");
    assert!(series.ends_with(" batches, 2 series\n"), "{told}");
}

#[test]
fn the_floor_takes_what_came_while_it_rested_at_once() {
    let told = floor("--rest 200ms", &"a:1|c\n".repeat(50), "1000");
    let (received, batches) = told.split_once(" in ").unwrap();
    assert_eq!(received, "50 datagrams, 250 bytes");
    let batches: u32 = batches.strip_suffix(" batches\n").unwrap().parse().unwrap();
    assert!((1..10).contains(&batches), "{told}");
}

#[test]
fn the_floor_receives_at_many_ports() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(
        &directory,
        "it.toml",
        "about = \"a\"\nseed = 7\nseries = 20\ncontainers = 3\nkinds = { c = 1 }\nchoice = \"each\"\n\
         datagram = { lines = 1, bytes = 1432 }\n",
    );
    // Below those that the kernel gives away, so that no other test comes by them.
    let mut three = (20_000 + std::process::id() as u16 % 3_000 * 3..).step_by(3);
    let are_free =
        |first: &u16| (0..3).all(|nth| UdpSocket::bind(("127.0.0.1", first + nth)).is_ok());
    let first = three.find(are_free).unwrap();
    let told = path_of(&directory.path().join("told"));
    let program = env!("CARGO_BIN_EXE_weir-replay");
    let floor = format!("{program} floor --ports 3 --port {first} > {told}");
    let to: Vec<_> = (first..first + 3).map(|port| format!("127.0.0.1:{port}")).collect();
    let mut arguments = vec![&*scenario, "--status", "none", "--spawn", &floor, "--rate", "100"];
    arguments.extend(to.iter().flat_map(|to| ["--to", to]));
    let output = run(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert!(std::fs::read_to_string(told).unwrap().starts_with("20 datagrams, "));
}

// What a floor tells of lines that are sent to it one by one, so many a second.
fn floor(options: &str, lines: &str, rate: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let lines = file(&directory, "lines.txt", lines);
    let (free, to) = listener();
    drop(free);
    let port = to.rsplit(':').next().unwrap();
    let told = path_of(&directory.path().join("told"));
    let program = env!("CARGO_BIN_EXE_weir-replay");
    let floor = format!("{program} floor {options} --port {port} > {told}");
    let output = run(&[&lines, "--to", &to, "--status", "none", "--spawn", &floor, "--rate", rate]);
    assert!(output.status.success(), "{}", said(&output));
    std::fs::read_to_string(told).unwrap()
}

#[test]
fn what_cannot_be_done_is_said_with_exit_status_2() {
    let directory = tempfile::tempdir().unwrap();
    let lines = file(&directory, "lines.txt", "a:1|c\n");
    let empty = file(&directory, "empty.txt", "\n");
    let bad = file(&directory, "bad.toml", "about = \"a\"\nseries = 5\nkinds = { q = 1 }\n");
    let torn = file(&directory, "torn.pcap", "\n\r\r\nxx");
    for (arguments, says) in [
        (&["no-such-file"][..], "cannot read no-such-file"),
        (&[&lines], "has no times to go by; say --rate, --ramp or --flat-out"),
        (&[&empty, "--flat-out"], "has no datagram to send"),
        (&[&bad, "--flat-out"], "\"q\" is none of c, g, ms, h, d, s"),
        (&[&torn], "is a damaged capture"),
        (&[&lines, "--flat-out", "--to", "nowhere"], "\"nowhere\" is no target"),
        (&[&lines, "--flat-out", "--memory", "10"], "raise --memory"),
        (&[&lines, "--flat-out", "--status", "127.0.0.1:1"], "http://127.0.0.1:1: "),
        (&[&lines, "--flat-out", "--register", "--status", "none"], "say where with --api"),
        (&[&lines, "--flat-out", "--spawn", "false", "--status", "127.0.0.1:1"], "exit status: 1"),
        (&[&lines, "--flat-out", "--pin", "99999"], "cannot run on processors [99999]"),
        (&["capture.pcap", "--speed", "1e-300"], "write 2x or 0.5x"),
        (&[&lines, "--verify", "--flat-out"], "--shipped"),
        (&[&lines, "--shipped", "x", "--verify", "--rate", "x"], "write 50000, 50k or 1.5M"),
        (&[], "Usage: weir-replay"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(says), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn the_help_teaches_with_examples_and_names_the_exit_statuses() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = said(&output);
    for text in ["Examples:", "--register", "Exit status: 0 done", "record --port 8125 bug.pcap"] {
        assert!(help.contains(text), "{text}");
    }
    assert!(said(&run(&["record", "--help"])).contains("tcpdump"));
    assert!(said(&run(&["floor", "--help"])).contains("recvmmsg"));
}
