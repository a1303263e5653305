use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metric::{ReadAs, Source};

use super::{Change, Ports};

/// How containers are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainersConfig {
    /// The host that containers are told to send to, unless they ask for another.
    pub statsd_host: String,
    /// The address that their ports are bound to. It need not be one of this host yet.
    pub bind: IpAddr,
    /// Which ports they are given.
    pub ports: Ports,
    /// The answer to a container that cannot be served.
    pub on_failure: OnFailure,
    /// A container beyond so many is not served. Those known at start always are.
    pub max_containers: usize,
    /// How their lines are read.
    pub read_as: ReadAs,
    /// The receive buffer that is asked for, for each of them, in bytes.
    pub receive_buffer: usize,
    /// The pause before what failed is tried again: a port that is taken, a file. 5 s in service.
    pub retry: Duration,
}

/// The answer to a container that cannot be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// 204: its task starts without `StatsD`.
    #[default]
    NoContent,
    /// 500: its task does not start.
    ServerError,
}

/// Brings a change to the disk.
pub type Persist = Box<dyn Fn(&Change) -> io::Result<()> + Send>;

/// Hears of a source.
pub type Tell = Box<dyn Fn(&Arc<Source>) + Send + Sync>;

/// Whom the registry tells what has happened.
pub struct Hooks {
    /// Brings a change to the disk. Called by one thread, which it may hold up for as long as it
    /// needs; what it refuses is tried again.
    pub persist: Persist,
    /// A container is registered, or known from an earlier process. Must not block.
    pub registered: Tell,
    /// A container's socket was read until empty and closed. Must not block.
    pub removed: Tell,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
