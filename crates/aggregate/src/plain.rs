//! The simplest aggregator that keeps the rules: it holds on to all that it is given until the
//! flush, and then reckons in the plainest way.
//!
//! The oracle that [`crate::Shard`] and [`crate::Flush`] are tested against, and nothing for
//! production: no limit bounds its memory, and all of it is slow. It gives memory back never, and
//! so has no [`FlushConfig::series_expiry`]; that must not show in what is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metric::{
    Datapoint, Kind, Quantiles, Sample, SeriesKey, Source, Summary, UnixMillis, Value, Values,
};

use crate::FlushConfig;

/// All sources, each with all its series.
#[derive(Debug)]
pub struct Plain {
    config: FlushConfig,
    sources: Vec<(Arc<Source>, Series)>,
}

/// One source's.
#[derive(Debug, Default)]
struct Series {
    /// What came since the last flush.
    running: BTreeMap<SeriesKey, Gathered>,
    /// What came with a time of its own, in unix seconds.
    timed: BTreeMap<(SeriesKey, i64), f64>,
    levels: HashMap<SeriesKey, Lasting>,
    totals: HashMap<SeriesKey, Lasting>,
}

#[derive(Debug)]
enum Gathered {
    Counter(f64),
    /// In the order received; whether each is a change.
    Gauge(Vec<(f64, bool)>),
    /// With their weights.
    Summary(Vec<(f64, f64)>),
    Set(HashSet<String>),
}

/// A gauge's level or a counter's running total.
#[derive(Clone, Copy, Debug)]
struct Lasting {
    value: f64,
    /// The end of the interval of the last sample.
    last: Duration,
}

impl Plain {
    /// An aggregator that was given nothing yet.
    pub fn new(config: FlushConfig) -> Self {
        Self { config, sources: Vec::new() }
    }

    /// Takes a sample of a source.
    pub fn record(&mut self, source: &Arc<Source>, sample: &Sample<'_>) {
        let place = self.sources.iter().position(|(known, _)| known == source);
        let place = place.unwrap_or_else(|| {
            self.sources.push((Arc::clone(source), Series::default()));
            self.sources.len() - 1
        });
        self.sources[place].1.record(sample);
    }

    /// What every source has to say at the end of an interval: `at` on the monotonic clock.
    pub fn flush(&mut self, at: Duration) -> Vec<(Arc<Source>, Vec<Datapoint>)> {
        let Self { config, sources } = self;
        let told = sources.iter_mut().map(|(source, series)| {
            let datapoints = series.flush(at, config);
            (Arc::clone(source), datapoints)
        });
        told.filter(|(_, datapoints)| !datapoints.is_empty()).collect()
    }

    /// The last of what a source has to say; it is forgotten.
    pub fn end(&mut self, source: &Arc<Source>, at: Duration) -> Vec<Datapoint> {
        match self.sources.iter().position(|(known, _)| known == source) {
            Some(place) => self.sources.remove(place).1.flush(at, &self.config),
            None => Vec::new(),
        }
    }
}

impl Series {
    fn record(&mut self, sample: &Sample<'_>) {
        let key = SeriesKey::new(sample.kind, sample.name, sample.tags);
        if let (Some(at), Values::Numbers(values)) = (sample.timestamp, sample.values) {
            for value in values {
                let point = self.timed.entry((key.clone(), at)).or_default();
                *point = if sample.kind == Kind::Counter {
                    held(*point + value / sample.rate)
                } else {
                    *value
                };
            }
            return;
        }
        let gathered = self.running.entry(key).or_insert_with(|| match sample.kind {
            Kind::Counter => Gathered::Counter(0.0),
            Kind::Gauge => Gathered::Gauge(Vec::new()),
            Kind::Timer | Kind::Histogram | Kind::Distribution => Gathered::Summary(Vec::new()),
            Kind::Set => Gathered::Set(HashSet::new()),
        });
        let numbers = match sample.values {
            Values::Numbers(numbers) => numbers,
            Values::Member(_) => &[],
        };
        match (gathered, sample.values) {
            (Gathered::Set(members), Values::Member(member)) => {
                members.insert(member.to_owned());
            }
            (Gathered::Counter(sum), _) => {
                *sum = numbers.iter().fold(*sum, |sum, value| held(sum + value / sample.rate));
            }
            (Gathered::Gauge(writes), _) => {
                writes.extend(numbers.iter().map(|value| (*value, sample.relative)));
            }
            (Gathered::Summary(values), _) => {
                values.extend(numbers.iter().map(|value| (*value, 1.0 / sample.rate)));
            }
            (Gathered::Set(_), Values::Numbers(_)) => {}
        }
    }

