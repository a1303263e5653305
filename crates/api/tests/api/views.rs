use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use api::{
    Account, App, Cardinality, CardinalityQuery, ContainersCounts, Health, LatestCounts, Lost,
    OutputStatus, PrometheusStatus, ReloadStatus, RemovedDropped, Restored, SourceKind,
    SourceStatus, Status, TrafficCounts, Views,
};
use tokio::sync::{mpsc, oneshot};

use crate::rig::{Rig, Served, config};

fn status(sources: usize) -> Status {
    let source = |i| SourceStatus {
        source: SourceKind::Container,
        container_id: Some(format!("container-{i}").into()),
        listener: None,
        port: Some(40_000),
        unbound: false,
        ended: false,
        account: Account::default(),
    };
    Status {
        version: 1,
        boot_id: "0123456789abcdef".into(),
        started: 1,
        now: 2,
        sources: (0..sources).map(source).collect(),
        total: Account::default(),
        ended: Account::default(),
        lost_last_minute: Lost::default(),
        settings_ignored: 0,
        waiting: 0,
        outputs: vec![OutputStatus {
            name: "file".into(),
            unit: "points",
            offered: 0,
            recovered: 0,
            acknowledged: 0,
            queued: 0,
            dropped: BTreeMap::new(),
            retries: 0,
            last_error: Some("no \"room\"".into()),
            removed_files: 0,
            resent: 0,
            queue_bytes: 0,
            queue_degraded: false,
            damaged_records: 0,
            newer_files: 0,
        }],
        removed_outputs_dropped: RemovedDropped::default(),
        polls: BTreeMap::new(),
        streams: Vec::new(),
        containers: ContainersCounts::default(),
        latest: LatestCounts::default(),
        http: TrafficCounts::default(),
        prometheus: PrometheusStatus::default(),
        reload: ReloadStatus::default(),
        unclean_previous_stop: None,
        restored: Restored::default(),
    }
}

/// More than the buffers of a connection hold.
pub(crate) fn large_status() -> Status {
    status(10_000)
}

type Asked = mpsc::Receiver<oneshot::Sender<Arc<Status>>>;

fn views(health: &Arc<Mutex<Health>>) -> (Views, Asked) {
    let (status, asked) = mpsc::channel(1);
    let health = Arc::clone(health);
    let (cardinality, _) = mpsc::channel(1);
    (Views { status, cardinality, health: Arc::new(move || health.lock().unwrap().clone()) }, asked)
}

fn app(views: Views) -> App {
    App { views: Some(views), ..App::default() }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: \r\n\r\n")
}

#[tokio::test]
async fn the_status_is_that_of_the_moment() {
    let (views, mut asked) = views(&Arc::default());
    let served = Served::start(app(views));
    let shown = Arc::new(status(2));
    let given = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Some(tell) = asked.recv().await {
            let _ = tell.send(Arc::clone(&given));
        }
    });
    let json = serde_json::to_string(&*shown).unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        json.len()
    );
    assert_eq!(served.send(&get("/status.json")).await, format!("{head}{json}"));
    let asks_for_the_head = "HEAD /status.json HTTP/1.1\r\nHost: \r\n\r\n";
    assert_eq!(served.send(asks_for_the_head).await, head);
    let answer = served.send("POST /status.json HTTP/1.1\r\nHost: \r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_does_not_come_is_not_waited_for() {
    let (views, asked) = views(&Arc::default());
    let served = Served::start(app(views));
    let answer = served.send(&get("/status.json")).await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    drop(asked);
    let answer = served.send(&get("/status.json")).await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
}

#[tokio::test]
async fn health_is_of_the_listeners_and_readiness_of_the_outputs_too() {
    let health = Arc::new(Mutex::new(Health::default()));
    let (views, _asked) = views(&health);
    let served = Served::start(app(views));
    for (listeners, outputs, healthz, readyz) in [
        (vec![], vec![], "200 ok", "200 ok"),
        (vec![], vec!["kafka is down"], "200 ok", "503 kafka is down"),
        (vec!["a", "b"], vec!["c"], "503 a\nb", "503 a\nb\nc"),
    ] {
        let texts = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        *health.lock().unwrap() = Health { listeners: texts(listeners), outputs: texts(outputs) };
        for (path, expected) in [("/healthz", healthz), ("/readyz", readyz)] {
            let answer = served.send(&get(path)).await;
            let (status, body) = expected.split_once(' ').unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn one_server_may_have_the_registration_and_the_views() {
    let rig = Rig::new(config());
    let (views, _asked) = views(&Arc::default());
    let alone = Served::start(app(views.clone()));
    let both = Served::start(App { registration: Some(rig.containers.clone()), ..app(views) });
    for (served, path, start) in [
        (&both, "/healthz", "HTTP/1.1 200 "),
        (&both, "/containers", "HTTP/1.1 200 "),
        (&both, "/", "HTTP/1.1 404 "),
        (&alone, "/healthz", "HTTP/1.1 200 "),
        (&alone, "/containers", "HTTP/1.1 404 "),
        (&alone, "/", "HTTP/1.1 200 "),
    ] {
        let answer = served.send(&get(path)).await;
        assert!(answer.starts_with(start), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_cardinality_is_of_all_or_of_one_container() {
    let (mut views, _asked) = views(&Arc::default());
    let (cardinality, mut queries) = mpsc::channel(1);
    views.cardinality = cardinality;
    let served = Served::start(app(views));
    tokio::spawn(async move {
        while let Some(CardinalityQuery { container_id, tell }) = queries.recv().await {
            let series = container_id.map_or(0, |id| id.len() as u64);
            let told = Cardinality {
                version: 1,
                now: 2,
                series,
                limit: 3,
                complete: true,
                sources: vec![],
            };
            tell.send(Arc::new(told)).unwrap();
        }
    });
    for (query, answered) in [
        ("", "\"series\":0,"),
        ("?", "\"series\":0,"),
        ("?container=abc", "\"series\":3,"),
        ("?container=a%20%C3%BC&", "\"series\":4,"),
        ("?container=%FF", "400 Bad Request"),
        ("?container=%4", "400 Bad Request"),
        ("?containers=a", "400 Bad Request"),
    ] {
        let answer = served.send(&get(&format!("/cardinality.json{query}"))).await;
        assert!(answer.contains(answered), "{query}: {answer}");
    }
}
