//! What the node and its containers use, beside what the containers say.

use serde_json::{Value, json};

use crate::harness::{Points, Start, wait_for};
use crate::stand_in::{Collector, Mesos, Reply, Reserved, World, container_id, task};

fn listed(chain: &[&str], statistics: &Value) -> Value {
    json!({
        "container_id": container_id(chain),
        "framework_id": {"value": "shop-0001"},
        "executor_id": {"value": "shop.executor"},
        "executor_name": "shop executor",
        "resource_statistics": statistics,
    })
}

fn of<'a>(points: &'a Points, name: &str) -> Vec<&'a Value> {
    points.0.iter().filter(|point| point["name"] == name).collect()
}

#[test]
fn a_containers_resources_are_shipped_to_every_output_as_its_own_points_are() {
    let dir = tempfile::tempdir().unwrap();
    let blkio = |minor: u64, value: u64| {
        json!({
            "device": {"major_number": 8, "minor_number": minor},
            "io_serviced": [{"op": "TOTAL", "value": value}],
        })
    };
    let mut world = World::running([]);
    let task = task("cart.1", Some("shop.executor"), &["c", "pod"], &[("DCOS_METRICS_team", "x")]);
    world.tasks.push(("launched_tasks", task));
    world.containers = vec![
        listed(
            &["c", "pod"],
            &json!({
                "timestamp": 1_600_000_000.75,
                "threads": 0,
                "cpus_user_time_secs": 12.5,
                "blkio_statistics": {"throttling": [blkio(0, 5), blkio(16, 6)]},
            }),
        ),
        listed(&["pod"], &json!({"mem_limit_bytes": 1024})),
        json!({"container_id": {"value": "mute"}}),
    ];
    let mesos = Mesos::start(world);
    let reserved = Reserved::new();
    let collected = reserved.address();
    let collector = Collector::on(reserved.listen(), 0);
    let config = format!(
        "[[output]]\nurl = \"file:{}\"\n[[output]]\nurl = \"avro+tcp://{collected}\"\n\
         [mesos]\nurl = \"{}\"\n",
        dir.path().join("data/points").display(),
        mesos.url(),
    );
    // One container registers, the other is only listed by Mesos.
    let agent = Start::in_dir(&dir).config(&config).start();
    agent.register("c");
    let status = agent.status_when(|status| status["polls"]["resources"]["polls"] == 1);
    assert_eq!(status["polls"]["resources"]["failures"], 0);
    wait_for(|| !collector.values(0, "mem.limit_bytes").is_empty(), "resources on the stream");
    let points = agent.stop();

    let mut point = of(&points, "cpus.user_time_secs")[0].clone();
    for unforeseen in ["boot_id", "seq", "host"] {
        point.as_object_mut().unwrap().remove(unforeseen).unwrap();
    }
    let expected = json!({
        "ts": 1_600_000_000_000_i64, "interval_ms": 0, "name": "cpus.user_time_secs",
        "kind": "gauge", "stat": "value", "value": 12.5, "unit": "s", "cluster_id": "",
        "agent_id": "node-S7", "framework_id": "shop-0001", "framework_name": "shopkeeper",
        "executor_id": "shop.executor", "task_id": "cart.1", "task_name": "cart",
        "container_id": "c",
        "tags": {
            "parent_container_id": "pod", "executor_name": "shop executor",
            "framework_role": "shop_role", "framework_principal": "shop_principal", "team": "x",
        },
    });
    assert_eq!(point, expected);
    // A zero that Mesos sent is one; devices are kept apart; what is missing is missing.
    assert_eq!(points.values("container.threads", "value"), [0.0]);
    let by_device = points.sums_by("blkio.io_serviced_total", "value", "device");
    assert_eq!(
        by_device.into_iter().collect::<Vec<_>>(),
        [("8.0".into(), 5.0), ("8.16".into(), 6.0)]
    );
    let pod = of(&points, "mem.limit_bytes")[0];
    assert_eq!((&pod["container_id"], &pod["task_id"]), (&json!("pod"), &json!("")));
    assert!(points.0.iter().all(|point| point["container_id"] != "mute"));
    let names: Vec<_> = points.0.iter().map(|point| point["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    // On the stream the container is told by its tags.
    let lists = collector.lists(0);
    let list = lists.iter().find(|list| list["datapoints"][0]["name"] == "mem.limit_bytes");
    assert_eq!(list.unwrap()["tags"][2], json!({"key": "container_id", "value": "pod"}));
}

#[test]
fn a_mesos_that_does_not_answer_costs_its_measurements_only_and_they_are_counted() {
    for reply in [Reply::Hang, Reply::Answer(503, String::new()), Reply::Raw("HTTP/1.1 200 OK")] {
        let dir = tempfile::tempdir().unwrap();
        let mesos = Mesos::broken(reply.clone());
        let config = format!(
            "[mesos]\nurl = \"{}\"\ntimeout = \"200ms\"\npoll = \"1s\"\nsnapshot = \"1s\"\n",
            mesos.url()
        );
        let agent = Start::in_dir(&dir).config(&config).start();
        agent.send("page:1|c");
        let fails =
            |status: &Value, poll: &str| status["polls"][poll]["failures"].as_u64() > Some(1);
        let status = agent.status_when(|it| fails(it, "resources") && fails(it, "snapshot"));
        for poll in ["resources", "snapshot"] {
            let poll = &status["polls"][poll];
            assert_eq!(poll["polls"], poll["failures"], "{reply:?}");
            assert!(poll["last_error"].as_str().unwrap().contains("of the Mesos agent failed"));
        }
        let points = agent.stop();
        assert_eq!((points.0.len(), points.sum("page", "sum")), (1, 1.0), "{reply:?}");
    }
}

#[test]
fn the_mesos_agents_own_metrics_come_under_the_nodes_name() {
    let dir = tempfile::tempdir().unwrap();
    let world = World {
        snapshot: json!({"slave/uptime_secs": 12.5, "slave/tasks_running": 0.0}),
        ..World::default()
    };
    let mesos = Mesos::start(world);
    let config = format!(
        "[mesos]\nurl = \"{}\"\nsnapshot = \"1h\"\n[identity]\nhost = \"web-1\"\n",
        mesos.url()
    );
    let agent = Start::in_dir(&dir).config(&config).start();
    agent.status_when(|status| status["polls"]["snapshot"]["polls"] == 1);
    let points = agent.stop();
    assert_eq!(points.values("mesos.slave/uptime_secs", "value"), [12.5]);
    assert_eq!(points.values("mesos.slave/tasks_running", "value"), [0.0]);
    let point = points.first("mesos.slave/uptime_secs");
    assert_eq!((&point["host"], &point["container_id"]), (&json!("web-1"), &json!("")));
}

#[test]
fn the_node_is_told_at_the_start_and_its_percentages_from_the_second_look_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[node]\npoll = \"1s\"\n[identity]\nhost = \"web-1\"\n";
    let agent = Start::in_dir(&dir).config(config).start();
    agent.status_when(|status| status["polls"]["node"]["polls"].as_u64() > Some(1));
    let points = agent.stop();
    let looks = points.values("system.uptime", "value").len();
    let idle = points.values("cpu.idle", "value");
    assert_eq!(idle.len(), looks - 1);
    assert!(idle.iter().all(|idle| (0.0..=100.0).contains(idle)));
    let point = points.first("memory.total");
    assert_eq!((&point["host"], &point["unit"]), (&json!("web-1"), &json!("By")));
    assert_eq!((&point["interval_ms"], &point["kind"]), (&json!(0), &json!("gauge")));
    assert_eq!(points.first("filesystem.capacity.total")["tags"]["path"], "/");
    assert!(points.sums_by("network.in", "value", "interface").contains_key("lo"));
}

#[test]
fn what_is_measured_is_in_the_metrics_api_under_dcoss_names_and_units() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::running([task("cart.1", Some("shop.executor"), &["c"], &[])]);
    world.containers = vec![listed(&["c"], &json!({"timestamp": 1_600_000_000.5, "threads": 0}))];
    let mesos = Mesos::start(world);
    let config = format!("[mesos]\nurl = \"{}\"\n[node]\npoll = \"1h\"\n", mesos.url());
    let agent = Start::in_dir(&dir).config(&config).start();
    let ask = |path: &str| {
        let mut message = Value::Null;
        wait_for(
            || {
                let (status, body) = agent.ask("GET", path, "");
                message = serde_json::from_str(&body).unwrap_or_default();
                status == 200
            },
            path,
        );
        message
    };
    let container = ask("/v0/containers/c");
    let datapoint = &container["datapoints"][0];
    assert_eq!((&datapoint["name"], &datapoint["unit"]), (&json!("container.threads"), &json!("")));
    assert_eq!(datapoint["value"], 0);
    assert_eq!(datapoint["timestamp"], "2020-09-13T12:26:40Z");
    assert_eq!(container["dimensions"]["task_name"], "cart");
    let node = ask("/v0/node");
    let units: Vec<_> = node["datapoints"].as_array().unwrap().iter().collect();
    for (name, unit) in [
        ("system.uptime", "count"),
        ("memory.total", "bytes"),
        ("network.in", "bytes"),
        ("network.in.packets", "count"),
        ("filesystem.inode.free", "count"),
    ] {
        let of_it = units.iter().find(|it| it["name"] == name).unwrap();
        assert_eq!(of_it["unit"], unit, "{name}");
    }
    assert_eq!(agent.ask("GET", "/v0/containers/c/app", "").0, 204);
}
