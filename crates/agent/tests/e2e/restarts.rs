//! What outlives a process, and what is known of what does not.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Agent, Points, Start, ask_unix, send, wait_for};
use crate::manager::Manager;

/// How many lines a datagram of the sender has.
const LINES: u64 = 10;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn points(dir: &TempDir) -> Points {
    Points::in_dir(&dir.path().join("data/points"))
}

/// Sends at a fixed rate, whoever listens: a datagram of ten samples of its name every 5 ms.
pub(crate) struct Sender {
    name: &'static str,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Vec<i64>>,
}

/// What a sender sent.
pub(crate) struct Sent {
    name: &'static str,
    /// When each datagram was, in unix milliseconds.
    times: Vec<i64>,
}

impl Sent {
    pub(crate) fn samples(&self) -> u64 {
        self.times.len() as u64 * LINES
    }
}

pub(crate) enum Target {
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl Sender {
    pub(crate) fn start(name: &'static str, target: Target) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let unix = UnixDatagram::unbound().unwrap();
            let text = format!("{name}:1|c\n").repeat(LINES as usize);
            let (mut times, mut next) = (Vec::new(), Instant::now());
            loop {
                match &target {
                    Target::Udp(address) => udp.send_to(text.as_bytes(), address).unwrap(),
                    // It waits while its queue is full.
                    Target::Unix(path) => unix.send_to(text.as_bytes(), path).unwrap(),
                };
                times.push(now_ms());
                next += Duration::from_millis(5);
                match stopped.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return times,
                }
            }
        });
        Self { name, stop, thread }
    }

    pub(crate) fn stop(self) -> Sent {
        self.stop.send(()).unwrap();
        Sent { name: self.name, times: self.thread.join().unwrap() }
    }
}

/// With a registration socket, a unix listener and a UDP one.
fn start(dir: &TempDir, manager: &Manager) -> Agent {
    start_at([0; 2], dir, manager)
}

fn start_at([udp, http]: [u16; 2], dir: &TempDir, manager: &Manager) -> Agent {
    let at = |name| dir.path().join(name).display().to_string();
    let config = format!(
        "workers = 2\n[containers]\napi = [\"unix:{}\"]\n[[listener]]\nurl = \"udp://127.0.0.1:{udp}\"\n\
         readers = 2\n[[listener]]\nurl = \"unixgram:{}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n",
        at("registration"),
        at("statsd")
    );
    Start::in_dir(dir).config(&config).under(manager).start()
}

