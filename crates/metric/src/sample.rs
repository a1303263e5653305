use std::borrow::Cow;

use crate::Kind;

/// One sample of a line, borrowed from it: some values of one kind for one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name without the tags that stood in it; not empty, at most 1,024 bytes.
    pub name: &'a str,
    /// What the values mean.
    pub kind: Kind,
    /// What was measured; never empty.
    pub values: Values<'a>,
    /// The values of a gauge are changes of it.
    pub relative: bool,
    /// The share of events that the client sent, in (0, 1]: each value stands for `1 / rate`.
    /// Always 1 for gauges and sets.
    pub rate: f64,
    /// Sorted by key, then value; no two alike; at most 64, at most 4,096 bytes in all.
    pub tags: &'a [Tag<'a>],
    /// When it happened, in unix seconds, if the client said so and it is believable.
    pub timestamp: Option<i64>,
    /// The container that the client says it speaks from; used only where that is trusted.
    pub container_id: Option<&'a str>,
}

/// The values of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// Finite numbers, in the order received: counters, gauges and whatever is summarised.
    Numbers(&'a [f64]),
    /// The member of a set.
    Member(&'a str),
}

impl Values<'_> {
    /// How many values there are: what this sample adds to "samples received".
    pub fn count(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Member(_) => 1,
        }
    }
}

/// A tag of a sample. A bare tag has the value "".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag<'a> {
    /// Not empty; may repeat with another value.
    pub key: Cow<'a, str>,
    /// May be empty.
    pub value: Cow<'a, str>,
}

impl<'a> Tag<'a> {
    /// A tag of text that is known to be UTF-8.
    pub fn new(key: &'a str, value: &'a str) -> Self {
        Self { key: Cow::Borrowed(key), value: Cow::Borrowed(value) }
    }
}
