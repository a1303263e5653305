use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{App, Latest, LatestConfig, Names, NotANumber, Role, V0, V0Config};
use metric::{
    Batch, Datapoint, Dimensions, Kind, Origin, Quantiles, ReadAs, SeriesKey, Source, Summary, Tag,
    UnixMillis, Value,
};
use tokio::time::advance;

use crate::rig::{Served, send};

/// 2019-01-02T03:04:05.678Z
const END_MS: i64 = 1_546_398_245_678;

fn gauge(name: &str, tags: &[(&str, &str)], level: f64) -> Datapoint {
    point(Kind::Gauge, name, tags, Value::Gauge(level))
}

fn point(kind: Kind, name: &str, tags: &[(&str, &str)], value: Value) -> Datapoint {
    let tags: Vec<_> = tags.iter().map(|(key, value)| Tag::new(key, value)).collect();
    Datapoint { key: SeriesKey::new(kind, name, &tags), timestamp: None, value }
}

fn timer(name: &str, tags: &[(&str, &str)], values: [f64; 2]) -> Datapoint {
    let [low, high] = values;
    let summary = Summary {
        count: 2.0,
        sum: low + high,
        min: low,
        max: high,
        mean: f64::midpoint(low, high),
        stddev: (high - low) / 2.0,
        quantiles: [low, high].into(),
    };
    point(Kind::Timer, name, tags, Value::Summary(Box::new(summary)))
}

fn container(id: &str) -> Arc<Source> {
    Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
}

fn resources(id: &str) -> Arc<Source> {
    Source::new(Origin::Resources { container_id: id.into() }, ReadAs::default())
}

fn node() -> Arc<Source> {
    Source::new(Origin::Node, ReadAs::default())
}

/// A node of DC/OS: what is known of every source there.
fn of_node() -> Dimensions {
    let labels = [("dcos_cluster_name", "prod"), ("fault_domain_region", "eu-1")];
    Dimensions {
        agent_id: "5f2b-S1".into(),
        cluster_id: "9a1c".into(),
        hostname: "10.0.0.1".into(),
        labels: labels.map(|(key, value)| (key.into(), value.into())).into(),
        ..Dimensions::default()
    }
}

/// A task of an executor of its own, with one label that is kept.
fn of_task(id: &str) -> Dimensions {
    let mut who = Dimensions {
        framework_id: "5f2b-0001".into(),
        executor_id: "shop.executor".into(),
        container_id: id.into(),
        parent_container_id: "outer".into(),
        executor_name: "shop executor".into(),
        framework_name: "marathon".into(),
        framework_role: "slave_public".into(),
        framework_principal: "dcos_marathon".into(),
        task_id: "cart.1".into(),
        task_name: "cart".into(),
        ..of_node()
    };
    who.labels.insert("team".into(), "<blue & green>".into());
    who
}

fn batch(source: &Arc<Source>, who: Dimensions, datapoints: Vec<Datapoint>) -> Arc<Batch> {
    Arc::new(Batch {
        source: source.clone(),
        dimensions: Arc::new(who),
        end_ms: END_MS,
        interval_ms: 10_000,
        first_seq: 0,
        quantiles: Arc::new(Quantiles::new(vec![0.5, 0.9])),
        datapoints,
    })
}

