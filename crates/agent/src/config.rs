//! The configuration: every key once, with its default; read whole, checked whole.
//!
//! A flag beats the file, the file beats the default. `deploy/weir.toml` documents the keys.

mod api;
mod containers;
mod identity;
mod limits;
mod listener;
mod log;
mod mesos;
mod node;
mod output;
mod places;
mod prometheus;
mod stages;
mod tag_rule;
mod text;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use api::{Api, Role};
pub(crate) use containers::Containers;
pub(crate) use identity::Identity;
pub(crate) use limits::Limits;
pub(crate) use listener::{ListenUrl, Listener, Sign};
pub(crate) use log::{Format, Log};
pub(crate) use mesos::Mesos;
pub(crate) use node::Node;
pub(crate) use output::{Output, OutputUrl};
pub(crate) use prometheus::Prometheus;
pub(crate) use tag_rule::TagRule;
pub(crate) use text::{HttpListen, duration::parse as parse_duration};

/// Everything that can be set, with nothing left to be found out but what the network says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where weir keeps what outlives it. Default `./weir-data`, or `$STATE_DIRECTORY`.
    pub(crate) data_dir: PathBuf,
    /// Time between flushes. Shorter means fresher data and more points. Default 10 s.
    #[serde(with = "text::duration")]
    pub(crate) flush_interval: Duration,
    /// Receiving threads; 0 is one for every two cores, 1 to 8.
    pub(crate) workers: usize,
    /// The longest a worker lets datagrams gather before it takes them; 0 is off. Default 2 ms.
    #[serde(with = "text::duration")]
    pub(crate) max_rest: Duration,
    /// Receive buffer asked for, for every socket, in bytes. Default 4 MiB.
    pub(crate) receive_buffer: usize,
    /// The longest a stop may take. Default 10 s.
    #[serde(with = "text::duration")]
    pub(crate) shutdown_grace: Duration,
    /// A gauge is reported until it was not written for so long. Default 5 min.
    #[serde(with = "text::duration")]
    pub(crate) gauge_expiry: Duration,
    /// The memory of an idle series is given back after this. Default 10 min.
    #[serde(with = "text::duration")]
    pub(crate) series_expiry: Duration,
    /// A counter's running total is kept for so long after its last sample. Default 1 h.
    #[serde(with = "text::duration")]
    pub(crate) total_expiry: Duration,
    /// Which quantiles timers, histograms and distributions tell, each above 0 and below 1.
    pub(crate) quantiles: Vec<f64>,
    /// Shared ports and sockets.
    #[serde(rename = "listener")]
    pub(crate) listeners: Vec<Listener>,
    pub(crate) containers: Containers,
    pub(crate) identity: Identity,
    pub(crate) mesos: Mesos,
    pub(crate) node: Node,
    /// Where points go.
    #[serde(rename = "output")]
    pub(crate) outputs: Vec<Output>,
    pub(crate) limits: Limits,
    /// What is dropped of series.
    #[serde(rename = "tag_rule")]
    pub(crate) tag_rules: Vec<TagRule>,
    pub(crate) http: Http,
    pub(crate) api: Api,
    pub(crate) prometheus: Prometheus,
    pub(crate) log: Log,
}

/// The operator's HTTP listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// `HOST:PORT`, or `none`. Default 127.0.0.1:8126.
    #[serde(with = "text::display")]
    pub(crate) listen: HttpListen,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./weir-data".into(),
            flush_interval: Duration::from_secs(10),
            workers: 0,
            max_rest: Duration::from_millis(2),
            receive_buffer: 4 << 20,
            shutdown_grace: Duration::from_secs(10),
            gauge_expiry: Duration::from_mins(5),
            series_expiry: Duration::from_mins(10),
            total_expiry: Duration::from_hours(1),
            quantiles: vec![0.5, 0.9, 0.95, 0.99, 0.999],
            listeners: Vec::new(),
            containers: Containers::default(),
            identity: Identity::default(),
            mesos: Mesos::default(),
            node: Node::default(),
            outputs: Vec::new(),
            limits: Limits::default(),
            tag_rules: Vec::new(),
            http: Http::default(),
            api: Api::default(),
            prometheus: Prometheus::default(),
            log: Log::default(),
        }
    }
}