fn register(dir: &TempDir, id: &str) -> SocketAddr {
    let body = json!({ "container_id": id }).to_string();
    let (status, answer) = ask_unix(&dir.path().join("registration"), "POST", "/container", &body);
    assert_eq!(status, 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    ([127, 0, 0, 1], answer["statsd_port"].as_u64().unwrap() as u16).into()
}

fn end(mut agent: Agent, signal: Signal) {
    agent.signal(signal);
    let status = agent.wait();
    assert_eq!(status.success(), signal == Signal::TERM, "{}", agent.log());
}

fn senders(dir: &TempDir, agent: &Agent) -> [Sender; 3] {
    [
        Sender::start("shared", Target::Udp(agent.udp())),
        Sender::start("unix", Target::Unix(dir.path().join("statsd"))),
        Sender::start("own", Target::Udp(register(dir, "steady"))),
    ]
}

/// Sends over ten restarts; everything is in the counters, once.
fn over_ten_restarts(manager: &Manager, ports: [u16; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start_at(ports, &dir, manager);
    let (udp, http) = (agent.udp(), agent.http);
    let senders = senders(&dir, &agent);
    let kept = 2 + 1 + 1 + 1 + 1;
    manager.until_kept(kept);
    for restart in 1..=10 {
        let so_far = 200 * restart;
        agent.status_when(|status| status["total"]["received"]["samples"].as_u64() > Some(so_far));
        end(agent, Signal::TERM);
        agent = start_at(ports, &dir, manager);
        assert_eq!((agent.udp(), agent.http), (udp, http), "its ports are the same");
        let status = agent.status();
        assert_eq!(status["unclean_previous_stop"], Value::Null);
        assert_eq!(status["restored"]["sockets"], kept);
        assert_eq!(status["total"]["kernel_dropped"], 0);
        // The counts of this process begin at 0.
        agent.status_when(|status| status["total"]["received"]["samples"].as_u64() > Some(0));
    }
    let sent = senders.map(Sender::stop);
    let log = agent.log();
    end(agent, Signal::TERM);
    let points = points(&dir);
    for sent in sent {
        assert_eq!(points.sum(sent.name, "sum"), sent.samples() as f64, "{}: {log}", sent.name);
    }
    assert_eq!(manager.stored(), kept, "what is stored already is not stored again");
}

#[test]
fn every_sample_arrives_exactly_once_over_ten_restarts() {
    // Its ports are the kernel's choice, and found again by name.
    over_ten_restarts(&Manager::new(), [0; 2]);
}

#[test]
fn an_old_manager_that_knows_no_names_does_as_well() {
    let port = |_| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    over_ten_restarts(&Manager::nameless(), [0; 2].map(port));
}

#[test]
fn what_a_stored_socket_could_not_hold_is_counted_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let small = || Start::in_dir(&dir).config("receive_buffer = 4096\n").under(&manager).start();
    let flood = |at: SocketAddr, datagrams: u64| {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..datagrams {
            sender.send_to(b"x:1|c", at).unwrap();
        }
    };
    let dropped_of = |agent: &Agent, datagrams: u64| {
        let status = agent.status_when(|status| {
            let total = &status["total"];
            let came = |count: &Value| count.as_u64().unwrap();
            came(&total["received"]["datagrams"]) + came(&total["kernel_dropped"]) == datagrams
        });
        status["total"]["kernel_dropped"].as_u64().unwrap()
    };
    let agent = small();
    let port = agent.udp();
    manager.until_kept(2);
    flood(port, 2_000);
    let mut dropped = dropped_of(&agent, 2_000);
    end(agent, Signal::TERM);
    flood(port, 1_000);
    let agent = small();
    dropped += dropped_of(&agent, 1_000);
    assert!(dropped > 900);
    let readings = || {
        let text = fs::read_to_string(dir.path().join("data/drops")).unwrap();
        // Inode and drops; the last line is a checksum, which may look like a number.
        let (readings, _) = text.split_once("sum ").unwrap();
        let of_line = |line: &str| line.split_once(' ').unwrap().1.parse::<u64>().unwrap();
        readings.lines().map(of_line).sum::<u64>()
    };
    wait_for(|| readings() == dropped, "the readings of a flush");
    end(agent, Signal::KILL);
    flood(port, 500);
    assert!(dropped_of(&small(), 500) > 400);
}

#[test]
fn a_request_between_two_processes_is_answered_by_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let agent = start(&dir, &manager);
    let first = register(&dir, "a");
    manager.until_kept(6);
    end(agent, Signal::TERM);
    let waiting = UnixStream::connect(dir.path().join("registration")).unwrap();
    let asked = std::thread::spawn(move || {
        crate::harness::ask(waiting, "POST", "/container", r#"{"container_id":"a"}"#)
    });
    let agent = start(&dir, &manager);
    let (status, answer) = asked.join().unwrap();
    assert_eq!(status, 201);
    assert!(answer.contains(&first.port().to_string()), "{answer}");
    end(agent, Signal::TERM);
}

#[test]
fn gauges_and_totals_go_on_after_a_restart_and_a_file_that_is_no_good_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let state = dir.path().join("data/state");
    let agent = start(&dir, &manager);
    let port = register(&dir, "a");
    send(port, "level:7|g\nhits:3|c");
    agent.send("level:1|g");
    agent.received(3);
    end(agent, Signal::TERM);
    assert!(state.exists());

    let agent = start(&dir, &manager);
    assert!(!state.exists(), "it would be out of date after a crash");
    assert_eq!(
        agent.status()["restored"],
        json!({"sockets": 6, "gauges": 2, "totals": 1, "files_set_aside": 0})
    );
    send(port, "level:+1|g\nhits:2|c");
    agent.received(2);
    end(agent, Signal::TERM);
    let points = points(&dir);
    let of_a = |name: &str| {
        let of_it = |point: &&Value| point["container_id"] == "a" && point["name"] == name;
        points.0.iter().filter(of_it).cloned().collect::<Vec<_>>()
    };
    let mut levels: Vec<(i64, f64)> = of_a("level")
        .iter()
        .map(|point| (point["ts"].as_i64().unwrap(), point["value"].as_f64().unwrap()))
        .collect();
    levels.sort_by_key(|(at, _)| *at);
    let levels: Vec<f64> = levels.into_iter().map(|(_, level)| level).collect();
    assert!(levels.is_sorted(), "{levels:?}");
    assert_eq!((levels.first(), levels.last()), (Some(&7.0), Some(&8.0)));

    for (bytes, word) in [(&b"weirstat\x09\0\0\0"[..], "newer"), (b"rubbish", "damaged")] {
        fs::write(&state, bytes).unwrap();
        let agent = start(&dir, &manager);
        assert_eq!(agent.status()["restored"]["files_set_aside"], 1);
        agent.says(&[word]);
        assert_eq!(fs::read(dir.path().join("data/state.bad")).unwrap(), bytes);
        end(agent, Signal::TERM);
    }
}

