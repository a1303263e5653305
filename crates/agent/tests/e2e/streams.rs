//! Avro streams, as the older metrics module and others write them to dcos-metrics' port.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Agent, Points, Start, send};
use crate::stand_in::{Mesos, World, task};

/// Three lists of five numbers that fastavro wrote, with docs in their schema and deflated: two of
/// the container `cart`, one of them tagged, and one of no container. One number is NaN.
pub(crate) const BY_FASTAVRO: &[u8] = include_bytes!("../data/metric_lists.avro");

const LISTENER: &str = "[[listener]]\nurl = \"avro+tcp://127.0.0.1:0\"\n";

fn address(agent: &Agent) -> SocketAddr {
    let mut listeners = agent.listeners.iter();
    listeners.find_map(|it| it.strip_prefix("avro+tcp://")).unwrap().parse().unwrap()
}

fn writes(agent: &Agent, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address(agent)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

fn of<'a>(points: &'a Points, name: &str) -> Vec<&'a Value> {
    points.0.iter().filter(|point| point["name"] == name).collect()
}

fn adds_up(account: &Value) -> bool {
    let count = |value: &Value| value.as_u64().unwrap();
    let rejected: u64 = account["rejected"].as_object().unwrap().values().map(count).sum();
    count(&account["received"]["samples"])
        == count(&account["aggregated"])
            + rejected
            + count(&account["throttled"]["samples"])
            + count(&account["over_series_limit"])
}

#[test]
fn a_stream_of_anybodys_is_passed_on_with_its_times_and_its_containers() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("DCOS_METRICS_team", "blue")];
    let world = World::running([task("cart.1", Some("shop.executor"), &["cart"], &labels)]);
    let mesos = Mesos::start(world);
    let agent = Start::in_dir(&dir).config(LISTENER).config(&mesos.config()).start();
    // So that Mesos was asked about it, and the node, before the stream comes.
    agent.register("cart");
    mesos.told();
    let _open = writes(&agent, BY_FASTAVRO);
    let status = agent.received(5);
    let mut sources = status["sources"].as_array().unwrap().iter();
    let source = sources.find(|it| it["listener"] == "avro+tcp://127.0.0.1:0").unwrap();
    assert_eq!((&source["aggregated"], &source["received"]["datagrams"]), (&json!(4), &json!(1)));
    assert_eq!(source["rejected"]["not_finite"], 1);
    assert!(adds_up(source) && adds_up(&status["total"]), "{source}");
    let stream = &status["streams"][0];
    assert_eq!((&stream["open"], &stream["failed"]), (&json!(1), &json!(0)));

    agent.says(&["not_finite", "samples were refused", ":NaN|g", "avro+tcp://127.0.0.1:0"]);

    let points = agent.stop();
    assert_eq!(points.0.len(), 4);
    let times: Vec<_> = of(&points, "orders").iter().map(|it| it["ts"].as_i64().unwrap()).collect();
    assert_eq!(times, [1_600_000_000_123, 1_600_000_000_124]);
    assert_eq!(points.values("orders", "value"), [3.0, 4.5]);
    let mut latency = of(&points, "latency")[0].clone();
    for unforeseen in ["boot_id", "seq", "host"] {
        latency.as_object_mut().unwrap().remove(unforeseen).unwrap();
    }
    let expected = json!({
        "ts": 1_600_000_000_123_i64, "interval_ms": 0, "name": "latency", "kind": "gauge",
        "stat": "value", "value": 0.1, "unit": "", "cluster_id": "", "agent_id": "node-S7",
        "framework_id": "shop-0001", "framework_name": "shopkeeper",
        "executor_id": "shop.executor", "task_id": "cart.1", "task_name": "cart",
        "container_id": "cart",
        "tags": {
            "executor_name": "shop executor", "framework_role": "shop_role",
            "framework_principal": "shop_principal", "team": "blue", "page": "home",
        },
    });
    assert_eq!(latency, expected);
    let stray = points.first("stray");
    assert_eq!((&stray["container_id"], &stray["framework_id"]), (&json!(""), &json!("")));
    assert_eq!(stray["agent_id"], "node-S7");
}

#[test]
fn without_mesos_a_container_is_what_its_stream_says() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config(LISTENER).start();
    drop(writes(&agent, BY_FASTAVRO));
    agent.received(5);
    let points = agent.stop();
    let told =
        ["framework_id", "executor_id", "container_id"].map(|id| &points.first("orders")[id]);
    assert_eq!(told, ["shop-0001", "shop.executor", "cart"]);
}

