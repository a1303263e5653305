use super::*;
use crate::run::Probe;
use crate::verify::{Class, Range};

fn moment(at: f64, sent: u64) -> Moment {
    Moment {
        at,
        sent,
        received: Some(sent),
        kernel_dropped: Some(0),
        cpu: Some(at / 10.0),
        memory: Some(10_000_000),
    }
}

fn report() -> Report {
    let flushed = Flushed { points: Some(7), latency: Duration::from_millis(120) };
    Report {
        version: 1,
        command: ["weir-replay", "<w1>.toml", "--spawn", "weir --http none"]
            .map(str::to_owned)
            .to_vec(),
        input: InputReport {
            name: "<w1>.toml".to_owned(),
            datagrams: 10,
            lines: 100,
            ..InputReport::default()
        },
        targets: vec!["127.0.0.1:8125".to_owned(), "127.0.0.1:8126".to_owned()],
        pace: "flat out".to_owned(),
        sent: Some(SentReport {
            datagrams: 100,
            lines: 1000,
            seconds: 2.0,
            datagrams_per_second: 50.0,
            lines_per_second: 500.0,
            cut_short: 0,
            kept: 1.0,
        }),
        loss: Some(Loss { datagrams: 1, share: 0.01 }),
        moments: vec![moment(0.0, 0), moment(1.0, 50), moment(2.0, 100)],
        flushes: [(1_700_000_000_000, flushed)].into(),
        ..Report::default()
    }
}

fn search() -> Search {
    let probe = |lines_per_second: f64, loss: f64| Probe {
        asked: None,
        lines_per_second,
        datagrams_per_second: lines_per_second / 10.0,
        loss,
        cpu_seconds_per_million_lines: Some(0.5),
        cpu_share: Some(0.9),
        memory: Some(1_000_000),
    };
    let round = crate::run::Round {
        highest: 500.0,
        is_senders_limit: false,
        probes: vec![probe(1000.0, 0.5), probe(500.0, 0.0)],
    };
    Search {
        limit: 0.001,
        probe_seconds: 5.0,
        rounds: vec![round.clone(), round],
        median: 500.0,
        least: 400.0,
        most: 600.0,
    }
}

#[test]
fn a_page_shows_what_it_tells_and_fetches_nothing() {
    let page = html::page(&report());
    assert!(page.contains("weir-replay: &lt;w1&gt;.toml") && !page.contains("<w1>"));
    for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for title in ["Loss by rate", "Rate over time", "CPU over time", "Memory over time"] {
        assert!(page.contains(title), "{title}");
    }
    assert!(page.contains("Latency of a flush"));
    assert!(page.contains("127.0.0.1:8125 and 1 more"));
    // As a shell takes it.
    let words = ["weir-replay", "'&lt;w1&gt;.toml'", "--spawn", "'weir --http none'"];
    assert!(page.contains(&words.map(|word| format!("<span>{word}</span>")).join(" ")));
    // Two steps and three moments: each is a dot.
    assert_eq!(page.matches("<circle").count(), 2 + (2 + 2) + 2 + 3 + 1);
}

#[test]
fn a_search_has_its_probes_by_round() {
    let report = Report { search: Some(search()), moments: Vec::new(), ..report() };
    let page = html::page(&report);
    assert!(page.contains("<h2>Probes</h2>") && page.contains("round 2"));
    assert_eq!(page.matches("<tr class=\"bad\">").count(), 2);
    // By loss and by cost.
    assert_eq!(page.matches(">highest: 500/s<").count(), 2);
    let text = report.to_string();
    assert!(
        text.contains(
            "highest: 500/s of lines (50/s of datagrams) with less than 0.10 % lost: the median \
             of 2, from 400/s to 600/s"
        ),
        "{text}"
    );
}

#[test]
fn a_verdict_is_told_with_its_classes() {
    let class = Class {
        name: "counter".to_owned(),
        sent: 10,
        arrived: Range::new(7, 8),
        unexplained: 2,
        ..Class::default()
    };
    let verdict = Verdict {
        unexplained: vec!["2 samples < 3".to_owned()],
        classes: vec![class],
        ..Verdict::default()
    };
    let report = Report { verdict: Some(verdict), ..report() };
    let page = html::page(&report);
    assert!(page.contains("<th>datagrams</th><td>0 sent</td>"));
    assert!(page.contains("Unexplained: 2 samples &lt; 3") && page.contains("<td>7 to 8</td>"));
    assert!(report.to_string().contains("UNEXPLAINED: 2 samples < 3\n"));
}

#[test]
fn the_json_holds_everything_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (json, page) = (directory.path().join("r.json"), directory.path().join("r.html"));
    let report = Report { search: Some(search()), ..report() };
    report.write(Some(&json), Some(&page)).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!(read["version"], 1);
    assert_eq!(read["sent"]["lines_per_second"], 500.0);
    assert_eq!(read["flushes"][0]["latency_ms"], 120);
    assert_eq!(read["moments"][2]["sent"], 100);
    assert_eq!(read["search"]["rounds"][0]["probes"][1]["loss"], 0.0);
    assert!(read["verdict"].is_null());
    assert!(fs::read_to_string(page).unwrap().ends_with("</html>\n"));
    let nowhere = directory.path().join("no/such/dir.json");
    assert!(matches!(report.write(Some(&nowhere), None), Err(ReplayError::Output { .. })));
}

#[test]
fn the_busiest_threads_of_the_agent_are_told_first_and_idle_ones_not() {
    let threads = [("api", 0.001), ("flush", 0.1), ("worker-0", 1.8)];
    let cost = Cost {
        cpu_seconds: 2.0,
        cpu_seconds_per_million_lines: 0.2,
        cpu_share: 0.5,
        memory_before: 1,
        memory_most: 3,
        memory_after: 2,
        threads: threads.map(|(name, cpu)| (name.to_owned(), cpu)).into(),
    };
    let told = Report { cost: Some(cost), ..report() }.to_string();
    assert!(told.contains("of that: worker-0 90.00 %, flush 5.00 %\n"), "{told}");
}
