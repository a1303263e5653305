use serde::{Deserialize, Serialize};

use crate::logging::Level;

/// What is logged, on stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: Format,
    /// `error`, `warn`, `info`, `debug` or `trace`; also per crate, as `info,ship=debug`.
    pub(crate) level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: Format::Text, level: "info".to_owned() }
    }
}

impl Log {
    pub(super) fn check(&self) -> Result<(), String> {
        Level::read(&self.level).map(drop)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Text,
    Json,
}
