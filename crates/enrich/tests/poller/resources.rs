//! What Mesos measures: told once an answer, under one source, and never made up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use enrich::{Contexts, Measured};
use metric::{Origin, UnixMillis, Value};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config;
use crate::stand_in::{Asked, Reply, StandIn, good};

struct Measuring {
    contexts: Contexts,
    measured: mpsc::Receiver<Vec<Measured>>,
    _stop: DropGuard,
}

impl Measuring {
    fn start(config: enrich::Config) -> Self {
        let (contexts, poller, _retired) = Contexts::new(config).unwrap();
        let cancel = CancellationToken::new();
        let (to, measured) = mpsc::channel(1000);
        let tell = move |all: Vec<Measured>| {
            if !all.is_empty() {
                // A test that has seen enough does not wait for more.
                let _ = to.try_send(all);
            }
        };
        tokio::spawn(poller.run(cancel.clone(), tell));
        Self { contexts, measured, _stop: cancel.drop_guard() }
    }

    async fn next(&mut self) -> Vec<Measured> {
        self.measured.recv().await.unwrap()
    }
}

fn with_resources(mesos: &StandIn, every: Duration) -> enrich::Config {
    enrich::Config { resources: Some(every), ..config(mesos.url()) }
}

fn named(measured: &Measured) -> Vec<(String, f64)> {
    let named = measured.datapoints.iter().map(|datapoint| {
        let Value::Gauge(value) = datapoint.value else { panic!("{datapoint:?}") };
        (datapoint.key.name().to_owned(), value)
    });
    named.collect()
}

#[tokio::test]
async fn a_containers_resources_come_with_its_context_known_though_it_never_registered() {
    let mesos = StandIn::start(|asked, _| match asked.call.as_str() {
        "GET_CONTAINERS" => Reply::Json(json!({"get_containers": {"containers": [
            {"container_id": {"value": "c", "parent": {"value": "p"}},
             "framework_id": {"value": "F"}, "executor_id": {"value": "E"},
             "resource_statistics": {"timestamp": 1.6e9, "threads": 0, "cpus_limit": 1.5}},
            {"container_id": {"value": "silent"}},
            {"container_id": {"value": "../c"}, "resource_statistics": {"threads": 1}},
            {"container_id": {"value": "c"}, "resource_statistics": {"threads": 2}},
        ]}})),
        call => good(call),
    })
    .await;
    let mut running = Measuring::start(with_resources(&mesos, Duration::from_millis(20)));
    let all = running.next().await;
    assert_eq!(all.len(), 1);
    let mut found = named(&all[0]);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("container.threads", 0.0), ("cpus.limit", 1.5)];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(all[0].datapoints[0].timestamp, Some(UnixMillis(1_600_000_000_000)));
    assert_eq!(all[0].source.origin, Origin::Resources { container_id: "c".into() });
    let context = running.contexts.dimensions(&all[0].source);
    assert!(context.known);
    assert_eq!((&*context.dimensions.task_name, &*context.dimensions.container_id), ("t", "c"));
    // One that no id can be, one that stood there twice.
    assert_eq!(running.contexts.health().resources.left_out, 2);
    // It stays the same source.
    assert_eq!(running.next().await[0].source, all[0].source);
}

#[tokio::test]
async fn one_answer_tells_who_containers_are_and_what_they_use() {
    let mesos = StandIn::start(|asked, _| one_container(&asked.call)).await;
    // The resources wait for the refresh of the same interval, and so never ask alone.
    let mut running = Measuring::start(with_resources(&mesos, Duration::from_millis(20)));
    for _ in 0..5 {
        running.next().await;
    }
    let [states, containers] = ["GET_STATE", "GET_CONTAINERS"].map(|call| mesos.asked(call).len());
    assert!(containers >= 5 && containers <= states, "{containers} and {states}");
}