    fn flush(&mut self, at: Duration, config: &FlushConfig) -> Vec<Datapoint> {
        self.levels.retain(|_, level| at.saturating_sub(level.last) < config.gauge_expiry);
        self.totals.retain(|_, total| at.saturating_sub(total.last) < config.total_expiry);
        let mut told = Vec::new();
        for ((key, timestamp), value) in std::mem::take(&mut self.timed) {
            let value = if key.kind() == Kind::Counter {
                self.count(&key, value, at)
            } else {
                Value::Gauge(value)
            };
            let timestamp = Some(UnixMillis::from_secs(timestamp));
            told.push(Datapoint { key, timestamp, value });
        }
        let running = std::mem::take(&mut self.running);
        for (key, level) in &self.levels {
            if !running.contains_key(key) {
                let value = Value::Gauge(level.value);
                told.push(Datapoint { key: key.clone(), timestamp: None, value });
            }
        }
        for (key, gathered) in running {
            let value = match gathered {
                Gathered::Counter(sum) => self.count(&key, sum, at),
                Gathered::Gauge(writes) => {
                    let level = self.levels.get(&key).map_or(0.0, |level| level.value);
                    let level = writes.iter().fold(level, |level, (value, is_change)| {
                        if *is_change { held(level + value) } else { *value }
                    });
                    self.levels.insert(key.clone(), Lasting { value: level, last: at });
                    Value::Gauge(level)
                }
                Gathered::Summary(values) => {
                    Value::Summary(Box::new(summary(values, &config.quantiles)))
                }
                Gathered::Set(members) => Value::Distinct(members.len() as u64),
            };
            told.push(Datapoint { key, timestamp: None, value });
        }
        told
    }

    fn count(&mut self, key: &SeriesKey, sum: f64, at: Duration) -> Value {
        let before = self.totals.get(key).map_or(0.0, |total| total.value);
        let total = held(before + sum);
        self.totals.insert(key.clone(), Lasting { value: total, last: at });
        Value::Counter { sum, total }
    }
}

fn held(sum: f64) -> f64 {
    sum.clamp(-f64::MAX, f64::MAX)
}

/// The exact summary of weighted values; at least one.
pub fn summary(mut values: Vec<(f64, f64)>, quantiles: &Quantiles) -> Summary {
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let count: f64 = values.iter().map(|(_, weight)| weight).sum();
    let sum = values.iter().fold(0.0, |sum, (value, weight)| held(sum + value * weight));
    let mean: f64 = sum / count;
    let squares: f64 = values.iter().map(|(value, weight)| weight * (value - mean).powi(2)).sum();
    let (min, max) = (values[0].0, values[values.len() - 1].0);
    let quantile = |q: f64| {
        let mut cumulative = 0.0;
        let reaches = values.iter().find(|(_, weight)| {
            cumulative += weight;
            // Sums and products of floats are a little off what they stand for.
            cumulative >= q * count * (1.0 - 1e-12)
        });
        reaches.map_or(max, |(value, _)| *value)
    };
    let quantiles = quantiles.values().iter().map(|q| quantile(*q)).collect();
    Summary { count, sum, min, max, mean, stddev: (squares / count).sqrt(), quantiles }
}
