use std::borrow::Cow;

use metric::{Batch, Datapoint, Point};
use serde::Serialize;

use super::container_id;
use crate::{Counters, Tags};

/// Points as `dcos.metrics.MetricList`: the fields are those of the schema, in its order.
#[derive(Serialize)]
pub(crate) struct Record<'a> {
    topic: &'a str,
    tags: &'a [Tag<'a>],
    datapoints: &'a [ListPoint<'a>],
}

#[derive(Clone, Serialize)]
struct Tag<'a> {
    key: Cow<'a, str>,
    value: &'a str,
}

#[derive(Serialize)]
struct ListPoint<'a> {
    name: Cow<'a, str>,
    time_ms: i64,
    value: f64,
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
    let mut put_list = |tags: &[Tag<'_>], points: &mut Vec<ListPoint<'_>>| {
        if !points.is_empty() {
            put(Some(&Record { topic, tags, datapoints: points }), points.len() as u64);
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
            put_list(&source_tags, &mut points);
        }
    }
    put_list(&source_tags, &mut points);
    let mut series_tags = source_tags.clone();
    for datapoint in tagged {
        series_tags.truncate(source_tags.len());
        let own = batch.dimensions.client_tags(&datapoint.key);
        series_tags.extend(own.map(|(key, value)| Tag { key, value }));
        untellable += gather(batch, datapoint, counters, &mut points);
        put_list(&series_tags, &mut points);
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
            points.push(ListPoint { name: name(&point), time_ms: point.ts, value });
        } else {
            untellable += 1;
        }
    }
    untellable
}

/// The metric's name, with the statistic in DC/OS's words where there are several.
fn name<'a>(point: &Point<'a>) -> Cow<'a, str> {
    let name = point.datapoint.key.name();
    if !point.kind.is_summarised() {
        return Cow::Borrowed(name);
    }
    let stat = match point.stat {
        "min" => "lower",
        "max" => "upper",
        other => other,
    };
    Cow::Owned(format!("{name}.{stat}"))
}

/// The tags of every list of a batch. DC/OS's three come first and are there, if empty, for every
/// container: its collector drops what stands before the container's id.
fn source_tags(batch: &Batch, tags: Tags) -> Vec<Tag<'_>> {
    let who = batch.dimensions.as_ref();
    let id = container_id(batch);
    let mut all = Vec::new();
    for (place, (key, value)) in who.identity().into_iter().enumerate() {
        let value = if key == "container_id" { id } else { value };
        let wanted =
            if place < 3 { !id.is_empty() } else { tags == Tags::All && !value.is_empty() };
        if wanted {
            all.push(Tag { key: key.into(), value });
        }
    }
    if tags == Tags::All {
        all.extend(who.labels.iter().map(|(key, value)| Tag { key: key.into(), value }));
    }
    all
}