#[tokio::test]
async fn resources_alone_do_not_ask_for_the_agents_state() {
    let mesos = StandIn::start(|asked, _| one_container(&asked.call)).await;
    let mut config = with_resources(&mesos, Duration::from_millis(1));
    config.refresh = Duration::from_hours(1);
    let mut running = Measuring::start(config);
    for _ in 0..5 {
        running.next().await;
    }
    assert_eq!(mesos.asked("GET_STATE").len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_none_is_counted_and_nothing_is_told() {
    let bad = [Reply::Raw(503, ""), Reply::Raw(200, "[]"), Reply::Hang, Reply::Cut, Reply::Endless];
    let (count, looks) = (bad.len(), AtomicUsize::new(0));
    let mesos = StandIn::start(move |asked, _| match asked.call.as_str() {
        "GET_CONTAINERS" => {
            let look = looks.fetch_add(1, Ordering::Relaxed);
            bad.get(look).cloned().unwrap_or_else(|| one_container(&asked.call))
        }
        call => good(call),
    })
    .await;
    let mut config = with_resources(&mesos, Duration::from_millis(1));
    config.refresh = Duration::from_hours(1);
    let mut running = Measuring::start(config);
    let first = running.next().await;
    assert_eq!(named(&first[0]), [("container.threads".to_owned(), 1.0)]);
    let health = running.contexts.health().resources;
    assert_eq!((health.failures, health.last_error), (count as u64, None));
    assert!(health.polls > health.failures);
}

fn one_container(call: &str) -> Reply {
    match call {
        "GET_CONTAINERS" => Reply::Json(json!({"get_containers": {"containers": [
            {"container_id": {"value": "c"}, "resource_statistics": {"threads": 1}},
        ]}})),
        call => good(call),
    }
}

fn is_snapshot(asked: &Asked) -> bool {
    asked.path == "GET /metrics/snapshot"
}

#[tokio::test]
async fn a_name_that_is_missing_in_a_snapshot_is_not_told() {
    let mesos = StandIn::start(|asked, before| match asked.call.as_str() {
        "" if before < 4 => Reply::Json(json!({
            "slave/uptime_secs": 12.5, "slave/tasks_running": 0.0, "odd": "text", "none": null,
        })),
        "" => Reply::Json(json!({"slave/uptime_secs": 13.5})),
        call => good(call),
    })
    .await;
    let mut config = config(mesos.url());
    config.resources = None;
    config.refresh = Duration::from_hours(1);
    config.snapshot = Some(Duration::from_millis(100));
    let mut running = Measuring::start(config);
    let first = running.next().await.remove(0);
    assert_eq!(first.source.origin, Origin::MesosAgent);
    let all = [("mesos.slave/tasks_running", 0.0), ("mesos.slave/uptime_secs", 12.5)];
    assert_eq!(named(&first), all.map(|(name, value)| (name.to_owned(), value)));
    let second = running.next().await.remove(0);
    assert_eq!(second.source, first.source);
    assert_eq!(named(&second), [("mesos.slave/uptime_secs".to_owned(), 13.5)]);
    let health = running.contexts.health().snapshot;
    assert_eq!((health.failures, health.left_out), (0, 2));
}

#[tokio::test]
async fn a_snapshot_is_asked_for_once_an_interval_however_it_fares() {
    let mesos = StandIn::start(|asked, _| match asked.call.as_str() {
        "" => Reply::Raw(503, "too many"),
        call => good(call),
    })
    .await;
    let mut config = config(mesos.url());
    config.snapshot = Some(Duration::from_hours(1));
    let running = Measuring::start(config);
    // Other polls go on meanwhile.
    mesos.more(10).await;
    assert_eq!(mesos.asked("").iter().filter(|asked| is_snapshot(asked)).count(), 1);
    let health = running.contexts.health().snapshot;
    assert_eq!((health.polls, health.failures), (1, 1));
    assert!(health.last_error.unwrap().contains("/metrics/snapshot of the Mesos agent failed"));
}
