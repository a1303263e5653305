//! DC/OS's metrics API as its readers use it: the checks of DC/OS's own integration test, the
//! plug-ins that poll, and what an operator sets.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Start, ask_unix, send, wait_for};
use crate::stand_in::{Mesos, World, container_id, task};

/// A node of DC/OS as its configuration has it, with a socket for Admin Router.
fn dcos(dir: &Path, mesos: &Mesos) -> String {
    let socket = dir.join("v0.sock");
    format!(
        "{}[identity]\ncluster_id = \"9a1c\"\nlabels = {{ dcos_cluster_name = \"prod\" }}\n\
         [api]\nv0 = [\"unix:{}\"]\n",
        mesos.config(),
        socket.display()
    )
}

/// What the system calls this host, as DC/OS tags what it tells; the dimension is another.
fn system_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().to_owned()
}

/// A Marathon app's task and its container, as Mesos has them: its executor is the command's.
fn command(world: &mut World, id: &str, container: &str) {
    world.tasks.push(("launched_tasks", task(id, None, &[container], &[])));
    world.containers.push(json!({
        "container_id": container_id(&[container]),
        "framework_id": {"value": "shop-0001"},
        "executor_id": {"value": id},
        "executor_name": format!("Command Executor (Task: {id})"),
    }));
}

struct V0(PathBuf);

impl V0 {
    fn of(dir: &Path) -> Self {
        Self(dir.join("v0.sock"))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = ask_unix(&self.0, "GET", path, "");
        let parsed = serde_json::from_str(&body);
        (status, if body.is_empty() { Value::Null } else { parsed.unwrap() })
    }

    /// The message there, once there is one of which this is true.
    fn get_when(&self, path: &str, mut so: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait_for(
            || {
                last = self.get(path).1;
                !last.is_null() && so(&last)
            },
            path,
        );
        last
    }
}

fn datapoint<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    message["datapoints"].as_array()?.iter().find(|point| point["name"] == name)
}

fn value(message: &Value, name: &str) -> Option<f64> {
    datapoint(message, name)?["value"].as_f64()
}

fn keys(of: &Value) -> BTreeSet<&str> {
    of.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_checks_of_dcos_own_integration_test_pass() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::default();
    command(&mut world, "statsd-emitter.1", "emitter");
    let mesos = Mesos::start(world);
    let agent = Start::in_dir(&dir).config(&dcos(dir.path(), &mesos)).start();
    let v0 = V0::of(dir.path());

    let (status, ping) = v0.get("/v0/ping");
    assert_eq!((status, &ping["ok"]), (200, &json!(true)));

    let port = agent.register("emitter");
    mesos.told();
    for line in [
        "test.gauge:100|g",
        "test.count:1|c",
        "test.count:1|c",
        "test.timing:1|ms",
        "test.timing:2|ms",
        "test.timing:3|ms",
        "test.histogram:1|h",
        "test.histogram:2|h",
        "test.histogram:3|h",
        "test.histogram:4|h",
        "test.nan:NaN|g",
        "statsd_tester.time.uptime:1479588678444|g|#test_tag_key:test_tag_value",
    ] {
        send(port, line);
    }
    let app = v0.get_when("/v0/containers/emitter/app", |app| {
        value(app, "test.timing.count") == Some(3.0)
            && value(app, "test.count") == Some(2.0)
            && value(app, "test.gauge") == Some(100.0)
            && value(app, "test.histogram.count") == Some(4.0)
    });
    let uptime = datapoint(&app, "statsd_tester.time.uptime").unwrap();
    for key in ["name", "value", "unit", "timestamp", "tags"] {
        assert!(!uptime[key].is_null(), "{uptime}");
    }
    let expected = ["dcos_cluster_id", "dcos_cluster_name", "host", "test_tag_key"];
    assert_eq!(keys(&uptime["tags"]), BTreeSet::from(expected));
    assert!(uptime["tags"].as_object().unwrap().values().all(|tag| tag != ""), "{uptime}");
    assert_eq!(uptime["tags"]["test_tag_key"], "test_tag_value");
    assert_eq!(app["dimensions"]["task_name"], "statsd-emitter");
    assert_eq!(app["dimensions"]["cluster_id"], "9a1c");
    // There it is empty, and the test says so; here it is the agent's id.
    assert_eq!(app["dimensions"]["mesos_id"], "node-S7");

    // A value that is no number is refused where it comes in, and counted.
    assert_eq!(datapoint(&app, "test.nan"), None);
    assert_eq!(agent.status()["total"]["rejected"]["not_finite"], 1);
}

