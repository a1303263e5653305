use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text;

/// What the node itself uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    /// Time between two looks; 0 is off. Default 60 s.
    #[serde(with = "text::duration")]
    pub(crate) poll: Duration,
}

impl Default for Node {
    fn default() -> Self {
        Self { poll: Duration::from_mins(1) }
    }
}

impl Node {
    pub(super) fn check(&self) -> Result<(), String> {
        text::check_interval(self.poll).map_err(|wrong| format!("node.poll: {wrong}"))
    }
}
