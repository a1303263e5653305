mod library;

use std::collections::BTreeMap;

use metric::{
    Datapoint, Dimensions, Kind, Origin, Quantiles, ReadAs, SeriesKey, Source, Summary, Tag, Value,
};

use super::*;
use crate::read::Reader;

/// A batch of a container's untagged counters, for tests that only count.
pub(crate) fn counters(first_seq: i64, number: usize) -> Arc<Batch> {
    let datapoints = (0..number).map(|i| counter(&format!("n{i}"), &[], 1.0)).collect();
    Arc::new(Batch { first_seq, ..batch(container(), datapoints) })
}

fn counter(name: &str, tags: &[(&str, &str)], sum: f64) -> Datapoint {
    datapoint(Kind::Counter, name, tags, Value::Counter { sum, total: sum + 100.0 })
}

fn datapoint(kind: Kind, name: &str, tags: &[(&str, &str)], value: Value) -> Datapoint {
    let tags: Vec<_> = tags.iter().map(|(key, value)| Tag::new(key, value)).collect();
    Datapoint { key: SeriesKey::new(kind, name, &tags), timestamp: None, value }
}

fn container() -> Origin {
    Origin::Container { container_id: "c1".into() }
}

fn batch(origin: Origin, datapoints: Vec<Datapoint>) -> Batch {
    Batch {
        source: Source::new(origin, ReadAs::default()),
        dimensions: Arc::default(),
        end_ms: 1_700_000_000_000,
        interval_ms: 10_000,
        first_seq: 0,
        quantiles: Arc::new(Quantiles::new(vec![0.5])),
        datapoints,
    }
}

fn known() -> Arc<Dimensions> {
    Arc::new(Dimensions {
        framework_id: "f1".into(),
        executor_id: "e1".into(),
        container_id: "c1".into(),
        agent_id: "a1".into(),
        cluster_id: "k1".into(),
        hostname: "h1".into(),
        parent_container_id: "p1".into(),
        executor_name: "en".into(),
        framework_name: "fn".into(),
        framework_role: String::new(),
        framework_principal: "fp".into(),
        task_id: "t1".into(),
        task_name: "tn".into(),
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
    })
}

/// What an output of this kind makes of one flush, and its account.
fn encode(config: &OutputConfig, batches: &[Batch]) -> (Vec<Payload>, Arc<Account>) {
    encode_within(config.queue_bytes as usize, config, "00c0ffee00c0ffee", batches)
}

fn config(url: &str) -> OutputConfig {
    OutputConfig::new(url.parse().unwrap())
}

/// What an output of this kind writes, as JSON lines.
fn lines(config: &OutputConfig, batch: &Batch) -> Vec<String> {
    let (payloads, _) = encode(config, std::slice::from_ref(batch));
    let mut file = ocf::header(config.schema, config.codec, &STREAM_MARKER);
    for payload in payloads {
        file.extend_from_slice(&payload.bytes);
        if matches!(config.destination, Destination::File(_)) {
            file.extend_from_slice(&STREAM_MARKER);
        }
    }
    read_lines(&file)
}

fn read_lines(file: &[u8]) -> Vec<String> {
    let mut reader = Reader::open(file).unwrap();
    let mut lines = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        lines.extend(block.map(Result::unwrap));
    }
    lines
}

/// Avro's form of a text shorter than 64 bytes.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![text.len() as u8 * 2];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[test]
fn a_streams_block_is_this_byte_for_byte() {
    let tagged = counter("hits", &[("path", "/")], -1.5);
    let batch = Batch {
        dimensions: Arc::new(Dimensions {
            framework_id: "fw".into(),
            executor_id: "ex".into(),
            ..Dimensions::default()
        }),
        ..batch(container(), vec![tagged, counter("up", &[], 2.0)])
    };
    let (payloads, _) = encode(&config("avro+tcp://h:1"), &[batch]);

    let who: Vec<u8> = [
        text("framework_id"),
        text("fw"),
        text("executor_id"),
        text("ex"),
        text("container_id"),
        text("c1"),
    ]
    .concat();
    let time_ms = [0x80, 0xa0, 0xab, 0xfe, 0xf9, 0x62];
    let untagged: Vec<u8> = [
        &text("fw")[..],
        &[3 * 2],
        &who,
        &[0, 2],
        &text("up"),
        &time_ms,
        &[0, 0, 0, 0, 0, 0, 0, 0x40, 0],
    ]
    .concat();
    let tagged: Vec<u8> = [
        &text("fw")[..],
        &[4 * 2],
        &who,
        &text("path"),
        &text("/"),
        &[0, 2],
        &text("hits"),
        &time_ms,
        &[0, 0, 0, 0, 0, 0, 0xf8, 0xbf, 0],
    ]
    .concat();
    let size = untagged.len() + tagged.len();
    assert!((64..8192).contains(&size));
    let size = [(size * 2) as u8 | 0x80, ((size * 2) >> 7) as u8];
    let block = [&[4][..], &size, &untagged, &tagged, b"FEFEFEFEFEFEFEFE"].concat();
    assert_eq!(payloads, [Payload { bytes: block.into(), points: 2 }]);
}

