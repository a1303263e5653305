//! SIGHUP: another configuration, taken or refused as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bounds::of;
use crate::harness::{Agent, Points, Start, run, send, spawn, wait_for};
use crate::manager::Manager;
use crate::outputs::{account, output};
use crate::relay::Receiver;
use crate::restarts::{Sender, Target};
use crate::stand_in::{Collector, Reply, Reserved, Server, records};
use crate::streams::BY_FASTAVRO;

const LISTENER: &str = "[[listener]]\nurl = \"udp://127.0.0.1:0\"\n";

fn reloads(status: &Value) -> [u64; 2] {
    ["taken", "refused"].map(|key| status["reload"][key].as_u64().unwrap())
}

/// Has it read this configuration; the status when it has judged it.
fn hang_up(agent: &Agent, dir: &TempDir, config: &str) -> Value {
    Start::in_dir(dir).config(config).rewrite();
    let before: u64 = reloads(&agent.status()).iter().sum();
    agent.signal(Signal::HUP);
    agent.status_when(|status| reloads(status).iter().sum::<u64>() == before + 1)
}

fn take(agent: &Agent, dir: &TempDir, config: &str) -> Value {
    let status = hang_up(agent, dir, config);
    assert_eq!(status["reload"]["refusal"], Value::Null, "{}", agent.log());
    status
}

/// Why it is refused.
fn refuse(agent: &Agent, dir: &TempDir, config: &str) -> String {
    let status = hang_up(agent, dir, config);
    let reason = status["reload"]["refusal"]["reason"].as_str().unwrap().to_owned();
    agent.says(&[&reason]);
    reason
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listener(url: &str) -> String {
    format!("[[listener]]\nurl = {url:?}\n")
}

/// The inode of the UDP socket that is bound there.
fn inode(at: SocketAddr) -> String {
    let sockets = fs::read_to_string("/proc/net/udp").unwrap();
    let port = format!(":{:04X}", at.port());
    let of_it = |line: &&str| line.split_whitespace().nth(1).is_some_and(|it| it.ends_with(&port));
    let line = sockets.lines().find(of_it).unwrap();
    line.split_whitespace().nth(9).unwrap().to_owned()
}

/// The line of a listener, once this is true of it.
fn line_when(agent: &Agent, listener: &str, so: impl Fn(&Value) -> bool) -> Value {
    let line = |status: &Value| {
        let mut sources = status["sources"].as_array().unwrap().iter();
        sources.find(|it| it["listener"] == listener).cloned().unwrap_or_default()
    };
    line(&agent.status_when(|status| so(&line(status))))
}

#[test]
fn a_sender_at_a_fixed_rate_loses_nothing_over_ten_reloads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("statsd");
    let stays = format!("{LISTENER}{}", listener(&format!("unixgram:{}", path.display())));
    let agent = Start::in_dir(&dir).config(&stays).start();
    let own = agent.register("steady");
    let sockets = [agent.udp(), own].map(inode);
    let senders = [
        Sender::start("shared", Target::Udp(agent.udp())),
        Sender::start("unix", Target::Unix(path)),
        Sender::start("own", Target::Udp(own)),
    ];
    for reload in 1..=10_u64 {
        let so_far = agent.status()["total"]["received"]["samples"].as_u64().unwrap();
        agent.status_when(|it| it["total"]["received"]["samples"].as_u64() > Some(so_far + 100));
        let more = match reload % 5 {
            0 => String::new(),
            1 => listener(&format!("udp://{}", free())),
            2 => output("statsd+udp://127.0.0.1:9", "name = \"relay\""),
            3 => "[limits]\nseries = 7\nbytes_per_second = 1000000\n".to_owned(),
            _ => "[[tag_rule]]\nmetric = \"none\"\ndrop = true\n".to_owned(),
        };
        // The default output stays the same, though it is told for once.
        let file = output(&format!("file:{}", dir.path().join("data/points").display()), "");
        let status = take(&agent, &dir, &format!("{stays}{file}{more}"));
        assert_eq!(reloads(&status), [reload, 0]);
    }
    let sent: u64 = senders.map(Sender::stop).iter().map(super::restarts::Sent::samples).sum();
    let status = agent.received(sent);
    assert_eq!(status["total"]["aggregated"], sent);
    assert_eq!(status["total"]["kernel_dropped"], 0);
    assert_eq!([agent.udp(), own].map(inode), sockets, "they are the same sockets");
    let points = agent.stop();
    let all: f64 = ["shared", "unix", "own"].iter().map(|name| points.sum(name, "sum")).sum();
    assert_eq!(all, sent as f64);
}

