//! Where points go: Avro over TCP, over HTTP, and in files.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Agent, Points, Start, run, send, wait_for};
use crate::stand_in::{Collector, Mesos, Reply, Reserved, Server, World, records, task};

/// A flush that does not come in a test, but when the agent stops.
const NO_FLUSH: &str = "flush_interval = \"1h\"\n";

pub(crate) fn output(url: &str, more: &str) -> String {
    format!("[[output]]\nurl = {url:?}\n{more}\n")
}

/// A collector, and the URL of an output to it.
pub(crate) fn collector(resets: usize) -> (Collector, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", listener.local_addr().unwrap());
    (Collector::on(listener, resets), url)
}

/// An account of an output: offered, acknowledged, queued, and dropped for any reason.
pub(crate) fn account(output: &Value) -> [u64; 4] {
    let number = |field: &str| output[field].as_u64().unwrap();
    let dropped = output["dropped"].as_object().unwrap().values().map(|n| n.as_u64().unwrap());
    [number("offered"), number("acknowledged"), number("queued"), dropped.sum()]
}

/// The account at rest or in motion, once this is true of every output; it adds up in each reading.
pub(crate) fn accounts_when(agent: &Agent, so: impl Fn(&Value) -> bool) -> Vec<Value> {
    let status = agent.status_when(|status| {
        let outputs = status["outputs"].as_array().unwrap();
        for output in outputs {
            let [offered, acknowledged, queued, dropped] = account(output);
            assert_eq!(offered, acknowledged + queued + dropped, "{output}");
        }
        outputs.iter().all(&so)
    });
    status["outputs"].as_array().unwrap().clone()
}

pub(crate) fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == ending));
    files.sort();
    files
}