/// A node with everything on it.
fn whole_node() -> Latest {
    let latest = Latest::new(LatestConfig::default());
    let app = vec![
        gauge(
            "statsd_tester.time.uptime",
            &[("test_tag_key", "test_tag_value")],
            1_479_588_678_444.0,
        ),
        point(Kind::Counter, "hits", &[], Value::Counter { sum: 2.0, total: 12.0 }),
        point(Kind::Counter, "sampled", &[], Value::Counter { sum: 0.1, total: 0.1 + 0.2 }),
        point(Kind::Set, "users", &[], Value::Distinct(3)),
        timer(
            "t",
            &[("path", "/"), ("team", "red"), ("task_id", "forged"), ("host", "x")],
            [1.5, 2.5],
        ),
        gauge("solo", &[("tag", ""), ("twice", "1"), ("twice", "2")], -0.0),
        gauge("large", &[], 1e21),
        gauge("small", &[], 1.5e-7),
        gauge("odd \"name\"\n</script>\u{2028}", &[], 1.0),
        gauge("never", &[], f64::NAN),
        gauge("endless", &[], f64::INFINITY),
    ];
    let own_time = Datapoint { timestamp: Some(UnixMillis(1_000)), ..gauge("dated", &[], 5.0) };
    let uses = vec![
        gauge("container.processes", &[], 2.0),
        gauge("cpus.limit", &[], 8.25),
        gauge("cpus.user_time_secs", &[], 96348.84),
        gauge("mem.total_bytes", &[], 4_845_449_216.0),
        gauge("mem.low_pressure_counter", &[], 0.0),
        gauge("disk.used_bytes", &[], 4096.0),
        gauge(
            "disk.used_bytes",
            &[("volume_persistence_id", "db#1"), ("volume_persistence_principal", "dcos_marathon")],
            1024.0,
        ),
        gauge("net.rx_bytes", &[], 17.0),
        gauge("net.tcp_active_connections", &[], 5.0),
        gauge("net.tx_backlog", &[("id", "bw_limit")], 1.0),
        gauge("blkio.io_serviced_total", &[("device", "default"), ("policy", "cfq")], 7.0),
        gauge("blkio.io_serviced_total", &[("device", "8.16"), ("policy", "cfq")], 8.0),
        gauge("blkio.io_service_bytes_read", &[("device", "8.16"), ("policy", "throttling")], 9.0),
    ];
    let of_itself = vec![
        gauge("cpu.total", &[], 12.34),
        gauge("memory.free", &[], 1_073_741_824.0),
        gauge("load.1min", &[], 0.5),
        gauge("filesystem.capacity.free", &[("path", "/")], 5.0),
        gauge("filesystem.capacity.free", &[("path", "/var")], 6.0),
        gauge("filesystem.inode.free", &[("path", "/")], 7.0),
        gauge("network.in", &[("interface", "eth0")], 8.0),
        gauge("system.uptime", &[], 86400.0),
    ];
    latest.take_in(&batch(&container("cart"), of_task("cart"), app));
    latest.take_in(&batch(&resources("cart"), of_task("cart"), uses));
    latest.take_in(&batch(&node(), of_node(), of_itself));
    // Whose id begins alike, and of whom nothing is known but the node.
    latest.take_in(&batch(&container("carter"), of_node(), vec![own_time]));
    // Nobody in particular.
    let listener = Source::new(Origin::Listener { listener: "l".into() }, ReadAs::default());
    latest.take_in(&batch(&listener, of_node(), vec![gauge("anonymous", &[], 1.0)]));
    let agent = Source::new(Origin::MesosAgent, ReadAs::default());
    latest.take_in(&batch(&agent, of_node(), vec![gauge("mesos.slave/uptime_secs", &[], 1.0)]));
    latest
}

fn serve(latest: &Latest, config: V0Config) -> Served {
    let v0 = V0 { latest: latest.clone(), config };
    Served::start(App { v0: Some(v0), ..App::default() })
}

/// An answer, whichever way it was sent.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn get(served: &Served, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: \r\n\r\n");
    read(&send(&served.path, request.as_bytes()).await)
}

fn read(answer: &str) -> Answer {
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = String::new();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        loop {
            let (length, after) = rest.split_once("\r\n").unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            if length == 0 {
                break;
            }
            body += &after[..length];
            rest = &after[length + 2..];
        }
    } else {
        body += rest;
    }
    Answer { status, head: head.to_owned(), body }
}

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap()
}

