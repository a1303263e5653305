use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who this agent is. What is empty is found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Identity {
    /// The Mesos agent's id. Empty: asked of the Mesos agent.
    pub(crate) agent_id: String,
    /// The cluster's id. Empty: read from `/var/lib/dcos/cluster-id`.
    pub(crate) cluster_id: String,
    /// The host's address or name. Empty: DC/OS's `detect_ip`, the Mesos agent, the system; in tags
    /// for DC/OS's readers, always the system.
    pub(crate) host: String,
    /// Tags of every point.
    pub(crate) labels: BTreeMap<String, String>,
}
