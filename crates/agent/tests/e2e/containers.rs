//! Containers that register, each with a port of its own.

use std::fs;
use std::net::{SocketAddr, UdpSocket};

use serde_json::{Value, json};

use crate::harness::{Agent, Start, ask_unix, send};

fn source<'a>(status: &'a Value, id: &str) -> &'a Value {
    let sources = status["sources"].as_array().unwrap();
    sources.iter().find(|source| source["container_id"] == id).unwrap()
}

fn received(agent: &Agent, id: &str, samples: u64) {
    agent.status_when(|status| source(status, id)["received"]["samples"] == samples);
}

#[test]
fn a_container_is_known_by_its_socket_and_no_tag_can_change_that() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let (a, b) = (agent.register("a"), agent.register("b"));
    send(a, "hits:1|c\nhits:1|c|#container_id:b,task_name:forged,path:/");
    send(b, "hits:5|c");
    received(&agent, "a", 2);
    received(&agent, "b", 1);
    assert_eq!(source(&agent.status(), "a")["notes"]["tag_clash"], 1);
    let points = agent.stop();
    let of_a: Vec<_> = points.0.iter().filter(|point| point["container_id"] == "a").collect();
    assert_eq!(of_a.len(), 2);
    let forged = json!({"exported_container_id": "b", "exported_task_name": "forged", "path": "/"});
    assert!(of_a.iter().any(|point| point["tags"] == forged), "{of_a:?}");
    assert!(of_a.iter().all(|point| point["task_name"] == ""));
}

#[test]
fn the_isolator_registers_lists_and_removes_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("registration.sock");
    let config = format!("[containers]\napi = [\"unix:{}\"]\n", socket.display());
    let agent = Start::in_dir(&dir).config(&config).start();
    let ask = |method, path, body| ask_unix(&socket, method, path, body);

    let (status, first) = ask("POST", "/container", r#"{"container_id":"abc"}"#);
    assert_eq!(status, 201);
    assert!(first.starts_with(r#"{"container_id":"abc","statsd_host":"127.0.0.1","statsd_port":"#));
    assert_eq!(
        ask("POST", "/container", r#"{"container_id":"abc","statsd_port":9}"#),
        (201, first.clone())
    );
    assert_eq!(ask("GET", "/container/abc", ""), (200, first.clone()));
    assert_eq!(ask("GET", "/containers", ""), (200, format!("[{first}]")));
    let file = dir.path().join("data/containers/abc");
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    assert_eq!(ask("DELETE", "/container/abc", "").0, 202);
    assert_eq!(
        ask("DELETE", "/container/abc", ""),
        (404, "Container \"abc\" not found".to_owned())
    );
    assert!(!file.exists());
    assert_eq!(ask("GET", "/containers", ""), (200, "[]".to_owned()));
    // Registration is not served twice.
    assert_eq!(agent.ask("GET", "/containers", "").0, 404);
}

#[test]
fn containers_keep_their_ports_over_a_restart_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let port = agent.register("steady");
    agent.stop();
    let agent = Start::in_dir(&dir).start();
    send(port, "after:1|c");
    received(&agent, "steady", 1);
    assert_eq!(agent.register("steady"), port);
    agent.kill();
    let agent = Start::in_dir(&dir).start();
    send(port, "after:1|c");
    received(&agent, "steady", 1);
    assert_eq!(agent.stop().values("after", "sum").last(), Some(&1.0));
}

#[test]
fn files_of_both_dcos_eras_are_read_and_bad_ones_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let containers = dir.path().join("data/containers");
    fs::create_dir_all(&containers).unwrap();
    let free = |_| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ports: Vec<SocketAddr> = (0..2).map(free).collect();
    let write = |name: &str, text: String| fs::write(containers.join(name), text).unwrap();
    write(
        "new",
        format!(
            r#"{{"container_id":"new","statsd_host":"127.0.0.1","statsd_port":{}}}"#,
            ports[0].port()
        ),
    );
    write(
        "old",
        format!(
            "{{ \"statsd_port\": {}, \"container_id\": \"old\",\n \"statsd_host\": \"127.0.0.1\" }}\n",
            ports[1].port()
        ),
    );
    write("bad", "{\"container_id\":".to_owned());
    let agent = Start::in_dir(&dir).start();
    send(ports[0], "a:1|c");
    send(ports[1], "a:1|c");
    received(&agent, "new", 1);
    received(&agent, "old", 1);
    assert!(containers.join("bad.bad").exists());
    agent.says(&["set aside"]);
}

#[test]
fn points_of_a_container_leave_at_once_when_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    // A flush that does not come in this test.
    let agent = Start::in_dir(&dir).config("flush_interval = \"1h\"\n").start();
    let port = agent.register("brief");
    for _ in 0..100 {
        send(port, "worked:1|c\nlevel:3|g");
    }
    assert_eq!(agent.ask("DELETE", "/container/brief", "").0, 202);
    let data = dir.path().join("data/points");
    crate::harness::wait_for(
        || crate::harness::Points::in_dir(&data).0.len() == 2,
        "the points of the removed container",
    );
    let status = agent.status();
    let line = source(&status, "brief");
    assert_eq!((&line["ended"], &line["received"]["samples"]), (&json!(true), &json!(200)));
    let points = agent.stop();
    assert_eq!(points.sum("worked", "sum"), 100.0);
    assert_eq!(points.first("level")["value"], 3.0);
    assert!(points.first("worked")["interval_ms"].as_i64().unwrap() < 3_600_000);
}

#[test]
fn a_port_that_is_taken_is_shown_and_a_post_gets_another() {
    let dir = tempfile::tempdir().unwrap();
    let containers = dir.path().join("data/containers");
    fs::create_dir_all(&containers).unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let text =
        format!(r#"{{"container_id":"late","statsd_host":"127.0.0.1","statsd_port":{port}}}"#);
    fs::write(containers.join("late"), text).unwrap();
    let agent = Start::in_dir(&dir).start();
    assert_eq!(source(&agent.status(), "late")["unbound"], true);
    let given = agent.register("late");
    assert_ne!(given.port(), port);
    send(given, "a:1|c");
    received(&agent, "late", 1);
    assert_eq!(source(&agent.status(), "late")["unbound"], false);
}

#[test]
fn thousands_of_containers_come_and_go_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let descriptors =
        |agent: &Agent| fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    let threads =
        |agent: &Agent| fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().count();
    let pair = |agent: &Agent, id: &str| {
        let port = agent.register(id);
        send(port, "a:1|c");
        assert_eq!(agent.ask("DELETE", &format!("/container/{id}"), "").0, 202);
    };
    (0..20).for_each(|n| pair(&agent, &format!("warm-{n}")));
    let before = (descriptors(&agent), threads(&agent));
    (0..2_000).for_each(|n| pair(&agent, &format!("c-{n}")));
    let status = agent.received(2_020);
    let after = (descriptors(&agent), threads(&agent));
    // A connection may just be closing.
    assert!(after.0 <= before.0 + 2 && after.1 <= before.1, "{before:?} then {after:?}");
    assert_eq!(fs::read_dir(dir.path().join("data/containers")).unwrap().count(), 0);
    assert_eq!(status["total"]["aggregated"], 2_020);
    // Each keeps its line for an hour.
    assert_eq!(status["sources"].as_array().unwrap().len(), 2_021);
    assert_eq!(agent.stop().sum("a", "sum"), 2_020.0);
}
