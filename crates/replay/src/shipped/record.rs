use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use apache_avro::reader::datum::GenericDatumReader;
use serde::Deserialize;

use super::frame::Block;
use super::seen::Seen;

/// Of a `weir.v1.MetricPoint` what is used.
#[derive(Debug, Deserialize)]
#[serde(rename = "MetricPoint")]
pub(super) struct FlatPoint {
    pub(super) ts: i64,
    pub(super) interval_ms: i32,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) stat: String,
    pub(super) value: f64,
    pub(super) container_id: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) boot_id: String,
    pub(super) seq: i64,
}

/// A `dcos.metrics.MetricList`.
#[derive(Debug, Deserialize)]
#[serde(rename = "MetricList")]
pub(super) struct List {
    pub(super) tags: Vec<Tag>,
    pub(super) datapoints: Vec<Datapoint>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Datapoint {
    pub(super) name: String,
    pub(super) time_ms: i64,
    pub(super) value: f64,
}

/// Reads the records of a block, or only the first, for the time that it came.
pub(super) fn read_block(
    block: Block,
    every_record: bool,
    seen: &Mutex<Seen>,
) -> Result<(), String> {
    let (schema, arrived) = (Arc::clone(&block.schema), block.arrived);
    let name = schema.name().map(ToString::to_string).unwrap_or_default();
    let is_flat = match name.as_str() {
        "weir.v1.MetricPoint" => true,
        "dcos.metrics.MetricList" => false,
        _ => return Err(format!("its records are {name:?}, neither points nor metric lists")),
    };
    let wanted = if every_record { block.objects } else { block.objects.min(1) };
    let records = block.into_records()?;
    let reader = GenericDatumReader::builder(&schema).build();
    let reader = reader.map_err(|error| short(&error))?;
    let mut bytes = &records[..];
    // Decoded first: whoever looks at what was seen does not wait for it.
    let (mut points, mut lists) = (Vec::new(), Vec::new());
    for _ in 0..wanted {
        if is_flat {
            points.push(reader.read_deser::<FlatPoint>(&mut bytes).map_err(|it| short(&it))?);
        } else {
            lists.push(reader.read_deser::<List>(&mut bytes).map_err(|it| short(&it))?);
        }
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for point in &points {
        seen.take_point(point, arrived, every_record);
    }
    for list in &lists {
        seen.take_list(list, arrived, every_record);
    }
    seen.end_block();
    Ok(())
}

/// The library's errors may quote a whole schema.
fn short(error: &apache_avro::Error) -> String {
    error.to_string().chars().take(200).collect()
}
