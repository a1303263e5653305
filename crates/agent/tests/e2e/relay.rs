//! Lines to another StatsD server, as they were received.

use std::net::{SocketAddr, UdpSocket};

use serde_json::{Value, json};

use crate::harness::{Agent, PATIENCE, Start, send, wait_for};
use crate::look::{at, weir};
use crate::stand_in::{Mesos, Reserved, World, task};

/// A StatsD server that only listens.
pub(crate) struct Receiver(UdpSocket);

impl Receiver {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    fn at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub(crate) fn url(&self) -> String {
        format!("statsd+udp://{}", self.0.local_addr().unwrap())
    }

    fn packet(&self) -> String {
        let mut buffer = vec![0; 65_536];
        let length = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// Packets until so many lines came.
    fn packets(&self, lines: usize) -> Vec<String> {
        let mut packets: Vec<String> = Vec::new();
        while packets.iter().map(|packet| packet.lines().count()).sum::<usize>() < lines {
            packets.push(self.packet());
        }
        packets
    }

    /// So many lines, in order of their bytes.
    pub(crate) fn lines(&self, lines: usize) -> Vec<String> {
        let packets = self.packets(lines);
        let mut lines: Vec<_> =
            packets.iter().flat_map(|it| it.lines()).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }
}

fn output(url: &str, more: &str) -> String {
    format!("[[output]]\nurl = {url:?}\n{more}\n")
}

fn number(output: &Value, field: &str) -> u64 {
    output[field].as_u64().unwrap()
}

/// The account of the first output, once this is true of it; it adds up in each reading.
fn account_when(agent: &Agent, so: impl Fn(&Value) -> bool) -> Value {
    let status = agent.status_when(|status| {
        let output = &status["outputs"][0];
        let dropped = output["dropped"].as_object().unwrap().values();
        let dropped: u64 = dropped.map(|n| n.as_u64().unwrap()).sum();
        let settled = number(output, "acknowledged") + number(output, "queued") + dropped;
        assert_eq!(number(output, "offered"), settled, "{output}");
        so(output)
    });
    status["outputs"][0].clone()
}

#[test]
fn what_was_kept_leaves_as_it_was_received_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::new();
    let rule = "[[tag_rule]]\nmetric = \"debug.*\"\ndrop = true\n\n\
                [[tag_rule]]\ndrop_tags = [\"user\"]\n\n";
    let config = format!("{rule}{}", output(&receiver.url(), "annotation = \"none\""));
    let agent = Start::in_dir(&dir).config(&config).start();
    let kept = [
        "a:1|c",
        "a:1|c|#user:x,page:y",
        "a:1:2:x:3|ms|@0.5",
        "caf\u{e9} bar.x:1|g|#",
        "level:-1|g\t",
        "s:member|s|T1700000000",
    ];
    let lost = ["no kind", "a:x|c", "debug.a:1|c", "_e{1,1}:a|b", "_sc|up|0", ":1|c"];
    for line in kept.iter().chain(&lost).chain(&kept) {
        agent.send(line);
    }
    let mut expected: Vec<_> = kept.iter().chain(&kept).map(|line| line.trim_end()).collect();
    expected.sort_unstable();
    assert_eq!(receiver.lines(expected.len()), expected);
    let account = account_when(&agent, |it| number(it, "acknowledged") == 12);
    assert_eq!((number(&account, "offered"), &account["unit"]), (12, &Value::from("lines")));
    agent.stop();
}

#[test]
fn lines_are_packed_into_datagrams_that_they_fit() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::new();
    let config = output(&receiver.url(), "annotation = \"none\"\npacket_bytes = 200");
    let agent = Start::in_dir(&dir).config(&config).start();
    let lines: Vec<_> = (0..200).map(|n| format!("number.{n:03}:1|c")).collect();
    let long = format!("long.{}:1|c", "x".repeat(300));
    agent.send(lines[..100].join("\n"));
    agent.send(&long);
    agent.send(lines[100..].join("\n"));
    let packets = receiver.packets(201);
    assert_eq!(packets.iter().filter(|it| it.lines().any(|line| line == long)).count(), 1);
    assert!(packets.iter().all(|it| it.len() <= 200 || *it == long), "{packets:?}");
    // Of fifteen bytes a line with its line feed thirteen fit, if they come at once.
    assert_eq!(packets.iter().map(|it| it.lines().count()).max(), Some(13));
    let came: Vec<_> = packets.iter().flat_map(|it| it.lines()).collect();
    let sent: Vec<_> = [&lines[..100], &[long], &lines[100..]].concat();
    assert_eq!(came, sent);
    agent.stop();
}

#[test]
fn each_line_says_which_container_it_is_of() {
    let dir = tempfile::tempdir().unwrap();
    let (prefixed, tagged) = (Receiver::new(), Receiver::new());
    let mesos =
        Mesos::start(World::running([task("cart.1", Some("shop.executor"), &["c.1"], &[])]));
    let config = mesos.config()
        + &output(&prefixed.url(), "")
        + &output(&tagged.url(), "annotation = \"tag_datadog\"");
    let agent = Start::in_dir(&dir).config(&config).start();
    let (known, unheard) = (agent.register("c.1"), agent.register("c2"));
    // Each of the two asks for itself.
    wait_for(
        || {
            send(known, "probe:1|c");
            let (prefixed, tagged) = (prefixed.packets(1), tagged.packets(1));
            prefixed[0].starts_with("shop-0001") && tagged[0].contains("shop.executor")
        },
        "what Mesos knows of the container",
    );
    for port in [known, unheard, agent.udp()] {
        send(port, "a:1|c|#t");
    }
    assert_eq!(
        prefixed.lines(3),
        [
            "shop-0001.shop_executor.c_1.a:1|c|#t",
            "unknown_container.a:1|c|#t",
            "unknown_framework.unknown_executor.c2.a:1|c|#t",
        ]
    );
    assert_eq!(
        tagged.lines(3),
        [
            "a:1|c|#t,container_id:c2",
            "a:1|c|#t,framework_id:shop-0001,executor_id:shop.executor,container_id:c.1",
            "a:1|c|#t,unknown_container",
        ]
    );
    agent.stop();
}

