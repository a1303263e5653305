use serde_json::{Value, json};

use super::*;
use crate::answer;

fn id(value: &str) -> Value {
    json!({ "value": value })
}

fn nested(ids: &[&str]) -> Value {
    let mut ids = ids.iter().rev();
    let mut inner = id(ids.next().unwrap());
    for value in ids {
        inner = json!({"value": value, "parent": inner});
    }
    inner
}

// A task in the container with this chain of ids, from the leaf up.
fn task(name: &str, executor: Option<&str>, container: &[&str]) -> Value {
    let mut task = json!({
        "name": format!("{name} name"), "task_id": id(name), "framework_id": id("F"),
        "statuses": [{"state": "TASK_STAGING"}],
        "labels": {"labels": [{"key": "DCOS_METRICS_TASK", "value": name}]},
    });
    if let Some(executor) = executor {
        task["executor_id"] = id(executor);
    }
    if !container.is_empty() {
        let status = json!({"container_status": {"container_id": nested(container)}});
        task["statuses"].as_array_mut().unwrap().push(status);
    }
    task
}

fn listed(executor: Option<&str>, container: &[&str]) -> Value {
    match executor {
        Some(executor) => json!({
            "container_id": nested(container), "framework_id": id("F"),
            "executor_id": id(executor), "executor_name": format!("{executor} listed"),
        }),
        None => json!({ "container_id": nested(container) }),
    }
}

fn state(tasks: &Value) -> State {
    let executor = |id: &str| {
        json!({"executor_info": {"executor_id": {"value": id},
        "framework_id": {"value": "F"}, "name": format!("{id} name")}})
    };
    let answer = json!({"type": "GET_STATE", "get_state": {
        "get_tasks": tasks,
        "get_executors": {"executors": [executor("E")], "completed_executors": [executor("Old")]},
        "get_frameworks": {"completed_frameworks": [{"framework_info":
            {"id": {"value": "F"}, "name": "F name", "role": "F role", "principal": "F principal"}}]},
    }});
    answer::state(answer.to_string().as_bytes()).unwrap()
}

fn containers(listed: &[Value]) -> Containers {
    let answer = json!({"type": "GET_CONTAINERS", "get_containers": {"containers": listed}});
    answer::containers(answer.to_string().as_bytes()).unwrap()
}

// parent / executor (its name) / framework / task, then `...` if more is to be expected.
fn tell(census: &Census, container_id: &str) -> String {
    let Some(found) = census.find(container_id, &LabelRules::default()) else {
        return "unknown".to_owned();
    };
    let who = found.dimensions;
    let framework = [&who.framework_name, &who.framework_role, &who.framework_principal];
    assert!(framework.iter().all(|text| text.is_empty()) || who.framework_id == "F");
    assert_eq!(who.task_id.is_empty(), who.labels.is_empty());
    format!(
        "{}/{} ({})/{} ({})/{}{}",
        who.parent_container_id,
        who.executor_id,
        who.executor_name,
        who.framework_id,
        who.framework_name,
        who.task_name,
        if found.complete { "" } else { "..." },
    )
}

