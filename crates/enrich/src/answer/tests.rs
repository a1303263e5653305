use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn state_of(answer: &Value) -> State {
    state(answer.to_string().as_bytes()).unwrap()
}

#[test]
fn one_odd_task_or_field_does_not_cost_the_others() {
    let good = json!({"task_id": {"value": "good"}, "name": "n", "statuses": [
        "odd",
        {"container_status": {"executor_pid": 1}},
        {"container_status": {"container_id": {"value": "c", "parent": {"value": "p"}}}},
        {"container_status": {"container_id": {"value": "later"}}},
    ]});
    let half = json!({"task_id": {"value": "half"}, "name": 3, "executor_id": "e", "labels": {"labels":
        [{"key": "k"}, {"value": "v"}, 4, {"key": "a", "value": null}, {"key": "b", "value": "v"}]}});
    let state = state_of(&json!({"type": "GET_STATE", "get_state": {
        "get_tasks": {"launched_tasks": [3, null, half, [], good], "completed_tasks": "none"},
        "get_executors": [],
        "get_frameworks": {"frameworks": [{"framework_info": {"id": {"value": "f"}, "roles": ["a", 1, "b"]}}]},
        "get_operations": {}
    }}));
    // The odd elements that are objects in some way are kept, empty.
    let ids: Vec<_> = state.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids.iter().filter(|id| !id.is_empty()).collect::<Vec<_>>(), [&"half", &"good"]);
    let half = state.tasks.iter().find(|task| task.id == "half").unwrap();
    assert_eq!((half.name.as_str(), half.executor_id.as_str()), ("", ""));
    let labels: Vec<_> = half.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("k", ""), ("a", ""), ("b", "v")]);
    let good = state.tasks.iter().find(|task| task.id == "good").unwrap();
    let chain: Vec<_> = good.container.as_ref().unwrap().chain().collect();
    assert_eq!(chain, ["c", "p"]);
    assert_eq!(state.frameworks[0].role, "a,b");
    assert_eq!(state.launched, state.tasks.len());
}

#[test]
fn launched_tasks_come_first_and_are_counted() {
    let task = |id: &str| json!([{"task_id": {"value": id}}]);
    let state = state_of(&json!({"get_state": {"get_tasks": {
        "pending_tasks": task("pending"), "queued_tasks": task("queued"),
        "completed_tasks": task("completed"), "terminated_tasks": task("terminated"),
        "launched_tasks": task("launched"),
    }}}));
    let ids: Vec<_> = state.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["launched", "terminated", "completed", "queued", "pending"]);
    assert_eq!(state.launched, 1);
}

#[test]
fn an_empty_answer_is_an_answer_and_another_is_none() {
    let empty = state(br#"{"type":"GET_STATE","get_state":{"get_tasks":{},"get_executors":{},"get_frameworks":{}}}"#);
    assert_eq!(empty.unwrap().tasks.len(), 0);
    let empty = containers(br#"{"type":"GET_CONTAINERS","get_containers":{}}"#);
    assert_eq!(empty.unwrap().listed.len(), 0);
    for garbage in [
        "",
        "<html>",
        "null",
        "[]",
        "{}",
        r#"{"type":"GET_STATE"}"#,
        r#"{"type":"GET_AGENT","get_state":{},"get_containers":{}}"#,
        r#"{"type":"GET_STATE","get_state":{"get_tasks":{"launched_tasks":["#,
    ] {
        assert!(state(garbage.as_bytes()).is_err(), "{garbage}");
        assert!(containers(garbage.as_bytes()).is_err(), "{garbage}");
    }
}

#[test]
fn a_list_that_is_none_or_was_cut_is_no_empty_list() {
    for garbage in [
        r#"{"type":"GET_CONTAINERS","get_containers":[]}"#,
        r#"{"type":"GET_CONTAINERS","get_containers":{"containers":{}}}"#,
        r#"{"type":"GET_CONTAINERS","get_containers":"none"}"#,
        r#"{"type":"GET_CONTAINERS","get_containers":null}"#,
    ] {
        assert!(containers(garbage.as_bytes()).is_err(), "{garbage}");
    }
}

#[test]
fn bytes_that_are_no_utf8_cost_only_what_they_stand_in() {
    let mut body =
        br#"{"get_state":{"get_tasks":{"launched_tasks":[{"task_id":{"value":"t"},"name":""#
            .to_vec();
    body.extend_from_slice(b"\xff\"}]}}}");
    let state = state(&body).unwrap();
    assert_eq!((state.tasks[0].id.as_str(), state.tasks[0].name.as_str()), ("t", "\u{fffd}"));
}

#[test]
fn an_agent_says_its_id_and_host() {
    let body = br#"{"type":"GET_AGENT","get_agent":{"agent_info":{"id":{"value":"x-S1"},"hostname":"10.0.5.42","port":5051}}}"#;
    let found = agent(body).unwrap();
    assert_eq!((found.id.as_str(), found.hostname.as_str()), ("x-S1", "10.0.5.42"));
    let young =
        agent(br#"{"type":"GET_AGENT","get_agent":{"agent_info":{"hostname":"h"}}}"#).unwrap();
    assert_eq!(young.id, "");
}

#[test]
fn an_id_nested_without_end_is_no_id() {
    let deep = |depth: usize| {
        let opened = r#"{"value":"x","parent":"#.repeat(depth);
        let id = format!(r#"{opened}{{"value":"root"}}{}"#, "}".repeat(depth));
        format!(
            r#"{{"get_containers":{{"containers":[{{"container_id":{id}}},{{"container_id":{{"value":"ok"}}}}]}}}}"#
        )
    };
    assert_eq!(containers(deep(100).as_bytes()).unwrap().listed[0].container.chain().count(), 101);
    let found = containers(deep(200_000).as_bytes()).unwrap();
    assert_eq!((found.listed.len(), found.unread), (1, 1));
    assert_eq!(found.listed[0].container.value, "ok");
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "type",
        "GET_STATE",
        "get_state",
        "get_tasks",
        "launched_tasks",
        "statuses",
        "container_status",
        "container_id",
        "value",
        "parent",
        "labels",
        "key",
        "get_executors",
        "executors",
        "executor_info",
        "get_frameworks",
        "frameworks",
        "framework_info",
        "roles",
        "get_containers",
        "containers",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(words.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics_and_any_in_the_place_of_the_tasks_is_an_answer(json in any_json()) {
        let _ = (state(json.to_string().as_bytes()), containers(json.to_string().as_bytes()));
        let whole = json!({"type": "GET_STATE", "get_state": {
            "get_tasks": {"launched_tasks": [json.clone()]}, "get_executors": json.clone(),
            "get_frameworks": {"frameworks": json},
        }});
        prop_assert!(state(whole.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = (state(&body), containers(&body), agent(&body));
    }
}