#[test]
fn an_apps_tags_and_dimensions_are_those_that_dcos_tells_of_its_task() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("DCOS_METRICS_FOO", "bar"), ("DCOS_SERVICE_NAME", "svc"), ("OTHER", "x")];
    let fresh = task("cart.1", Some("shop.executor"), &["fresh"], &labels);
    let nested = task("pod.1", Some("shop.executor"), &["inner", "outer"], &[]);
    let mut world = World::running([fresh, nested]);
    command(&mut world, "plain.1", "noexecutor");
    let mesos = Mesos::start(world);
    let agent = Start::in_dir(&dir).config(&dcos(dir.path(), &mesos)).start();
    let v0 = V0::of(dir.path());
    let of_all =
        json!({"dcos_cluster_id": "9a1c", "dcos_cluster_name": "prod", "host": system_name()});
    let with = |more: Value| {
        let mut tags = of_all.clone();
        tags.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tags
    };
    let executor = "shop executor";
    let cases = [
        (
            "fresh",
            "cart",
            with(json!({"FOO": "bar", "DCOS_SERVICE_NAME": "svc", "executor_name": executor})),
        ),
        ("inner", "pod", with(json!({"executor_name": executor}))),
        ("noexecutor", "plain", of_all.clone()),
        ("unrelated", "", of_all.clone()),
    ];
    let ports = cases.clone().map(|(id, ..)| agent.register(id));
    mesos.told();
    for port in ports {
        send(port, "a:1|c");
    }
    for (id, task_name, tags) in cases {
        let app = v0.get_when(&format!("/v0/containers/{id}/app"), |_| true);
        let point = datapoint(&app, "a").unwrap();
        assert_eq!((&point["value"], &point["tags"]), (&json!(1), &tags), "{id}");
        let of = |key: &str| app["dimensions"][key].as_str().unwrap_or_default().to_owned();
        assert_eq!(of("container_id"), id);
        assert_eq!(of("task_name"), task_name);
        assert_eq!(of("framework_name"), if task_name.is_empty() { "" } else { "shopkeeper" });
        assert_eq!(of("hostname"), "10.1.2.3");
    }
    let all = json!(["fresh", "inner", "noexecutor", "unrelated"]);
    assert_eq!(v0.get("/system/v1/metrics/v0/containers"), (200, all));
}