#[test]
fn a_node_that_streams_to_another_is_passed_on() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let to = Start::in_dir(&second).config(LISTENER).start();
    let output = format!("[[output]]\nurl = \"avro+tcp://{}\"\ntags = \"dcos\"\n", address(&to));
    let from = Start::in_dir(&first).config(&output).start();
    send(from.register("cart"), "orders:3|g|#page:home\nclicks:2|c");
    to.received(2);
    drop(from);
    let points = to.stop();
    assert_eq!(
        (points.values("orders", "value"), points.values("clicks", "value")),
        (vec![3.0], vec![2.0])
    );
    let point = points.first("orders");
    assert_eq!((&point["container_id"], &point["tags"]["page"]), (&json!("cart"), &json!("home")));
}

#[test]
fn a_hostile_stream_is_ended_and_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config(LISTENER).start();
    let good = writes(&agent, BY_FASTAVRO);
    agent.received(5);
    let header =
        BY_FASTAVRO.windows(16).position(|bytes| bytes == b"0123456789abcdef").unwrap() + 16;
    let foreign = String::from_utf8_lossy(BY_FASTAVRO).replacen("MetricList", "MetricLisp", 1);
    // How many samples it costs.
    let hostile: [(&[u8], u64); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", 0),
        (b"Obj\x01\x04", 0),
        (foreign.as_bytes(), 0),
        // A block that claims more than may be.
        (&[&BY_FASTAVRO[..header], b"\x02\xfe\xff\xff\xff\x0f"].concat(), 0),
        // One that is cut: at least one sample is lost.
        (&BY_FASTAVRO[..BY_FASTAVRO.len() - 1], 1),
        // One that is not deflated.
        (&[&BY_FASTAVRO[..header], b"\x02\x04ab0123456789abcdef"].concat(), 0),
    ];
    let mut received = 5;
    for (failed, (bytes, samples)) in hostile.into_iter().enumerate() {
        drop(writes(&agent, bytes));
        received += samples;
        let status = agent.status_when(|it| it["streams"][0]["failed"] == failed as u64 + 1);
        assert_eq!(status["total"]["received"]["samples"], received, "{bytes:?}");
        assert!(adds_up(&status["total"]));
        assert!(status["streams"][0]["last_error"].is_string());
    }
    let status = agent.status();
    let cut = (&status["total"]["truncated"], &status["total"]["rejected"]["truncated"]);
    assert_eq!((cut, &status["streams"][0]["open"]), ((&json!(1), &json!(1)), &json!(1)));
    // The first one still speaks.
    (&good).write_all(&BY_FASTAVRO[header..]).unwrap();
    agent.received(received + 5);
}

#[test]
fn too_many_connections_are_refused_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config(LISTENER).start();
    let open: Vec<_> = (0..32).map(|_| writes(&agent, BY_FASTAVRO)).collect();
    agent.received(32 * 5);
    let over: Vec<_> = (0..3).map(|_| TcpStream::connect(address(&agent)).unwrap()).collect();
    let status = agent.status_when(|status| status["streams"][0]["refused"] == 3);
    assert_eq!(status["streams"][0]["open"], 32);
    drop((open, over));
    agent.status_when(|status| status["streams"][0]["open"] == 0);
    drop(writes(&agent, BY_FASTAVRO));
    agent.received(33 * 5);
}

#[test]
fn what_has_come_when_the_agent_stops_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("flush_interval = \"1h\"\n{LISTENER}");
    let agent = Start::in_dir(&dir).config(&config).start();
    let mut stream = writes(&agent, BY_FASTAVRO);
    agent.received(5);
    let header =
        BY_FASTAVRO.windows(16).position(|bytes| bytes == b"0123456789abcdef").unwrap() + 16;
    agent.signal(Signal::STOP);
    for _ in 0..50 {
        stream.write_all(&BY_FASTAVRO[header..]).unwrap();
    }
    agent.signal(Signal::TERM);
    agent.signal(Signal::CONT);
    assert_eq!(agent.stop().0.len(), 51 * 4);
}

#[test]
fn a_port_that_dcos_metrics_still_has_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", taken.local_addr().unwrap());
    let said = Start::in_dir(&dir).config(&format!("[[listener]]\nurl = \"{url}\"\n")).refuse();
    assert!(
        said.contains(&url) && said.contains("does dcos-metrics or another agent run?"),
        "{said}"
    );
}
