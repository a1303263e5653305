//! `/metrics`, as a Prometheus server would ask for it.

use std::collections::BTreeMap;
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Agent, Start, ask, send, wait_for};

/// Each sample's value, by name and labels as they are written.
type Samples = BTreeMap<String, f64>;

fn scrape(agent: &Agent) -> Samples {
    let (status, text) = agent.ask("GET", "/metrics", "");
    assert_eq!(status, 200, "{text}");
    samples(&text)
}

fn samples(text: &str) -> Samples {
    let of_line = |line: &str| {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        (sample.to_owned(), value.parse().unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(of_line).collect()
}

fn scrape_when(agent: &Agent, so: impl Fn(&Samples) -> bool) -> Samples {
    let mut last = Samples::new();
    wait_for(
        || {
            last = scrape(agent);
            so(&last)
        },
        "the awaited samples",
    );
    last
}

/// The value of the sample of this name that has these labels, among others.
fn value(samples: &Samples, name: &str, labels: &[&str]) -> Option<f64> {
    let is_it = |sample: &str| {
        let (its_name, rest) = sample.split_once('{').unwrap_or((sample, ""));
        its_name == name && labels.iter().all(|label| rest.contains(label))
    };
    samples.iter().find(|(sample, _)| is_it(sample)).map(|(_, value)| *value)
}

#[test]
fn counters_are_running_totals_and_timers_have_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).config("[identity]\nlabels = { rack = \"b7\" }\n").start();
    let port = agent.register("c1");
    send(port, "page.views:2|c|#page:home\nlevel:7|g\ntook:10:30|ms\nwho:a|s");
    let labels = ["container_id=\"c1\"", "metric_type=\"counter\"", "page=\"home\"", "rack=\"b7\""];
    scrape_when(&agent, |samples| value(samples, "page_views", &labels) == Some(2.0));
    send(port, "page.views:3|c|#page:home\ntook:50|ms");
    let last = scrape_when(&agent, |samples| value(samples, "page_views", &labels) == Some(5.0));
    for (name, expected) in [
        ("level", 7.0),
        ("took_count", 3.0),
        ("took_sum", 90.0),
        ("took_lower", 50.0),
        ("took_upper", 50.0),
        ("took_mean", 50.0),
        ("took_stddev", 0.0),
        ("who", 1.0),
    ] {
        assert_eq!(value(&last, name, &["container_id=\"c1\""]), Some(expected), "{name}");
    }
    assert_eq!(value(&last, "took", &["quantile=\"0.99\"", "metric_type=\"timing\""]), Some(50.0));
}

#[test]
fn weirs_own_numbers_are_those_of_the_status() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let port = agent.register("c1");
    send(port, "a:1|c\nb:x|g\n:1|c\nt:1:2:3|ms|#b,b:");
    agent.send("b:1|m\nno kind:1");
    agent.received(8);
    // All of it has left, and as there is no gauge, no other points follow.
    scrape_when(&agent, |samples| {
        value(samples, "t_count", &[]).is_some() && value(samples, "b", &[]).is_some()
    });
    agent.status_when(|status| {
        let output = &status["outputs"][0];
        output["acknowledged"] == output["offered"]
    });
    let (status, samples) = (agent.status(), scrape(&agent));

    let number = |path: &str| status.pointer(path).and_then(Value::as_f64);
    let source = status["sources"].as_array().unwrap().iter();
    let source = source.into_iter().find(|source| source["container_id"] == "c1").unwrap();
    for part in ["received/datagrams", "received/bytes", "received/samples", "aggregated", "series"]
    {
        let name = match part {
            "received/datagrams" => "received_datagrams_total",
            "received/bytes" => "received_bytes_total",
            "received/samples" => "received_samples_total",
            "aggregated" => "aggregated_samples_total",
            _ => part,
        };
        let total = number(&format!("/total/{part}"));
        assert_eq!(value(&samples, &format!("weir_{name}"), &[]), total, "{part}");
        let of_it = source.pointer(&format!("/{part}")).and_then(Value::as_f64);
        let labels = ["container_id=\"c1\""];
        assert_eq!(value(&samples, &format!("weir_source_{name}"), &labels), of_it, "{part}");
    }
    for (of, family, label) in
        [("rejected", "rejected_samples_total", "reason"), ("notes", "noted_lines_total", "note")]
    {
        for (name, count) in status["total"][of].as_object().unwrap() {
            let label = format!("{label}=\"{name}\"");
            let shown = value(&samples, &format!("weir_{family}"), &[&label]);
            assert_eq!(shown, count.as_f64(), "{name}");
            let labels = [label.as_str(), "container_id=\"c1\""];
            let shown = value(&samples, &format!("weir_source_{family}"), &labels);
            let count = source[of][name].as_f64().filter(|count| *count > 0.0);
            assert_eq!(shown, count, "{name}");
        }
    }
    let output = ["output=\"file\""];
    for (part, name) in [
        ("offered", "weir_output_offered_points_total"),
        ("acknowledged", "weir_output_acknowledged_points_total"),
    ] {
        let expected = number(&format!("/outputs/0/{part}"));
        assert_eq!(value(&samples, name, &output), expected, "{name}");
    }
    let registered = value(&samples, "weir_containers_registered", &[]);
    assert_eq!(registered, number("/containers/registered"));
}