#[test]
fn a_point_is_this_byte_for_byte() {
    let datapoint = counter("hits", &[("host", "x"), ("path", "/"), ("path", "/b")], 3.0);
    let batch = Batch { dimensions: known(), first_seq: 64, ..batch(container(), vec![datapoint]) };
    let config = OutputConfig { codec: Codec::Null, ..config("file:d") };
    let (payloads, _) = encode(&config, &[batch]);

    let mut record = vec![0x80, 0xa0, 0xab, 0xfe, 0xf9, 0x62, 0xa0, 0x9c, 1];
    for field in ["hits", "counter", "sum"] {
        record.extend(text(field));
    }
    record.extend([0, 0, 0, 0, 0, 0, 8, 0x40]);
    for field in ["", "h1", "k1", "a1", "f1", "fn", "e1", "t1", "tn", "c1"] {
        record.extend(text(field));
    }
    record.push(6 * 2);
    for (key, value) in [
        ("parent_container_id", "p1"),
        ("executor_name", "en"),
        ("framework_principal", "fp"),
        ("team", "blue"),
        ("host", "x"),
        ("path", "/,/b"),
    ] {
        record.extend(text(key));
        record.extend(text(value));
    }
    record.push(0);
    record.extend(text("00c0ffee00c0ffee"));
    record.extend([0x80, 1]);
    let size = [(record.len() * 2) as u8 | 0x80, ((record.len() * 2) >> 7) as u8];
    let block = [&[2][..], &size, &record].concat();
    assert_eq!(payloads, [Payload { bytes: block.into(), points: 1 }]);
}

#[test]
fn a_lists_tags_are_who_it_is_then_labels_then_the_clients() {
    let tags = [("container_id", "forged"), ("path", "/"), ("path", "/b"), ("team", "red")];
    let batch = Batch { dimensions: known(), ..batch(container(), vec![counter("n", &tags, 1.0)]) };
    let tags_of = |config: &OutputConfig| {
        let list: serde_json::Value = serde_json::from_str(&lines(config, &batch)[0]).unwrap();
        let tags = list["tags"].as_array().unwrap().iter();
        let pairs = tags.map(|tag| {
            format!("{}={}", tag["key"].as_str().unwrap(), tag["value"].as_str().unwrap())
        });
        pairs.collect::<Vec<_>>().join(" ")
    };
    let all = config("avro+tcp://h:1");
    assert_eq!(
        tags_of(&all),
        "framework_id=f1 executor_id=e1 container_id=c1 agent_id=a1 cluster_id=k1 hostname=h1 \
         parent_container_id=p1 executor_name=en framework_name=fn framework_principal=fp \
         task_id=t1 task_name=tn team=blue \
         exported_container_id=forged path=/ path=/b exported_team=red"
    );
    assert_eq!(
        tags_of(&OutputConfig { tags: Tags::Dcos, ..all }),
        "framework_id=f1 executor_id=e1 container_id=c1 \
         exported_container_id=forged path=/ path=/b exported_team=red"
    );
}