#[test]
fn a_removed_listener_is_read_until_empty_and_closed_and_an_added_one_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let (first, second) = (free(), free());
    let path = dir.path().join("statsd");
    let [first_url, second_url] = [first, second].map(|at| format!("udp://{at}"));
    let unix = listener(&format!("unixgram:{}", path.display()));
    let config = format!("{}{unix}", listener(&first_url));
    let agent = Start::in_dir(&dir).config(&config).under(&manager).start();
    manager.until_kept(3);
    let names = manager.names();
    // What lies in its sockets when it comes to know.
    agent.signal(Signal::STOP);
    for _ in 0..100 {
        send(first, "a:1|c");
    }
    let unixgram = UnixDatagram::unbound().unwrap();
    for _ in 0..5 {
        unixgram.send_to(b"b:1|c", &path).unwrap();
    }
    Start::in_dir(&dir).config(&listener(&second_url)).rewrite();
    agent.signal(Signal::HUP);
    agent.signal(Signal::CONT);

    let line = line_when(&agent, &first_url, |line| line["ended"] == true);
    assert_eq!(line["aggregated"], 100, "{}", agent.log());
    assert_eq!(line["port"], first.port());
    let of_path = format!("unixgram:{}", path.display());
    let line = line_when(&agent, &of_path, |line| line["ended"] == true);
    assert_eq!((&line["aggregated"], &line["closed_unread"]), (&5.into(), &0.into()));
    wait_for(|| UdpSocket::bind(first).is_ok(), "the port of the removed one");
    wait_for(|| !path.exists(), "the end of the socket's file");
    // The manager has let go of two, and has another.
    manager.until_kept(2);
    assert_eq!(manager.names().iter().filter(|name| names.contains(name)).count(), 1);

    send(second, "c:1|c");
    agent.received(106);
    assert_eq!(manager.heard("RELOADING=1"), 1);
    wait_for(|| manager.heard("READY=1") == 2, "the end of the reload");

    // It may come back at once, whatever is being let go of.
    take(&agent, &dir, &config);
    send(first, "d:1|c");
    agent.received(107);
    let points = agent.stop();
    assert_eq!((points.sum("a", "sum"), points.sum("d", "sum")), (100.0, 1.0));
}

#[test]
fn a_socket_units_socket_outlives_the_reload_that_removes_its_listener() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap();
    manager.keep("statsd", socket);
    let url = format!("udp://{port}");
    let with = format!("{LISTENER}{}", listener(&url));
    let agent = Start::in_dir(&dir).config(&with).under(&manager).start();
    send(port, "a:1|c");
    agent.received(1);
    take(&agent, &dir, LISTENER);
    send(port, "a:1|c");
    take(&agent, &dir, &with);
    send(port, "a:1|c");
    agent.received(3);
    take(&agent, &dir, LISTENER);
    assert!(manager.names().contains(&"statsd".to_owned()));
    agent.stop();
    let agent = Start::in_dir(&dir).config(&with).under(&manager).start();
    send(port, "a:1|c");
    agent.received(1);
}

