use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::SourceKind;

/// Who has how many series, and by what they became so many, as `/cardinality.json` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Cardinality {
    /// The version of this form.
    pub version: u32,
    /// When this was read, in unix milliseconds.
    pub now: i64,
    /// Live series of all sources.
    pub series: u64,
    /// How many there may be.
    pub limit: u64,
    /// Every series of the sources that are looked into was looked at. If not, their names and tags
    /// are those of the part for which there was time.
    pub complete: bool,
    /// Every source that has series or was refused some, most series first.
    pub sources: Vec<SourceCardinality>,
}

/// One source's series.
#[derive(Clone, Debug, Serialize)]
pub struct SourceCardinality {
    /// What it is.
    pub source: SourceKind,
    /// The container that it is, or that the clients of a trusted listener named.
    pub container_id: Option<Arc<str>>,
    /// The listener that it is, or came through.
    pub listener: Option<Arc<str>>,
    /// The name of its task; empty if that is not known.
    pub task_name: String,
    /// Live series.
    pub series: u64,
    /// How many it may have; no limit but that of all is a listener's.
    pub limit: Option<u64>,
    /// Samples of new series that were refused, since the start.
    pub over_series_limit: u64,
    /// What they are; only of the largest sources.
    pub details: Option<SourceDetails>,
}

/// What a source's series are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceDetails {
    /// The names with most series, most first.
    pub names: Vec<NameCardinality>,
    /// The tag keys with most values, most first.
    pub tags: Vec<TagCardinality>,
    /// A rule, as configuration in TOML, that saves most of them; nothing if none would.
    pub rule: Option<String>,
}

/// A metric's name, or a pattern of names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NameCardinality {
    /// The name.
    pub name: String,
    /// Series with it; a few less than there are if the source has thousands of names.
    pub series: u64,
}

/// A tag key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TagCardinality {
    /// The key.
    pub key: String,
    /// Distinct values: exact up to 128, then an estimate with a standard error of 3.3 %.
    pub values: u64,
    /// Series that have it.
    pub series: u64,
}

/// Someone asks for the cardinality.
#[derive(Debug)]
pub struct CardinalityQuery {
    /// Of this container only, at more length.
    pub container_id: Option<String>,
    /// Where it is told.
    pub tell: oneshot::Sender<Arc<Cardinality>>,
}

/// Where to ask for the cardinality.
pub type CardinalityFeed = mpsc::Sender<CardinalityQuery>;
