//! Every sample and every point is accounted for, at every reading.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::harness::Start;

fn adds_up(account: &Value) -> bool {
    let number = |path: &str| account.pointer(path).unwrap().as_u64().unwrap();
    let rejected: u64 =
        account["rejected"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    number("/received/samples")
        == number("/aggregated")
            + rejected
            + number("/throttled/samples")
            + number("/over_series_limit")
}

fn outputs_add_up(status: &Value) -> bool {
    status["outputs"].as_array().unwrap().iter().all(|output| {
        let dropped = output["dropped"].as_object().unwrap().values();
        let sum = dropped.map(|n| n.as_u64().unwrap()).sum::<u64>()
            + output["acknowledged"].as_u64().unwrap()
            + output["queued"].as_u64().unwrap();
        output["offered"] == sum
    })
}

#[test]
fn the_account_adds_up_at_every_reading_while_containers_flood_it() {
    let dir = tempfile::tempdir().unwrap();
    // A tiny receive buffer, so that the kernel drops some, and two workers.
    let config = "workers = 2\nreceive_buffer = 4096\nflush_interval = \"100ms\"\n";
    let agent = Start::in_dir(&dir).config(config).start();
    let ports: Vec<_> = (0..20).map(|n| agent.register(&format!("c{n}"))).collect();
    let lines = [
        "good:1|c|#a:b\ngood:2|c\nlevel:+1|g",
        "took:1:2:x:3|ms|@0.5\nno kind\nbad:1|q\nusers:u|s",
        "good:1|c|#container_id:z\n:1|c\n_sc|up|0\ngood:nan|c",
    ];
    let flooding = AtomicBool::new(true);
    let sent: u64 = thread::scope(|scope| {
        let flood = |part: &[std::net::SocketAddr]| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut sent = 0;
            while flooding.load(Ordering::Relaxed) {
                for (port, line) in part.iter().zip(lines.iter().cycle()) {
                    socket.send_to(line.as_bytes(), port).unwrap();
                    sent += 1;
                }
            }
            sent
        };
        let floods: Vec<_> =
            ports.chunks(10).map(|part| scope.spawn(move || flood(part))).collect();
        let mut last = 0;
        for _ in 0..20 {
            let status = agent.status();
            for source in status["sources"].as_array().unwrap() {
                assert!(adds_up(source), "{source}");
            }
            assert!(adds_up(&status["total"]), "{}", status["total"]);
            assert!(outputs_add_up(&status), "{}", status["outputs"]);
            let received = status["total"]["received"]["samples"].as_u64().unwrap();
            assert!(received >= last, "a total fell from {last} to {received}");
            last = received;
        }
        flooding.store(false, Ordering::Relaxed);
        floods.into_iter().map(|flood| flood.join().unwrap()).sum()
    });
    // At rest every datagram was received or dropped by the kernel, and counted there.
    let status = agent.status_when(|status| {
        let total = &status["total"];
        let seen = total["received"]["datagrams"].as_u64().unwrap()
            + total["kernel_dropped"].as_u64().unwrap();
        seen == sent
    });
    let aggregated: u64 = status["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["aggregated"].as_u64().unwrap())
        .sum();
    assert_eq!(status["total"]["aggregated"], aggregated);
    // What was counted is what is in the files.
    let good = agent.stop();
    let counted = status["total"]["notes"]["tag_clash"].as_u64().unwrap() as f64;
    let clashed = good
        .0
        .iter()
        .filter(|point| point["name"] == "good" && point["tags"]["exported_container_id"] == "z");
    let sum: f64 = clashed.map(|point| point["value"].as_f64().unwrap()).sum();
    assert_eq!(sum, counted);
}

#[test]
fn the_status_has_every_key_and_every_known_reason() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    agent.register("c");
    let status = agent.status();
    for key in
        ["version", "boot_id", "started", "now", "sources", "total", "ended", "waiting", "outputs"]
    {
        assert!(status.get(key).is_some(), "{key}");
    }
    assert_eq!(status["version"], 1);
    let container =
        &status["sources"].as_array().unwrap().iter().find(|it| it["source"] == "container");
    let container = container.unwrap();
    for key in [
        "source",
        "container_id",
        "listener",
        "port",
        "unbound",
        "ended",
        "received",
        "aggregated",
        "rejected",
        "throttled",
        "over_series_limit",
        "notes",
        "kernel_dropped",
        "truncated",
        "closed_unread",
        "series",
    ] {
        assert!(container.get(key).is_some(), "{key}");
    }
    assert!(container["port"].as_u64().unwrap() > 0);
    for reason in ["bad_value", "no_kind", "not_finite", "too_long", "truncated", "not_carried"] {
        assert_eq!(container["rejected"][reason], 0);
    }
    let output = &status["outputs"][0];
    for key in ["name", "offered", "acknowledged", "queued", "dropped", "retries", "last_error"] {
        assert!(output.get(key).is_some(), "{key}");
    }
}