#[test]
fn what_a_manager_keeps_that_nobody_wants_is_closed_and_let_go_of() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let removed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = removed.local_addr().unwrap();
    manager.keep("container-1-long-gone", removed);
    manager.keep("file", fs::File::open(dir.path()).unwrap());
    let agent = start(&dir, &manager);
    manager.until_kept(5);
    UdpSocket::bind(port).unwrap();
    let open = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let targets = open.map(|fd| fs::read_link(fd.unwrap().path()).unwrap_or_default());
    assert!(!targets.into_iter().any(|target| target == dir.path()));
}

#[test]
fn sockets_of_socket_units_serve_without_a_word_in_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let path = dir.path().join("registration.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    manager.keep("registration", listener);
    let statsd = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = statsd.local_addr().unwrap();
    manager.keep("statsd", statsd);
    let agent = Start::in_dir(&dir).under(&manager).start();
    send(port, "a:1|c");
    let (status, _) = ask_unix(&path, "POST", "/container", r#"{"container_id":"x"}"#);
    assert_eq!(status, 201);
    agent.received(1);
    assert!(agent.listeners.contains(&format!("udp://{port}")), "{:?}", agent.listeners);
    end(agent, Signal::TERM);
    assert!(path.exists(), "it is the socket unit's");
}

#[test]
fn a_changed_address_is_taken_though_the_old_ones_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let agent = Start::in_dir(&dir).under(&manager).start();
    let (udp, http) = (agent.udp().port(), agent.http.unwrap().port());
    manager.until_kept(2);
    end(agent, Signal::TERM);
    let config = format!(
        "[[listener]]\nurl = \"udp://0.0.0.0:{udp}\"\n[http]\nlisten = \"0.0.0.0:{http}\"\n"
    );
    let agent = Start::in_dir(&dir).config(&config).under(&manager).start();
    send(([127, 0, 0, 1], udp).into(), "a:1|c");
    let status = ask_tcp(http);
    assert!(status.contains("\"unclean_previous_stop\":null"), "{status}");
    manager.until_kept(2);
    end(agent, Signal::TERM);
}

fn ask_tcp(port: u16) -> String {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    crate::harness::ask(stream, "GET", "/status.json", "").1
}

#[test]
fn the_service_manager_hears_of_the_start_the_stop_and_a_heartbeat() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let agent = start(&dir, &manager);
    wait_for(|| manager.heard("READY=1") == 1, "the word that it is ready");
    wait_for(|| manager.heard("WATCHDOG=1") >= 3, "three heartbeats");
    end(agent, Signal::TERM);
    wait_for(|| manager.heard("STOPPING=1") == 1, "the word that it stops");
}

#[test]
fn descriptors_that_run_out_cost_new_containers_only() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).limit(64).start();
    let mut served = Vec::new();
    let refused = loop {
        let id = format!("c{}", served.len());
        let body = json!({ "container_id": id }).to_string();
        let (status, answer) = agent.ask("POST", "/container", &body);
        if status != 201 {
            break (status, answer);
        }
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let port = answer["statsd_port"].as_u64().unwrap() as u16;
        served.push(SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(served.len() < 64);
    };
    assert_eq!(refused, (204, String::new()));
    assert!(served.len() >= 10, "{}", served.len());
    for port in &served {
        send(*port, "a:1|c");
    }
    agent.send("a:1|c");
    let status = agent.received(served.len() as u64 + 1);
    assert_eq!(status["containers"]["refused"]["no_descriptor"], 1);
    assert_eq!(status["containers"]["registered"], served.len());
    // What is let go of is had again; some of it may be for files and connections.
    for n in 0..5 {
        assert_eq!(agent.ask("DELETE", &format!("/container/c{n}"), "").0, 202);
    }
    let body = r#"{"container_id":"again"}"#;
    wait_for(|| agent.ask("POST", "/container", body).0 == 201, "room for another one");
    let log = agent.log();
    assert!(log.contains("too few file descriptors") && !log.contains("panic"), "{log}");
    let sent = served.len() as f64 + 1.0;
    assert_eq!(agent.stop().sum("a", "sum"), sent);
}

