//! What is written is what apache-avro writes of the same records, put together in the plainest way.

use std::borrow::Cow;

use apache_avro::writer::datum::GenericDatumWriter;
use metric::UnixMillis;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::*;
use crate::encode::unit::unit;
use crate::schema;

#[derive(Serialize)]
struct Point<'a> {
    ts: i64,
    interval_ms: i32,
    name: &'a str,
    kind: &'a str,
    stat: &'a str,
    value: f64,
    unit: &'a str,
    host: &'a str,
    cluster_id: &'a str,
    agent_id: &'a str,
    framework_id: &'a str,
    framework_name: &'a str,
    executor_id: &'a str,
    task_id: &'a str,
    task_name: &'a str,
    container_id: &'a str,
    tags: Map,
    boot_id: &'a str,
    seq: i64,
}

/// In this order, which a map of the library's would not keep.
struct Map(Vec<(String, String)>);

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct List<'a> {
    topic: &'a str,
    tags: Vec<ListTag>,
    datapoints: Vec<ListPoint>,
}

#[derive(Clone, Serialize)]
struct ListTag {
    key: String,
    value: String,
}

#[derive(Serialize)]
struct ListPoint {
    name: String,
    time_ms: i64,
    value: f64,
}

fn write(schema: Schema, record: &impl Serialize, to: &mut Vec<u8>) {
    let schema = apache_avro::Schema::parse_str(schema::json(schema)).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_ser(to, record).unwrap();
}

fn points(batch: &Batch) -> Vec<u8> {
    let who = batch.dimensions.as_ref();
    let mut written = Vec::new();
    for point in batch.points().filter(|point| point.value.is_finite()) {
        let record = Point {
            ts: point.ts,
            interval_ms: point.interval_ms,
            name: point.datapoint.key.name(),
            kind: point.kind.name(),
            stat: point.stat,
            value: point.value,
            unit: unit(batch, point.datapoint.key.name()),
            host: &who.hostname,
            cluster_id: &who.cluster_id,
            agent_id: &who.agent_id,
            framework_id: &who.framework_id,
            framework_name: &who.framework_name,
            executor_id: &who.executor_id,
            task_id: &who.task_id,
            task_name: &who.task_name,
            container_id: container_id(batch),
            tags: tags(batch, point.datapoint),
            boot_id: "00c0ffee00c0ffee",
            seq: point.seq,
        };
        write(Schema::Points, &record, &mut written);
    }
    written
}

fn tags(batch: &Batch, datapoint: &Datapoint) -> Map {
    let who = batch.dimensions.as_ref();
    let unfielded =
        ["parent_container_id", "executor_name", "framework_role", "framework_principal"];
    let mut tags = Vec::new();
    for (name, value) in who.identity() {
        if unfielded.contains(&name) && !value.is_empty() {
            tags.push((name.to_owned(), value.to_owned()));
        }
    }
    tags.extend(who.labels.clone());
    let labels = tags.len();
    for (key, value) in who.client_tags(&datapoint.key) {
        match tags.iter().position(|(taken, _)| *taken == key) {
            Some(place) if place < labels => {}
            Some(place) => tags[place].1.extend([",", value]),
            None => tags.push((key.into_owned(), value.to_owned())),
        }
    }
    Map(tags)
}

