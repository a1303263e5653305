//! Tags and metrics that the operator has dropped.

use serde_json::Value;

use crate::bounds::of;
use crate::harness::{Start, send};
use crate::stand_in::{Mesos, World, task};

fn adds_up(account: &Value) -> bool {
    let number = |path: &str| account.pointer(path).unwrap().as_u64().unwrap();
    let rejected: u64 =
        account["rejected"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
    let rest = number("/throttled/samples") + number("/over_series_limit");
    number("/received/samples") == number("/aggregated") + rejected + rest
}

#[test]
fn a_dropped_tag_joins_series_and_a_dropped_metric_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let config = "
        [[tag_rule]]
        metric = \"http.*\"
        drop_tags = [\"user_*\", \"container_id\"]
        [[tag_rule]]
        metric = \"debug.*\"
        drop = true
    ";
    let agent = Start::in_dir(&dir).config(config).start();
    let port = agent.register("c");
    for _ in 0..2 {
        for user in 0..50 {
            send(port, format!("http.time:1|c|#user_id:{user},page:home,user_name:x{user}"));
            send(port, format!("cpu:1|c|#user_id:{user}"));
        }
        // As good lines are read, as bad ones are, in one datagram with others.
        send(
            port,
            "debug.a:1|c\ndebug.a:1|c\ndebug.b:1:2:x|ms\ndebug.c:1|q\ndebug.d:u|s|#a:b\nok:1|c",
        );
        // A tag that goes clashes with nothing.
        send(port, "http.n:1|c|#container_id:forged");
        send(port, "http.late:1|c|#user_id:1|T1");
    }
    let status = agent.received(2 * (100 + 8 + 1 + 1));
    let account = of(&status, "c");
    assert!(adds_up(&account), "{account}");
    assert_eq!(account["rejected"]["dropped_by_rule"], 2 * 5);
    assert_eq!(account["rejected"]["bad_value"], 2);
    assert_eq!(account["rejected"]["unknown_kind"], 2);
    assert_eq!(account["notes"]["tag_clash"], 0);
    assert_eq!(account["notes"]["bad_timestamp"], 2);
    // One of all users, fifty of the other metric, and three.
    assert_eq!(account["series"], 1 + 50 + 3);
    assert_eq!(status["lost_last_minute"]["samples"], 4, "what was to be dropped is not lost");
    assert!(!agent.log().contains("dropped_by_rule"), "{}", agent.log());
    let points = agent.stop();
    assert_eq!(points.sum("http.time", "sum"), 100.0);
    let point = points.first("http.time");
    assert_eq!(point["tags"]["page"], "home");
    assert!(point["tags"].get("user_id").is_none() && point["tags"].get("user_name").is_none());
    assert!(points.0.iter().all(|point| !point["name"].as_str().unwrap().starts_with("debug")));
}

#[test]
fn a_rule_for_a_task_holds_from_when_its_name_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::start(World::default());
    let rules = "
        [[tag_rule]]
        metric = \"a\"
        task_name = \"cart\"
        drop_tags = [\"user\"]
        [[tag_rule]]
        metric = \"b\"
        task_name = \"cart\"
        drop = true
    ";
    let agent = Start::in_dir(&dir).config(&mesos.config()).config(rules).start();
    let (cart, other) = (agent.register("cart"), agent.register("other"));
    let lines = "a:1|c|#user:7\nb:1|c";
    send(cart, lines);
    send(other, lines);
    let status = agent.received(4);
    assert_eq!(of(&status, "cart")["aggregated"], 2);
    mesos.knows(World::running([
        task("cart.1", None, &["cart"], &[]),
        task("other.1", None, &["other"], &[]),
    ]));
    mesos.told();
    let mut sent = 4;
    let status = agent.status_when(|status| {
        send(cart, lines);
        send(other, lines);
        sent += 4;
        of(status, "cart")["rejected"]["dropped_by_rule"] != 0
    });
    assert_eq!(of(&status, "other")["rejected"]["dropped_by_rule"], 0);
    agent.received(sent);
    // Both are known by heart by now, and both go on as they should.
    for _ in 0..10 {
        send(cart, lines);
        send(other, lines);
    }
    let before = of(&status, "cart")["rejected"]["dropped_by_rule"].as_u64().unwrap();
    let all = sent + 40;
    let status = agent.received(all);
    assert!(adds_up(&of(&status, "cart")));
    let now = of(&status, "cart")["rejected"]["dropped_by_rule"].as_u64().unwrap();
    assert!(now >= before + 10, "{now}");
    assert_eq!(of(&status, "other")["aggregated"], all / 2);
    let points = agent.stop();
    let last = points.0.iter().rfind(|it| it["name"] == "a" && it["container_id"] == "cart");
    assert!(last.unwrap()["tags"].get("user").is_none());
}
