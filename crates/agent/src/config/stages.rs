//! What each stage is started with.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use aggregate::FlushConfig;
use api::{ContainersConfig, LatestConfig, Polls, PrometheusConfig, V0Config};
use enrich::{Credentials, IdentityConfig, LabelRules, MesosConfig, Reconcile};
use metric::Quantiles;
use ship::OutputConfig;

use super::{Config, Output};
use crate::flush;

/// How long to wait before a port or a file that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

impl Config {
    /// One worker for every two cores, at least one, at most eight.
    pub(crate) fn to_ingest(&self) -> ingest::Config {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = if self.workers == 0 { (cores / 2).clamp(1, 8) } else { self.workers };
        ingest::Config {
            workers: NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN),
            max_rest: self.max_rest,
        }
    }

    pub(crate) fn to_containers(&self) -> ContainersConfig {
        let containers = &self.containers;
        ContainersConfig {
            statsd_host: containers.statsd_host.clone(),
            bind: containers.bind,
            ports: containers.ports.clone(),
            on_failure: containers.on_failure.into(),
            max_containers: containers.max_containers,
            read_as: containers.read_as(),
            receive_buffer: self.receive_buffer,
            retry: RETRY,
        }
    }

    pub(crate) fn to_enrich(&self) -> enrich::Config {
        let mesos = &self.mesos;
        let path = |path: &Path| Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty());
        let credentials = match (path(&mesos.token_file), path(&mesos.service_account_file)) {
            (Some(file), _) => Credentials::TokenFile(file),
            (None, Some(file)) => Credentials::ServiceAccount(file),
            (None, None) => Credentials::None,
        };
        let agent = MesosConfig {
            ca_file: path(&mesos.ca_file),
            credentials,
            timeout: mesos.timeout,
            ..MesosConfig::new(mesos.url.as_str())
        };
        let identity = IdentityConfig {
            agent_id: self.identity.agent_id.clone(),
            cluster_id: self.identity.cluster_id.clone(),
            host: self.identity.host.clone(),
            labels: self.identity.labels.clone(),
            ..IdentityConfig::default()
        };
        enrich::Config {
            identity,
            mesos: (!mesos.url.is_empty()).then_some(agent),
            labels: LabelRules {
                whitelist: mesos.label_whitelist.clone(),
                prefixes: mesos.label_prefixes.clone(),
            },
            refresh: mesos.refresh,
            resources: (!mesos.poll.is_zero()).then_some(mesos.poll),
            snapshot: (!mesos.snapshot.is_zero()).then_some(mesos.snapshot),
            reconcile: self.containers.reconcile.then(Reconcile::default),
            ..enrich::Config::default()
        }
    }

    pub(crate) fn to_ship(&self) -> Vec<OutputConfig> {
        self.outputs.iter().map(Output::to_ship).collect()
    }

    pub(crate) fn to_flush(&self) -> FlushConfig {
        FlushConfig {
            gauge_expiry: self.gauge_expiry,
            series_expiry: self.series_expiry,
            total_expiry: self.total_expiry,
            quantiles: self.to_quantiles(),
            ..FlushConfig::default()
        }
    }

    pub(crate) fn to_flush_settings(&self) -> flush::Settings {
        flush::Settings {
            interval: self.flush_interval,
            waiting_limit: self.limits.waiting_points,
            gauge_expiry: self.gauge_expiry,
            series_expiry: self.series_expiry,
            total_expiry: self.total_expiry,
        }
    }

    /// Where the newest values are kept, if anybody is to read them.
    pub(crate) fn to_latest(&self) -> Option<LatestConfig> {
        let of_v0 = self.api.enabled.then(|| self.to_v0().expiry);
        let of_prometheus = self.prometheus.enabled.then(|| self.to_prometheus().expiry);
        Some(LatestConfig {
            expiry: of_v0.max(of_prometheus)?,
            polls: Polls {
                resources: self.mesos.poll,
                node: self.node.poll,
                mesos_agent: self.mesos.snapshot,
            },
            total_expiry: self.total_expiry,
            // A container's series go after one more scrape.
            keeps_ended: self.prometheus.enabled,
            ..LatestConfig::default()
        })
    }

    pub(crate) fn to_prometheus(&self) -> PrometheusConfig {
        PrometheusConfig {
            expiry: self.prometheus.expiry.max(self.flush_interval * 2),
            host: Some(self.to_host()),
            counter_suffix: self.prometheus.counter_suffix.as_str().into(),
            container_self_metrics: self.prometheus.container_self_metrics,
        }
    }

    /// A series that is told at every flush is never missing between two.
    pub(crate) fn to_v0(&self) -> V0Config {
        V0Config {
            host: Some(self.to_host()),
            role: self.api.role.into(),
            names: self.api.names.into(),
            nan: self.api.nan.into(),
            expiry: self.api.expiry.max(self.flush_interval * 2),
        }
    }

    /// DC/OS tags what a node tells with the system's name, and calls it by its address elsewhere.
    fn to_host(&self) -> Arc<str> {
        match &*self.identity.host {
            "" => rustix::system::uname().nodename().to_string_lossy().into(),
            host => host.into(),
        }
    }

    pub(crate) fn to_quantiles(&self) -> Arc<Quantiles> {
        Arc::new(Quantiles::new(self.quantiles.clone()))
    }
}