#[test]
fn a_second_weir_adds_up_what_the_first_did() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let far = Start::in_dir(&far).start();
    let url = format!("statsd+udp://{}", far.udp());
    let config = output(&url, "annotation = \"tag_datadog\"") + "[[output]]\nurl = \"file:";
    let config = format!("{config}{}\"\n", near.path().join("data/points").display());
    let near = Start::in_dir(&near).config(&config).start();
    let ports = ["one", "two"].map(|id| near.register(id));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..500 {
        let lines = format!("hits:{n}|c|#page:{}\ntook:{n}|ms|@0.5\nusers:u{n}|s", n % 3);
        socket.send_to(lines.as_bytes(), ports[n % 2]).unwrap();
        // Both are kept up with, or a socket's buffer would decide.
        if n % 50 == 49 {
            near.received((n as u64 + 1) * 3);
            far.received((n as u64 + 1) * 3);
        }
    }
    let (near, far) = (near.stop(), far.stop());
    for (name, stat) in [("hits", "sum"), ("took", "count"), ("took", "sum")] {
        assert!(near.sum(name, stat) > 0.0);
        assert_eq!(near.sum(name, stat), far.sum(name, stat), "{name} {stat}");
    }
    let of = |points: &crate::harness::Points, tag: &str| points.sums_by("hits", "sum", tag);
    assert_eq!(of(&near, "page"), of(&far, "page"));
    // The other one trusts nobody: a tag with an identity's name stays a client's.
    let by_container = of(&far, "exported_container_id");
    assert_eq!(by_container.keys().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_relay_to_a_listener_of_its_own_is_refused() {
    for (listen, to) in [
        ("udp://127.0.0.1:18125", "statsd+udp://127.0.0.1:18125"),
        ("udp://127.0.0.1:18125", "statsd+udp://localhost:18125"),
        ("udp://0.0.0.0:18125", "statsd+udp://127.0.0.1:18125"),
        ("udp://[::]:18125", "statsd+udp://[::1]:18125"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let said = Start::in_dir(&dir).flag("--listen", listen).flag("--output", to).refuse();
        let expected = format!("output {to}: what it sends would come back to listener {listen}");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn a_relay_to_a_container_of_its_own_loses_its_lines_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let first = Start::in_dir(&dir).start();
    let port = first.register("c");
    first.stop();
    // The container has its port back when the relay asks whose it is.
    let config = output(&format!("statsd+udp://{port}"), "annotation = \"none\"");
    let agent = Start::in_dir(&dir).config(&config).start();
    send(port, "a:1|c");
    let account = account_when(&agent, |it| number(&it["dropped"], "unreachable") > 0);
    let error = account["last_error"].as_str().unwrap();
    assert!(error.contains(&format!("{port} is this weir's own")), "{error}");
    assert_eq!(agent.ask("GET", "/readyz", "").0, 503);
    assert_eq!((number(&account, "offered"), number(&account, "acknowledged")), (1, 0));
    assert_eq!(agent.received(1)["total"]["aggregated"], 1);
    agent.stop();
}

#[test]
fn a_receiver_that_is_away_costs_lines_that_are_counted_and_gets_them_again_once_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let address = place.address();
    let config = output(&format!("statsd+udp://{address}"), "annotation = \"none\"");
    let agent = Start::in_dir(&dir).config(&config).start();
    agent.send("away:1|c\naway:2|c");
    let account = account_when(&agent, |it| number(&it["dropped"], "refused") == 2);
    assert_eq!(number(&account, "acknowledged"), 0);
    assert_eq!(account["last_error"], format!("{address}: nobody listens there"));
    // Its own unit, and a loss like any other.
    let lost = agent.status()["lost_last_minute"].clone();
    assert_eq!(lost, json!({"samples": 0, "datagrams": 0, "points": 0, "lines": 2}));
    let (code, told, _) = weir(&["status", "--http", &at(&agent)]);
    assert!(code == Some(1) && told.contains("0 points, 2 lines"), "{told}");
    assert_eq!(agent.ask("GET", "/readyz", "").0, 503);
    let receiver = Receiver::at(address);
    agent.send("back:1|c");
    assert_eq!(receiver.packet(), "back:1|c");
    account_when(&agent, |it| number(it, "acknowledged") == 1);
    assert_eq!(agent.ask("GET", "/readyz", "").0, 200);
    agent.stop();
}

#[test]
fn what_was_received_before_a_stop_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::new();
    let config = output(&receiver.url(), "annotation = \"none\"");
    let agent = Start::in_dir(&dir).config(&config).start();
    for n in 0..10 {
        agent.send(format!("last:{n}|c"));
    }
    // They are in the socket's buffer, or on their way.
    agent.stop();
    assert_eq!(receiver.lines(10).len(), 10);
}
