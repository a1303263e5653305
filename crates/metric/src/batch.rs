use std::sync::Arc;

use crate::{Datapoint, Dimensions, Kind, Source, Value};

/// What one source's series have to say at one flush, with who the source is.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who said it.
    pub source: Arc<Source>,
    /// What is known of who said it.
    pub dimensions: Arc<Dimensions>,
    /// The end of the interval, in unix milliseconds. Strictly increases from flush to flush.
    pub end_ms: i64,
    /// The interval's length, by the monotonic clock.
    pub interval_ms: i32,
    /// The number of its first point; its points are numbered without a gap, and so are the
    /// batches of one process.
    pub first_seq: i64,
    /// Which quantiles its summaries hold.
    pub quantiles: Arc<Quantiles>,
    /// At least one.
    pub datapoints: Vec<Datapoint>,
}

impl Batch {
    /// How many points it is: see [`Value::points`].
    pub fn len(&self) -> usize {
        self.datapoints.iter().map(|datapoint| datapoint.value.points()).sum()
    }

    /// Whether it has no point.
    pub fn is_empty(&self) -> bool {
        self.datapoints.is_empty()
    }

    /// Its points with their numbers, each with one number of one series.
    pub fn points(&self) -> impl Iterator<Item = Point<'_>> {
        let points = self.datapoints.iter().flat_map(|datapoint| self.points_of(datapoint));
        points.zip(self.first_seq..).map(|(point, seq)| Point { seq, ..point })
    }

    /// The points of one of its datapoints, all numbered 0: their numbers follow from their place
    /// in [`Batch::points`].
    pub fn points_of<'a>(&'a self, datapoint: &'a Datapoint) -> impl Iterator<Item = Point<'a>> {
        let (ts, interval_ms) = match datapoint.timestamp {
            Some(at) => (at.0, 0),
            None => (self.end_ms, self.interval_ms),
        };
        (0..datapoint.value.points()).map(move |statistic| {
            let (stat, value, total) = self.statistic(&datapoint.value, statistic);
            let kind = datapoint.key.kind();
            Point { datapoint, kind, stat, value, total, ts, interval_ms, seq: 0 }
        })
    }

    fn statistic<'a>(&'a self, value: &Value, statistic: usize) -> (&'a str, f64, Option<f64>) {
        match value {
            Value::Counter { sum, total } => ("sum", *sum, Some(*total)),
            Value::Gauge(level) => ("value", *level, None),
            Value::Distinct(members) => ("count", *members as f64, None),
            Value::Summary(summary) => {
                let (stat, value) = match statistic {
                    0 => ("count", summary.count),
                    1 => ("sum", summary.sum),
                    2 => ("min", summary.min),
                    3 => ("max", summary.max),
                    4 => ("mean", summary.mean),
                    5 => ("stddev", summary.stddev),
                    quantile => {
                        (self.quantiles.name(quantile - 6), summary.quantiles[quantile - 6])
                    }
                };
                (stat, value, None)
            }
        }
    }
}

/// One number of one series at one flush: what the flat schema has a record for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point<'a> {
    /// The datapoint that it is of: name and tags are its key's.
    pub datapoint: &'a Datapoint,
    /// The series' kind.
    pub kind: Kind,
    /// Which number: `sum` of a counter, `value` of a gauge, `count` of a set, or one of `count`,
    /// `sum`, `min`, `max`, `mean`, `stddev`, `p50`, ...
    pub stat: &'a str,
    /// The number, finite.
    pub value: f64,
    /// A counter's running total.
    pub total: Option<f64>,
    /// When, in unix milliseconds.
    pub ts: i64,
    /// The length of what it covers; 0 for a point in time.
    pub interval_ms: i32,
    /// Its number in this process.
    pub seq: i64,
}

/// The quantiles that summaries hold, with the names of their statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles {
    values: Box<[f64]>,
    names: Box<[Box<str>]>,
}

impl Quantiles {
    /// Of values in (0, 1), sorted; a name is `p` and the percentage without its point: `p50`,
    /// `p999`.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        values.dedup();
        let names = values.iter().map(|quantile| name(*quantile)).collect();
        Self { values: values.into(), names }
    }

    /// The quantiles, ascending.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The name of the quantile at this place.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }
}

impl Default for Quantiles {
    fn default() -> Self {
        Self::new(vec![0.5, 0.9, 0.95, 0.99, 0.999])
    }
}

// 0.999 times 100 is 99.9 only in decimal, so the digits are taken from the shortest decimal form.
fn name(quantile: f64) -> Box<str> {
    let text = format!("{quantile}");
    let digits = text.trim_start_matches("0.");
    if digits.len() < 2 { format!("p{digits}0") } else { format!("p{digits}") }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, ReadAs, SeriesKey, Summary, UnixMillis};

    #[test]
    fn a_quantile_is_named_by_its_percentage_without_the_point() {
        let quantiles = Quantiles::new(vec![0.999, 0.5, 0.05, 0.95, 0.001, 0.5]);
        let names: Vec<_> = (0..quantiles.values().len()).map(|i| quantiles.name(i)).collect();
        assert_eq!(names, ["p001", "p05", "p50", "p95", "p999"]);
    }

    #[test]
    fn points_are_numbered_without_a_gap() {
        let summary = Summary {
            count: 2.0,
            sum: 3.0,
            min: 1.0,
            max: 2.0,
            mean: 1.5,
            stddev: 0.5,
            quantiles: [1.0].into(),
        };
        let of = |kind, timestamp, value| Datapoint {
            key: SeriesKey::new(kind, "n", &[]),
            timestamp,
            value,
        };
        let batch = Batch {
            source: Source::new(Origin::Listener { listener: "l".into() }, ReadAs::default()),
            dimensions: Arc::default(),
            end_ms: 10_000,
            interval_ms: 9_000,
            first_seq: 5,
            quantiles: Arc::new(Quantiles::new(vec![0.5])),
            datapoints: vec![
                of(Kind::Counter, Some(UnixMillis(7_123)), Value::Counter { sum: 1.0, total: 4.0 }),
                of(Kind::Timer, None, Value::Summary(Box::new(summary))),
                of(Kind::Gauge, None, Value::Gauge(2.0)),
            ],
        };
        let seen: Vec<_> = batch.points().map(|p| (p.seq, p.stat, p.value, p.ts)).collect();
        assert_eq!(batch.len(), 9);
        assert_eq!(seen.len(), 9);
        assert_eq!(seen[0], (5, "sum", 1.0, 7_123));
        assert_eq!(seen[1], (6, "count", 2.0, 10_000));
        assert_eq!(seen[7], (12, "p50", 1.0, 10_000));
        assert_eq!(seen[8], (13, "value", 2.0, 10_000));
    }
}
