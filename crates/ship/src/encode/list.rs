use std::borrow::Cow;

use metric::{Batch, Datapoint, Point};

use super::container_id;
use crate::avro::{self, Object};
use crate::{Counters, Tags};

/// Points as `dcos.metrics.MetricList`: the fields are those of the schema, in its order.
pub(crate) struct Record<'a> {
    topic: &'a str,
    source_tags: &'a SourceTags,
    /// Its series' own.
    tags: &'a [(Cow<'a, str>, &'a str)],
    datapoints: &'a [ListPoint<'a>],
}

/// The tags of every list of a batch, written.
struct SourceTags {
    number: usize,
    written: Vec<u8>,
}

struct ListPoint<'a> {
    name: &'a str,
    /// What stands behind the name and a point.
    stat: Option<&'a str>,
    time_ms: i64,
    value: f64,
}

impl Object for Record<'_> {
    fn write(&self, to: &mut Vec<u8>) {
        avro::string(to, self.topic);
        avro::block(to, self.source_tags.number + self.tags.len(), |to| {
            to.extend_from_slice(&self.source_tags.written);
            for (key, value) in self.tags {
                avro::string(to, key);
                avro::string(to, value);
            }
        });
        avro::block(to, self.datapoints.len(), |to| {
            self.datapoints.iter().for_each(|point| point.write(to));
        });
    }
}

impl ListPoint<'_> {
    // Hot path: runs once per point.
    fn write(&self, to: &mut Vec<u8>) {
        match self.stat {
            None => avro::string(to, self.name),
            Some(stat) => {
                avro::long(to, (self.name.len() + 1 + stat.len()) as i64);
                for text in [self.name, ".", stat] {
                    to.extend_from_slice(text.as_bytes());
                }
            }
        }
        avro::long(to, self.time_ms);
        avro::double(to, self.value);
    }
}

/// The most points that a list holds, so that no record, and so no block, grows without bound.
const LIST_POINTS: usize = 1000;

/// Hands over the lists of a batch, each with the number of its points: those of the series
/// without tags first, then one for each series with tags. A `None` is points whose values are not
/// finite.
pub(crate) fn each(
    batch: &Batch,
    tags: Tags,
    counters: Counters,
    mut put: impl FnMut(Option<&Record<'_>>, u64),
) {
    let topic = match batch.dimensions.framework_id.as_str() {
        "" => "unknown_container",
        framework_id => framework_id,
    };
    let source_tags = source_tags(batch, tags);
    let mut put_list = |tags: &[_], points: &mut Vec<ListPoint<'_>>| {
        if !points.is_empty() {
            let record = Record { topic, source_tags: &source_tags, tags, datapoints: points };
            put(Some(&record), points.len() as u64);
            points.clear();
        }
    };
    let mut untellable = 0;
    let (untagged, tagged): (Vec<_>, Vec<_>) =
        batch.datapoints.iter().partition(|datapoint| datapoint.key.tags().next().is_none());
    let mut points = Vec::new();
    for datapoint in untagged {
        untellable += gather(batch, datapoint, counters, &mut points);
        if points.len() >= LIST_POINTS {
            put_list(&[], &mut points);
        }
    }
    put_list(&[], &mut points);
    let mut own = Vec::new();
    for datapoint in tagged {
        own.clear();
        own.extend(batch.dimensions.client_tags(&datapoint.key));
        untellable += gather(batch, datapoint, counters, &mut points);
        put_list(&own, &mut points);
    }
    if untellable > 0 {
        put(None, untellable);
    }
}

/// Appends the points of a datapoint; returns how many have no finite value.
fn gather<'a>(
    batch: &'a Batch,
    datapoint: &'a Datapoint,
    counters: Counters,
    points: &mut Vec<ListPoint<'a>>,
) -> u64 {
    let mut untellable = 0;
    for point in batch.points_of(datapoint) {
        let value = match counters {
            Counters::Delta => point.value,
            Counters::Cumulative => point.total.unwrap_or(point.value),
        };
        if value.is_finite() {
            let name = point.datapoint.key.name();
            points.push(ListPoint { name, stat: stat(&point), time_ms: point.ts, value });
        } else {
            untellable += 1;
        }
    }
    untellable
}

/// The statistic in DC/OS's words, if the metric has several.
fn stat<'a>(point: &Point<'a>) -> Option<&'a str> {
    point.kind.is_summarised().then_some(match point.stat {
        "min" => "lower",
        "max" => "upper",
        other => other,
    })
}

/// The tags of every list of a batch. DC/OS's three come first and are there, if empty, for every
/// container: its collector drops what stands before the container's id.
fn source_tags(batch: &Batch, tags: Tags) -> SourceTags {
    let who = batch.dimensions.as_ref();
    let id = container_id(batch);
    let mut all = SourceTags { number: 0, written: Vec::new() };
    let mut add = |key: &str, value: &str| {
        avro::string(&mut all.written, key);
        avro::string(&mut all.written, value);
        all.number += 1;
    };
    for (place, (key, value)) in who.identity().into_iter().enumerate() {
        let value = if key == "container_id" { id } else { value };
        let wanted =
            if place < 3 { !id.is_empty() } else { tags == Tags::All && !value.is_empty() };
        if wanted {
            add(key, value);
        }
    }
    if tags == Tags::All {
        who.labels.iter().for_each(|(key, value)| add(key, value));
    }
    all
}
