use std::borrow::Cow;

use metric::{Batch, Datapoint, Point};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::container_id;
use super::unit::unit;

/// A point as `weir.v1.MetricPoint`: the fields are those of the schema, in its order.
#[derive(Serialize)]
pub(crate) struct Record<'a> {
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
    tags: &'a Tags<'a>,
    boot_id: &'a str,
    seq: i64,
}

/// Hands over the record of each point of a batch, or `None` for one whose value is not finite.
pub(crate) fn each(batch: &Batch, boot_id: &str, mut put: impl FnMut(Option<&Record<'_>>)) {
    let who = batch.dimensions.as_ref();
    let mut seq = batch.first_seq;
    for datapoint in &batch.datapoints {
        let tags = Tags::of(batch, datapoint);
        for point in batch.points_of(datapoint) {
            let Point { kind, stat, value, ts, interval_ms, .. } = point;
            let record = Record {
                ts,
                interval_ms,
                name: datapoint.key.name(),
                kind: kind.name(),
                stat,
                value,
                unit: unit(batch, datapoint.key.name()),
                host: &who.hostname,
                cluster_id: &who.cluster_id,
                agent_id: &who.agent_id,
                framework_id: &who.framework_id,
                framework_name: &who.framework_name,
                executor_id: &who.executor_id,
                task_id: &who.task_id,
                task_name: &who.task_name,
                container_id: container_id(batch),
                tags: &tags,
                boot_id,
                seq,
            };
            put(value.is_finite().then_some(&record));
            seq += 1;
        }
    }
}

/// The map of a point's tags: no key twice.
struct Tags<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Tags<'a> {
    fn of(batch: &'a Batch, datapoint: &'a Datapoint) -> Self {
        let who = batch.dimensions.as_ref();
        let unfielded = [
            ("parent_container_id", who.parent_container_id.as_str()),
            ("executor_name", &who.executor_name),
            ("framework_role", &who.framework_role),
            ("framework_principal", &who.framework_principal),
        ];
        let mut tags = Self(Vec::new());
        for (key, value) in unfielded.into_iter().filter(|(_, value)| !value.is_empty()) {
            tags.0.push((key.into(), value.into()));
        }
        // No label has the name of an identity: a context is made so.
        tags.0.extend(who.labels.iter().map(|(key, value)| (key.into(), value.into())));
        let sources = tags.0.len();
        for (key, value) in who.client_tags(&datapoint.key) {
            tags.add(sources, key, value);
        }
        tags
    }

    /// Adds a client's tag; the first `sources` tags are not the client's to change.
    fn add(&mut self, sources: usize, key: Cow<'a, str>, value: &'a str) {
        match self.0.iter().position(|(taken, _)| *taken == key) {
            // Only a label that is itself named exported_… can be met here, and it stays.
            Some(place) if place < sources => {}
            Some(place) => {
                let joined = self.0[place].1.to_mut();
                joined.push(',');
                joined.push_str(value);
            }
            None => self.0.push((key, value.into())),
        }
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
