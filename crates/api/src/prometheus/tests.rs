mod answers;
mod hostile;
pub(super) mod parser;

use std::sync::Arc;

use metric::{Batch, Datapoint, Dimensions, Kind, Origin, Quantiles, ReadAs, SeriesKey};
use metric::{Source, Summary, Tag, Value};

use crate::{Latest, LatestConfig};

/// Newest values that stay when their source ends.
pub(super) fn latest() -> Latest {
    Latest::new(LatestConfig { keeps_ended: true, ..LatestConfig::default() })
}

pub(super) fn container(id: &str) -> Arc<Source> {
    Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
}

pub(super) fn listener() -> Arc<Source> {
    Source::new(Origin::Listener { listener: "udp://127.0.0.1:8125".into() }, ReadAs::default())
}

/// A datapoint of 1, and of a summary of two values, 1 and 3.
pub(super) fn point(kind: Kind, name: &str, tags: &[(&str, &str)]) -> Datapoint {
    valued(kind, name, tags, 1.0)
}

/// The same with another number everywhere.
pub(super) fn valued(kind: Kind, name: &str, tags: &[(&str, &str)], value: f64) -> Datapoint {
    let mut tags: Vec<_> = tags.iter().map(|(key, value)| Tag::new(key, value)).collect();
    tags.sort_unstable_by(|a, b| (&a.key, &a.value).cmp(&(&b.key, &b.value)));
    let value = match kind {
        Kind::Counter => Value::Counter { sum: value, total: value },
        Kind::Gauge => Value::Gauge(value),
        Kind::Set => Value::Distinct(value as u64),
        Kind::Timer | Kind::Histogram | Kind::Distribution => Value::Summary(Box::new(Summary {
            count: 2.0 * value,
            sum: 4.0 * value,
            min: value,
            max: 3.0 * value,
            mean: 2.0 * value,
            stddev: value,
            quantiles: [2.0 * value, 2.99 * value].into(),
        })),
    };
    Datapoint { key: SeriesKey::new(kind, name, &tags), timestamp: None, value }
}

/// Has a source say this at a flush.
pub(super) fn say(latest: &Latest, source: &Arc<Source>, datapoints: Vec<Datapoint>) {
    let container_id = source.container_id().map(ToString::to_string).unwrap_or_default();
    say_as(latest, source, Dimensions { container_id, ..Dimensions::default() }, datapoints);
}

/// The same with what is known of the source.
pub(super) fn say_as(
    latest: &Latest,
    source: &Arc<Source>,
    dimensions: Dimensions,
    datapoints: Vec<Datapoint>,
) {
    latest.take_in(&Arc::new(Batch {
        source: source.clone(),
        dimensions: Arc::new(dimensions),
        end_ms: 1_000_000,
        interval_ms: 10_000,
        first_seq: 0,
        quantiles: Arc::new(Quantiles::new(vec![0.5, 0.99])),
        datapoints,
    }));
}
