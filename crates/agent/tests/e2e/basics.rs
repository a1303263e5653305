//! What goes in comes out.

use std::os::unix::net::UnixDatagram;

use serde_json::json;

use crate::harness::{Points, Start, send, wait_for};

#[test]
fn every_kind_comes_out_as_exactly_what_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    // One interval for all of it, which the stop ends.
    let agent = Start::in_dir(&dir).config("flush_interval = \"1h\"\n").start();
    // What the clients of Datadog and Etsy put on the wire, several lines a datagram.
    agent.send("views:1|c|#page:home\nviews:2|c|#page:home\nviews:1|c|@0.1|#page:shop\n");
    agent.send("load:3|g\nload:+2|g\nload:-1|g\nlevel:-4|g|#dd:yes");
    agent.send("took:320|ms\ntook:1:2:3|ms|@0.5\nsize:12|h\nspread:5|d|#a,b:c");
    agent.send("users:ann|s\nusers:bob|s\nusers:ann|s\nusers:x:1|s");
    agent.send("etsy:1|c:2|c\nname,region=eu:1|c\nmeter:7|m");
    agent.received(21);

    let points = agent.stop();
    let views = points.sums_by("views", "sum", "page");
    assert_eq!(views, [("home".to_owned(), 3.0), ("shop".to_owned(), 10.0)].into());
    assert_eq!(points.values("load", "value").last(), Some(&4.0));
    assert_eq!(points.values("level", "value").last(), Some(&-4.0));
    assert_eq!(points.sum("took", "count"), 7.0);
    assert_eq!(points.sum("took", "sum"), 332.0);
    assert_eq!(points.values("took", "max"), [320.0]);
    assert_eq!(points.values("size", "p50"), [12.0]);
    assert_eq!(points.first("spread")["tags"], json!({"a": "", "b": "c"}));
    assert_eq!(points.values("users", "count"), [3.0]);
    assert_eq!(points.sum("etsy", "sum"), 3.0);
    assert_eq!(points.first("name")["tags"], json!({"region": "eu"}));
    assert_eq!(points.first("meter")["kind"], "counter");
}

#[test]
fn points_are_numbered_without_a_gap_and_end_on_multiples_of_the_interval() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    agent.send("level:1|g");
    let data = dir.path().join("data/points");
    wait_for(|| Points::in_dir(&data).0.len() >= 4, "four flushes of a gauge");
    let points = agent.stop().0;
    for (place, point) in points.iter().enumerate() {
        assert_eq!(point["seq"], place, "{point}");
        assert_eq!(point["boot_id"], points[0]["boot_id"]);
        assert_eq!(point["boot_id"].as_str().unwrap().len(), 16);
        assert_ne!(point["host"], "");
    }
    let ends: Vec<_> = points.iter().map(|point| point["ts"].as_i64().unwrap()).collect();
    assert!(ends.is_sorted_by(|a, b| a < b), "{ends:?}");
    // All but the last, which the stop made.
    assert!(ends[..ends.len() - 1].iter().all(|end| end % 200 == 0), "{ends:?}");
}

#[test]
fn a_gauge_is_told_again_at_each_flush_and_a_counter_only_if_it_was_touched() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    agent.send("level:7|g\ncount:1|c");
    let data = dir.path().join("data/points");
    wait_for(|| Points::in_dir(&data).values("level", "value").len() >= 3, "the gauge again");
    let points = agent.stop();
    assert_eq!(points.values("count", "sum"), [1.0]);
    assert!(points.values("level", "value").iter().all(|level| *level == 7.0));
}

#[test]
fn a_unix_socket_and_ipv6_are_listened_to_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("statsd.sock");
    let config = format!(
        "[[listener]]\nurl = \"unixgram:{}\"\n[[listener]]\nurl = \"udp://[::1]:0\"\n",
        socket.display()
    );
    let agent = Start::in_dir(&dir).config(&config).start();
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"over.unix:-5|g\nboth:1|c", &socket).unwrap();
    send(agent.udp(), "both:1|c");
    agent.received(3);
    let points = agent.stop();
    // DogStatsD's transport: a sign is no change.
    assert_eq!(points.values("over.unix", "value").last(), Some(&-5.0));
    assert_eq!(points.sum("both", "sum"), 2.0);
    assert!(!socket.exists(), "the socket's file goes with the agent");
}

#[test]
fn what_cannot_be_read_is_counted_and_harms_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    agent.send(b"");
    agent.send(b"good:1|c\nno kind\nx:1|q\n:1|c\ny:abc|c\n\xff\xfe:1|c\n_e{1,1}:a|b\n\n \r\n");
    let status = agent.received(7);
    let listener = &status["sources"][0];
    assert_eq!(listener["source"], "listener");
    assert_eq!(listener["received"]["datagrams"], 2);
    assert_eq!(listener["aggregated"], 2);
    for reason in ["no_value", "unknown_kind", "empty_name", "bad_value", "not_carried"] {
        assert_eq!(listener["rejected"][reason], 1, "{reason} in {listener}");
    }
    assert_eq!(listener["notes"]["invalid_utf8"], 1);
    assert_eq!(agent.stop().sum("good", "sum"), 1.0);
}

#[test]
fn the_largest_datagram_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Start::in_dir(&dir).start();
    let mut datagram = "large:1|c\n".repeat(6_550);
    datagram.truncate(65_500);
    agent.send(&datagram);
    agent.received(6_550);
    assert_eq!(agent.stop().sum("large", "sum"), 6_550.0);
}

#[test]
fn a_trusted_listener_takes_a_clients_word_for_its_container() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[limits]\ntrusted_sources = 2\n[[listener]]\nurl = \"udp://127.0.0.1:0\"\ntrust_container = true\n";
    let agent = Start::in_dir(&dir).config(config).start();
    agent.send("a:1|c|c:ci-one\na:1|c|c:two\na:1|c|c:three\na:1|c");
    agent.send("a:1|c|c:ci-one\na:1|c|c:two\na:1|c|c:three\na:1|c");
    let status = agent.received(8);
    let sources = status["sources"].as_array().unwrap();
    let of = |id: serde_json::Value| {
        let source = sources.iter().find(|source| source["container_id"] == id).unwrap();
        source["aggregated"].as_u64().unwrap()
    };
    assert_eq!((of(json!("one")), of(json!("two")), of(json!(null))), (2, 2, 4));
    let points = agent.stop();
    let mut ids: Vec<_> =
        points.0.iter().map(|point| point["container_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, ["", "one", "two"]);
}

#[test]
fn an_idle_series_is_forgotten_and_can_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = "series_expiry = \"300ms\"\ngauge_expiry = \"300ms\"\n";
    let agent = Start::in_dir(&dir).config(config).start();
    agent.send("count:2|c\nlevel:1|g");
    agent.status_when(|status| status["total"]["series"] == 2);
    agent.status_when(|status| status["total"]["series"] == 0);
    agent.send("count:3|c");
    agent.received(3);
    let points = agent.stop();
    assert_eq!(points.values("count", "sum"), [2.0, 3.0]);
}