#[test]
fn a_removed_containers_series_go_after_one_more_scrape() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing but the removal flushes.
    let agent = Start::in_dir(&dir).config("flush_interval = \"1h\"\n").start();
    let port = agent.register("c1");
    send(port, "last.words:1|c");
    agent.received(1);
    assert_eq!(value(&scrape(&agent), "last_words", &[]), None);
    assert_eq!(agent.ask("DELETE", "/container/c1", "").0, 202);
    scrape_when(&agent, |samples| value(samples, "last_words", &[]) == Some(1.0));
    assert_eq!(value(&scrape(&agent), "last_words", &[]), None);
}

#[test]
fn the_further_listener_serves_metrics_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let config = format!(
        "[prometheus]\nlisten = \"{address}\"\ncontainer_self_metrics = false\ncounter_suffix = \"_total\"\n"
    );
    let agent = Start::in_dir(&dir).config(&config).start();
    let port = agent.register("c1");
    send(port, "a:1|c");
    agent.received(1);
    let get = |path: &str| ask(TcpStream::connect(address).unwrap(), "GET", path, "");
    let mut text = String::new();
    wait_for(
        || {
            text = get("/metrics").1;
            text.contains("\na_total{")
        },
        "the counter",
    );
    assert!(text.contains("\nweir_source_series{listener=\"udp://127.0.0.1:"), "{text}");
    assert!(!text.contains("weir_source_series{container_id"), "{text}");
    for path in ["/", "/status.json", "/containers", "/v0/containers", "/metrics/"] {
        assert_eq!(get(path).0, 404, "{path}");
    }
}

#[test]
fn what_is_left_out_is_counted_and_shown_in_the_status() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    agent.send("a.b:1|c");
    scrape_when(&agent, |samples| value(samples, "a_b", &[]) == Some(1.0));
    agent.send("a_b:5|g\na/b:1|c\nweir.series:9|g");
    let status = agent.status_when(|status| {
        scrape(&agent);
        status["prometheus"]["refused"]["reserved"] == 1
    });
    let refused = &status["prometheus"]["refused"];
    assert_eq!((&refused["type_clashes"], &refused["collisions"]), (&1.into(), &1.into()));
    let expected = serde_json::json!(
        { "name": "a_b", "kept": "counter a.b", "refused": "counter a/b" }
    );
    assert!(refused["examples"].as_array().unwrap().contains(&expected), "{refused}");
    let samples = scrape(&agent);
    let clashes = value(&samples, "weir_prometheus_refused_samples", &["reason=\"type_clash\""]);
    assert_eq!(clashes, Some(1.0));
    assert_eq!(value(&samples, "weir_series", &[]), Some(4.0));
}

#[test]
fn without_prometheus_there_is_no_metrics_page() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[prometheus]\nenabled = false\n[api]\nenabled = false\n";
    let agent = Start::in_dir(&dir).config(config).start();
    agent.send("a:1|c");
    agent.received(1);
    assert_eq!(agent.ask("GET", "/metrics", "").0, 404);
    assert_eq!(agent.status()["latest"]["series"], 0);
}
