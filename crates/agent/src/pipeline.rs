//! The whole agent on one page, nothing but wiring.
//!
//! ```text
//!  container A   B   C ...        one UDP socket each; also shared ports and unix sockets
//!       |        |   |
//!  ingest      workers, each with its own sockets                recvmmsg -> Packet
//!  statsd      in the worker: bytes -> Sample                    unless the memo knows the bytes
//!  aggregate   in the worker: its Shard, one writer, no lock     series slot += value
//!       |      at each flush the shard's interval is exchanged whole, the worker goes on
//!  flush       its own thread: merges intervals, keeps what outlives them
//!  enrich      who each source is: container -> task, framework, labels, agent, cluster
//!       |      = Batch, shared as Arc
//!       |      beside them: what Mesos and the kernel measure, past the aggregator
//!  ship        for each output: encode -> queue -> send; relays take the workers' lines as they are
//!  api         HTTP: container registration, the newest values, health, status
//! ```
//! It starts back to front, so that what can refuse to start does so before a datagram is taken,
//! with one exception: the known containers' ports and the registration come first of all, because
//! running tasks and Mesos wait for nothing else. It stops front to back: the data runs dry.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aggregate::{Shard, ShardConfig, TotalSeries};
use anyhow::Result;
use api::Latest;
use enrich::Contexts;
use ingest::Listeners;
use ship::Outputs;
use tokio::runtime::Handle as Runtime;

use crate::cardinality::Cardinality;
use crate::claims::Claims;
use crate::collector::{self, Collector, WayIn};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::flush::{self, Flush};
use crate::ledger::Ledger;
use crate::looks::Looks;
use crate::terms::Terms;
use crate::{front, own, shared, worker};

/// The running agent.
pub(crate) struct Pipeline {
    front: front::Front,
    /// The shared listeners, as they were opened.
    pub(crate) shared: Vec<shared::Opened>,
    /// The listeners of streams.
    pub(crate) collectors: Vec<Collector>,
    workers: worker::Pool,
    flush: flush::Thread,
    outputs: Arc<Outputs>,
    _data_dir: DataDir,
}

impl Pipeline {
    /// Starts everything, or says what cannot be started. Within a tokio runtime.
    pub(crate) fn start(config: &Config, boot_id: &Arc<str>) -> Result<Self> {
        let data_dir = DataDir::take(&config.data_dir)?;
        let (listeners, receivers) = Listeners::new(config.to_ingest())?;
        let (contexts, poller, retired) = Contexts::new(config.to_enrich())?;

        // First of all what others wait for: known ports, then registration.
        let mut front = front::Front::start(config, &listeners, &contexts)?;

        // Then back to front.
        let queues = config.data_dir.join("queue");
        let outputs = Outputs::start(config.to_ship(), &queues, boot_id, &Runtime::current())?;
        let outputs = Arc::new(outputs);
        let around = own::surroundings(config, &listeners, &contexts);
        let inlets = outputs.start_relays(receivers.len(), &around)?;
        let (ended, messages) = mpsc::channel();
        let (measured, looks) = (ended.clone(), Looks::default());
        let way_in = WayIn { contexts: contexts.clone(), flush: ended.clone() };
        let collectors = collector::bind(config, &way_in)?;
        let claims = Claims::new(config.limits.trusted_sources);
        let terms = Terms::new(&config.limits, &config.tag_rules, contexts.clone());
        let total_series = TotalSeries::new(config.limits.total_series);
        let new_shard = |number| {
            let total_series = total_series.clone();
            Shard::new(ShardConfig { number, total_series, ..ShardConfig::default() })
        };
        let receivers = receivers.into_iter().zip(inlets).collect();
        let workers = worker::Pool::start(receivers, new_shard, (&claims, &terms), &ended)?;
        front.follow_contexts(&contexts, workers.handles());
        let latest = config.to_latest().map(Latest::new);
        let waiting_points = Arc::new(AtomicU64::new(0));
        let flush = Flush {
            workers: workers.handles(),
            merge: aggregate::Flush::new(config.to_flush()),
            contexts: contexts.clone(),
            outputs: outputs.clone(),
            latest: latest.clone(),
            quantiles: config.to_quantiles(),
            interval: config.flush_interval,
            waiting_limit: config.limits.waiting_points,
            waiting_points: waiting_points.clone(),
        };
        let flush = flush::Thread::start(flush, ended, messages)?;
        let prometheus = front.prometheus(config, latest.as_ref());
        front.serve_status(Ledger {
            boot_id: boot_id.clone(),
            started: crate::ends::Now::read().wall_ms,
            workers: workers.handles(),
            listeners: listeners.clone(),
            containers: front.containers.clone(),
            outputs: outputs.clone(),
            waiting_points,
            latest: latest.clone(),
            prometheus: prometheus.clone(),
            traffic: front.traffic.clone(),
            terms: terms.clone(),
            contexts,
            looks: looks.clone(),
            streams: collectors.iter().map(collector::Bound::streams).collect(),
        });
        front.serve_cardinality(Cardinality { workers: workers.handles(), terms });
        front.follow_mesos(poller, retired, &measured);
        front.follow_node(config, looks, &measured);

        // Last what lets anybody speak.
        front.serve_http(config, outputs.clone(), latest, prometheus)?;
        let shared = shared::open(config, &listeners)?;
        let collectors = collectors.into_iter().map(collector::Bound::start).collect();
        front.all_listeners_are_open();
        Ok(Self { front, shared, collectors, workers, flush, outputs, _data_dir: data_dir })
    }

    /// Lets the data run dry: no new containers, sockets read until empty, a last flush, outputs
    /// drained. Takes no longer than `grace`, whatever is stuck; that is counted or kept.
    pub(crate) async fn stop(self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.front.stop(deadline).await;
        for collector in self.collectors {
            collector.stop(deadline).await;
        }
        self.workers.drain(deadline).await;
        self.flush.finish(deadline).await;
        ship_stop(self.outputs, deadline).await;
        self.workers.end().await;
    }

    /// Where the operator's HTTP is served.
    pub(crate) fn http(&self) -> Option<&api::Endpoint> {
        self.front.http.as_ref()
    }
}

async fn ship_stop(outputs: Arc<Outputs>, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    // It blocks, but not for longer than what is left.
    let _ = tokio::task::spawn_blocking(move || outputs.stop(left)).await;
}
