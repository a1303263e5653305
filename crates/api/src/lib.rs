//! Answers over HTTP: container registration, health and status.
//!
//! A [`Server`] binds an [`Endpoint`] and answers there what its [`App`] has. [`Containers`] is the
//! registry behind the registration; it opens and closes sockets through [`ingest::Listeners`].
//! [`Status`] is the account that the agent puts together for `/status.json`. [`Prometheus`] shows it
//! and the newest values at `/metrics`.
//!
//! What is counted, all of it shown in the status: [`ContainersCounts`], [`TrafficCounts`] and
//! [`PrometheusStatus`].
#![forbid(unsafe_code)]

mod endpoint;
mod server;

mod answer;
mod app;
mod path;
mod request;

mod containers;
mod registration;

mod latest;
mod prometheus;
mod v0;

mod cardinality;
mod health;
mod status;
mod traffic;

mod error;
mod seldom;

pub use app::{App, Views};
pub use cardinality::{
    Cardinality, CardinalityFeed, CardinalityQuery, NameCardinality, SourceCardinality,
    SourceDetails, TagCardinality,
};
pub use containers::{
    Change, Containers, ContainersConfig, ContainersCounts, Hooks, OnFailure, Persist, Ports,
    Refusal, Refused, Registered, Tell,
};
pub use endpoint::Endpoint;
pub use error::ApiError;
pub use health::Health;
pub use latest::{
    Held, Latest, LatestConfig, LatestCounts, Newest, Place, Polls, RunningSummary, Seen,
};
pub use prometheus::{Clash, Prometheus, PrometheusConfig, PrometheusStatus, Refusals};
pub use server::Server;
pub use status::{
    Account, KeptQueue, Lost, OutputStatus, PollStatus, ReloadRefusal, ReloadStatus,
    RemovedDropped, Restored, SourceKind, SourceStatus, Status, StatusFeed, StreamStatus,
    UncleanStop,
};
pub use traffic::{Event, Traffic, TrafficCounts};
pub use v0::{Names, NotANumber, Role, V0, V0Config};