#[test]
fn a_port_that_is_taken_refuses_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let other = free();
    let stream = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let agent = Start::in_dir(&dir).under(&manager).start();
    manager.until_kept(2);
    let before = agent.status()["outputs"].clone();
    let config = format!(
        "{LISTENER}{}{}{}{}[limits]\nseries = 1\n",
        listener(&format!("udp://{other}")),
        listener(&format!("udp://{at}")),
        listener(&format!("avro+tcp://{stream}")),
        output("http://127.0.0.1:9/", ""),
    );
    let reason = refuse(&agent, &dir, &config);
    assert!(reason.contains(&at.to_string()) && reason.contains("in use"), "{reason}");
    wait_for(|| UdpSocket::bind(other).is_ok(), "the port of the one that was opened for it");
    manager.until_kept(2);
    wait_for(|| manager.heard("READY=1") == 2, "the word that it is ready again");
    assert_eq!(manager.heard(&format!("STATUS=the last configuration was refused: {reason}")), 1);

    // What was before goes on to hold.
    let port = agent.register("c");
    send(port, "a:1|c\nb:1|c");
    agent.send("c:1|c");
    let status = agent.received(3);
    assert_eq!(status["total"]["aggregated"], 3);
    assert_eq!(status["outputs"].as_array().unwrap().len(), before.as_array().unwrap().len());
    assert_eq!(status["outputs"][0]["name"], before[0]["name"]);
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    let told = run(weir.args(["status", "--http", &agent.http.unwrap().to_string()])).stdout;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("was refused") && told.contains(&at.to_string()), "{told}");
    let (_, metrics) = agent.ask("GET", "/metrics", "");
    assert!(metrics.contains("\nweir_config_last_reload_successful 0\n"));
    assert!(metrics.contains("\nweir_reloads_total{result=\"refused\"} 1\n"));

    // When it is free it is taken.
    drop(taken);
    let status = take(&agent, &dir, &config.replace("series = 1", "series = 7"));
    assert_eq!(reloads(&status), [1, 1]);
    send(at, "d:1|c");
    agent.received(4);
}

#[test]
fn a_stream_listener_comes_and_goes_and_its_account_stays() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("avro+tcp://{at}");
    let status = take(&agent, &dir, &format!("{LISTENER}{}", listener(&url)));
    assert_eq!(status["streams"][0]["listener"], *url);
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(BY_FASTAVRO).unwrap();
    agent.received(5);
    let status = take(&agent, &dir, LISTENER);
    assert_eq!(status["total"]["received"]["samples"], 5);
    let line = line_when(&agent, &url, |line| line["ended"] == true);
    assert_eq!(line["aggregated"], 4);
    wait_for(|| TcpListener::bind(at).is_ok(), "its port");
    // A new one begins with an account of its own.
    let status = take(&agent, &dir, &format!("{LISTENER}{}", listener(&url)));
    assert_eq!(status["streams"][0]["connections"], 0);
    assert_eq!(status["total"]["received"]["samples"], 5);
    agent.stop();
}

#[test]
fn what_is_broken_or_needs_a_restart_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let elsewhere = dir.path().join("elsewhere");
    let moved = format!("{LISTENER}gauge_sign = \"delta\"\n");
    for (config, parts) in [
        ("flush_intervall = \"1s\"\n", vec!["line 2", "flush_intervall"]),
        ("[[output]]\nurl = \"file:/proc/nothing\"\n", vec!["/proc/nothing"]),
        ("[log]\nlevel = \"ship=loud\"\n", vec!["log.level"]),
        ("workers = 7\nmax_rest = \"1ms\"\n", vec!["workers needs", "max_rest needs a restart"]),
        (
            "quantiles = [0.5]\nreceive_buffer = 9000\n",
            vec!["quantiles needs", "receive_buffer needs"],
        ),
        ("[containers]\nmax_containers = 7\n", vec!["containers.max_containers needs a restart"]),
        ("[identity]\nlabels = { rack = \"b7\" }\n", vec!["identity.labels needs a restart"]),
        ("[mesos]\nurl = \"http://127.0.0.1:9\"\n", vec!["mesos.url needs a restart"]),
        ("[node]\npoll = \"9s\"\n", vec!["node.poll needs a restart"]),
        ("[http]\nlisten = \"none\"\n", vec!["http.listen needs a restart"]),
        ("[api]\nnan = \"string\"\n", vec!["api.nan needs a restart"]),
        ("[prometheus]\nenabled = false\n", vec!["prometheus.enabled needs a restart"]),
        ("[log]\nformat = \"json\"\n", vec!["log.format needs a restart"]),
        (&*moved, vec!["listener udp://127.0.0.1:0: gauge_sign needs a restart"]),
        ("flush_interval = \"5m\"\n", vec!["flush_interval needs a restart"]),
    ] {
        let reason = refuse(&agent, &dir, config);
        for part in parts {
            assert!(reason.contains(part), "{config:?} is refused with {reason:?}");
        }
    }
    // Another directory, at the top of the file.
    let file = dir.path().join("weir.toml");
    let written = fs::read_to_string(&file).unwrap();
    let own = dir.path().join("data").display().to_string();
    fs::write(&file, written.replace(&own, &elsewhere.display().to_string())).unwrap();
    let [taken, refused] = reloads(&agent.status());
    agent.signal(Signal::HUP);
    let status = agent.status_when(|status| reloads(status) == [taken, refused + 1]);
    let reason = status["reload"]["refusal"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("data_dir needs a restart"), "{reason}");
    assert!(!elsewhere.exists());
    // And no file at all.
    fs::remove_file(&file).unwrap();
    agent.signal(Signal::HUP);
    agent.status_when(|status| reloads(status) == [taken, refused + 2]);
    agent.send("a:1|c");
    agent.received(1);
    agent.stop();
}

