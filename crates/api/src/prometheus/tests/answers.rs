use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use metric::Kind;
use tokio::sync::{mpsc, oneshot};

use super::parser::{Families, parse};
use super::{container, latest, point, say};
use crate::answer::Answer;
use crate::prometheus::{LONGEST_WAIT, MOST_AT_ONCE};
use crate::{Account, Latest, Prometheus, PrometheusConfig, SourceKind, SourceStatus, Status};

fn status(latest: &Latest, prometheus: &Prometheus) -> Status {
    let source = SourceStatus {
        source: SourceKind::Container,
        container_id: Some("a".into()),
        listener: None,
        port: None,
        unbound: false,
        ended: false,
        account: Account::default(),
    };
    Status {
        version: 1,
        boot_id: "0123456789abcdef".into(),
        started: 1,
        now: 2,
        sources: vec![source],
        total: Account { series: 77, ..Account::default() },
        latest: latest.counts(),
        prometheus: prometheus.status(),
        ..Status::default()
    }
}

/// A status is given whenever one is asked for.
fn prometheus(latest: &Latest, config: PrometheusConfig) -> Prometheus {
    let (feed, mut asked) = mpsc::channel::<oneshot::Sender<_>>(1);
    let prometheus = Prometheus::new(config, latest.clone(), feed);
    let (latest, shown) = (latest.clone(), prometheus.clone());
    tokio::spawn(async move {
        while let Some(tell) = asked.recv().await {
            let _ = tell.send(status(&latest, &shown).into());
        }
    });
    prometheus
}

async fn get(prometheus: &Prometheus) -> Answer {
    prometheus.answer(&Method::GET, &HeaderMap::new()).await
}

async fn bytes(answer: Answer) -> Vec<u8> {
    answer.into_body().collect().await.unwrap().to_bytes().into()
}

async fn read(answer: Answer) -> Families {
    assert_eq!(answer.status(), StatusCode::OK);
    parse(&String::from_utf8(bytes(answer).await).unwrap()).unwrap()
}

#[tokio::test]
async fn a_scrape_is_weirs_own_numbers_and_the_newest_values() {
    let latest = latest();
    say(&latest, &container("a"), vec![point(Kind::Counter, "page.views", &[])]);
    let prometheus = prometheus(&latest, PrometheusConfig::default());
    drop(get(&prometheus).await);
    let answer = get(&prometheus).await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.headers()["vary"], "Accept-Encoding");
    assert!(!answer.headers().contains_key("content-encoding"));
    let families = read(answer).await;
    assert_eq!(families["weir_series"].samples, [(BTreeMap::new(), 77.0)]);
    assert_eq!(families["weir_source_series"].samples.len(), 1);
    let views = &families["page_views"];
    assert_eq!((&*views.kind, views.samples[0].1), ("counter", 1.0));
    // Those before it.
    assert_eq!(families["weir_prometheus_scrapes_total"].samples[0].1, 1.0);
    assert_eq!(families["weir_prometheus_samples"].samples[0].1, 1.0);
}

#[tokio::test]
async fn settings_are_heeded() {
    let latest = latest();
    say(&latest, &container("a"), vec![point(Kind::Counter, "page.views", &[])]);
    let config = PrometheusConfig {
        counter_suffix: "_total".into(),
        container_self_metrics: false,
        host: Some("web-1".into()),
        ..PrometheusConfig::default()
    };
    let families = read(get(&prometheus(&latest, config)).await).await;
    assert_eq!(families["page_views_total"].samples[0].0["host"], "web-1");
    assert_eq!(families["weir_source_series"].samples, []);
}

#[tokio::test]
async fn gzip_holds_the_same() {
    let latest = latest();
    let of = |n: usize| point(Kind::Timer, &format!("t{}", n % 50), &[("n", &n.to_string())]);
    say(&latest, &container("a"), (0..2_000).map(of).collect());
    let prometheus = prometheus(&latest, PrometheusConfig::default());
    drop(get(&prometheus).await);
    let plain = bytes(get(&prometheus).await).await;
    let gzip = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
    let answer = prometheus.answer(&Method::GET, &gzip).await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let packed = bytes(answer).await;
    assert!(packed.len() * 10 < plain.len(), "{} of {}", packed.len(), plain.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(&*packed).read_to_end(&mut unpacked).unwrap();
    let scrapes = |text: Vec<u8>| {
        let text = String::from_utf8(text).unwrap();
        text.replace("weir_prometheus_scrapes_total 2", "weir_prometheus_scrapes_total 1")
    };
    assert_eq!(scrapes(unpacked), scrapes(plain));
}

#[tokio::test]
async fn only_a_get_is_a_scrape() {
    let latest = latest();
    let source = container("a");
    say(&latest, &source, vec![point(Kind::Gauge, "g", &[])]);
    latest.source_ended(&source);
    let prometheus = prometheus(&latest, PrometheusConfig::default());
    let head = prometheus.answer(&Method::HEAD, &HeaderMap::new()).await;
    assert_eq!(head.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(bytes(head).await, b"");
    let post = prometheus.answer(&Method::POST, &HeaderMap::new()).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    // Nor is one that was not read to its end.
    drop(get(&prometheus).await);
    assert!(read(get(&prometheus).await).await.contains_key("g"));
    assert!(!read(get(&prometheus).await).await.contains_key("g"));
    assert_eq!(prometheus.status().scrapes, 3);
}

#[tokio::test(start_paused = true)]
async fn few_scrapes_are_answered_at_once_and_a_further_one_waits_but_not_for_long() {
    let latest = latest();
    let prometheus = prometheus(&latest, PrometheusConfig::default());
    let mut under_way = Vec::new();
    for _ in 0..MOST_AT_ONCE {
        under_way.push(get(&prometheus).await);
    }
    let answer = get(&prometheus).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bytes(answer).await, b"2 other scrapes are under way");
    assert_eq!((prometheus.status().scrapes, prometheus.status().busy), (2, 1));

    let waiting = get(&prometheus);
    let done = async {
        tokio::time::sleep(LONGEST_WAIT / 2).await;
        under_way.pop();
    };
    let (answer, ()) = tokio::join!(waiting, done);
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_scrape_does_not_wait_for_a_status_that_does_not_come() {
    let (feed, _asked) = mpsc::channel(1);
    let prometheus = Prometheus::new(PrometheusConfig::default(), latest(), feed);
    let answer = get(&prometheus).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bytes(answer).await, b"The status could not be read within 2s");
    assert_eq!((prometheus.status().scrapes, prometheus.status().busy), (0, 1));
}