#[test]
fn a_collector_gets_the_lists_that_dcos_sends() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("DCOS_METRICS_team", "blue")];
    let task = task("cart.1", Some("shop.executor"), &["known"], &labels);
    let mesos = Mesos::start(World::running([task]));
    let ((all, url_all), (dcos, url_dcos)) = (collector(0), collector(0));
    let identity = "[identity]\ncluster_id = \"ours\"\nhost = \"10.9.9.9\"\n";
    let config = [
        NO_FLUSH,
        identity,
        &mesos.config(),
        &output(&url_all, ""),
        &output(&url_dcos, "tags = \"dcos\""),
    ];
    let agent = Start::in_dir(&dir).config(&config.concat()).start();
    let (known, unknown) = (agent.register("known"), agent.register("lost"));
    send(known, "hits:3|c\nlevel:7|g\nusers:u|s\nusers:v|s\nhits:1|c|#path:/,team:red");
    send(known, "took:10|ms\ntook:30|ms");
    send(unknown, "hits:2|c|#path:/a");
    agent.send("own:1|c\nown:1|c|#x:y");
    agent.received(10);
    mesos.told();
    agent.stop();

    let node = [("agent_id", "node-S7"), ("cluster_id", "ours"), ("hostname", "10.9.9.9")];
    let of_known = [
        ("framework_id", "shop-0001"),
        ("executor_id", "shop.executor"),
        ("container_id", "known"),
    ];
    let of_lost = [("framework_id", ""), ("executor_id", ""), ("container_id", "lost")];
    let further = [
        ("executor_name", "shop executor"),
        ("framework_name", "shopkeeper"),
        ("framework_role", "shop_role"),
        ("framework_principal", "shop_principal"),
        ("task_id", "cart.1"),
        ("task_name", "cart"),
        ("team", "blue"),
    ];
    for (collector, has_all) in [(&all, true), (&dcos, false)] {
        let ended = || collector.connections().first().is_some_and(|it| it.has_ended);
        wait_for(ended, "the stream's end");
        let connections = collector.connections();
        assert_eq!(connections.len(), 1);
        let bytes = &connections[0].bytes;
        assert!(bytes.starts_with(b"Obj\x01\x04\x14avro.codec\x08null\x16avro.schema"));
        assert_eq!(&bytes[585..601], b"FEFEFEFEFEFEFEFE");
        assert!(bytes.len() > 700 && bytes.ends_with(b"FEFEFEFEFEFEFEFE"));
        let lists = collector.lists(0);
        let list = |topic: &str, tags: &[&[(&str, &str)]]| -> Vec<(String, f64)> {
            let tags: Vec<_> = tags
                .concat()
                .iter()
                .map(|(key, value)| json!({"key": key, "value": value}))
                .collect();
            let found = lists.iter().find(|it| it["topic"] == topic && it["tags"] == json!(tags));
            let found = found.unwrap_or_else(|| panic!("{topic} {tags:?} is not in {lists:#?}"));
            let points = found["datapoints"].as_array().unwrap().iter();
            let mut points: Vec<_> = points
                .map(|it| (it["name"].as_str().unwrap().to_owned(), it["value"].as_f64().unwrap()))
                .collect();
            points.sort_by(|(a, _), (b, _)| a.cmp(b));
            points
        };
        let named = |points: &[(&str, f64)]| -> Vec<(String, f64)> {
            points.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let (node, further): (&[_], &[_]) = if has_all { (&node, &further) } else { (&[], &[]) };
        let untagged = list("shop-0001", &[&of_known, node, further]);
        let expected = [
            ("hits", 3.0),
            ("level", 7.0),
            ("took.count", 2.0),
            ("took.lower", 10.0),
            ("took.mean", 20.0),
            ("took.p50", 10.0),
            ("took.p90", 30.0),
            ("took.p95", 30.0),
            ("took.p99", 30.0),
            ("took.p999", 30.0),
            ("took.stddev", 10.0),
            ("took.sum", 40.0),
            ("took.upper", 30.0),
            ("users", 2.0),
        ];
        for ((name, value), (expected_name, expected)) in untagged.iter().zip(expected) {
            assert_eq!(name, expected_name);
            // A quantile is the sketch's.
            assert!((value - expected).abs() <= expected * 0.0055, "{name}: {value}");
        }
        assert_eq!(untagged.len(), expected.len());
        let own: &[_] = &[("path", "/"), ("exported_team", "red")];
        assert_eq!(list("shop-0001", &[&of_known, node, further, own]), named(&[("hits", 1.0)]));
        let own: &[_] = &[("path", "/a")];
        assert_eq!(list("unknown_container", &[&of_lost, node, own]), named(&[("hits", 2.0)]));
        assert_eq!(list("unknown_container", &[node]), named(&[("own", 1.0)]));
        assert_eq!(list("unknown_container", &[node, &[("x", "y")]]), named(&[("own", 1.0)]));
        assert_eq!(lists.len(), 5);
        let time = lists[0]["datapoints"][0]["time_ms"].as_i64().unwrap();
        assert!(time > 1_700_000_000_000, "{time}");
    }
}

#[test]
fn counters_go_as_the_intervals_sum_or_as_running_totals() {
    let dir = tempfile::tempdir().unwrap();
    let ((delta, url_delta), (total, url_total)) = (collector(0), collector(0));
    let outputs = output(&url_delta, "") + &output(&url_total, "counters = \"cumulative\"");
    let agent = Start::in_dir(&dir).config(&outputs).start();
    for (place, sent) in [2, 3, 5].into_iter().enumerate() {
        agent.send(format!("hits:{sent}|c"));
        for collector in [&delta, &total] {
            wait_for(|| collector.values(0, "hits").len() == place + 1, "the interval's point");
        }
    }
    agent.stop();
    assert_eq!(delta.values(0, "hits"), [2.0, 3.0, 5.0]);
    assert_eq!(total.values(0, "hits"), [2.0, 5.0, 10.0]);
}