#[test]
fn ten_thousand_containers_that_came_and_went_leave_nothing_behind() {
    // In memory, where that can be had: this is not about the disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let manager = Manager::new();
    let agent = start(&dir, &manager);
    let socket = dir.path().join("registration");
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    let pair = |id: &str| {
        let port = register(&dir, id);
        send(port, "a:1|c");
        assert_eq!(ask_unix(&socket, "DELETE", &format!("/container/{id}"), "").0, 202);
    };
    (0..20).for_each(|n| pair(&format!("warm-{n}")));
    manager.until_kept(5);
    let before = descriptors();
    std::thread::scope(|scope| {
        for client in 0..4 {
            scope.spawn(move || (0..2_500).for_each(|n| pair(&format!("c-{client}-{n}"))));
        }
    });
    agent.received(10_020);
    manager.until_kept(5);
    assert!(manager.stored() > 100, "they were stored while they were there");
    wait_for(|| descriptors() <= before + 2, "the last connections to close");
    assert_eq!(fs::read_dir(dir.path().join("data/containers")).unwrap().count(), 0);
    end(agent, Signal::TERM);
    assert_eq!(points(&dir).sum("a", "sum"), 10_020.0);
}

#[test]
fn points_that_are_on_disk_are_safe_and_those_in_memory_are_not() {
    // A port where nobody listens.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for durability in ["disk", "memory"] {
        let dir = tempfile::tempdir().unwrap();
        let config =
            format!("[[output]]\nurl = \"avro+tcp://{gone}\"\ndurability = \"{durability}\"\n");
        let agent = Start::in_dir(&dir).config(&config).start();
        let safe_until = || {
            let marker = fs::read(dir.path().join("data/running")).unwrap();
            let slot = |slot: &[u8]| i64::from_le_bytes(slot[16..24].try_into().unwrap());
            marker.chunks(4096).map(slot).max().unwrap()
        };
        let mut sent = 0;
        for points in 1..=2 {
            sent = now_ms();
            agent.send("a:1|c");
            agent.status_when(|status| status["outputs"][0]["queued"] == points);
        }
        if durability == "disk" {
            wait_for(|| safe_until() > sent, "a flush whose points are safe");
        }
        end(agent, Signal::KILL);
        let agent = Start::in_dir(&dir).config(&config).start();
        let recovered = if durability == "disk" { 2 } else { 0 };
        let status = agent.status_when(|status| status["outputs"][0]["recovered"] == recovered);
        let from = status["unclean_previous_stop"]["from"].as_i64().unwrap();
        assert_eq!(from > sent, durability == "disk", "{from} {sent}");
    }
}

/// A random number, the same in every run with one seed.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[allow(clippy::disallowed_methods)] // the script says how long it is to go on
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `../kill_100.sh` has it done 100 times.
#[test]
fn a_kill_at_any_moment_costs_the_running_interval_at_most_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let (kills, mut seed) = (number("WEIR_TEST_KILLS", 3), number("WEIR_TEST_SEED", 4));
    println!("{kills} kills, seed {seed}");
    let mut agent = start(&dir, &manager);
    let senders = senders(&dir, &agent);
    let own = register(&dir, "steady");
    let udp = agent.udp();
    manager.until_kept(6);
    let mut gaps = Vec::new();
    for kill in 1..=kills {
        // Within about three intervals.
        let moment = Duration::from_millis(random(&mut seed) % 600);
        let samples = random(&mut seed) % 500;
        agent.status_when(|status| status["total"]["received"]["samples"].as_u64() > Some(samples));
        std::thread::park_timeout(moment);
        let killed = now_ms();
        end(agent, Signal::KILL);
        agent = start(&dir, &manager);
        assert_eq!((agent.udp(), register(&dir, "steady")), (udp, own), "its ports are the same");
        let unclean = agent.status()["unclean_previous_stop"].clone();
        let (from, to) = (unclean["from"].as_i64().unwrap(), unclean["to"].as_i64().unwrap());
        assert!(from <= killed && killed <= to, "{from} {killed} {to}");
        agent.says(&["killed or crashed"]);
        println!("kill {kill}: {} ms may be missing", killed - from);
        gaps.push((from, killed));
        // Complete files, and whole blocks of those that were not, can be read.
        let readable = points(&dir).0.len();
        assert!(readable > 0 || kill == 1);
    }
    let sent = senders.map(Sender::stop);
    end(agent, Signal::TERM);
    let points = points(&dir);
    for sent in sent {
        // What had been sent by then may have been read only after it.
        let delay = 250;
        let is_in_a_gap =
            |at: &&i64| gaps.iter().any(|(from, killed)| (from - delay..=*killed).contains(*at));
        let most = sent.times.iter().filter(is_in_a_gap).count() as u64 * LINES;
        let (name, sent) = (sent.name, sent.samples());
        let came = points.sum(name, "sum") as u64;
        println!("{name}: {sent} sent, {} missing, at most {most} may be", sent - came.min(sent));
        assert!(came <= sent, "{name}: a sample was counted twice");
        assert!(sent - came <= most, "{name}: {came} of {sent}, not {most} fewer");
    }
}