#[tokio::test]
async fn every_route_answers_as_its_golden_file() {
    let latest = whole_node();
    let today = serve(&latest, V0Config::default());
    let older = serve(&latest, V0Config { names: Names::Dcos111, ..V0Config::default() });
    for (served, path, file) in [
        (&today, "node", "node.json"),
        (&today, "containers", "containers.json"),
        (&today, "containers/cart", "container.json"),
        (&today, "containers/cart/app", "app.json"),
        (&today, "containers/carter/app", "app_unknown.json"),
        (&today, "containers/cart/app/hits", "metric.json"),
        (&today, "containers/cart/app/t.mean", "metric_of_timer.json"),
        (&older, "node", "node.json"),
        (&older, "containers/cart", "container_1.11.json"),
        (&older, "containers/cart/app", "app.json"),
    ] {
        let expected = golden(file);
        for prefix in ["/v0", "/system/v1/metrics/v0"] {
            let answer = get(served, &format!("{prefix}/{path}")).await;
            assert_eq!(answer.status, 200);
            let json = "\r\nContent-Type: application/json; charset=UTF-8";
            assert!(answer.head.contains(json), "{}", answer.head);
            assert_eq!(answer.body, expected, "{prefix}/{path}");
            serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
        }
    }
}

#[tokio::test]
async fn the_host_tag_may_be_another_than_the_dimension() {
    let served =
        serve(&whole_node(), V0Config { host: Some("web-1".into()), ..V0Config::default() });
    for (path, file) in [("containers/cart/app", "app.json"), ("containers/cart", "container.json")]
    {
        let expected = golden(file).replace(r#""host":"10.0.0.1""#, r#""host":"web-1""#);
        assert!(expected.contains(r#""hostname":"10.0.0.1""#));
        assert_ne!(expected, golden(file));
        assert_eq!(get(&served, &format!("/v0/{path}")).await.body, expected);
    }
}

#[tokio::test]
async fn ping_tells_the_time_in_whole_seconds() {
    let served = serve(&Latest::new(LatestConfig::default()), V0Config::default());
    let answer = get(&served, "/v0/ping").await;
    assert_eq!(answer.status, 200);
    let time = answer.body.strip_prefix("{\"ok\":true,\"timestamp\":\"").unwrap();
    let time = time.strip_suffix("Z\"}\n").unwrap();
    assert_eq!(time.len(), "2019-01-02T03:04:05".len());
}

#[tokio::test]
async fn what_is_not_there_is_no_content_and_what_is_no_route_is_not_found() {
    let latest = whole_node();
    let master = serve(&latest, V0Config { role: Role::Master, ..V0Config::default() });
    let empty = serve(&Latest::new(LatestConfig::default()), V0Config::default());
    let whole = serve(&latest, V0Config::default());
    for (served, path, status) in [
        (&empty, "/v0/node", 204),
        (&empty, "/v0/containers", 200),
        (&whole, "/v0/containers/carte", 204),
        (&whole, "/v0/containers/carter", 204),
        (&whole, "/v0/containers/car/app", 204),
        (&whole, "/v0/containers/cart/app/hit", 204),
        (&whole, "/v0/containers/cart/app/t", 204),
        (&whole, "/v0/containers/cart/app/hits.count", 204),
        (&whole, "/v0/containers/cart/app/never", 204),
        (&whole, "/v0/containers/%FF/app", 204),
        (&whole, "/v0/containers/%2e%2e/app", 204),
        (&whole, "/v0/debug", 404),
        (&whole, "/v0", 404),
        (&whole, "/v0/containers/cart/other", 404),
        (&whole, "/healthz", 404),
        (&whole, "/v0/containers/%zz", 400),
        (&master, "/v0/ping", 200),
        (&master, "/v0/node", 200),
        (&master, "/v0/containers", 404),
        (&master, "/v0/containers/cart/app", 404),
    ] {
        let answer = get(served, path).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 204 {
            assert_eq!(answer.body, "", "{path}");
            assert!(!answer.head.contains("Content-Type"), "{}", answer.head);
        }
    }
    assert_eq!(get(&empty, "/v0/containers").await.body, "[]\n");
    let answer = get(&whole, "/v0/containers/?x=1").await;
    assert_eq!(answer.status, 301);
    assert!(answer.head.contains("\r\nLocation: /v0/containers?x=1\r\n"), "{}", answer.head);
}

#[tokio::test]
async fn only_reading_is_served_and_not_to_web_pages() {
    let served = serve(&whole_node(), V0Config::default());
    let head = served.send("HEAD /v0/containers HTTP/1.1\r\nHost: \r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    for verb in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = served.send(&format!("{verb} /v0/node HTTP/1.1\r\nHost: \r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
    let page = "GET /v0/node HTTP/1.1\r\nHost: \r\nOrigin: http://evil.example\r\n\r\n";
    assert!(served.send(page).await.starts_with("HTTP/1.1 403 "));
    // As Admin Router's nginx asks, and as one that knows no chunks does.
    let old = served.send("GET /v0/containers HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 ") && old.ends_with("[\"cart\",\"carter\"]\n"), "{old}");
}

#[tokio::test]
async fn a_value_that_is_not_a_number_is_left_out_or_a_text() {
    let latest = whole_node();
    for (nan, value) in [(NotANumber::String, "\"NaN\""), (NotANumber::Empty, "\"\"")] {
        let served = serve(&latest, V0Config { nan, ..V0Config::default() });
        let answer = get(&served, "/v0/containers/cart/app/never").await;
        assert_eq!(answer.status, 200);
        let start = format!("{{\"datapoints\":[{{\"name\":\"never\",\"value\":{value},\"unit\":");
        assert!(answer.body.starts_with(&start), "{}", answer.body);
        // There is no way to write one without end, and none ever was.
        assert_eq!(get(&served, "/v0/containers/cart/app/endless").await.status, 204);
    }
}

#[tokio::test(start_paused = true)]
async fn a_series_is_shown_until_it_was_not_seen_for_the_expiry() {
    let expiry = Duration::from_secs(10);
    let latest = Latest::new(LatestConfig::default());
    let served = serve(&latest, V0Config { expiry, ..V0Config::default() });
    let (a, b) = (container("a"), container("b"));
    latest.take_in(&batch(&a, of_node(), vec![gauge("one", &[], 1.0), gauge("two", &[], 2.0)]));
    latest.take_in(&batch(&b, of_node(), vec![gauge("one", &[], 1.0)]));
    advance(expiry).await;
    latest.take_in(&batch(&a, of_node(), vec![gauge("two", &[], 3.0)]));
    assert_eq!(get(&served, "/v0/containers").await.body, "[\"a\",\"b\"]\n");
    assert_eq!(get(&served, "/v0/containers/a/app").await.body.matches("value").count(), 2);
    advance(Duration::from_millis(100)).await;
    assert_eq!(get(&served, "/v0/containers").await.body, "[\"a\"]\n");
    let answer = get(&served, "/v0/containers/a/app").await;
    assert_eq!(answer.body.matches("value").count(), 1);
    assert!(answer.body.contains("\"name\":\"two\",\"value\":3,"), "{}", answer.body);
    assert_eq!(get(&served, "/v0/containers/b/app").await.status, 204);
}

#[tokio::test]
async fn a_container_that_is_gone_is_gone_and_one_that_came_back_is_there() {
    let latest = Latest::new(LatestConfig { keeps_ended: true, ..LatestConfig::default() });
    let served = serve(&latest, V0Config::default());
    let (before, after) = (container("a"), container("a"));
    latest.take_in(&batch(&before, of_node(), vec![gauge("g", &[], 1.0), gauge("old", &[], 1.0)]));
    let uses = vec![gauge("container.processes", &[], 1.0)];
    latest.take_in(&batch(&resources("a"), of_node(), uses));
    latest.source_ended(&before);
    assert_eq!(get(&served, "/v0/containers").await.body, "[]\n");
    assert_eq!(get(&served, "/v0/containers/a").await.status, 204);
    assert_eq!(get(&served, "/v0/containers/a/app").await.status, 204);
    latest.take_in(&batch(&after, of_node(), vec![gauge("g", &[], 2.0)]));
    let answer = get(&served, "/v0/containers/a/app").await;
    assert!(answer.body.starts_with("{\"datapoints\":[{\"name\":\"g\",\"value\":2,"));
    assert_eq!(answer.body.matches("value").count(), 1);
}

#[tokio::test]
async fn a_container_that_is_heard_in_two_ways_has_every_series_once() {
    let latest = Latest::new(LatestConfig::default());
    let served = serve(&latest, V0Config::default());
    let claimed = Origin::Claimed { listener: "l".into(), container_id: "a".into() };
    let (by_port, by_claim) = (container("a"), Source::new(claimed, ReadAs::default()));
    latest.take_in(&batch(&by_port, of_node(), vec![gauge("g", &[], 1.0), gauge("p", &[], 2.0)]));
    latest.take_in(&batch(
        &by_claim,
        of_task("a"),
        vec![gauge("c", &[], 3.0), gauge("g", &[], 4.0)],
    ));
    let answer = get(&served, "/v0/containers/a/app").await;
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let points = answer["datapoints"].as_array().unwrap();
    let seen: Vec<_> = points.iter().map(|it| format!("{}={}", it["name"], it["value"])).collect();
    assert_eq!(seen, ["\"p\"=2", "\"c\"=3", "\"g\"=4"]);
    assert_eq!(answer["dimensions"]["task_name"], "cart");
    assert_eq!(get(&served, "/v0/containers").await.body, "[\"a\"]\n");
}

#[tokio::test]
async fn a_large_answer_comes_in_pieces_in_the_same_order_each_time() {
    let latest = Latest::new(LatestConfig::default());
    let served = serve(&latest, V0Config::default());
    let source = container("a");
    let name = |i: usize| format!("metric.{i:05}");
    for from in (0..10_000).step_by(1000) {
        let some = (from..from + 1000).map(|i| gauge(&name(i), &[("i", "1")], i as f64));
        latest.take_in(&batch(&source, of_task("a"), some.collect()));
    }
    let first = get(&served, "/v0/containers/a/app").await;
    assert!(first.head.to_ascii_lowercase().contains("transfer-encoding: chunked"));
    let answer: serde_json::Value = serde_json::from_str(&first.body).unwrap();
    let points = answer["datapoints"].as_array().unwrap();
    let names: Vec<_> = points.iter().map(|point| point["name"].as_str().unwrap()).collect();
    assert_eq!(names, (0..10_000).map(name).collect::<Vec<_>>());
    assert_eq!(get(&served, "/v0/containers/a/app").await, first);
    // The last of them is found, after many in which nothing was.
    let last = get(&served, "/v0/containers/a/app/metric.09999").await;
    assert!(last.body.starts_with("{\"datapoints\":[{\"name\":\"metric.09999\",\"value\":9999,"));
    assert!(last.head.contains("Content-Length: "), "{}", last.head);
    // Many containers' ids, too.
    for i in 0..2000 {
        let id = format!("container-with-a-long-name-{i:04}");
        latest.take_in(&batch(&container(&id), of_node(), vec![gauge("g", &[], 1.0)]));
    }
    let all = get(&served, "/v0/containers").await;
    let ids: Vec<String> = serde_json::from_str(&all.body).unwrap();
    assert_eq!(ids.len(), 2001);
    assert!(ids.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_an_answer_is_cut_and_holds_up_nobody() {
    let latest = Latest::new(LatestConfig::default());
    let served = serve(&latest, V0Config::default());
    let source = container("a");
    let many = |value| (0..20_000).map(|i| gauge(&format!("m{i}"), &[], value)).collect();
    latest.take_in(&batch(&source, of_task("a"), many(1.0)));
    let mut stream = tokio::net::UnixStream::connect(&served.path).await.unwrap();
    let request = b"GET /v0/containers/a/app HTTP/1.1\r\nHost: \r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
    // Its answer has begun: a piece lies ready.
    stream.readable().await.unwrap();
    latest.take_in(&batch(&source, of_task("a"), many(2.0)));
    assert_eq!(get(&served, "/v0/containers/a/app/m19999").await.status, 200);
    advance(Duration::from_secs(5)).await;
    let cut = async {
        while served.traffic.read().get(api::Event::Cut) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), cut).await.unwrap();
}