#[test]
fn a_collector_that_comes_late_gets_everything() {
    let dir = tempfile::tempdir().unwrap();
    let place = Reserved::new();
    let url = format!("avro+tcp://{}", place.address());
    let agent = Start::in_dir(&dir).config(&output(&url, "")).start();
    agent.send("hits:1|c");
    let output = &accounts_when(&agent, |it| it["queued"] == 1 && it["retries"] != 0)[0];
    assert!(output["last_error"].as_str().unwrap().contains("refused"), "{output}");
    assert_eq!(agent.ask("GET", "/readyz", "").0, 503);
    agent.send("hits:2|c");
    accounts_when(&agent, |it| it["queued"] == 2);

    let collector = Collector::on(place.listen(), 0);
    accounts_when(&agent, |it| it["queued"] == 0 && it["acknowledged"] == 2);
    wait_for(|| agent.ask("GET", "/readyz", "").0 == 200, "readiness");
    agent.stop();
    let both = || {
        let mut values = collector.values(0, "hits");
        // What came since the last attempt to connect goes before what waited for longer.
        values.sort_by(f64::total_cmp);
        values == [1.0, 2.0]
    };
    wait_for(both, "both points");
    assert_eq!(collector.connections().len(), 1);
}

#[test]
fn after_a_reset_a_collector_gets_a_header_and_what_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, url) = collector(1);
    let agent = Start::in_dir(&dir).config(&output(&url, "")).start();
    agent.send("level:5|g");
    wait_for(|| !collector.values(1, "level").is_empty(), "points on a new connection");
    let output = &accounts_when(&agent, |it| it["retries"] != 0 && it["queued"] == 0)[0];
    assert_ne!(output["last_error"], Value::Null);
    assert_eq!(account(output)[3], 0, "{output}");
    agent.stop();
    let connections = collector.connections();
    assert_eq!(connections.len(), 2);
    assert!(connections[1].bytes.starts_with(b"Obj\x01"));
}

#[test]
fn a_post_is_repeated_until_it_is_taken_and_carries_either_schema() {
    let dir = tempfile::tempdir().unwrap();
    let mut refusals = vec![503, 500];
    let server = Server::start(move |asked| {
        let is_to_points = asked.line.contains("/points");
        let status = is_to_points.then(|| refusals.pop()).flatten();
        Reply::Answer(status.unwrap_or(200), "x".repeat(100))
    });
    let to = |path: &str| format!("http://{}/{path}?key=k", server.address);
    let outputs = output(&to("points"), "")
        + &output(&to("lists"), "schema = \"metric_list\"\ncodec = \"zstd\"");
    let agent = Start::in_dir(&dir).config(NO_FLUSH).config(&outputs).start();
    let port = agent.register("c");
    send(port, "hits:3|c|#a:b\ntook:5|ms");
    // What leaves at once: one flush.
    assert_eq!(agent.ask("DELETE", "/container/c", "").0, 202);
    let outputs = accounts_when(&agent, |it| it["acknowledged"] == 12);
    assert_eq!((&outputs[0]["retries"], &outputs[1]["retries"]), (&json!(2), &json!(0)));
    agent.stop();

    let asked = server.asked();
    let to = |path: &str| -> Vec<_> { asked.iter().filter(|it| it.line.contains(path)).collect() };
    let (points, lists) = (to("POST /points?key=k "), to("POST /lists?key=k "));
    assert_eq!((points.len(), lists.len()), (3, 1));
    assert!(points.iter().all(|it| it.body == points[0].body));
    assert!(asked.iter().all(|it| it.header("content-type") == Some("avro/binary")));
    assert!(asked.iter().all(|it| it.header("authorization").is_none()));
    let points = records(&points[0].body);
    assert_eq!(points.len(), 12);
    assert!(
        points.iter().enumerate().all(|(seq, it)| it["seq"] == seq && it["container_id"] == "c")
    );
    let lists = records(&lists[0].body);
    let listed = lists.iter().map(|it| it["datapoints"].as_array().unwrap().len());
    assert_eq!(listed.sum::<usize>(), 12);
}

