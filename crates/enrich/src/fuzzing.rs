//! What others answer over HTTP, read as in service: for the fuzz targets, which see only what is
//! public.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metric::Dimensions;

use crate::answer::{self, ContainerId};
use crate::census::Census;
use crate::mesos::service_account;
use crate::resources::{Resources, Snapshots};
use crate::{LabelRules, Measured};

/// What the answers of one poll came to.
#[derive(Debug)]
pub struct Poll {
    /// Every container that was mentioned.
    pub containers: Vec<Mentioned>,
    /// What Mesos measured.
    pub measured: Vec<Measured>,
}

/// A container that was mentioned.
#[derive(Debug, PartialEq)]
pub struct Mentioned {
    /// Its id.
    pub container_id: String,
    /// What is known of it.
    pub dimensions: Dimensions,
    /// The labels of its task that are settings.
    pub settings: BTreeMap<String, String>,
    /// It is surely there.
    pub is_seen: bool,
    /// It is surely gone.
    pub is_lacking: bool,
}

/// Reads the answers to `GET_STATE` and `GET_CONTAINERS`, and a `/metrics/snapshot`.
pub fn poll(state: &[u8], containers: &[u8], snapshot: &[u8]) -> Poll {
    let state = answer::state(state).ok();
    let containers = answer::containers(containers).ok();
    let mut measured = Vec::new();
    if let Some(containers) = &containers {
        measured = Resources::default().measure(containers).0;
    }
    if let Ok(numbers) = answer::snapshot(snapshot) {
        measured.extend(Snapshots::default().measure(&numbers).0);
    }
    let tasks = state.iter().flat_map(|state| &state.tasks);
    let of_tasks = tasks.filter_map(|task| task.container.as_ref());
    let listed = containers.iter().flat_map(|containers| &containers.listed);
    let ids = of_tasks.chain(listed.map(|listed| &listed.container)).flat_map(ContainerId::chain);
    let ids: BTreeSet<_> = ids.map(str::to_owned).collect();
    let census = Census::new(state, containers);
    let mention = |container_id: String| {
        let found = census.find(&container_id, &LabelRules::default())?;
        let (is_seen, is_lacking) = (census.sees(&container_id), census.lacks(&container_id));
        let (dimensions, settings) = (found.dimensions, found.settings);
        Some(Mentioned { container_id, dimensions, settings, is_seen, is_lacking })
    };
    Poll { containers: ids.into_iter().filter_map(mention).collect(), measured }
}

/// Reads a `GET_AGENT` answer: the agent's id and its host's name.
pub fn agent(body: &[u8]) -> Option<(String, String)> {
    answer::agent(body).ok().map(|agent| (agent.id, agent.hostname))
}

/// Reads what is answered to the log-in of a service account at this unix time: how long the token
/// is good for, and what is told of a refusal.
pub fn log_in(body: &[u8], now: Duration) -> (Option<Duration>, String) {
    let log_in = service_account::read_log_in(body, now);
    (log_in.map(|log_in| log_in.life), service_account::error_code(body))
}
