use std::borrow::Cow;

use metric::{Batch, Datapoint, SeriesKey};

use super::container_id;
use super::unit::unit;
use crate::avro::{self, Object};

/// A point as `weir.v1.MetricPoint`: the fields are those of the schema, in its order; what many
/// points have alike is written once.
pub(crate) struct Record<'a> {
    ts: i64,
    interval_ms: i32,
    /// `name` and `kind`.
    series: &'a [u8],
    stat: &'a str,
    value: f64,
    unit: &'a str,
    /// From `host` to `container_id`.
    who: &'a [u8],
    tags: &'a [u8],
    boot_id: &'a str,
    seq: i64,
}

/// More than the fields take that are not written yet, but for their texts.
const OWN_BYTES: usize = 64;

impl Object for Record<'_> {
    // Hot path: runs once per point.
    fn write(&self, to: &mut Vec<u8>) {
        to.reserve(self.series.len() + self.who.len() + self.tags.len() + OWN_BYTES);
        avro::long(to, self.ts);
        avro::long(to, self.interval_ms.into());
        to.extend_from_slice(self.series);
        avro::string(to, self.stat);
        avro::double(to, self.value);
        avro::string(to, self.unit);
        to.extend_from_slice(self.who);
        to.extend_from_slice(self.tags);
        avro::string(to, self.boot_id);
        avro::long(to, self.seq);
    }
}

/// Hands over the record of each point of a batch, or `None` for one whose value is not finite.
pub(crate) fn each(batch: &Batch, boot_id: &str, mut put: impl FnMut(Option<&Record<'_>>)) {
    let who = written_who(batch);
    let source_tags = SourceTags::of(batch);
    let (mut series, mut tags) = (Vec::new(), Vec::new());
    let mut seq = batch.first_seq;
    for datapoint in &batch.datapoints {
        let name = datapoint.key.name();
        series.clear();
        avro::string(&mut series, name);
        avro::string(&mut series, datapoint.key.kind().name());
        tags.clear();
        source_tags.write_with(datapoint, &mut tags);
        let unit = unit(batch, name);
        for point in batch.points_of(datapoint) {
            let record = Record {
                ts: point.ts,
                interval_ms: point.interval_ms,
                series: &series,
                stat: point.stat,
                value: point.value,
                unit,
                who: &who,
                tags: &tags,
                boot_id,
                seq,
            };
            put(point.value.is_finite().then_some(&record));
            seq += 1;
        }
    }
}

fn written_who(batch: &Batch) -> Vec<u8> {
    let who = batch.dimensions.as_ref();
    let mut written = Vec::new();
    for field in [
        who.hostname.as_str(),
        &who.cluster_id,
        &who.agent_id,
        &who.framework_id,
        &who.framework_name,
        &who.executor_id,
        &who.task_id,
        &who.task_name,
        container_id(batch),
    ] {
        avro::string(&mut written, field);
    }
    written
}

/// The tags that all points of a batch have: who the source is, where no field says it, and its
/// labels.
struct SourceTags<'a> {
    batch: &'a Batch,
    tags: Vec<TagPair<'a>>,
    written: Vec<u8>,
}

type TagPair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a> SourceTags<'a> {
    fn of(batch: &'a Batch) -> Self {
        let who = batch.dimensions.as_ref();
        let unfielded = [
            ("parent_container_id", who.parent_container_id.as_str()),
            ("executor_name", &who.executor_name),
            ("framework_role", &who.framework_role),
            ("framework_principal", &who.framework_principal),
        ];
        let unfielded = unfielded.into_iter().filter(|(_, value)| !value.is_empty());
        // No label has the name of an identity: a context is made so.
        let labels = who.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let tags: Vec<TagPair<'_>> =
            unfielded.chain(labels).map(|(key, value)| (key.into(), value.into())).collect();
        let mut written = Vec::new();
        write_tags(&tags, &mut written);
        Self { batch, tags, written }
    }

    /// Writes the map of a datapoint's tags: no key twice.
    fn write_with(&self, datapoint: &Datapoint, to: &mut Vec<u8>) {
        let key = &datapoint.key;
        if !self.are_apart_from(key) {
            let all = self.joined_with(key);
            return avro::block(to, all.len(), |to| write_tags(&all, to));
        }
        avro::block(to, self.tags.len() + key.tags().count(), |to| {
            to.extend_from_slice(&self.written);
            for (key, value) in key.tags() {
                avro::string(to, key);
                avro::string(to, value);
            }
        });
    }

    /// Whether a series' own tags can stand beside these as they are: none is renamed, and no key
    /// has two values.
    fn are_apart_from(&self, key: &SeriesKey) -> bool {
        let mut last = None;
        key.tags().all(|(key, _)| {
            let is_new = last.replace(key) != Some(key);
            is_new && matches!(self.batch.dimensions.exported(key), Cow::Borrowed(_))
        })
    }

    fn joined_with<'b>(&'b self, key: &'b SeriesKey) -> Vec<TagPair<'b>> {
        let mut all = self.tags.clone();
        for (key, value) in self.batch.dimensions.client_tags(key) {
            match all.iter().position(|(taken, _)| *taken == key) {
                // Only a label that is itself named exported_… can be met here, and it stays.
                Some(place) if place < self.tags.len() => {}
                Some(place) => {
                    let joined = all[place].1.to_mut();
                    joined.push(',');
                    joined.push_str(value);
                }
                None => all.push((key, value.into())),
            }
        }
        all
    }
}

fn write_tags(tags: &[TagPair<'_>], to: &mut Vec<u8>) {
    for (key, value) in tags {
        avro::string(to, key);
        avro::string(to, value);
    }
}
