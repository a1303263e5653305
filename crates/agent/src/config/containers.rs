use std::net::IpAddr;
use std::path::PathBuf;

use api::{Endpoint, Ports};
use metric::ReadAs;
use serde::{Deserialize, Serialize};

use super::{Sign, text};

/// The containers that register, each with a port of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Containers {
    /// Where registration is served: `unix:PATH`, `tcp:HOST:PORT`. With none it is served on the
    /// HTTP listener, if that is loopback.
    pub(crate) api: Vec<Address>,
    /// One file for each registered container. Default `DATA_DIR/containers`.
    pub(crate) dir: PathBuf,
    /// The host that containers are told to send to.
    pub(crate) statsd_host: String,
    /// The address that their ports are bound to.
    pub(crate) bind: IpAddr,
    /// `ephemeral`, or a range as `31000-31999`.
    #[serde(with = "text::display")]
    pub(crate) ports: Ports,
    /// What a registration that cannot be had is answered: `204` starts the task without StatsD.
    pub(crate) on_failure: OnFailure,
    /// Registrations beyond this many are refused.
    pub(crate) max_containers: usize,
    /// Whether containers that Mesos does not know any more are retired.
    pub(crate) reconcile: bool,
    /// What a gauge's leading sign means.
    pub(crate) gauge_sign: Sign,
    /// Whether tags are looked for in names.
    pub(crate) name_tags: bool,
}

impl Default for Containers {
    fn default() -> Self {
        Self {
            api: Vec::new(),
            dir: PathBuf::new(),
            statsd_host: "127.0.0.1".to_owned(),
            bind: IpAddr::from([127, 0, 0, 1]),
            ports: Ports::Ephemeral,
            on_failure: OnFailure::NoContent,
            max_containers: 10_000,
            reconcile: true,
            gauge_sign: Sign::Auto,
            name_tags: true,
        }
    }
}

impl Containers {
    /// How the containers' lines are read: a socket says who speaks, a line cannot.
    pub(crate) fn read_as(&self) -> ReadAs {
        ReadAs {
            gauge_sign: self.gauge_sign.into(),
            name_tags: self.name_tags,
            trust_container: false,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.statsd_host.is_empty() {
            return Err("containers.statsd_host: expected the host that containers send to".into());
        }
        Ok(())
    }
}

/// An endpoint in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Address(#[serde(with = "text::display")] pub(crate) Endpoint);

/// How a registration that cannot be had is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnFailure {
    /// The task starts without StatsD.
    #[serde(rename = "204")]
    NoContent,
    /// The task does not start.
    #[serde(rename = "500")]
    ServerError,
}

impl From<OnFailure> for api::OnFailure {
    fn from(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::NoContent => Self::NoContent,
            OnFailure::ServerError => Self::ServerError,
        }
    }
}
