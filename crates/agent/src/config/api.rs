use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::containers::Address;
use super::text;

/// DC/OS's metrics API, version 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Api {
    /// Where it is served beside the HTTP listener: `unix:PATH`, `tcp:HOST:PORT`.
    pub(crate) v0: Vec<Address>,
    /// What kind of node this is: a master tells nothing of containers.
    pub(crate) role: Role,
    /// Whose names the metrics of node and containers have.
    pub(crate) names: Names,
    /// How a value that is not a number is written.
    pub(crate) nan: NotANumber,
    /// A series is shown until weir saw no value of it for so long, at least two flushes.
    #[serde(with = "text::duration")]
    pub(crate) expiry: Duration,
    /// Whether it is served at all; if not, it takes no memory.
    pub(crate) enabled: bool,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            v0: Vec::new(),
            role: Role::Agent,
            names: Names::Dcos112,
            nan: NotANumber::Omit,
            expiry: Duration::from_mins(2),
            enabled: true,
        }
    }
}

/// What kind of node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// It runs containers.
    Agent,
    /// It does not: of the metrics API only what is about the node itself.
    Master,
}

/// The release of DC/OS whose names are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Names {
    /// Since 1.12.
    #[serde(rename = "dcos-1.12")]
    Dcos112,
    /// Up to 1.11.
    #[serde(rename = "dcos-1.11")]
    Dcos111,
}

/// How a value that is not a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NotANumber {
    /// Not at all.
    Omit,
    /// `"NaN"`.
    String,
    /// `""`.
    Empty,
}

impl From<Role> for api::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Agent => Self::Agent,
            Role::Master => Self::Master,
        }
    }
}

impl From<Names> for api::Names {
    fn from(names: Names) -> Self {
        match names {
            Names::Dcos112 => Self::Dcos112,
            Names::Dcos111 => Self::Dcos111,
        }
    }
}

impl From<NotANumber> for api::NotANumber {
    fn from(nan: NotANumber) -> Self {
        match nan {
            NotANumber::Omit => Self::Omit,
            NotANumber::String => Self::String,
            NotANumber::Empty => Self::Empty,
        }
    }
}