#[test]
fn what_is_refused_for_good_is_dropped_and_counted_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut answers = vec![200, 413, 400];
    let server = Server::start(move |_| Reply::Answer(answers.pop().unwrap(), String::new()));
    let url = format!("http://{}/", server.address);
    let agent = Start::in_dir(&dir).config(&output(&url, "")).start();
    for (sent, of_which_refused) in [(1, 1), (2, 2), (3, 2)] {
        agent.send("hits:1|c");
        let output = &accounts_when(&agent, |it| it["offered"] == sent && it["queued"] == 0)[0];
        assert_eq!(output["dropped"]["refused"], of_which_refused, "{output}");
        assert_eq!(output["retries"], 0);
    }
    agent.says(&["points dropped"]);
    agent.stop();
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_token_files_first_line_is_shown_as_it_stands_at_each_post() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::Answer(204, String::new()));
    let file = dir.path().join("token");
    fs::write(&file, "first-token\nignored").unwrap();
    let more = format!("token_file = {file:?}");
    let url = format!("http://{}/", server.address);
    let agent = Start::in_dir(&dir).config(&output(&url, &more)).start();
    for (sent, next) in [(1, "X-Api-Key: k 1"), (2, "")] {
        agent.send("hits:1|c");
        accounts_when(&agent, |it| it["acknowledged"] == sent);
        fs::write(&file, next).unwrap();
    }
    // Without a token nothing is sent, and nothing is lost.
    agent.send("hits:1|c");
    accounts_when(&agent, |it| it["queued"] == 1 && it["retries"] != 0);
    fs::write(&file, "third").unwrap();
    accounts_when(&agent, |it| it["acknowledged"] == 3);
    agent.stop();
    let asked = server.asked();
    let shown: Vec<_> =
        asked.iter().map(|it| (it.header("authorization"), it.header("x-api-key"))).collect();
    let bearer = |token| (Some(token), None);
    assert_eq!(shown, [bearer("Bearer first-token"), (None, Some("k 1")), bearer("Bearer third")]);
}

#[test]
fn files_are_completed_by_size_and_the_oldest_are_removed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let points = dir.path().join("points");
    let url = format!("file:{}", points.display());
    // A file has some four thousand bytes of header: each flush fills one.
    let config = "flush_interval = \"100ms\"\n".to_owned()
        + &output(&url, "rotate_bytes = 1000\nmax_bytes = 20000\ncodec = \"null\"");
    let agent = Start::in_dir(&dir).config(&config).start();
    agent.send("level:1|g");
    let output = &accounts_when(&agent, |it| it["removed_files"].as_u64() >= Some(3))[0];
    assert_eq!(account(output)[3], 0, "what was written is delivered: {output}");
    agent.stop();
    assert_eq!(files(&points, "part"), Vec::<PathBuf>::new());
    let kept = files(&points, "avro");
    let bytes = |path: &PathBuf| path.metadata().unwrap().len();
    assert!(kept.iter().all(|path| (1_000..20_000).contains(&bytes(path))), "{kept:?}");
    assert!(kept.iter().map(bytes).sum::<u64>() <= 20_000);
    assert!(kept.len() >= 2, "{kept:?}");
    // The newest, without a gap.
    let seqs: Vec<i64> =
        Points::in_dir(&points).0.iter().map(|it| it["seq"].as_i64().unwrap()).collect();
    assert!(seqs[0] >= 3 && seqs.windows(2).all(|two| two[0] + 1 == two[1]), "{seqs:?}");
}

#[test]
fn a_file_is_completed_by_its_age() {
    let dir = tempfile::tempdir().unwrap();
    let points = dir.path().join("points");
    let url = format!("file:{}", points.display());
    let agent = Start::in_dir(&dir).config(&output(&url, "rotate_age = \"300ms\"")).start();
    agent.send("hits:1|c");
    wait_for(|| files(&points, "avro").len() == 1, "a complete file");
    assert_eq!(Points::in_dir(&points).sum("hits", "sum"), 1.0);
    drop(agent);
}

