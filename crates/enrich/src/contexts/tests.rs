use std::collections::BTreeMap;

use metric::{Origin, ReadAs};
use serde_json::{Value, json};
use tokio::time::advance;

use super::*;
use crate::{MesosConfig, answer};

const SECOND: Duration = Duration::from_secs(1);

fn contexts(config: Config) -> (Contexts, mpsc::Sender<String>, mpsc::Receiver<String>) {
    let identity = IdentityConfig {
        host: "10.0.5.42".into(),
        labels: BTreeMap::from([
            ("team".into(), "blue".into()),
            ("task".into(), "operator".into()),
        ]),
        ..IdentityConfig::default()
    };
    let (contexts, _, _) = Contexts::new(Config { identity, ..config }).unwrap();
    let (retire, retired) = mpsc::channel(1);
    (contexts, retire, retired)
}

fn with_mesos() -> Config {
    Config { mesos: Some(MesosConfig::new("http://127.0.0.1:1")), ..Config::default() }
}

fn container(id: &str) -> Arc<Source> {
    Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
}

fn claimed(id: &str) -> Arc<Source> {
    let origin = Origin::Claimed { listener: "unixgram:/x".into(), container_id: id.into() };
    Source::new(origin, ReadAs::default())
}

fn census(tasks: &[(&str, &str)], listed: &[&str]) -> Census {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|(container, label)| {
            json!({"name": "t", "task_id": {"value": "t.1"}, "framework_id": {"value": "F"},
                "labels": {"labels": [{"key": "DCOS_METRICS_task", "value": label}]},
                "statuses": [{"container_status": {"container_id": {"value": container}}}]})
        })
        .collect();
    let listed: Vec<Value> = listed
        .iter()
        .map(|container| {
            json!({"container_id": {"value": container}, "framework_id": {"value": "F"},
                "executor_id": {"value": "E"}})
        })
        .collect();
    let state = json!({"get_state": {"get_tasks": {"launched_tasks": tasks}}}).to_string();
    let containers = json!({"get_containers": {"containers": listed}}).to_string();
    Census::new(
        Some(answer::state(state.as_bytes()).unwrap()),
        Some(answer::containers(containers.as_bytes()).unwrap()),
    )
}

// A poll that takes no time.
fn poll(contexts: &Contexts, census: &Census) {
    contexts.asking();
    contexts.take(census, &LabelRules::default(), Instant::now(), true);
}

fn failed_poll(contexts: &Contexts) {
    contexts.asking();
    contexts.take(&Census::new(None, None), &LabelRules::default(), Instant::now(), false);
}