fn lists(batch: &Batch) -> Vec<u8> {
    let who = batch.dimensions.as_ref();
    let source_tags: Vec<_> = who
        .identity()
        .map(|(key, value)| (key, if key == "container_id" { container_id(batch) } else { value }))
        .into_iter()
        .enumerate()
        .filter(
            |(place, (_, value))| {
                if *place < 3 { !container_id(batch).is_empty() } else { !value.is_empty() }
            },
        )
        .map(|(_, (key, value))| (Cow::Borrowed(key), value))
        .chain(who.labels.iter().map(|(key, value)| (Cow::Borrowed(key.as_str()), value.as_str())))
        .map(|(key, value)| ListTag { key: key.into_owned(), value: value.to_owned() })
        .collect();
    let topic = Some(who.framework_id.as_str()).filter(|id| !id.is_empty());
    let mut written = Vec::new();
    let mut put = |tags: Vec<ListTag>, datapoints: Vec<ListPoint>| {
        if !datapoints.is_empty() {
            let record = List { topic: topic.unwrap_or("unknown_container"), tags, datapoints };
            write(Schema::MetricList, &record, &mut written);
        }
    };
    let told = |datapoint: &Datapoint| -> Vec<_> {
        let points = batch.points_of(datapoint).filter(|point| point.value.is_finite());
        let name = |point: &metric::Point<'_>| match (point.kind.is_summarised(), point.stat) {
            (false, _) => datapoint.key.name().to_owned(),
            (true, "min") => format!("{}.lower", datapoint.key.name()),
            (true, "max") => format!("{}.upper", datapoint.key.name()),
            (true, stat) => format!("{}.{stat}", datapoint.key.name()),
        };
        let of = |point| ListPoint { name: name(&point), time_ms: point.ts, value: point.value };
        points.map(of).collect()
    };
    let is_tagged = |datapoint: &&Datapoint| datapoint.key.tags().next().is_some();
    let untagged = batch.datapoints.iter().filter(|datapoint| !is_tagged(datapoint));
    put(source_tags.clone(), untagged.flat_map(told).collect());
    for datapoint in batch.datapoints.iter().filter(is_tagged) {
        let own = who.client_tags(&datapoint.key);
        let own =
            own.map(|(key, value)| ListTag { key: key.into_owned(), value: value.to_owned() });
        put([source_tags.clone(), own.collect()].concat(), told(datapoint));
    }
    written
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let text = || {
        select(vec![
            "",
            "a",
            "é, \"x\"",
            "a text of more than sixty-three bytes, so that its length takes two",
        ])
    };
    let key = || select(vec!["a", "container_id", "exported_team", "host", "task_name", "team"]);
    let number = select(vec![0.0, -1.5, 1e300, f64::NAN, f64::INFINITY]);
    let datapoint = (
        0..4_u8,
        vec((key(), text()), 0..5),
        number,
        select(vec![None, Some(UnixMillis(-1)), Some(UnixMillis(1_700_000_000_123))]),
    );
    let datapoint = datapoint.prop_map(|(kind, mut tags, number, timestamp)| {
        tags.sort_unstable();
        tags.dedup();
        let (kind, value) = match kind {
            0 => (Kind::Counter, Value::Counter { sum: number, total: 1.0 }),
            1 => (Kind::Gauge, Value::Gauge(number)),
            2 => (Kind::Set, Value::Distinct(7)),
            _ => {
                let [count, sum, min, max, mean, stddev] = [1.0, number, 3.0, 4.0, number, 6.0];
                let quantiles = [number].into();
                let summary = Summary { count, sum, min, max, mean, stddev, quantiles };
                (Kind::Timer, Value::Summary(Box::new(summary)))
            }
        };
        Datapoint { timestamp, ..super::datapoint(kind, "net.in_bytes", &tags, value) }
    });
    let listener = Origin::Listener { listener: "udp://127.0.0.1:8125".into() };
    let origin = select(vec![container(), listener, Origin::Node]);
    let labels = btree_map(
        key()
            .prop_filter("no identity", |key| !Dimensions::is_identity(key))
            .prop_map(str::to_owned),
        text().prop_map(str::to_owned),
        0..3,
    );
    let dimensions =
        (text(), text(), any::<bool>(), labels).prop_map(|(host, role, is_known, labels)| {
            let who = if is_known { known() } else { Arc::default() };
            let (hostname, framework_role) = (host.to_owned(), role.to_owned());
            Arc::new(Dimensions { hostname, framework_role, labels, ..(*who).clone() })
        });
    let first_seq = select(vec![0, 63, 1 << 40]);
    (origin, dimensions, vec(datapoint, 0..8), first_seq).prop_map(
        |(origin, dimensions, datapoints, first_seq)| Batch {
            dimensions,
            first_seq,
            ..batch(origin, datapoints)
        },
    )
}

#[test]
fn what_is_written_is_what_the_library_writes() {
    let of = |schema, expected: fn(&Batch) -> Vec<u8>| {
        let config = OutputConfig { schema, codec: Codec::Null, ..config("file:d") };
        let run = Config { cases: 500, failure_persistence: None, ..Config::default() };
        // The same cases at every run.
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let outcome = TestRunner::new_with_rng(run, rng).run(&any_batch(), |batch| {
            let (payloads, _) = encode(&config, std::slice::from_ref(&batch));
            let (body, expected) = (payloads.first(), expected(&batch));
            let body = body.map_or(&[][..], |payload| &payload.bytes);
            prop_assert!(body.ends_with(&expected));
            prop_assert!(body.len() <= expected.len() + ocf::BLOCK_HEAD);
            Ok(())
        });
        outcome.unwrap();
    };
    of(Schema::Points, points);
    of(Schema::MetricList, lists);
}