#[test]
fn after_a_kill_the_next_start_completes_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let points = dir.path().join("data/points");
    let agent = Start::in_dir(&dir).start();
    agent.send("level:1|g");
    wait_for(|| Points::in_dir(&points).0.len() >= 2, "two flushes");
    agent.kill();
    let part = files(&points, "part").pop().unwrap();
    let written = Points::in_dir(&points).0;
    // As if it had been killed in the middle of a block, and once before its first.
    File::options().append(true).open(&part).unwrap().write_all(b"\x02\x90\x01torn").unwrap();
    fs::write(part.with_file_name("20260101T000000Z-0123456789abcdef-0.part"), b"Obj\x01").unwrap();

    let agent = Start::in_dir(&dir).start();
    let completed = part.with_extension("avro");
    assert!(completed.exists() && !part.exists());
    assert_eq!(files(&points, "bad").len(), 1);
    agent.send("level:2|g");
    agent.received(1);
    agent.stop();
    // Every complete file reads whole, or this panics.
    let all = Points::in_dir(&points);
    let first = |point: &&Value| point["boot_id"] == written[0]["boot_id"];
    let kept: Vec<_> = all.0.iter().filter(first).collect();
    assert_eq!(kept, written.iter().collect::<Vec<_>>());
    let mut later = all.0.iter().filter(|point| !first(point));
    assert!(later.next().is_some_and(|point| point["seq"] == 0 && point["value"] == 2.0));
    assert_eq!(files(&points, "part"), Vec::<PathBuf>::new());
}

#[test]
fn every_output_gets_the_same_points_with_the_same_numbers_and_cat_prints_them() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let to = |name: &str, more: &str| output(&format!("file:{}", place(name).display()), more);
    let outputs = to("plain", "codec = \"null\"")
        + &to("small", "codec = \"zstd\"")
        + &to("snappy", "codec = \"snappy\"")
        + &to("lists", "schema = \"metric_list\"");
    let agent = Start::in_dir(&dir).config(&outputs).start();
    let port = agent.register("c");
    for _ in 0..3 {
        let before = agent.status()["outputs"][0]["offered"].clone();
        send(port, "hits:1|c|#a:b\ntook:5|ms");
        agent.send("level:1|g");
        agent.status_when(|status| status["outputs"][0]["offered"] != before);
    }
    agent.stop();
    let cat = |name: &str| -> Vec<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let printed = run(command.arg("cat").args(files(&place(name), "avro")));
        assert!(printed.status.success(), "{printed:?}");
        String::from_utf8(printed.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let plain = cat("plain");
    for (seq, line) in plain.iter().enumerate() {
        let point: Value = serde_json::from_str(line).unwrap();
        assert_eq!(point["seq"], seq);
    }
    assert_eq!(cat("small"), plain);
    assert_eq!(cat("snappy"), plain);
    let lists = cat("lists");
    assert!(
        lists[0].starts_with("{\"topic\":\"unknown_container\",\"tags\":[{\"key\":"),
        "{lists:?}"
    );
    let listed = lists.iter().map(|line| line.matches("\"time_ms\":").count());
    assert_eq!(listed.sum::<usize>(), plain.len());
}

#[test]
fn a_stop_without_a_collector_says_what_it_could_not_deliver() {
    let dir = tempfile::tempdir().unwrap();
    let (tcp, http) = (Reserved::new(), Reserved::new());
    let points = dir.path().join("points");
    let config = "shutdown_grace = \"500ms\"\n".to_owned()
        + &output(
            &format!("avro+tcp://{}", tcp.address()),
            "name = \"stream\"\ndurability = \"memory\"",
        )
        + &output(
            &format!("http://{}/", http.address()),
            "name = \"post\"\ndurability = \"memory\"",
        )
        + &output(&format!("file:{}", points.display()), "");
    let agent = Start::in_dir(&dir).config(&config).start();
    agent.send("hits:1|c\nhits:1|c|#a:b\nusers:u|s");
    let outputs = accounts_when(&agent, |it| it["offered"] == 3);
    assert!(outputs[..2].iter().all(|it| account(it) == [3, 0, 3, 0]), "{outputs:?}");
    let log = dir.path().join("log");
    // Its exit status is looked at.
    agent.stop();
    let log = fs::read_to_string(log).unwrap();
    for name in ["stream", "post"] {
        let told = log.lines().find(|line| {
            line.contains("stopped before everything was delivered") && line.contains(name)
        });
        assert!(told.is_some_and(|line| line.contains("points=3")), "{name} in {log}");
    }
    assert_eq!(Points::in_dir(&points).0.len(), 3);
}
