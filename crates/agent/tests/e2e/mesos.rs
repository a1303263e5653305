//! Who containers are, as their node's Mesos agent tells it: in time, late, wrong, or never.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Agent, Points, Start, send, wait_for};
use crate::stand_in::{Mesos, Reply, Reserved, World, container_id, task};

/// The points of a container.
fn of<'a>(points: &'a Points, id: &str) -> Vec<&'a Value> {
    points.0.iter().filter(|point| point["container_id"] == id).collect()
}

/// The only point of a container.
fn only<'a>(points: &'a Points, id: &str) -> &'a Value {
    let of_it = of(points, id);
    assert_eq!(of_it.len(), 1, "{id}: {of_it:?}");
    of_it[0]
}

fn so_far(agent: &Agent) -> Points {
    Points::in_dir(&agent.dir.join("data/points"))
}

/// A flush that does not come in a test, but when the agent stops.
const NO_FLUSH: &str = "flush_interval = \"1h\"\n";

#[test]
fn the_first_batch_is_labelled_though_mesos_knows_the_container_later_than_we() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::start(World::default());
    let config = format!("flush_interval = \"2s\"\n{}", mesos.config());
    let agent = Start::in_dir(&dir).config(&config).start();
    let long = format!("{}ü", "x".repeat(255));
    let labels = [
        ("DCOS_SERVICE_NAME", "/shop/cart"),
        ("DCOS_METRICS_team", "blue"),
        ("DCOS_METRICS_long", &long),
        ("DCOS_METRICS_task_id", "forged"),
        ("DCOS_SPACE", "/shop"),
    ];
    let task = task("cart.1", Some("shop.executor"), &["inner", "outer"], &labels);

    let port = agent.register("inner");
    send(port, "orders:3|c|#page:home");
    // The isolator waits for our answer before Mesos lists the container.
    let asked = mesos.polls();
    wait_for(|| mesos.polls() > asked, "a first, vain look");
    mesos.knows(World::running([task]));

    wait_for(|| !of(&so_far(&agent), "inner").is_empty(), "the container's first batch");
    let points = agent.stop();
    let mut point = only(&points, "inner").clone();
    for unforeseen in ["ts", "interval_ms", "boot_id", "seq"] {
        point.as_object_mut().unwrap().remove(unforeseen).unwrap();
    }
    let expected = json!({
        "name": "orders", "kind": "counter", "stat": "sum", "value": 3.0, "unit": "",
        "host": "10.1.2.3", "cluster_id": "", "agent_id": "node-S7",
        "framework_id": "shop-0001", "framework_name": "shopkeeper",
        "executor_id": "shop.executor", "task_id": "cart.1", "task_name": "cart",
        "container_id": "inner",
        "tags": {
            "parent_container_id": "outer", "executor_name": "shop executor",
            "framework_role": "shop_role", "framework_principal": "shop_principal",
            "DCOS_SERVICE_NAME": "/shop/cart", "team": "blue", "long": "x".repeat(255),
            "page": "home",
        },
    });
    assert_eq!(point, expected);
}