/// The points of a burst of one flush.
fn burst(agent: &Agent, name: &str) {
    let lines: Vec<_> = (0..100).map(|n| format!("{name}{n}:1|c")).collect();
    agent.send(lines.join("\n"));
}

#[test]
fn what_a_removed_output_leaves_is_kept_reported_and_delivered_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let away = output(&format!("avro+tcp://{}", place.address()), "name = \"away\"");
    let file = output(&format!("file:{}", dir.path().join("out").display()), "");
    // The other side is away, so the whole time is waited for and no more.
    let with = format!("shutdown_grace = \"1s\"\n{LISTENER}{away}{file}");
    let without = format!("shutdown_grace = \"1s\"\n{LISTENER}{file}");
    let agent = Start::in_dir(&dir).config(&with).start();
    burst(&agent, "a");
    agent.status_when(|it| it["outputs"][0]["queued"] == 100);

    let begun = Instant::now();
    take(&agent, &dir, &without);
    burst(&agent, "b");
    let status = agent.status_when(|it| it["reload"]["kept_queues"] != Value::Array(Vec::new()));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let kept = &status["reload"]["kept_queues"][0];
    assert_eq!((&kept["output"], &kept["points"]), (&"away".into(), &100.into()));
    assert!(kept["bytes"].as_u64() > Some(100));
    let outputs = status["outputs"].as_array().unwrap();
    assert_eq!((outputs.len(), &outputs[0]["name"]), (1, &"file".into()));
    let (_, metrics) = agent.ask("GET", "/metrics", "");
    assert!(metrics.contains("\nweir_kept_queue_points{output=\"away\"} 100\n"), "{metrics}");
    // All the time the other one went on.
    agent.status_when(|it| it["outputs"][0]["acknowledged"] == 200);

    let collector = Collector::on(place.listen(), 0);
    let status = take(&agent, &dir, &with);
    assert_eq!(status["reload"]["kept_queues"], Value::Array(Vec::new()));
    let status = agent.status_when(|it| {
        it["outputs"][1]["acknowledged"] == 100 || it["outputs"][0]["acknowledged"] == 100
    });
    let mut outputs = status["outputs"].as_array().unwrap().iter();
    let back = outputs.find(|it| it["name"] == "away").unwrap();
    assert_eq!((account(back), &back["recovered"]), ([100, 100, 0, 0], &100.into()));
    wait_for(|| collector.values(0, "a0") == [1.0], "its points");
    assert!(collector.values(0, "b0").is_empty(), "what came meanwhile was not for it");
    assert_eq!(status["removed_outputs_dropped"], json!({"points": 0, "lines": 0}));
    agent.stop();
}

