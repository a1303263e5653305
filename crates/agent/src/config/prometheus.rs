use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text;

/// `/metrics`, for Prometheus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prometheus {
    /// Whether it is served at all; if not, it takes no memory.
    pub(crate) enabled: bool,
    /// Where it is served beside the HTTP listener: `HOST:PORT`; empty is nowhere else.
    #[serde(with = "text::display")]
    pub(crate) listen: Further,
    /// A series is shown until weir saw no value of it for so long, at least two flushes.
    #[serde(with = "text::duration")]
    pub(crate) expiry: Duration,
    /// What is appended to the names of counters that do not end so.
    pub(crate) counter_suffix: String,
    /// Whether weir's own numbers are shown for each container, beside their sums.
    pub(crate) container_self_metrics: bool,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: Further(None),
            expiry: Duration::from_mins(2),
            counter_suffix: String::new(),
            container_self_metrics: true,
        }
    }
}

impl Prometheus {
    pub(super) fn check(&self) -> Result<(), String> {
        let suffix = &self.counter_suffix;
        if suffix.len() > 32 || !suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!(
                "prometheus.counter_suffix: {suffix:?} cannot end a name; write letters, digits \
                 and _, as in \"_total\""
            ));
        }
        Ok(())
    }
}

/// A further listener, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Further(pub(crate) Option<SocketAddr>);

impl FromStr for Further {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let address = text.replace("localhost:", "127.0.0.1:").parse();
        address.map(|address| Self(Some(address))).map_err(|_| {
            format!("{text:?} is no address; write 0.0.0.0:61091, [::]:61091, or nothing")
        })
    }
}

impl fmt::Display for Further {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}
