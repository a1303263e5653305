use serde::Deserialize;

/// A `dcos.metrics.MetricList` as it was written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MetricList {
    /// The framework's id, as DC/OS writes it; says nothing that the tags do not.
    pub topic: String,
    /// In their order: DC/OS's three first, where a container is known.
    pub tags: Vec<ListTag>,
    /// The numbers that these tags are of.
    pub datapoints: Vec<ListDatapoint>,
}

/// A tag of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename = "Tag")]
pub struct ListTag {
    /// May be empty, and may repeat.
    pub key: String,
    /// May be empty.
    pub value: String,
}

/// A number of a list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename = "Datapoint")]
pub struct ListDatapoint {
    /// May be empty.
    pub name: String,
    /// In unix milliseconds.
    pub time_ms: i64,
    /// Any number, `NaN` too.
    pub value: f64,
}