#[test]
fn an_output_whose_keys_change_misses_no_point_and_goes_on_with_its_queue() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::Answer(200, String::new()));
    let posted = |server: &Server| -> Vec<(u64, String)> {
        let points = server.asked().iter().flat_map(|it| records(&it.body)).collect::<Vec<_>>();
        points.iter().map(|it| (it["seq"].as_u64().unwrap(), it["name"].to_string())).collect()
    };
    let with = |more: &str| {
        let output =
            output(&format!("http://{}/", server.address), &format!("name = \"o\"\n{more}"));
        format!("flush_interval = \"100ms\"\n{LISTENER}{output}")
    };
    let agent = Start::in_dir(&dir).config(&with("")).start();
    let sender = Sender::start("steady", Target::Udp(agent.udp()));
    let changes = ["queue_bytes = 9000000", "codec = \"null\"", "durability = \"memory\"", "", ""];
    for (reload, change) in (1..).zip(changes) {
        let before = posted(&server).len();
        wait_for(|| posted(&server).len() > before + 2, "some flushes");
        let status = take(&agent, &dir, &with(change));
        assert_eq!(status["reload"]["taken"], reload);
    }
    let sent = sender.stop().samples();
    agent.received(sent);
    let status = agent.status_when(|it| it["outputs"][0]["queued"] == 0);
    assert_eq!(
        status["removed_outputs_dropped"],
        json!({"points": 0, "lines": 0}),
        "{}",
        agent.log()
    );
    agent.stop();
    let numbers: BTreeSet<_> = posted(&server).into_iter().map(|(seq, _)| seq).collect();
    let all: BTreeSet<_> = (0..numbers.len() as u64).collect();
    assert_eq!(numbers, all, "no number is missing");
    let values: f64 = {
        let mut seen = BTreeSet::new();
        let points = server.asked().iter().flat_map(|it| records(&it.body)).collect::<Vec<_>>();
        let new = points.iter().filter(|it| seen.insert(it["seq"].as_u64()));
        new.map(|it| it["value"].as_f64().unwrap()).sum()
    };
    assert_eq!(values, sent as f64);
}

#[test]
fn limits_and_rules_act_on_those_who_send_already() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let port = agent.register("c");
    let (mut sent, mut listener_sent) = (0, 0);
    let mut say = |lines: &str| {
        send(port, lines);
        agent.send("shared:1|c|#k:v");
        sent += lines.lines().count() as u64;
        listener_sent += 1;
        let status = agent.received(sent + listener_sent);
        of(&status, "c")
    };
    let known = "a:1|c|#user:1\nb:1|c";
    assert_eq!(say(known)["aggregated"], 2);

    take(&agent, &dir, "[limits]\nseries = 2\n");
    // A worker looks terms up little by little.
    let mut refused = 0;
    wait_for(
        || {
            refused += 1;
            say(&format!("new{refused}:1|c"))["over_series_limit"] != 0
        },
        "the limit",
    );
    assert_eq!(say(known)["rejected"]["dropped_by_rule"], 0, "known series go on");

    let rules = "[[tag_rule]]\nmetric = \"b\"\ndrop = true\n\
                 [[tag_rule]]\nmetric = \"shared\"\ndrop = true\n";
    take(&agent, &dir, &format!("{LISTENER}{rules}"));
    wait_for(|| say(known)["rejected"]["dropped_by_rule"] != 0, "the rule");
    line_when(&agent, "udp://127.0.0.1:0", |line| line["rejected"]["dropped_by_rule"] != 0);
    let over = of(&agent.status(), "c")["over_series_limit"].clone();
    let series = of(&agent.status(), "c")["series"].as_u64().unwrap();
    let account = say("other1:1|c\nother2:1|c");
    assert_eq!((&account["over_series_limit"], &account["series"]), (&over, &(series + 2).into()));

    take(&agent, &dir, LISTENER);
    let dropped = |account: &Value| account["rejected"]["dropped_by_rule"].as_u64().unwrap();
    let mut before = u64::MAX;
    wait_for(
        || {
            let now = dropped(&say(known));
            std::mem::replace(&mut before, now) == now
        },
        "the end of the rule",
    );
    take(&agent, &dir, "[limits]\nburst_bytes = 1\n");
    wait_for(|| say(known)["throttled"]["samples"] != 0, "the bucket");
}

#[test]
fn a_relay_comes_goes_and_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Receiver::new(), Receiver::new());
    let relay = |to: &Receiver, more: &str| {
        let file = output(&format!("file:{}", dir.path().join("out").display()), "");
        let more = format!("name = \"relay\"\n{more}");
        format!("workers = 2\n{LISTENER}{}{file}", output(&to.url(), &more))
    };
    let none = "workers = 2\n";
    let agent = Start::in_dir(&dir).config(none).start();
    let port = agent.register("c");
    take(&agent, &dir, &relay(&first, "annotation = \"none\""));
    send(port, "a:1|c");
    agent.send("b:1|c");
    assert_eq!(first.lines(2), ["a:1|c", "b:1|c"]);
    // Another server, another form.
    take(&agent, &dir, &relay(&second, "annotation = \"tag_datadog\""));
    send(port, "c:1|c");
    assert_eq!(second.lines(1), ["c:1|c|#container_id:c"]);
    take(&agent, &dir, none);
    agent.status_when(|it| {
        it["outputs"].as_array().unwrap().iter().all(|it| it["unit"] == "points")
    });
    send(port, "d:1|c");
    agent.received(4);
    let status = take(&agent, &dir, &relay(&first, "annotation = \"none\""));
    assert_eq!(status["removed_outputs_dropped"], json!({"points": 0, "lines": 0}));
    send(port, "e:1|c");
    assert_eq!(first.lines(1), ["e:1|c"], "what came meanwhile did not leave");
    agent.stop();
}