#[test]
fn every_shape_of_task_and_container_is_told_apart() {
    let tasks = json!({
        "launched_tasks": [
            task("plain", Some("E"), &["plain-c"]),
            task("bare", None, &["bare-c"]),
            task("pod-1", Some("E"), &["pod-1-c", "pod"]),
            task("deep", Some("E"), &["deep-c", "middle", "pod"]),
            task("nowhere", Some("E"), &[]),
        ],
        "terminated_tasks": [task("short", Some("Old"), &["short-c"])],
        "completed_tasks": [task("shorter", Some("Old"), &["shorter-c"]), task("plain-before", None, &["plain-c"])],
        "queued_tasks": [task("command", None, &[])],
        "pending_tasks": [task("pending", Some("E"), &[])],
    });
    let listing = [
        listed(Some("E"), &["plain-c"]),
        listed(Some("E"), &["pod"]),
        listed(Some("E"), &["check", "pod-1-c", "pod"]),
        listed(Some("command"), &["command-c"]),
        listed(Some("Idle"), &["idle-c"]),
        listed(None, &["standalone"]),
        listed(None, &["inner", "standalone"]),
        listed(None, &["young", "pod"]),
    ];
    let state_only = Census::new(Some(state(&tasks)), None);
    let containers_only = Census::new(None, Some(containers(&listing)));
    let both = Census::new(Some(state(&tasks)), Some(containers(&listing)));
    for (container_id, by_state, by_containers, by_both) in [
        (
            "plain-c",
            "/E (E name)/F (F name)/plain name",
            "/E (E listed)/F ()/...",
            "/E (E name)/F (F name)/plain name",
        ),
        ("bare-c", "/ ()/F (F name)/bare name", "unknown", "/ ()/F (F name)/bare name"),
        (
            "pod-1-c",
            "pod/E (E name)/F (F name)/pod-1 name",
            "pod/E (E listed)/F ()/...",
            "pod/E (E name)/F (F name)/pod-1 name",
        ),
        ("pod", "/E (E name)/F (F name)/", "/E (E listed)/F ()/...", "/E (E name)/F (F name)/"),
        (
            "deep-c",
            "middle/E (E name)/F (F name)/deep name",
            "unknown",
            "middle/E (E name)/F (F name)/deep name",
        ),
        ("middle", "pod/E (E name)/F (F name)/", "unknown", "pod/E (E name)/F (F name)/"),
        (
            "short-c",
            "/Old (Old name)/F (F name)/short name",
            "unknown",
            "/Old (Old name)/F (F name)/short name",
        ),
        (
            "shorter-c",
            "/Old (Old name)/F (F name)/shorter name",
            "unknown",
            "/Old (Old name)/F (F name)/shorter name",
        ),
        ("check", "unknown", "pod-1-c/E (E listed)/F ()/...", "pod-1-c/E (E name)/F (F name)/..."),
        // Mesos's own executor for a task is called like the task, which has no status yet.
        (
            "command-c",
            "unknown",
            "/command (command listed)/F ()/...",
            "/command (command listed)/F (F name)/command name",
        ),
        ("idle-c", "unknown", "/Idle (Idle listed)/F ()/...", "/Idle (Idle listed)/F (F name)/..."),
        ("standalone", "unknown", "/ ()/ ()/", "/ ()/ ()/"),
        ("inner", "unknown", "standalone/ ()/ ()/", "standalone/ ()/ ()/"),
        // Nested and without a word of its own: as its ancestor.
        ("young", "unknown", "pod/E (E listed)/F ()/...", "pod/E (E name)/F (F name)/..."),
        ("stranger", "unknown", "unknown", "unknown"),
    ] {
        assert_eq!(tell(&state_only, container_id), by_state, "{container_id} by state");
        assert_eq!(
            tell(&containers_only, container_id),
            by_containers,
            "{container_id} by containers"
        );
        assert_eq!(tell(&both, container_id), by_both, "{container_id} by both");
    }
}

#[test]
fn the_first_status_with_a_container_counts() {
    let mut restarted = task("t", Some("E"), &["first"]);
    let later = json!({"container_status": {"container_id": id("second")}});
    restarted["statuses"].as_array_mut().unwrap().push(later);
    let census = Census::new(Some(state(&json!({"launched_tasks": [restarted]}))), None);
    assert_eq!(tell(&census, "first"), "/E (E name)/F (F name)/t name");
    assert_eq!(tell(&census, "second"), "unknown");
}

#[test]
fn a_text_without_end_is_cut_and_a_task_without_an_id_is_nobodys() {
    let mut long = task(&"ü".repeat(2000), None, &["c"]);
    long["framework_id"] = id(&"f".repeat(2000));
    let tasks = json!({"launched_tasks": [long, {}, []]});
    let census = Census::new(Some(state(&tasks)), Some(containers(&[listed(None, &["alone"])])));
    let found = census.find("c", &LabelRules::default()).unwrap().dimensions;
    assert_eq!((found.task_id.len(), found.framework_id.len()), (1024, 1024));
    assert_eq!(tell(&census, "alone"), "/ ()/ ()/");
}

#[test]
fn ids_nested_in_a_circle_end() {
    let tasks =
        json!({"launched_tasks": [task("t", None, &["a", "b"]), task("u", None, &["b", "a"])]});
    let census = Census::new(Some(state(&tasks)), None);
    assert_eq!(tell(&census, "a"), "b/ ()/F (F name)/t name");
}

#[test]
fn a_container_is_lacking_only_if_every_word_of_mesos_agrees() {
    let runs = || state(&json!({"launched_tasks": [task("t", Some("E"), &["nested", "root"])]}));
    let ended = || state(&json!({"completed_tasks": [task("t", Some("E"), &["nested", "root"])]}));
    let other = || containers(&[listed(Some("E"), &["other"])]);
    let unread = || containers(&[listed(Some("E"), &["other"]), json!({"container_id": 3})]);
    let here = || containers(&[listed(Some("E"), &["nested", "root"])]);
    let none = || containers(&[]);
    for (state, containers, root_is_lacking) in [
        (None, None, false),
        (Some(ended()), None, false),
        (None, Some(other()), true),
        (Some(ended()), Some(other()), true),
        (Some(runs()), Some(other()), false),
        (None, Some(here()), false),
        (None, Some(unread()), false),
        // An empty list counts only beside a state that does not have the container either.
        (None, Some(none()), false),
        (Some(runs()), Some(none()), false),
        (Some(ended()), Some(none()), true),
    ] {
        let shape = format!("{state:?} {containers:?}");
        let census = Census::new(state, containers);
        assert_eq!(census.lacks("root"), root_is_lacking, "{shape}");
        assert_eq!(census.lacks("nested"), root_is_lacking, "{shape}");
    }
}