#[test]
fn every_sort_of_container_is_told_what_mesos_has_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let listed = |chain: &[&str], executor: Option<(&str, &str)>| match executor {
        None => json!({"container_id": container_id(chain)}),
        Some((id, name)) => json!({
            "container_id": container_id(chain),
            "framework_id": {"value": "shop-0001"},
            "executor_id": {"value": id},
            "executor_name": name,
        }),
    };
    let shop = Some(("shop.executor", "shop executor"));
    let mut world = World::running([task(
        "pod.1",
        Some("shop.executor"),
        &["nested", "pod"],
        &[("DCOS_METRICS_of", "pod")],
    )]);
    world.tasks.push(("launched_tasks", task("plain.1", None, &["plain"], &[])));
    world.containers.extend([
        listed(&["pod"], shop),
        listed(&["check", "nested", "pod"], None),
        listed(&["plain"], Some(("plain.1", "Command Executor (Task: plain.1)"))),
        listed(&["idle"], Some(("spare", "spare one"))),
        listed(&["alone"], None),
        listed(&["in-alone", "alone"], None),
    ]);
    let mesos = Mesos::start(world);
    let agent = Start::in_dir(&dir).config(NO_FLUSH).config(&mesos.config()).start();
    // Container; its parent, executor, the executor's name, its task.
    let expected = [
        ("nested", "pod", "shop.executor", "shop executor", "pod.1"),
        ("pod", "", "shop.executor", "shop executor", ""),
        ("check", "nested", "shop.executor", "shop executor", ""),
        ("plain", "", "plain.1", "Command Executor (Task: plain.1)", "plain.1"),
        ("idle", "", "spare", "spare one", ""),
        ("alone", "", "", "", ""),
        ("in-alone", "alone", "", "", ""),
        ("unheard-of", "", "", "", ""),
    ];
    for (id, ..) in expected {
        send(agent.register(id), "a:1|c");
    }
    mesos.told();
    agent.received(expected.len() as u64);

    let points = agent.stop();
    for (id, parent, executor, executor_name, task) in expected {
        let point = only(&points, id);
        let tag = |key: &str| point["tags"][key].as_str().unwrap_or_default();
        assert_eq!(tag("parent_container_id"), parent, "{point}");
        assert_eq!(point["executor_id"], executor, "{point}");
        assert_eq!(tag("executor_name"), executor_name, "{point}");
        assert_eq!(point["task_id"], task, "{point}");
        assert_eq!(point["task_name"], task.trim_end_matches(".1"), "{point}");
        let is_of_framework = !executor.is_empty();
        assert_eq!(point["framework_name"], if is_of_framework { "shopkeeper" } else { "" });
        assert_eq!(tag("framework_principal").is_empty(), !is_of_framework, "{point}");
        assert_eq!(tag("of"), if id == "nested" { "pod" } else { "" }, "{point}");
    }
}

#[test]
fn a_task_that_lived_two_seconds_leaves_labelled_when_its_container_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    // Its container is listed no more, and its executor and framework have ended with it.
    let brief = |id, container| task(id, Some("shop.executor"), &[container], &[]);
    let tasks = vec![
        ("terminated_tasks", brief("brief.1", "acknowledged-not-yet")),
        ("completed_tasks", brief("brief.2", "over")),
    ];
    let mesos = Mesos::start(World { tasks, is_over: true, ..World::default() });
    let agent = Start::in_dir(&dir).config(NO_FLUSH).config(&mesos.config()).start();
    let ids = ["acknowledged-not-yet", "over"];
    for id in ids {
        send(agent.register(id), "worked:1|c");
    }
    mesos.told();
    for id in ids {
        assert_eq!(agent.ask("DELETE", &format!("/container/{id}"), "").0, 202);
    }
    wait_for(|| so_far(&agent).0.len() == 2, "the points of the removed containers");
    let points = agent.stop();
    for (id, task) in ids.into_iter().zip(["brief.1", "brief.2"]) {
        let point = only(&points, id);
        assert_eq!(point["task_id"], task);
        assert_eq!(point["framework_name"], "shopkeeper");
        assert_eq!(point["tags"]["executor_name"], "shop executor");
    }
}

#[test]
fn whatever_mesos_does_nothing_is_lost_and_points_have_their_containers_id() {
    let absent = Reserved::new();
    let gone = format!("[mesos]\nurl = \"http://{}\"\n", absent.address());
    let ok = |body: &str| Mesos::broken(Reply::Answer(200, body.to_owned())).config();
    let cut_off = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"type\":\"GET_STATE\",";
    let configs = [
        gone,
        Mesos::broken(Reply::Answer(500, "Internal Server Error".to_owned())).config(),
        Mesos::broken(Reply::Answer(503, "Agent has not finished recovery".to_owned())).config(),
        Mesos::broken(Reply::Raw("SSH-2.0-OpenSSH_9.6\r\n")).config(),
        Mesos::broken(Reply::Raw(cut_off)).config(),
        ok("{\"type\":\"GET_STATE\",\"get_state\":[1,2"),
        ok("{\"type\":\"ERROR\",\"get_state\":{\"get_tasks\":7},\"get_containers\":null}"),
        Mesos::broken(Reply::Hang).config() + "timeout = \"1m\"\n",
    ];
    thread::scope(|scope| {
        for config in configs {
            scope.spawn(move || lose_nothing(&config));
        }
    });
}