#[test]
fn an_interval_expiries_and_what_is_logged_change_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let slow = "flush_interval = \"1m\"\n[log]\nlevel = \"warn\"\n";
    let agent = Start::in_dir(&dir).config(slow).start();
    let before = agent.status()["reload"]["since"].as_i64().unwrap();
    agent.send("a:1|c\nlevel:3|g");
    agent.received(2);
    let quick = "flush_interval = \"100ms\"\ngauge_expiry = \"0s\"\n[log]\nlevel = \"info\"\n";
    let status = take(&agent, &dir, quick);
    assert!(status["reload"]["since"].as_i64() > Some(before));
    agent.status_when(|it| it["outputs"][0]["acknowledged"] == 2);
    agent.says(&["flush_interval, gauge_expiry, log.level"]);
    agent.send("b:1|c");
    agent.status_when(|it| it["outputs"][0]["acknowledged"] == 3);
    let points = agent.stop();
    assert_eq!(points.values("level", "value"), [3.0], "a gauge is told once where it expires");
}

#[test]
fn a_hangup_kills_at_no_time_and_a_stop_waits_for_no_reload() {
    let dir = tempfile::tempdir().unwrap();
    // It reads its configuration from a pipe, so that it is known when it does.
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    weir.arg("--config").arg(&pipe).stdout(Stdio::piped()).stderr(log);
    let mut child = spawn(&mut weir);
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    let config = format!(
        "data_dir = {:?}\n[[listener]]\nurl = \"udp://127.0.0.1:0\"\n[http]\nlisten = \"none\"\n[node]\npoll = \"0s\"\n",
        dir.path().join("data").display().to_string()
    );
    let tell = |pipe: &Path, hangups: usize| {
        let mut reader = fs::File::options().write(true).open(pipe).unwrap();
        (0..hangups).for_each(|_| kill_process(pid, Signal::HUP).unwrap());
        reader.write_all(config.as_bytes()).unwrap();
    };
    tell(&pipe, 2);
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap() == "Try:"), "it runs");
    // Those that came while it started are one reload.
    tell(&pipe, 0);
    let log = || fs::read_to_string(dir.path().join("log")).unwrap();
    wait_for(|| log().contains("the configuration is taken"), "the reload");
    // Of the next one nobody writes the configuration, and a stop comes.
    kill_process(pid, Signal::HUP).unwrap();
    wait_for(|| log().matches("SIGHUP").count() == 2, "the next reload");
    kill_process(pid, Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(log().matches("is taken").count() + log().matches("is refused").count(), 1);
}

#[test]
fn a_stop_in_the_middle_of_a_removal_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let away = output(&format!("avro+tcp://{}", place.address()), "name = \"away\"");
    let with = format!("shutdown_grace = \"30s\"\n{LISTENER}{away}");
    let mut agent = Start::in_dir(&dir).config(&with).start();
    burst(&agent, "a");
    agent.status_when(|it| it["outputs"][0]["queued"] == 100);
    take(&agent, &dir, "shutdown_grace = \"30s\"\n");
    burst(&agent, "b");
    agent.received(200);
    agent.signal(Signal::HUP);
    agent.signal(Signal::TERM);
    let begun = Instant::now();
    assert!(agent.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "what can go later is not waited for");
    let points = Points::in_dir(&dir.path().join("data/points"));
    assert_eq!(points.values("b0", "sum"), [1.0]);

    let collector = Collector::on(place.listen(), 0);
    let agent = Start::in_dir(&dir).config(&with).start();
    agent.status_when(|it| it["outputs"][0]["recovered"] == 100 && it["outputs"][0]["queued"] == 0);
    agent.stop();
    wait_for(|| collector.values(0, "a0") == [1.0], "its points");
}
