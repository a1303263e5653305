use std::time::Duration;

use crate::{IdentityConfig, LabelRules, MesosConfig};

/// How who is who is found out.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this node is.
    pub identity: IdentityConfig,
    /// The Mesos agent of this node; `None`: there is none, and containers have nothing but their
    /// ids.
    pub mesos: Option<MesosConfig>,
    /// Which labels of a task its points carry.
    pub labels: LabelRules,
    /// Between two looks at everything, and between two tries at what is missing of the identity; up
    /// to a tenth is added. Default 60 s.
    pub refresh: Duration,
    /// How many polls for new containers may follow each other. Default 4.
    pub burst: u32,
    /// How long one of these takes to come back. Default 5 s.
    pub every: Duration,
    /// Which containers are retired without a DELETE; `None`: none.
    pub reconcile: Option<Reconcile>,
    /// Between two looks at what containers use; up to an eighth is added where that makes it one
    /// with a refresh. `None`: none. Default 60 s.
    pub resources: Option<Duration>,
    /// Between two looks at the agent's own metrics; up to a tenth is added. `None`, the default:
    /// none.
    pub snapshot: Option<Duration>,
}

/// When a container is taken for gone whose DELETE never came.
///
/// Only what Mesos surely said counts: a call that failed does not, nor a list with an entry that
/// cannot be read, nor a container that the agent's state still runs. An agent that restarts
/// refuses every call until it has recovered its containers; an empty list is believed only beside
/// a state that was told in the same poll.
///
/// An agent leaves out of its answers what we may not see, without a word. So only a container that
/// it told of since it was registered can be gone; one that was taken up at the start, which may have
/// ended before, also if the same answer tells of another. And none is gone that still sends.
#[derive(Clone, Copy, Debug)]
pub struct Reconcile {
    /// Mesos must not have it in any answer for so long, in two at least. Default 60 s.
    pub apart: Duration,
    /// It must have been registered, or taken up at the start, so long ago, and have sent nothing
    /// since then. Default 10 min.
    pub age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            identity: IdentityConfig::default(),
            mesos: None,
            labels: LabelRules::default(),
            refresh: Duration::from_mins(1),
            burst: 4,
            every: Duration::from_secs(5),
            reconcile: Some(Reconcile::default()),
            resources: Some(Duration::from_mins(1)),
            snapshot: None,
        }
    }
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { apart: Duration::from_mins(1), age: Duration::from_mins(10) }
    }
}
