use serde::{Deserialize, Serialize};

/// Bounds that an honest service never meets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Sources that `c:` sections may make, of each trusted listener; the rest is the listener's.
    pub(crate) trusted_sources: usize,
    /// Points that may wait for their container's context; more go without.
    pub(crate) waiting_points: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { trusted_sources: 1_000, waiting_points: 100_000 }
    }
}
