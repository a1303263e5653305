//! The two schemas that points are written in.

use std::sync::LazyLock;

use apache_avro::rabin::Rabin;

use crate::Schema;

/// `weir.v1.MetricPoint`, one flat record for each point, as `schema/metric_point.avsc` has it.
pub const METRIC_POINT: &str = include_str!("../schema/metric_point.avsc");

/// `dcos.metrics.MetricList` as DC/OS's own sender writes it: no blanks, keys sorted, no docs.
pub const METRIC_LIST: &str = concat!(
    r#"{"fields":[{"name":"topic","type":"string"},"#,
    r#"{"name":"tags","type":{"items":{"fields":["#,
    r#"{"name":"key","type":"string"},{"name":"value","type":"string"}],"#,
    r#""name":"Tag","namespace":"dcos.metrics","type":"record"},"type":"array"}},"#,
    r#"{"name":"datapoints","type":{"items":{"fields":[{"name":"name","type":"string"},"#,
    r#"{"logicalType":"timestamp-millis","name":"time_ms","type":"long"},"#,
    r#"{"name":"value","type":"double"}],"#,
    r#""name":"Datapoint","namespace":"dcos.metrics","type":"record"},"type":"array"}}],"#,
    r#""name":"MetricList","namespace":"dcos.metrics","type":"record"}"#,
);

/// The CRC-64-AVRO of a schema's canonical form, in the byte order of Avro's single-object
/// encoding (little endian).
pub fn fingerprint(schema: Schema) -> [u8; 8] {
    fingerprint_of(json(schema)).expect("a schema of ours parses: a test does it")
}

/// The same of a schema of anybody's; `None` if it is none.
fn fingerprint_of(schema: &str) -> Option<[u8; 8]> {
    // The library leaves {"type":"long"} where a logical type was; the canonical form has "long".
    let mut json = serde_json::from_str(schema).ok()?;
    strip_logical_types(&mut json);
    let schema = apache_avro::Schema::parse_str(&json.to_string()).ok()?;
    schema.fingerprint::<Rabin>().bytes.try_into().ok()
}

/// Whether this is [`METRIC_LIST`], in whatever words.
pub(crate) fn is_metric_list(schema: &str) -> bool {
    static OURS: LazyLock<[u8; 8]> = LazyLock::new(|| fingerprint(Schema::MetricList));
    fingerprint_of(schema) == Some(*OURS)
}

fn strip_logical_types(json: &mut serde_json::Value) {
    if let Some(object) = json.as_object_mut() {
        object.remove("logicalType");
        object.values_mut().for_each(strip_logical_types);
    } else if let Some(array) = json.as_array_mut() {
        array.iter_mut().for_each(strip_logical_types);
    }
}

/// A schema as it stands in the header of a file: without the blanks.
pub(crate) fn json(schema: Schema) -> &'static str {
    static POINT: LazyLock<String> = LazyLock::new(|| {
        let json: serde_json::Value =
            serde_json::from_str(METRIC_POINT).expect("a schema of ours is JSON: a test reads it");
        json.to_string()
    });
    match schema {
        Schema::Points => &POINT,
        Schema::MetricList => METRIC_LIST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprints_are_what_they_were_when_the_schemas_were_published() {
        let hex = |bytes: [u8; 8]| format!("{:016x}", u64::from_be_bytes(bytes));
        assert_eq!(hex(fingerprint(Schema::MetricList)), "89df64aaf5b84810");
        assert_eq!(hex(fingerprint(Schema::Points)), "16a8b91a5c1b3909");
    }

    #[test]
    fn the_metric_list_has_the_length_that_makes_its_header_601_bytes() {
        assert_eq!(METRIC_LIST.len(), 549);
        apache_avro::Schema::parse_str(METRIC_LIST).unwrap();
    }

    #[test]
    fn every_field_of_a_point_says_what_it_is() {
        let schema: serde_json::Value = serde_json::from_str(METRIC_POINT).unwrap();
        let fields = schema["fields"].as_array().unwrap();
        let names: Vec<_> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
        assert_eq!(
            names.join(" "),
            "ts interval_ms name kind stat value unit host cluster_id agent_id framework_id \
             framework_name executor_id task_id task_name container_id tags boot_id seq"
        );
        assert!(schema["doc"].as_str().is_some());
        for field in fields {
            assert!(field["doc"].as_str().is_some_and(|doc| doc.ends_with('.')), "{field}");
        }
        apache_avro::Schema::parse_str(METRIC_POINT).unwrap();
    }
}