/// What a container uses, in every shape in which Mesos tells it.
fn shapes() -> [(&'static str, Value); 7] {
    let with = |more: Value| {
        let mut statistics = json!({
            "timestamp": 1_546_398_245.9,
            "cpus_limit": 4.1,
            "cpus_nr_throttled": 0,
            "cpus_user_time_secs": 512.25,
            "mem_rss_bytes": 4_294_967_296_u64,
        });
        statistics.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        statistics
    };
    let counted = |op: &str, value: u64| json!([{"op": op, "value": value}]);
    let of_all = json!({
        "io_serviced": counted("TOTAL", 1),
        "io_service_bytes": counted("READ", 2),
        "io_service_time": counted("WRITE", 3),
        "io_wait_time": counted("SYNC", 4),
        "io_merged": counted("ASYNC", 5),
        "io_queued": counted("TOTAL", 6),
    });
    let of_device = |minor: u64| {
        json!({
            "device": {"major_number": 8, "minor_number": minor},
            "io_serviced": [{"op": "TOTAL", "value": minor}, {"op": "READ", "value": 1}],
        })
    };
    let volume = json!([
        {"limit_bytes": 1024, "used_bytes": 512},
        {"persistence": {"id": "db#1", "principal": "shop"}, "limit_bytes": 2048, "used_bytes": 0},
    ]);
    [
        ("normal", with(json!({}))),
        ("cfq", with(json!({"disk_statistics": volume, "blkio_statistics": {"cfq": [of_all]}}))),
        ("cfq_recursive", with(json!({"blkio_statistics": {"cfq_recursive": [of_all]}}))),
        (
            "throttling",
            with(json!({"blkio_statistics": {"throttling": [of_device(0), of_device(16)]}})),
        ),
        (
            "snmp",
            with(json!({"net_snmp_statistics": {
                "ip_stats": {"Forwarding": 1, "DefaultTTL": 64},
                "icmp_stats": {"InMsgs": 0, "InErrors": 2},
                "tcp_stats": {"RtoMin": 200, "CurrEstab": 3},
                "udp_stats": {"InDatagrams": 4, "NoPorts": 5},
            }})),
        ),
        (
            "traffic_control",
            with(json!({"net_traffic_control_statistics": [{
                "id": "bw_limit", "backlog": 1, "bytes": 2, "drops": 3, "overlimits": 4, "packets": 5,
                "qlen": 6, "ratebps": 7, "ratepps": 8, "requeues": 9,
            }]})),
        ),
        (
            "network",
            with(json!({"net_rx_bytes": 7, "net_tx_bytes": 8, "net_tcp_rtt_microsecs_p99": 9})),
        ),
    ]
}

#[test]
fn what_a_container_uses_is_answered_as_its_golden_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::default();
    for (id, statistics) in shapes() {
        command(&mut world, &format!("{id}.1"), id);
        world.containers.last_mut().unwrap()["resource_statistics"] = statistics;
    }
    let mesos = Mesos::start(world);
    let config = dcos(dir.path(), &mesos).replace("poll = \"0s\"", "poll = \"1h\"");
    let _agent = Start::in_dir(&dir).config(&config).start();
    let v0 = V0::of(dir.path());
    let mut ids: Vec<_> = shapes().map(|(id, _)| id).into();
    ids.sort_unstable();
    wait_for(|| v0.get("/v0/containers").1 == json!(ids), "all containers");
    for id in ids {
        let (status, body) = ask_unix(&v0.0, "GET", &format!("/v0/containers/{id}"), "");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/golden");
        let expected = std::fs::read_to_string(golden.join(format!("{id}.json"))).unwrap();
        let expected = expected.replace("SYSTEM_NAME", &system_name());
        assert_eq!((status, body), (200, expected), "{id}");
        // Nobody told anything there.
        assert_eq!(v0.get(&format!("/v0/containers/{id}/app")).0, 204);
    }
}

#[test]
fn what_the_node_uses_passes_the_checks_of_dcos_own_test() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::start(World::default());
    let config = dcos(dir.path(), &mesos) + "[node]\npoll = \"1s\"\n";
    let _agent = Start::in_dir(&dir).config(&config).start();
    let v0 = V0::of(dir.path());
    // Percentages come with the second look.
    let node = v0.get_when("/system/v1/metrics/v0/node", |node| value(node, "cpu.total").is_some());
    for point in node["datapoints"].as_array().unwrap() {
        let name = point["name"].as_str().unwrap();
        let tags = if point["tags"].is_null() { BTreeSet::new() } else { keys(&point["tags"]) };
        let expected = match name.split('.').next().unwrap() {
            "filesystem" => BTreeSet::from(["path"]),
            "network" => BTreeSet::from(["interface"]),
            _ => BTreeSet::new(),
        };
        assert_eq!(tags, expected, "{point}");
        assert!(tags.iter().all(|tag| point["tags"][tag] != ""), "{point}");
        assert!(
            ["percent", "count", "bytes"].contains(&point["unit"].as_str().unwrap()),
            "{point}"
        );
        assert!(point["value"].is_number(), "{point}");
    }
    assert_eq!(datapoint(&node, "memory.total").unwrap()["unit"], "bytes");
    assert_eq!(node["dimensions"]["cluster_id"], "9a1c");
    assert_eq!(keys(&node["dimensions"]), BTreeSet::from(["cluster_id", "hostname", "mesos_id"]));
}

