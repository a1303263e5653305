use std::sync::Arc;
use std::time::Duration;

use api::{App, Event, Health, Latest, LatestConfig, Prometheus, PrometheusConfig, Status, Views};
use metric::{Batch, Datapoint, Kind, Origin, Quantiles, ReadAs, SeriesKey, Source, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::rig::{Rig, Served, asks, config, isolator, read};

// The clock is paused: it jumps to the next timer when nobody has anything to do.
async fn time_until_closed(stream: &mut UnixStream) -> (Duration, String) {
    let began = Instant::now();
    let answer = read(stream).await;
    (began.elapsed(), answer)
}

#[tokio::test(start_paused = true)]
async fn an_idle_or_stalled_connection_is_closed_within_five_seconds() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let stalled_body = "POST /container HTTP/1.1\r\nHost: \r\nContent-Length: 30\r\n\r\n{\"contain";
    for (count, (sent, answer)) in [
        ("", ""),
        ("POST /cont", ""),
        ("POST /container HTTP/1.1\r\nHost: \r\n", ""),
        (stalled_body, "HTTP/1.1 408 Request Timeout\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = UnixStream::connect(&served.path).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let (time, answered) = time_until_closed(&mut stream).await;
        assert!(time < Duration::from_secs(5), "{sent:?}: {time:?}");
        assert!(time > Duration::from_secs(4), "{sent:?}: {time:?}");
        assert!(answered.starts_with(answer), "{answered}");
        assert_eq!(served.traffic.read().get(Event::Cut), count as u64 + 1);
    }
    assert!(rig.containers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_trickles_in_is_cut_all_the_same() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let body = "POST /container HTTP/1.1\r\nHost: \r\nContent-Length: 1000\r\n\r\n";
    for start in ["GET /containers HTTP/1.1\r\nX: ", body] {
        let began = Instant::now();
        let mut stream = UnixStream::connect(&served.path).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let closed = loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if stream.write_all(b"x").await.is_err() {
                break began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(10));
        };
        assert!(closed < Duration::from_secs(5), "{start}: {closed:?}");
    }
    assert_eq!(served.traffic.read().get(Event::Cut), 2);
}

/// Answers with a status of many megabytes.
fn large_views() -> Views {
    let (status, mut asked) = mpsc::channel::<oneshot::Sender<Arc<Status>>>(1);
    let (cardinality, _) = mpsc::channel(1);
    tokio::spawn(async move {
        let status = Arc::new(crate::views::large_status());
        while let Some(tell) = asked.recv().await {
            let _ = tell.send(Arc::clone(&status));
        }
    });
    Views { status, cardinality, health: Arc::new(Health::default) }
}

/// Asks for a page, and reads 50 kB of it a second.
async fn read_slowly(served: &Served, request: &str) {
    let mut slow = UnixStream::connect(&served.path).await.unwrap();
    slow.write_all(request.as_bytes()).await.unwrap();
    tokio::spawn(async move {
        let mut piece = vec![0; 50_000];
        while slow.read(&mut piece).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_is_cut() {
    let served = Served::start(App { views: Some(large_views()), ..App::default() });
    let mut stream = UnixStream::connect(&served.path).await.unwrap();
    stream.write_all(b"GET /status.json HTTP/1.1\r\nHost: \r\n\r\n").await.unwrap();
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.unwrap();
    // Nothing more is read for a while.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(served.traffic.read().get(Event::Cut), 1);
}

#[tokio::test(start_paused = true)]
async fn few_large_answers_are_in_memory_at_once_however_slowly_they_are_read() {
    let rig = Rig::new(config());
    let registration = Some(rig.containers.clone());
    let served = Served::start(App { registration, views: Some(large_views()), ..App::default() });
    let status = isolator("GET", "/status.json", "");
    for _ in 0..4 {
        read_slowly(&served, &status).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // What is small has room, above all what a task's start waits for.
    let registers = isolator("POST", "/container", r#"{"container_id":"a"}"#);
    assert!(served.send(&registers).await.starts_with("HTTP/1.1 201 "));
    let lists = isolator("GET", "/containers", "");
    let (status, listed) = tokio::join!(served.send(&status), served.send(&lists));
    assert!(status.ends_with("\r\n\r\nThe status could not be read in time"), "{status:.300}");
    assert!(listed.starts_with("HTTP/1.1 503 "), "{listed}");
    let listed = served.send(&lists).await;
    assert!(listed.starts_with("HTTP/1.1 200 "), "{listed}");
    assert_eq!(served.traffic.read().get(Event::Cut), 4);
}

/// A page for Prometheus that takes a slow reader half a minute.
fn long_page() -> Prometheus {
    let gauge = |n: usize| Datapoint {
        key: SeriesKey::new(Kind::Gauge, &format!("gauge.{n}"), &[]),
        timestamp: None,
        value: Value::Gauge(n as f64),
    };
    let latest = Latest::new(LatestConfig::default());
    latest.take_in(&Arc::new(Batch {
        source: Source::new(Origin::Node, ReadAs::default()),
        dimensions: Arc::default(),
        end_ms: 1000,
        interval_ms: 1000,
        first_seq: 0,
        quantiles: Arc::new(Quantiles::default()),
        datapoints: (0..20_000).map(gauge).collect(),
    }));
    let (status, mut asked) = mpsc::channel::<oneshot::Sender<_>>(1);
    tokio::spawn(async move {
        while let Some(tell) = asked.recv().await {
            let _ = tell.send(Arc::default());
        }
    });
    Prometheus::new(PrometheusConfig::default(), latest, status)
}

#[tokio::test(start_paused = true)]
async fn slow_readers_of_a_scrape_are_cut_so_that_others_have_their_turn() {
    let served = Served::start(App { prometheus: Some(long_page()), ..App::default() });
    let scrape = "GET /metrics HTTP/1.1\r\nHost: \r\n\r\n";
    for _ in 0..2 {
        read_slowly(&served, scrape).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let busy = served.send(scrape).await;
    assert!(busy.ends_with("2 other scrapes are under way"), "{busy}");
    let answer = served.send(scrape).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:.99}");
    assert!(answer.contains("\ngauge_19999 19999\n"));
    assert_eq!(served.traffic.read().get(Event::Cut), 2);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_the_others_are_served() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(UnixStream::connect(&served.path).await.unwrap());
    }
    let mut over = UnixStream::connect(&served.path).await.unwrap();
    assert_eq!(over.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(served.traffic.read().get(Event::OverCap), 1);

    let mut last = open.pop().unwrap();
    last.write_all(isolator("GET", "/containers", "").as_bytes()).await.unwrap();
    assert!(read(&mut last).await.ends_with("\r\n\r\n[]"));
    // Its place is free when the server has closed it.
    assert!(served.send(&isolator("GET", "/containers", "")).await.ends_with("\r\n\r\n[]"));
    assert_eq!(served.traffic.read().get(Event::OverCap), 1);
    assert_eq!(served.traffic.read().get(Event::Connection), 258);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let head = format!("GET /containers HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let answer = served.send(&head).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_stop_lets_a_request_finish_and_waits_for_no_idle_one() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    rig.containers.register(asks("a")).await.unwrap();
    let mut idle = UnixStream::connect(&served.path).await.unwrap();
    let busy = rig.worker.hold_up();
    let mut removing = UnixStream::connect(&served.path).await.unwrap();
    removing.write_all(isolator("DELETE", "/container/a", "").as_bytes()).await.unwrap();
    while served.traffic.read().get(Event::Connection) < 2 {
        tokio::task::yield_now().await;
    }
    served.stop.cancel();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(!served.path.exists());
    drop(busy);
    assert!(read(&mut removing).await.starts_with("HTTP/1.1 202 "));
    served.task.await.unwrap();
}