#[tokio::test(start_paused = true)]
async fn a_listener_has_the_nodes_dimensions_and_the_operators_labels() {
    let (contexts, ..) = contexts(with_mesos());
    let listener = Origin::Listener { listener: "udp://127.0.0.1:8125".into() };
    let context = contexts.dimensions(&Source::new(listener, ReadAs::default()));
    assert!(context.known);
    assert_eq!(context.dimensions.hostname, "10.0.5.42");
    assert_eq!(context.dimensions.container_id, "");
    assert_eq!(context.dimensions.labels.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_mesos_a_container_has_its_id_and_nothing_to_wait_for() {
    let (contexts, ..) = contexts(Config::default());
    contexts.registered("c");
    let context = contexts.dimensions(&container("c"));
    assert!(context.known);
    assert_eq!(context.dimensions.container_id, "c");
    assert_eq!(contexts.wanted(), None);
}

#[tokio::test(start_paused = true)]
async fn a_tasks_label_beats_the_operators() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.registered("c");
    assert!(!contexts.dimensions(&container("c")).known);
    poll(&contexts, &census(&[("c", "tasks")], &["c"]));
    let context = contexts.dimensions(&container("c"));
    assert!(context.known);
    let who = &context.dimensions;
    assert_eq!((&*who.task_id, &*who.executor_id, &*who.hostname), ("t.1", "E", "10.0.5.42"));
    let labels: Vec<_> = who.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["task=tasks", "team=blue"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_allocation_is_handed_out_until_something_changes() {
    let (contexts, ..) = contexts(with_mesos());
    let changes = contexts.changes();
    contexts.registered("c");
    poll(&contexts, &census(&[("c", "1")], &[]));
    let first = contexts.dimensions(&container("c")).dimensions;
    let seen = *changes.borrow();
    poll(&contexts, &census(&[("c", "1")], &[]));
    assert!(Arc::ptr_eq(&first, &contexts.dimensions(&container("c")).dimensions));
    assert_eq!(*changes.borrow(), seen);
    poll(&contexts, &census(&[("c", "2")], &[]));
    assert_eq!(contexts.dimensions(&container("c")).dimensions.labels["task"], "2");
    assert_eq!(*changes.borrow(), seen + 1);
    contexts.learn(|found| found.agent_id = "S1".into());
    assert_eq!(contexts.dimensions(&container("c")).dimensions.agent_id, "S1");
    assert_eq!(contexts.identity().agent_id, "S1");
    assert_eq!(*changes.borrow(), seen + 2);
    contexts.learn(|_| ());
    assert_eq!(*changes.borrow(), seen + 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_stays_known_when_mesos_fails_or_forgets() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.registered("c");
    poll(&contexts, &census(&[("c", "1")], &["c"]));
    let known = contexts.dimensions(&container("c"));
    failed_poll(&contexts);
    assert_eq!(contexts.dimensions(&container("c")), known);
    poll(&contexts, &census(&[], &["c"]));
    assert_eq!(contexts.dimensions(&container("c")), known);
    poll(&contexts, &census(&[], &[]));
    assert_eq!(contexts.dimensions(&container("c")), known);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_container_is_asked_about_soon_then_slower_then_not_at_all() {
    let (contexts, ..) = contexts(with_mesos());
    let nothing = census(&[], &[]);
    contexts.registered("c");
    let start = Instant::now();
    let mut polls = Vec::new();
    while let Some(due) = contexts.wanted() {
        advance(due - Instant::now()).await;
        polls.push((Instant::now() - start).as_millis());
        poll(&contexts, &nothing);
    }
    assert_eq!(polls, [100, 412, 1412, 3412, 8412, 13412, 18412, 23412]);
    // Its first points are worth a few more.
    let context = contexts.dimensions(&container("c"));
    assert!(!context.known);
    let mut late = 0;
    while let Some(due) = contexts.wanted() {
        advance(due.saturating_duration_since(Instant::now())).await;
        poll(&contexts, &nothing);
        late += 1;
    }
    assert_eq!(late, 4);
    let context = contexts.dimensions(&container("c"));
    assert!(context.known, "waiting longer would be in vain");
    assert_eq!(contexts.wanted(), None);
    // A refresh finds it all the same.
    poll(&contexts, &census(&[("c", "1")], &["c"]));
    assert_eq!(contexts.dimensions(&container("c")).dimensions.task_id, "t.1");
}

#[tokio::test(start_paused = true)]
async fn asking_for_a_context_while_a_poll_runs_causes_no_other() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.registered("c");
    advance(SECOND).await;
    contexts.asking();
    assert!(!contexts.dimensions(&container("c")).known);
    assert_eq!(contexts.wanted(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_poll_is_no_try() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.registered("c");
    for _ in 0..100 {
        let due = contexts.wanted().unwrap();
        advance(due - Instant::now()).await;
        failed_poll(&contexts);
    }
    assert!(!contexts.dimensions(&container("c")).known);
    assert_eq!(contexts.wanted(), Some(Instant::now() + 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_container_registered_while_a_poll_runs_gets_one_of_its_own() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.asking();
    let began = Instant::now();
    advance(SECOND).await;
    contexts.registered("c");
    contexts.take(&census(&[], &[]), &LabelRules::default(), began, true);
    assert_eq!(contexts.wanted(), Some(Instant::now() + SECOND / 10));
}

#[tokio::test(start_paused = true)]
async fn a_removed_container_keeps_its_context_for_a_while() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.registered("c");
    poll(&contexts, &census(&[("c", "1")], &["c"]));
    let known = contexts.dimensions(&container("c"));
    contexts.removed("c");
    contexts.removed("never registered");
    advance(LINGER).await;
    contexts.forget();
    assert_eq!(contexts.dimensions(&container("c")), known);
    advance(SECOND).await;
    contexts.forget();
    assert_eq!(contexts.0.entries.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_container_registered_again_is_not_forgotten_with_the_old_one() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.registered("c");
    contexts.removed("c");
    contexts.registered("c");
    advance(LINGER + SECOND).await;
    contexts.forget();
    assert_eq!(contexts.0.entries.len(), 1);
    assert!(!contexts.dimensions(&container("c")).known);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_containers_that_come_and_go_leave_a_bounded_rest() {
    let (contexts, ..) = contexts(with_mesos());
    for i in 0..REMOVED + 500 {
        contexts.registered(&i.to_string());
        contexts.removed(&i.to_string());
    }
    assert_eq!(contexts.0.entries.len(), REMOVED);
    advance(LINGER + SECOND).await;
    contexts.forget();
    assert_eq!((contexts.0.entries.len(), lock(&contexts.0.removed).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_clients_claim_is_bounded_and_forgotten() {
    let (contexts, ..) = contexts(with_mesos());
    for i in 0..CLAIMED + 5 {
        assert_eq!(contexts.dimensions(&claimed(&i.to_string())).known, i >= CLAIMED);
    }
    assert_eq!(contexts.0.entries.len(), CLAIMED);
    let context = contexts.dimensions(&claimed("../etc"));
    assert_eq!((context.known, &*context.dimensions.container_id), (true, "../etc"));
    advance(CLAIM_LIFE + SECOND).await;
    contexts.dimensions(&claimed("7"));
    contexts.registered("8");
    contexts.forget();
    assert_eq!(contexts.0.entries.len(), 2);
    assert_eq!(contexts.0.claimed.load(Ordering::Relaxed), 1);
    poll(&contexts, &census(&[("7", "1")], &[]));
    assert_eq!(contexts.dimensions(&claimed("7")).dimensions.task_id, "t.1");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_mesos_lost_is_retired_once_and_only_when_that_is_sure() {
    let (contexts, retire, mut retired) = contexts(with_mesos());
    let rule = Reconcile::default();
    let reconcile = |census: &Census| contexts.reconcile(census, rule, &retire);
    let other = census(&[], &["other"]);
    contexts.registered("c");
    contexts.dimensions(&claimed("only claimed"));
    reconcile(&census(&[], &["c", "only claimed"]));
    // Long gone, but too young.
    for _ in 0..10 {
        reconcile(&other);
        advance(60 * SECOND).await;
    }
    assert_eq!(retired.try_recv().ok(), None);
    advance(SECOND).await;
    // Seen again: the time starts anew, and failures neither count nor break it.
    reconcile(&census(&[], &["c"]));
    reconcile(&other);
    advance(30 * SECOND).await;
    reconcile(&Census::new(None, None));
    advance(29 * SECOND).await;
    reconcile(&other);
    assert_eq!(retired.try_recv().ok(), None);
    advance(SECOND).await;
    reconcile(&Census::new(None, None));
    assert_eq!(retired.try_recv().ok(), None);
    reconcile(&other);
    reconcile(&other);
    assert_eq!(retired.try_recv().ok().as_deref(), Some("c"));
    assert_eq!(retired.try_recv().ok(), None);
    // Registered again, it starts anew.
    contexts.removed("c");
    contexts.registered("c");
    reconcile(&other);
    assert_eq!(retired.try_recv().ok(), None);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_mesos_never_told_of_is_hidden_and_not_gone() {
    let (contexts, retire, mut retired) = contexts(with_mesos());
    let rule = Reconcile::default();
    contexts.registered("seen");
    contexts.registered("hidden");
    for _ in 0..60 {
        contexts.reconcile(&census(&[], &["seen", "other"]), rule, &retire);
        advance(60 * SECOND).await;
    }
    assert_eq!(retired.try_recv().ok(), None);
    // What it told of before a registration does not count.
    contexts.removed("seen");
    contexts.registered("seen");
    for _ in 0..60 {
        contexts.reconcile(&census(&[], &["other"]), rule, &retire);
        advance(60 * SECOND).await;
    }
    assert_eq!(retired.try_recv().ok(), None);
}

#[tokio::test(start_paused = true)]
async fn a_container_of_before_a_restart_is_retired_only_if_mesos_tells_of_another() {
    let (contexts, retire, mut retired) = contexts(with_mesos());
    let rule = Reconcile::default();
    for id in ["ended", "runs"] {
        contexts.registered(id);
        contexts.taken_up(id);
    }
    for _ in 0..60 {
        contexts.reconcile(&census(&[], &["not registered"]), rule, &retire);
        advance(60 * SECOND).await;
    }
    assert_eq!(retired.try_recv().ok(), None);
    contexts.reconcile(&census(&[], &["runs"]), rule, &retire);
    assert_eq!(retired.try_recv().ok().as_deref(), Some("ended"));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_still_sends_is_not_retired() {
    let (contexts, retire, mut retired) = contexts(with_mesos());
    let rule = Reconcile::default();
    contexts.registered("c");
    contexts.reconcile(&census(&[], &["c"]), rule, &retire);
    for _ in 0..60 {
        contexts.dimensions(&container("c"));
        contexts.reconcile(&census(&[], &["other"]), rule, &retire);
        advance(60 * SECOND).await;
    }
    assert_eq!(retired.try_recv().ok(), None);
    advance(9 * 60 * SECOND).await;
    contexts.reconcile(&census(&[], &["other"]), rule, &retire);
    assert_eq!(retired.try_recv().ok(), None);
    advance(SECOND).await;
    contexts.reconcile(&census(&[], &["other"]), rule, &retire);
    assert_eq!(retired.try_recv().ok().as_deref(), Some("c"));
}

#[tokio::test(start_paused = true)]
async fn more_retired_containers_than_the_agent_takes_are_told_again() {
    let (contexts, retire, mut retired) = contexts(with_mesos());
    let rule = Reconcile { apart: SECOND, age: SECOND };
    for id in ["a", "b", "c"] {
        contexts.registered(id);
    }
    contexts.reconcile(&census(&[], &["a", "b", "c"]), rule, &retire);
    let other = census(&[], &["other"]);
    contexts.reconcile(&other, rule, &retire);
    advance(2 * SECOND).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        contexts.reconcile(&other, rule, &retire);
        while let Ok(id) = retired.try_recv() {
            seen.push(id);
        }
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn labels_that_are_left_out_are_counted_when_they_change() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.registered("c");
    let state = json!({"get_state": {"get_tasks": {"launched_tasks": [{
        "task_id": {"value": "t"},
        "labels": {"labels": [{"key": "DCOS_METRICS_task_id", "value": "forged"}]},
        "statuses": [{"container_status": {"container_id": {"value": "c"}}}]}]}}});
    let census = Census::new(Some(answer::state(state.to_string().as_bytes()).unwrap()), None);
    poll(&contexts, &census);
    poll(&contexts, &census);
    assert_eq!(contexts.health().labels_left_out, 1);
    assert_eq!(contexts.dimensions(&container("c")).dimensions.task_id, "t");
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_says_of_a_container_holds_until_mesos_says_it() {
    let (contexts, ..) = contexts(with_mesos());
    contexts.told("c", "stream-f", "");
    contexts.told("c", "", "stream-e");
    contexts.told("c", "another", "another");
    contexts.told("../c", "f", "e");
    let who = contexts.dimensions(&claimed("c")).dimensions;
    assert_eq!((&*who.framework_id, &*who.executor_id), ("stream-f", "stream-e"));
    assert_eq!(contexts.dimensions(&claimed("../c")).dimensions.framework_id, "");
    poll(&contexts, &census(&[("c", "x")], &["c"]));
    let who = contexts.dimensions(&claimed("c")).dimensions;
    assert_eq!((&*who.framework_id, &*who.executor_id, &*who.task_id), ("F", "E", "t.1"));
}

#[tokio::test(start_paused = true)]
async fn a_tasks_settings_are_told_apart_from_its_labels_and_their_change_is_one() {
    let (contexts, ..) = contexts(with_mesos());
    let tasks = |labels: &[(&str, &str)]| {
        let label = |(key, value): &(&str, &str)| json!({"key": key, "value": value});
        let labels: Vec<_> = labels.iter().map(label).collect();
        let task = json!({"name": "cart", "task_id": {"value": "t.1"}, "framework_id": {"value": "F"},
            "labels": {"labels": labels},
            "statuses": [{"container_status": {"container_id": {"value": "c"}}}]});
        let state = json!({"get_state": {"get_tasks": {"launched_tasks": [task]}}}).to_string();
        Census::new(Some(answer::state(state.as_bytes()).unwrap()), None)
    };
    contexts.registered("c");
    assert_eq!(contexts.settings(&container("c")), None);
    poll(&contexts, &tasks(&[("DCOS_METRICS_WEIR_SERIES", "5"), ("DCOS_METRICS_a", "b")]));
    let settings = contexts.settings(&container("c")).unwrap();
    assert_eq!(settings.task_name, "cart");
    assert_eq!(settings.labels, BTreeMap::from([("SERIES".into(), "5".into())]));
    let labels = &contexts.dimensions(&container("c")).dimensions.labels;
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["a", "task", "team"]);

    // They stay when a poll tells nothing of the task, and at a registration.
    poll(&contexts, &census(&[], &["c"]));
    contexts.registered("c");
    let seen = *contexts.changes().borrow();
    let again = contexts.settings(&container("c")).unwrap();
    assert!(Arc::ptr_eq(&settings, &again));
    poll(&contexts, &tasks(&[("DCOS_METRICS_WEIR_SERIES", "6"), ("DCOS_METRICS_a", "b")]));
    assert_eq!(contexts.settings(&container("c")).unwrap().labels["SERIES"], "6");
    assert_eq!(*contexts.changes().borrow(), seen + 1);
    // Of one that is claimed it is what is known by then; to look makes nothing known.
    assert!(contexts.settings(&claimed("c")).is_some());
    assert_eq!(contexts.settings(&claimed("d")), None);
    assert_eq!(contexts.health().incomplete, 0);
}
