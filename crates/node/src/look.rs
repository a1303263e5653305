use std::path::PathBuf;

use metric::{Datapoint, Kind, SeriesKey, Tag, Value};

use crate::cpu::{self, Times};
use crate::{Error, disks, memory, network, system};

// A path or an interface; the kernel's are shorter.
const TAG_BYTES: usize = 4000;

/// This node, looked at again and again.
#[derive(Debug)]
pub struct Node {
    root: PathBuf,
    times: Option<Times>,
}

/// What one look at the node tells.
#[derive(Debug, Default)]
pub struct Look {
    /// What could be found out; nothing stands for what could not.
    pub datapoints: Vec<Datapoint>,
    /// Why the rest could not.
    pub errors: Vec<Error>,
}

impl Default for Node {
    fn default() -> Self {
        Self::in_root("/")
    }
}

impl Node {
    /// The node whose file tree begins here, with its `/proc`.
    pub fn in_root(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), times: None }
    }

    /// Looks at everything. It blocks, and for as long as a disk hangs.
    pub fn look(&mut self) -> Look {
        let mut look = Look::default();
        let proc = self.root.join("proc");
        look.keep(system::uptime(&proc));
        look.keep(system::processes(&proc));
        look.keep(system::load(&proc));
        let (cpu, times) = cpu::look(&proc, self.times.take());
        self.times = times;
        look.keep(cpu);
        look.keep(memory::look(&proc));
        look.keep(network::look(&proc));
        match disks::physical(&proc) {
            Ok(disks) => disks.iter().for_each(|disk| look.keep(disks::look(&self.root, disk))),
            Err(error) => look.errors.push(error),
        }
        look
    }
}

impl Look {
    fn keep(&mut self, found: Result<Vec<Gauge>, Error>) {
        match found {
            Ok(gauges) => self.datapoints.extend(gauges.into_iter().filter_map(Gauge::datapoint)),
            Err(error) => self.errors.push(error),
        }
    }
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Gauge {
    name: &'static str,
    tag: Option<(&'static str, String)>,
    value: f64,
}

impl Gauge {
    pub(crate) fn new(name: &'static str, value: f64) -> Self {
        Self { name, tag: None, value }
    }

    pub(crate) fn tagged(self, key: &'static str, value: &str) -> Self {
        let value = value[..value.floor_char_boundary(TAG_BYTES)].to_owned();
        Self { tag: Some((key, value)), ..self }
    }

    fn datapoint(self) -> Option<Datapoint> {
        let tag = self.tag.as_ref().map(|(key, value)| Tag::new(key, value));
        let key = SeriesKey::new(Kind::Gauge, self.name, tag.as_slice());
        let value = Value::Gauge(self.value);
        self.value.is_finite().then_some(Datapoint { key, timestamp: None, value })
    }
}
