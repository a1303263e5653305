use std::collections::HashMap;
use std::sync::Arc;

use metric::{Datapoint, Kind, Origin, ReadAs, SeriesKey, Source, Value, check_container_id};

use crate::answer::{Containers, Numbers, Statistics};

/// More of one poll are left out: a thousand containers do not come near.
const DATAPOINTS: usize = 500_000;

// A longer name is no series' name.
const NAME_BYTES: usize = 1024;

/// What Mesos measured of one source: all gauges, each of a moment.
#[derive(Clone, Debug)]
pub struct Measured {
    /// A container's resources or the Mesos agent; the same source as long as there is such a one.
    pub source: Arc<Source>,
    /// At least one.
    pub datapoints: Vec<Datapoint>,
}

/// The sources of containers' resources.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    // As long as Mesos lists the container.
    sources: HashMap<String, Arc<Source>>,
}

impl Resources {
    /// What the containers of one answer use, with how much was left out.
    pub(crate) fn measure(&mut self, containers: &Containers) -> (Vec<Measured>, u64) {
        let (mut all, mut left_out, mut room) = (Vec::new(), 0, DATAPOINTS);
        let mut listed = HashMap::new();
        for container in &containers.listed {
            let id = &container.container.value;
            let Some(text) = &container.statistics else { continue };
            if check_container_id(id).is_err() || listed.contains_key(id) {
                left_out += 1;
                continue;
            }
            let source = self.sources.remove(id).unwrap_or_else(|| {
                let origin = Origin::Resources { container_id: id.as_str().into() };
                Source::new(origin, ReadAs::default())
            });
            listed.insert(id.clone(), Arc::clone(&source));
            let Statistics { mut datapoints, left_out: of_it } = Statistics::read(text);
            left_out += of_it + datapoints.len().saturating_sub(room) as u64;
            datapoints.truncate(room);
            room -= datapoints.len();
            if !datapoints.is_empty() {
                all.push(Measured { source, datapoints });
            }
        }
        self.sources = listed;
        (all, left_out)
    }
}

/// The source of what the Mesos agent tells of itself.
#[derive(Debug)]
pub(crate) struct Snapshots {
    source: Arc<Source>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { source: Source::new(Origin::MesosAgent, ReadAs::default()) }
    }
}

impl Snapshots {
    /// One snapshot, its names as DC/OS has them: `mesos.slave/uptime_secs`; with how much was left
    /// out. A name that is not in it is not told: it is no 0.
    pub(crate) fn measure(&self, numbers: &Numbers) -> (Option<Measured>, u64) {
        let all = &numbers.read;
        let named = all.iter().map(|(name, value)| (format!("mesos.{name}"), *value));
        let kept = named.filter(|(name, _)| name.len() <= NAME_BYTES);
        let datapoints: Vec<_> = kept.map(|(name, value)| gauge(&name, value)).collect();
        let left_out = (all.len() - datapoints.len() + numbers.unread) as u64;
        let measured = Measured { source: Arc::clone(&self.source), datapoints };
        ((!measured.datapoints.is_empty()).then_some(measured), left_out)
    }
}

fn gauge(name: &str, value: f64) -> Datapoint {
    let key = SeriesKey::new(Kind::Gauge, name, &[]);
    Datapoint { key, timestamp: None, value: Value::Gauge(value) }
}