fn lose_nothing(config: &str) {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config(config).start();
    let ids = ["a", "b", "c", "d", "e"];
    let register = |id| {
        let start = Instant::now();
        (agent.register(id), start.elapsed())
    };
    let (ports, mut took): (Vec<SocketAddr>, Vec<Duration>) = ids.map(register).into_iter().unzip();
    // One may meet a busy machine, most do not.
    took.sort();
    assert!(took[2] < Duration::from_millis(500), "{took:?} with {config}");
    for port in ports {
        send(port, "hits:1|c\nhits:2|c");
    }
    wait_for(|| so_far(&agent).0.len() == ids.len(), "a point of each container");
    let status = agent.status();
    let points = agent.stop();
    for id in ids {
        let point = only(&points, id);
        assert_eq!((&point["value"], &point["task_id"]), (&json!(3.0), &json!("")), "{config}");
    }
    assert_eq!(status["total"]["aggregated"], 10);
    assert_eq!(status["waiting"], 0);
}

#[test]
fn a_container_is_labelled_once_mesos_is_well_again_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::broken(Reply::Answer(500, String::new()));
    let agent = Start::in_dir(&dir).config(&mesos.config()).start();
    send(agent.register("cart"), "level:5|g");
    wait_for(|| !of(&so_far(&agent), "cart").is_empty(), "a point without labels");
    mesos.knows(World::running([task("cart.1", Some("shop.executor"), &["cart"], &[])]));
    let is_labelled = |point: &&Value| point["task_id"] == "cart.1";
    wait_for(|| of(&so_far(&agent), "cart").iter().any(is_labelled), "a point with labels");
    // What was known stays known.
    let before = mesos.polls();
    mesos.knows(World::default());
    wait_for(|| mesos.polls() > before, "a poll that does not find it");
    let now = so_far(&agent).0.len();
    wait_for(|| so_far(&agent).0.len() > now + 1, "two more flushes");

    let points = agent.stop();
    let labelled: Vec<bool> = of(&points, "cart").iter().map(is_labelled).collect();
    assert!(labelled.is_sorted() && !labelled[0], "{labelled:?}");
}

#[test]
fn a_containers_points_wait_for_mesos_one_flush_at_most_and_a_listeners_never() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::broken(Reply::Hang);
    let config = mesos.config() + "timeout = \"1m\"\n";
    let agent = Start::in_dir(&dir).config(&config).start();
    let port = agent.register("patient");
    agent.send("clock:1|g");
    send(port, "level:5|g\nother:6|g");
    // Each flush has them anew.
    agent.status_when(|status| status["waiting"] == 2);
    wait_for(|| of(&so_far(&agent), "patient").len() >= 6, "three flushes of a container");

    let points = agent.stop();
    let number = |point: &Value, field: &str| point[field].as_i64().unwrap();
    let clock: Vec<_> = points.0.iter().filter(|point| point["name"] == "clock").collect();
    let flushes = clock.iter().map(|point| number(point, "ts"));
    assert!(flushes.is_sorted_by(|a, b| a < b));
    let of_container = of(&points, "patient");
    for point in &of_container[..of_container.len() - 2] {
        let (ts, seq) = (number(point, "ts"), number(point, "seq"));
        // The clock's point of the same flush did not wait, and so was numbered before it; the
        // one of the next flush after it.
        for tick in &clock {
            assert_eq!(number(tick, "ts") <= ts, number(tick, "seq") < seq, "{tick} and {point}");
        }
    }
    // The stop made the last flush, in which nothing waits.
    let last = of_container[of_container.len() - 1];
    assert_eq!(last["ts"], clock[clock.len() - 1]["ts"]);
}

#[test]
fn a_removal_ends_the_wait_for_mesos() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::broken(Reply::Hang);
    let config = mesos.config() + "timeout = \"1m\"\n";
    let agent = Start::in_dir(&dir).config(&config).start();
    send(agent.register("removed"), "level:5|g");
    agent.status_when(|status| status["waiting"] == 1);
    assert_eq!(agent.ask("DELETE", "/container/removed", "").0, 202);
    agent.status_when(|status| status["waiting"] == 0);
    let points = agent.stop();
    assert!(points.0.len() >= 2);
    // What waited left before what came last, not with the flush after it.
    assert!(points.0.is_sorted_by(|a, b| a["ts"].as_i64() < b["ts"].as_i64()), "{:?}", points.0);
}

