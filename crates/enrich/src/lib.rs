//! Finds out who a source is: its container, task, framework, and the agent and cluster that it
//! runs on.
//!
//! [`Contexts`] answers for each source, at any time and without waiting. What it answers comes
//! from the [`Identity`] of this node and from the Mesos agent, which [`Poller`] asks whenever a
//! container is new and now and then besides. What the agent has [`Measured`] comes along. [`Directory`] is where registered containers
//! outlive the process, and [`container_of`] names the container of a process.
#![forbid(unsafe_code)]

mod contexts;

mod poller;
mod resources;

mod identity;
mod mesos;

mod answer;
mod census;
mod labels;
mod settings;

mod directory;
mod peer;

mod config;
mod error;

#[doc(hidden)]
pub mod fuzzing;

pub use config::{Config, Reconcile};
pub use contexts::{Context, Contexts, Health, PollHealth};
pub use directory::{Directory, Loaded};
pub use error::Error;
pub use identity::{Identity, IdentityConfig};
pub use labels::LabelRules;
pub use mesos::{Credentials, MesosConfig};
pub use peer::{container_in, container_of};
pub use poller::Poller;
pub use resources::Measured;
pub use settings::Settings;