#[test]
fn a_plug_in_that_polls_the_socket_sees_what_there_is_and_takes_204_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::start(World::default());
    let agent = Start::in_dir(&dir).config(&dcos(dir.path(), &mesos)).start();
    let v0 = V0::of(dir.path());
    // As the Datadog and Librato plug-ins do: the node, the list, then each of the list twice.
    let poll = || {
        let mut seen = BTreeSet::new();
        let mut take = |path: &str| {
            let (status, message) = v0.get(path);
            assert!(status == 200 || (status == 204 && message.is_null()), "{path}: {status}");
            for point in message["datapoints"].as_array().into_iter().flatten() {
                assert!(point["value"].is_number(), "{point}");
                seen.insert(format!("{path} {}", point["name"].as_str().unwrap()));
            }
        };
        take("/v0/node");
        let (status, ids) = v0.get("/v0/containers");
        assert_eq!(status, 200);
        for id in ids.as_array().unwrap() {
            let id = id.as_str().unwrap();
            take(&format!("/v0/containers/{id}"));
            take(&format!("/v0/containers/{id}/app"));
        }
        // The node's own metrics come when they come.
        seen.retain(|point| !point.starts_with("/v0/node") && point.contains("/app "));
        seen
    };
    assert!(poll().is_empty());
    let (one, two) = (agent.register("one"), agent.register("two"));
    send(one, "a:1|c\nb:2|g");
    send(two, "a:3|c");
    agent.received(3);
    let all = ["one/app a", "one/app b", "two/app a"].map(|it| format!("/v0/containers/{it}"));
    wait_for(|| poll() == BTreeSet::from(all.clone()), "what was sent");
    // Whose container is gone is gone at once.
    assert_eq!(agent.ask("DELETE", "/container/one", "").0, 202);
    wait_for(|| poll() == BTreeSet::from([all[2].clone()]), "the end of one");
    // All of it over one listener too, and by a client that says nothing of a host.
    let (status, body) = agent.ask("GET", "/v0/containers/two/app/a", "");
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["datapoints"][0]["value"], 3);
}

#[test]
fn totals_go_on_over_flushes_and_what_was_not_touched_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::start(World::default());
    let agent = Start::in_dir(&dir).config(&dcos(dir.path(), &mesos)).start();
    let v0 = V0::of(dir.path());
    let port = agent.register("a");
    let path = "/v0/containers/a/app";
    send(port, "c:2|c\nt:4|ms\ns:x|s\ns:y|s");
    v0.get_when(path, |app| value(app, "t.count") == Some(1.0));
    send(port, "c:3|c\nt:10|ms\nt:20|ms");
    let app = v0.get_when(path, |app| value(app, "t.count") == Some(3.0));
    for (name, expected) in [
        ("c", 5.0),
        ("s", 2.0),
        ("t.sum", 34.0),
        ("t.lower", 10.0),
        ("t.upper", 20.0),
        ("t.mean", 15.0),
    ] {
        assert_eq!(value(&app, name), Some(expected), "{name}");
    }
    let names: Vec<_> =
        app["datapoints"].as_array().unwrap().iter().map(|point| &point["name"]).collect();
    let expected = ["c", "t.count", "t.lower", "t.mean", "t.stddev", "t.sum", "t.upper", "s"];
    assert_eq!(names, expected);
}

#[test]
fn a_series_that_is_not_seen_goes_after_the_expiry() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[api]\nexpiry = \"1s\"\n[prometheus]\nexpiry = \"1s\"\n";
    let agent = Start::in_dir(&dir).config(config).start();
    let port = agent.register("a");
    send(port, "brief:1|c\nlevel:1|g");
    let names = || {
        let (status, body) = agent.ask("GET", "/v0/containers/a/app", "");
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let points = body["datapoints"].as_array().cloned().unwrap_or_default();
        (status, points.iter().map(|point| point["name"].to_string()).collect::<Vec<_>>())
    };
    wait_for(|| names() == (200, vec!["\"brief\"".into(), "\"level\"".into()]), "both");
    // A gauge has its level at every flush.
    wait_for(|| names() == (200, vec!["\"level\"".into()]), "the counter's end");
    agent.status_when(|status| status["latest"]["series"] == 1);
}

#[test]
fn a_master_tells_nothing_of_containers_and_what_is_off_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).flag("--role", "master").start();
    send(agent.register("a"), "c:1|c");
    assert_eq!(agent.ask("GET", "/v0/ping", "").0, 200);
    assert_eq!(agent.ask("GET", "/v0/containers", "").0, 404);
    assert_eq!(agent.ask("GET", "/v0/containers/a/app", "").0, 404);
    assert!([200, 204].contains(&agent.ask("GET", "/v0/node", "").0));
    drop(agent);

    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("v0.sock");
    let config = format!("[api]\nenabled = false\nv0 = [\"unix:{}\"]\n", socket.display());
    let agent = Start::in_dir(&dir).config(&config).start();
    assert_eq!(agent.ask("GET", "/v0/ping", "").0, 404);
    assert!(UnixStream::connect(&socket).is_err());
}