#[test]
fn an_unknown_container_has_its_three_tags_and_a_listener_none() {
    let point = r#""datapoints":[{"name":"n","time_ms":1700000000000,"value":1.0}]}"#;
    let config = config("avro+tcp://h:1");
    let container = batch(container(), vec![counter("n", &[], 1.0)]);
    let three = concat!(
        r#"{"key":"framework_id","value":""},{"key":"executor_id","value":""},"#,
        r#"{"key":"container_id","value":"c1"}"#
    );
    assert_eq!(
        lines(&config, &container),
        [format!(r#"{{"topic":"unknown_container","tags":[{three}],{point}"#)]
    );
    let listener = Origin::Listener { listener: "udp://127.0.0.1:8125".into() };
    let listener = batch(listener, vec![counter("n", &[], 1.0)]);
    assert_eq!(
        lines(&config, &listener),
        [format!(r#"{{"topic":"unknown_container","tags":[],{point}"#)]
    );
}

#[test]
fn lists_name_a_summarys_numbers_in_the_words_of_dcos() {
    let summary = Summary {
        count: 1.0,
        sum: 2.0,
        min: 3.0,
        max: 4.0,
        mean: 5.0,
        stddev: 6.0,
        quantiles: [7.0].into(),
    };
    let datapoints = vec![
        datapoint(Kind::Timer, "t", &[], Value::Summary(Box::new(summary))),
        datapoint(Kind::Gauge, "g", &[], Value::Gauge(8.0)),
        datapoint(Kind::Set, "s", &[], Value::Distinct(9)),
        counter("c", &[], 10.0),
    ];
    let batch = batch(container(), datapoints);
    let names = |config: &OutputConfig| {
        let list: serde_json::Value = serde_json::from_str(&lines(config, &batch)[0]).unwrap();
        let points = list["datapoints"].as_array().unwrap().iter();
        let pairs =
            points.map(|point| format!("{}={}", point["name"].as_str().unwrap(), point["value"]));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let delta = config("avro+tcp://h:1");
    assert_eq!(
        names(&delta),
        "t.count=1.0 t.sum=2.0 t.lower=3.0 t.upper=4.0 t.mean=5.0 t.stddev=6.0 t.p50=7.0 \
         g=8.0 s=9.0 c=10.0"
    );
    let cumulative = OutputConfig { counters: Counters::Cumulative, ..delta };
    assert!(names(&cumulative).ends_with("s=9.0 c=110.0"));
}

#[test]
fn the_untagged_series_of_a_batch_share_a_list_and_each_tagged_one_has_its_own() {
    let datapoints = vec![
        counter("a", &[("k", "v")], 1.0),
        counter("b", &[], 2.0),
        counter("c", &[("k", "v")], 3.0),
        counter("d", &[], 4.0),
    ];
    let lines = lines(&config("avro+tcp://h:1"), &batch(container(), datapoints));
    let names: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let list: serde_json::Value = serde_json::from_str(line).unwrap();
            let points = list["datapoints"].as_array().unwrap().iter();
            points.map(|point| point["name"].as_str().unwrap().to_owned()).collect()
        })
        .collect();
    assert_eq!(names, [vec!["b", "d"], vec!["a"], vec!["c"]]);
}

#[test]
fn a_number_that_is_not_finite_is_dropped_and_costs_no_other() {
    let datapoints = vec![
        counter("a", &[], f64::INFINITY),
        counter("b", &[], 1.0),
        datapoint(Kind::Gauge, "c", &[("k", "v")], Value::Gauge(f64::NAN)),
    ];
    let batch = batch(container(), datapoints);
    for url in ["avro+tcp://h:1", "file:d"] {
        let (payloads, account) = encode(&config(url), std::slice::from_ref(&batch));
        assert_eq!(payloads.iter().map(|payload| payload.points).sum::<u64>(), 1);
        assert_eq!(account.ledger().dropped.get(DropReason::Unencodable), 2);
        assert_eq!(account.ledger().queued, 1);
        assert_eq!(lines(&config(url), &batch).len(), 1);
    }
}

#[test]
fn a_point_keeps_its_number_whatever_is_dropped_beside_it() {
    let datapoints = vec![counter("a", &[], f64::NAN), counter("b", &[], 1.0)];
    let batch = Batch { first_seq: 7, ..batch(container(), datapoints) };
    let lines = lines(&config("file:d"), &batch);
    assert!(lines[0].ends_with(r#""boot_id":"00c0ffee00c0ffee","seq":8}"#), "{}", lines[0]);
}

#[test]
fn a_large_flush_leaves_in_payloads_of_a_quarter_of_the_queue() {
    let batch = counters(0, 4_000);
    for url in ["avro+tcp://h:1", "file:d", "http://h/"] {
        let config = OutputConfig { codec: Codec::Null, queue_bytes: 128 << 10, ..config(url) };
        let config = OutputConfig { schema: Schema::MetricList, ..config };
        let (payloads, account) = encode(&config, std::slice::from_ref(&batch));
        assert!(payloads.len() > 1, "{url}");
        assert!(payloads.iter().all(|payload| payload.bytes.len() < 64 << 10));
        assert_eq!(payloads.iter().map(|payload| payload.points).sum::<u64>(), 4_000);
        assert_eq!(account.ledger().queued, 4_000);
    }
}

#[test]
fn a_posted_payload_is_a_whole_file_whatever_its_codec_and_schema() {
    for codec in [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        for (schema, records) in [(Schema::Points, 1_500), (Schema::MetricList, 2)] {
            let config = OutputConfig { schema, codec, ..config("http://h/") };
            let (payloads, _) = encode(&config, std::slice::from_ref(&counters(0, 1_500)));
            assert_eq!(payloads.len(), 1);
            assert_eq!(read_lines(&payloads[0].bytes).len(), records);
        }
    }
}

#[test]
fn a_flush_without_points_leaves_nothing() {
    let (payloads, _) = encode(&config("http://h/"), &[]);
    assert!(payloads.is_empty());
}
