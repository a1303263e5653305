use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use metric::{Datapoint, Kind, SeriesKey, Tag, UnixMillis, Value};
use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::labels::cut;

mod names;
#[cfg(test)]
mod tests;

use names::{
    BLOCK_IO, CONTAINER, ICMP, IP, LIMITER, Names, OPERATIONS, PERF, POLICIES, TCP, UDP, VOLUME,
    find,
};

/// More of one container are left out: a hundred block devices do not come near.
const DATAPOINTS: usize = 10_000;

// Volumes and limiters have names of their frameworks' choice.
const TAG_BYTES: usize = 1024;

// The year 9999 ends there.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What Mesos measured of one container, under DC/OS's names. All are gauges: DC/OS sends what its
/// cgroups count as it stands.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// What was there, and nothing else: a 0 is one that Mesos sent.
    pub(crate) datapoints: Vec<Datapoint>,
    /// How many were too many, or named like one before them.
    pub(crate) left_out: u64,
}

impl Statistics {
    /// Reads a `ResourceStatistics`; what in it is of another shape is as if it were not there.
    pub(crate) fn read(text: &RawValue) -> Self {
        let mut reading = Reading::default();
        let mut timestamp = None;
        let mut nested = Vec::new();
        fields(text, |field, value| match field {
            "timestamp" => timestamp = number(value).and_then(moment),
            "disk_statistics"
            | "blkio_statistics"
            | "perf"
            | "net_traffic_control_statistics"
            | "net_snmp_statistics" => nested.push((field.to_owned(), value)),
            _ => reading.field(CONTAINER, &[], field, value),
        });
        // After the container's own: a disk without a volume has no tag to tell it apart.
        for (field, value) in nested {
            match field.as_str() {
                "disk_statistics" => elements(value, |disk| reading.volume(disk)),
                "blkio_statistics" => reading.block_io(value),
                "perf" => reading.fields(PERF, &[], value),
                "net_traffic_control_statistics" => elements(value, |it| reading.limiter(it)),
                _ => reading.protocols(value),
            }
        }
        for datapoint in &mut reading.datapoints {
            datapoint.timestamp = timestamp;
        }
        Self { datapoints: reading.datapoints, left_out: reading.left_out }
    }
}

#[derive(Default)]
struct Reading {
    datapoints: Vec<Datapoint>,
    told: HashSet<SeriesKey>,
    left_out: u64,
}

impl Reading {
    fn field(&mut self, names: &Names, tags: &[Tag<'_>], field: &str, value: &RawValue) {
        if let (Some(name), Some(value)) = (find(names, field), number(value)) {
            self.put(name, tags, value);
        }
    }

    fn fields(&mut self, names: &Names, tags: &[Tag<'_>], message: &RawValue) {
        fields(message, |field, value| self.field(names, tags, field, value));
    }

    fn put(&mut self, name: &str, tags: &[Tag<'_>], value: f64) {
        let key = SeriesKey::new(Kind::Gauge, name, tags);
        if self.datapoints.len() < DATAPOINTS && self.told.insert(key.clone()) {
            self.datapoints.push(Datapoint { key, timestamp: None, value: Value::Gauge(value) });
        } else {
            self.left_out += 1;
        }
    }

    fn volume(&mut self, disk: &RawValue) {
        let mut tags = Vec::new();
        for (field, key) in
            [("id", "volume_persistence_id"), ("principal", "volume_persistence_principal")]
        {
            let value = find_field(disk, "persistence").and_then(|it| find_field(it, field));
            tags.extend(value.and_then(text).map(|value| tag(key, &value)));
        }
        self.fields(VOLUME, &tags, disk);
    }

    fn limiter(&mut self, limiter: &RawValue) {
        let id = find_field(limiter, "id").and_then(text);
        self.fields(LIMITER, &Vec::from_iter(id.map(|id| tag("id", &id))), limiter);
    }

    fn protocols(&mut self, message: &RawValue) {
        fields(message, |field, protocol| match field {
            "ip_stats" => self.fields(IP, &[], protocol),
            "icmp_stats" => self.fields(ICMP, &[], protocol),
            "tcp_stats" => self.fields(TCP, &[], protocol),
            "udp_stats" => self.fields(UDP, &[], protocol),
            _ => {}
        });
    }

    fn block_io(&mut self, message: &RawValue) {
        fields(message, |field, devices| {
            if let Some(policy) = POLICIES.into_iter().find(|policy| *policy == field) {
                elements(devices, |device| self.device(policy, device));
            }
        });
    }

    fn device(&mut self, policy: &str, message: &RawValue) {
        let device = find_field(message, "device").map_or("default".to_owned(), |device| {
            let part = |field| find_field(device, field).and_then(number).unwrap_or_default();
            format!("{}.{}", part("major_number") as u64, part("minor_number") as u64)
        });
        let tags = [Tag::new("device", &device), Tag::new("policy", policy)];
        fields(message, |field, values| {
            if let Some(what) = BLOCK_IO.into_iter().find(|what| *what == field) {
                elements(values, |value| self.operation(what, &tags, value));
            }
        });
    }

    fn operation(&mut self, what: &str, tags: &[Tag<'_>], message: &RawValue) {
        let operation = match find_field(message, "op") {
            Some(operation) => text(operation).and_then(|it| find(OPERATIONS, &it)),
            // What is not set is an enumeration's first.
            None => Some("unknown"),
        };
        let value = find_field(message, "value").and_then(number);
        if let (Some(operation), Some(value)) = (operation, value) {
            self.put(&format!("blkio.{what}_{operation}"), tags, value);
        }
    }
}

fn tag(key: &'static str, value: &str) -> Tag<'static> {
    Tag { key: key.into(), value: cut(value, TAG_BYTES).to_owned().into() }
}

fn moment(seconds: f64) -> Option<UnixMillis> {
    // DC/OS keeps whole seconds.
    (1.0..=LAST_SECOND).contains(&seconds).then(|| UnixMillis::from_secs(seconds as i64))
}

// Numbers only, and finite ones: JSON has no others.
fn number(value: &RawValue) -> Option<f64> {
    serde_json::from_str(value.get()).ok()
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn find_field<'a>(message: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    let mut found = None;
    fields(message, |field, value| {
        if field == wanted && found.is_none() {
            found = Some(value);
        }
    });
    found
}

// Looks at each field of an object; of what is none, at nothing.
fn fields<'a>(object: &'a RawValue, look: impl FnMut(&str, &'a RawValue)) {
    let _ = serde_json::Deserializer::from_str(object.get()).deserialize_any(Fields(look));
}

struct Fields<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key::<Cow<'_, str>>()? {
            self.0(&field, map.next_value()?);
        }
        Ok(())
    }
}

// Looks at each element of an array; of what is none, at nothing.
fn elements<'a>(array: &'a RawValue, look: impl FnMut(&'a RawValue)) {
    let _ = serde_json::Deserializer::from_str(array.get()).deserialize_any(Elements(look));
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            self.0(element);
        }
        Ok(())
    }
}