/// What the command line sets; each beats the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Vec<ListenUrl>,
    pub(crate) http: Option<HttpListen>,
    pub(crate) output: Vec<OutputUrl>,
    pub(crate) flush_interval: Option<Duration>,
    pub(crate) role: Option<Role>,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {error}", path.display())]
    Parse { path: PathBuf, error: toml::de::Error },
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// The effective configuration: defaults, then the file, then the flags, checked as a whole.
    pub(crate) fn load(file: Option<&Path>, flags: Flags) -> Result<Self, ConfigError> {
        let mut config = match file {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                toml::from_str(&text)
                    .map_err(|error| ConfigError::Parse { path: path.to_owned(), error })?
            }
        };
        config.take(flags, file.is_some());
        config.complete();
        config.check().map_err(|error| match file {
            Some(path) => ConfigError::Invalid(format!("{}: {error}", path.display())),
            None => ConfigError::Invalid(error),
        })?;
        Ok(config)
    }

    fn take(&mut self, flags: Flags, from_file: bool) {
        if let Some(data_dir) = flags.data_dir {
            self.data_dir = data_dir;
        } else if let Some(state) = state_directory()
            && !(from_file && self.data_dir != Self::default().data_dir)
        {
            self.data_dir = state;
        }
        if !flags.listen.is_empty() {
            self.listeners = flags.listen.into_iter().map(Listener::of).collect();
        }
        if let Some(listen) = flags.http {
            self.http.listen = listen;
        }
        if !flags.output.is_empty() {
            self.outputs = flags.output.into_iter().map(Output::of).collect();
        }
        if let Some(interval) = flags.flush_interval {
            self.flush_interval = interval;
        }
        if let Some(role) = flags.role {
            self.api.role = role;
        }
    }

    /// Fills in what follows from other keys, so that the result says all.
    fn complete(&mut self) {
        if self.listeners.is_empty() {
            self.listeners.push(Listener::default());
        }
        for listener in &mut self.listeners {
            listener.complete(self.receive_buffer);
        }
        if self.outputs.is_empty() {
            self.outputs.push(Output::of(OutputUrl::dir(&self.data_dir.join("points"))));
        }
        // So that it is shown.
        if self.tag_rules.is_empty() {
            self.tag_rules.push(TagRule::default());
        }
        let mut taken = self.outputs.iter().map(|output| output.name.clone()).collect();
        for output in &mut self.outputs {
            output.complete(&mut taken);
        }
        if self.containers.dir.as_os_str().is_empty() {
            self.containers.dir = self.data_dir.join("containers");
        }
    }

    fn check(&self) -> Result<(), String> {
        let least = Duration::from_millis(100);
        if self.flush_interval < least || self.flush_interval > Duration::from_hours(1) {
            return Err("flush_interval: expected 100ms to 1h".to_owned());
        }
        if self.shutdown_grace < least {
            return Err("shutdown_grace: expected at least 100ms".to_owned());
        }
        if self.workers > 64 {
            return Err("workers: expected 0 to 64".to_owned());
        }
        if self.max_rest > Duration::from_secs(1) {
            return Err("max_rest: expected at most 1s".to_owned());
        }
        if self.quantiles.len() > 32 {
            return Err("quantiles: expected at most 32".to_owned());
        }
        if let Some(wrong) = self.quantiles.iter().find(|q| !(**q > 0.0 && **q < 1.0)) {
            return Err(format!("quantiles: {wrong} is not above 0 and below 1"));
        }
        let mut urls = HashSet::new();
        for listener in &self.listeners {
            listener.check()?;
            if !urls.insert(&listener.url) {
                return Err(format!("listener: {} stands twice", listener.url));
            }
        }
        for output in &self.outputs {
            output.check(&self.listeners)?;
        }
        ship::check(&self.to_ship()).map_err(|error| error.to_string())?;
        places::check(self)?;
        self.limits.check()?;
        self.tag_rules.iter().try_for_each(TagRule::check)?;
        self.containers.check()?;
        self.prometheus.check()?;
        self.mesos.check()?;
        self.node.check()?;
        self.log.check()
    }
}

#[allow(clippy::disallowed_methods)] // the one place where the environment is read
fn state_directory() -> Option<PathBuf> {
    // The service manager may name several, separated by colons; the first is ours.
    let value = std::env::var("STATE_DIRECTORY").ok()?;
    let first = value.split(':').next()?;
    (!first.is_empty()).then(|| first.into())
}

#[cfg(test)]
mod tests;