#[test]
fn a_stop_ends_the_wait_for_mesos() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::broken(Reply::Hang);
    let config = format!("flush_interval = \"1s\"\n{}timeout = \"1m\"\n", mesos.config());
    let agent = Start::in_dir(&dir).config(&config).start();
    let port = agent.register("waiting");
    send(port, "hits:1|c");
    agent.status_when(|status| status["waiting"] == 1);
    send(port, "hits:2|c");
    assert_eq!(agent.stop().sum("hits", "sum"), 3.0);
}

#[test]
fn without_mesos_nothing_waits() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let port = agent.register("plain");
    send(port, "level:5|g");
    for flushes in 1..4 {
        wait_for(|| so_far(&agent).0.len() >= flushes, "a flush");
        assert_eq!(agent.status()["waiting"], 0);
    }
}

#[test]
fn a_clients_tag_that_has_a_labels_name_is_exported_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("DCOS_METRICS_team", "blue")];
    let task = task("cart.1", Some("shop.executor"), &["cart"], &labels);
    let mesos = Mesos::start(World::running([task]));
    let config = format!("{NO_FLUSH}[identity]\nlabels = {{ zone = \"z1\" }}\n{}", mesos.config());
    let agent = Start::in_dir(&dir).config(&config).start();
    let port = agent.register("cart");
    send(port, "hits:1|c|#team:red,zone:z9,path:/\nhits:2|c|#task_id:forged\nhits:4|c|#path:/");
    mesos.told();
    let clashes = |status: &Value| {
        let sources = status["sources"].as_array().unwrap();
        let of_it = sources.iter().find(|source| source["container_id"] == "cart").unwrap();
        (of_it["received"]["samples"].clone(), of_it["notes"]["tag_clash"].clone())
    };
    // The reader knows the identity's names; labels are known where they are joined, at the flush.
    agent.status_when(|status| clashes(status) == (json!(3), json!(1)));
    assert_eq!(agent.ask("DELETE", "/container/cart", "").0, 202);
    agent.status_when(|status| clashes(status) == (json!(3), json!(2)));

    let points = agent.stop();
    let tags = |value: f64| {
        let point = points.0.iter().find(|point| point["value"] == value).unwrap();
        let mut tags = point["tags"].as_object().unwrap().clone();
        for field in ["executor_name", "framework_role", "framework_principal"] {
            tags.remove(field).unwrap();
        }
        Value::from(tags)
    };
    let exported = json!({"exported_team": "red", "exported_zone": "z9"});
    let mut clashing = json!({"team": "blue", "zone": "z1", "path": "/"});
    clashing.as_object_mut().unwrap().extend(exported.as_object().unwrap().clone());
    assert_eq!(tags(1.0), clashing);
    assert_eq!(tags(2.0), json!({"team": "blue", "zone": "z1", "exported_task_id": "forged"}));
    assert_eq!(tags(4.0), json!({"team": "blue", "zone": "z1", "path": "/"}));
}

#[test]
fn who_the_node_is_stands_on_every_point_of_containers_and_listeners() {
    let mesos = Mesos::start(World::default());
    let identity = "[identity]\nlabels = { rack = \"r4\", row = \"7\" }\n";
    let configured = "agent_id = \"mine\"\ncluster_id = \"ours\"\nhost = \"10.9.9.9\"\n";
    for (config, expected) in [
        (identity.to_owned(), ["node-S7", "", "10.1.2.3"]),
        // The operator's word beats what Mesos says.
        (format!("{identity}{configured}"), ["mine", "ours", "10.9.9.9"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = format!("{NO_FLUSH}{config}{}", mesos.config());
        let agent = Start::in_dir(&dir).config(&config).start();
        agent.send("a:1|c");
        send(agent.register("c"), "a:1|c");
        mesos.told();
        agent.received(2);
        let points = agent.stop().0;
        assert_eq!(points.len(), 2);
        for point in points {
            let [agent_id, cluster_id, host] = expected;
            assert_eq!(point["agent_id"], agent_id, "{point}");
            assert_eq!(point["cluster_id"], cluster_id, "{point}");
            assert_eq!(point["host"], host, "{point}");
            assert_eq!(point["tags"], json!({"rack": "r4", "row": "7"}));
        }
    }
}
