//! What a running agent says of itself: `weir status`, `weir cardinality`, and what they ask.

use std::process::{Command, Output};

use serde_json::Value;

use crate::bounds::of;
use crate::harness::{Agent, Start, send, wait_for};

/// Runs the program: its exit status, what it printed, what it complained about.
pub(crate) fn weir(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Where an agent is asked.
pub(crate) fn at(agent: &Agent) -> String {
    agent.http.unwrap().to_string()
}

fn cardinality(agent: &Agent, query: &str) -> Value {
    let (status, body) = agent.ask("GET", &format!("/cardinality.json{query}"), "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn the_status_is_a_table_whose_exit_status_tells_of_losses() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let (good, bad) = (agent.register("good"), agent.register("bad"));
    send(good, "n:1|c");
    agent.received(1);
    let (code, told, _) = weir(&["status", "--http", &at(&agent)]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("lost in the last minute: 0 samples, 0 datagrams, 0 points"), "{told}");

    send(bad, "n:x|c\nn:1|c");
    agent.received(3);
    let (code, told, _) = weir(&["status", "--http", &format!("http://{}/", at(&agent))]);
    assert_eq!(code, Some(1), "{told}");
    let rows: Vec<_> = told.lines().skip_while(|line| !line.contains("LOST")).collect();
    assert!(rows[1].ends_with(&format!("container bad :{} (bad_value 1)", bad.port())), "{told}");
    let (code, json, _) = weir(&["status", "--json", "--http", &at(&agent)]);
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &status["lost_last_minute"]["samples"]), (Some(1), &Value::from(1)));

    // Its line stays, with the port that it had.
    let (deleted, _) = agent.ask("DELETE", "/container/bad", "");
    assert_eq!(deleted, 202);
    let status = agent.status_when(|status| of(status, "bad")["ended"] == true);
    assert_eq!(of(&status, "bad")["port"], bad.port());
    let (_, told, _) = weir(&["status", "--http", &at(&agent)]);
    let line = format!("container bad :{}, ended (bad_value 1)", bad.port());
    assert!(told.contains(&line), "{told}");

    let http = at(&agent);
    agent.stop();
    let (code, told, error) = weir(&["status", "--http", &http]);
    assert_eq!((code, &*told), (Some(2), ""));
    assert!(error.contains(&format!("no agent answers at tcp://{http}")), "{error}");
    let (code, _, error) = weir(&["status", "--http", "8126"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("8126"), "{error}");
}

#[test]
fn whoever_explodes_is_named_and_the_rule_that_is_told_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config("workers = 2\n").start();
    let (loud, quiet) = (agent.register("loud"), agent.register("quiet"));
    let explode = |port| {
        for user in 0..500 {
            send(port, format!("http.time:1|ms|#page:p{},user:u{user}", user % 4));
        }
    };
    explode(loud);
    send(quiet, "a:1|c\nb:1|c|#k:v");
    agent.received(502);
    let told = cardinality(&agent, "");
    assert_eq!((&told["series"], &told["complete"]), (&502.into(), &true.into()));
    let first = &told["sources"][0];
    assert_eq!((&first["container_id"], &first["series"]), (&"loud".into(), &500.into()));
    assert_eq!((&first["limit"], &first["task_name"]), (&10_000.into(), &"".into()));
    assert_eq!(first["details"]["names"][0]["name"], "http.time");
    assert_eq!(first["details"]["names"][0]["series"], 500);
    let tags = &first["details"]["tags"];
    assert_eq!((&tags[0]["key"], &tags[1]["key"]), (&"user".into(), &"page".into()));
    assert!((400..600).contains(&tags[0]["values"].as_u64().unwrap()), "{tags}");
    assert_eq!(tags[1]["values"], 4);
    let quiet_line = &told["sources"][1];
    assert_eq!((&quiet_line["series"], &quiet_line["details"]["rule"]), (&2.into(), &Value::Null));

    let of_one = cardinality(&agent, "?container=quiet");
    assert_eq!(of_one["sources"].as_array().unwrap().len(), 1);
    assert_eq!(of_one["series"], 502);
    let (code, shown, _) = weir(&["cardinality", "--http", &at(&agent), "--container", "loud"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("drop_tags = [\"user\"]") && !shown.contains("quiet"), "{shown}");
    let (code, shown, _) = weir(&["cardinality", "--http", &at(&agent), "--container", "x y"]);
    assert_eq!(code, Some(2));
    assert!(shown.contains("no series"), "{shown}");
    let (_, json, _) = weir(&["cardinality", "--http", &at(&agent), "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["version"], 1);
    agent.stop();

    let dir = tempfile::tempdir().unwrap();
    let rule = first["details"]["rule"].as_str().unwrap();
    let agent = Start::in_dir(&dir).config(rule).start();
    explode(agent.register("loud"));
    let status = agent.received(500);
    assert_eq!(status["total"]["series"], 4);
}

#[test]
fn the_same_trouble_of_a_source_is_one_line_of_the_log_however_often_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let (a, b) = (agent.register("a"), agent.register("b"));
    for n in 0..300 {
        send(a, format!("bad\x1b[31m{n}\n{}:1|q", "x".repeat(500)));
        send(b, format!("bad {n}"));
    }
    agent.received(900);
    let lines = |of: &[&str]| {
        agent.log().lines().filter(|line| of.iter().all(|part| line.contains(part))).count()
    };
    wait_for(|| lines(&["container b", "no_value", "example=bad 0"]) == 1, "the second line");
    assert_eq!(lines(&["container a", "no_value", "example=bad\\x1b[31m0"]), 1);
    assert_eq!(lines(&["container a", "unknown_kind", &"x".repeat(200)]), 1);
    assert_eq!(lines(&["samples were refused"]), 3);
    assert!(!agent.log().contains(&"x".repeat(201)));
    assert!(!agent.log().contains("\x1b[31m0"));
}
