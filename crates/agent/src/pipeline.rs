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
//! It starts back to front, so that what can refuse to start does so before a datagram is taken.
//! Sockets are open before they are read, the known containers' ports and the registration first of
//! all, because running tasks and Mesos wait for nothing else. It stops front to back: the data runs dry.
//!
//! Between two processes the service manager holds the sockets (`ingest::Store`), and the data
//! directory the rest (`handover`).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aggregate::TotalSeries;
use anyhow::Result;
use api::Latest;
use enrich::Contexts;
use ingest::{Listeners, Store};
use ship::Outputs;
use tokio::runtime::Handle as Runtime;

use crate::cardinality::Cardinality;
use crate::claims::Claims;
use crate::collector::{self, WayIn};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::ends::Now;
use crate::flush::{self, Flush, Message};
use crate::handover::{Handover, Keeper};
use crate::ledger::Ledger;
use crate::looks::Looks;
use crate::own::Own;
use crate::reload::{Ground, InForce, Parts, Reloads};
use crate::service::Service;
use crate::terms::Terms;
use crate::watchdog::Ask;
use crate::worker::Request;
use crate::{front, shared, worker};

/// How long a stop waits for the service manager to be told of every socket.
const LONGEST_SETTLE: Duration = Duration::from_secs(1);

/// The running agent.
pub(crate) struct Pipeline {
    front: front::Front,
    /// The configuration that holds, which may be exchanged, and the listeners.
    pub(crate) in_force: InForce,
    workers: worker::Pool,
    flush: flush::Thread,
    messages: mpsc::Sender<Message>,
    outputs: Arc<Outputs>,
    keeper: Keeper,
    store: Store,
    _data_dir: DataDir,
}

impl Pipeline {
    /// Starts everything, or says what cannot be started. Within a tokio runtime.
    pub(crate) fn start(config: &Config, boot_id: &Arc<str>, service: Service) -> Result<Self> {
        let data_dir = DataDir::take(&config.data_dir)?;
        let mut handover = Handover::take_up(&config.data_dir, Now::read());
        let store = Store::new(service.stored, handover.readings.take(), service.manager)?;
        let (listeners, receivers) = Listeners::with_store(config.to_ingest(), store.clone())?;
        let (contexts, poller, retired) = Contexts::new(config.to_enrich())?;

        // First of all what others wait for: known ports, then registration.
        let mut front = front::Front::start(config, &listeners, &contexts, &store)?;

        // Then back to front, and nothing is taken before all that may refuse has not.
        let queues = config.data_dir.join("queue");
        let outputs = Outputs::start(config.to_ship(), &queues, boot_id, &Runtime::current())?;
        let outputs = Arc::new(outputs);
        let own = Own::new(config, &listeners);
        let inlets = outputs.start_relays(receivers.len(), &own.surroundings(&contexts))?;
        let latest = config.to_latest().map(Latest::new);
        let prometheus = front.prometheus(config, latest.as_ref());
        front.serve_http(config, outputs.clone(), latest.clone(), prometheus.clone(), &store)?;
        let shared = shared::open(config, &listeners, &store)?;
        let (ended, messages) = mpsc::channel();
        let looks = Looks::default();
        let way_in = WayIn { contexts: contexts.clone(), flush: ended.clone() };
        let collectors = collector::bind(&config.listeners, &way_in)?;
        store.close_rest();
        let (unclean_previous_stop, state) = (handover.unclean, handover.state_file());
        let keeper = Keeper::start(handover, &store, outputs.clone())?;
        let claims = Claims::new(config.limits.trusted_sources);
        let terms = Terms::new(&config.limits, &config.tag_rules, contexts.clone());
        let total_series = TotalSeries::new(config.limits.total_series);
        let receivers = receivers.into_iter().zip(inlets).collect();
        let (taken_in, backlog) = ((&claims, &terms), outputs.backlog());
        let workers = worker::Pool::start(receivers, &total_series, taken_in, backlog, &ended)?;
        front.follow_contexts(&contexts, workers.handles());
        let waiting_points = Arc::new(AtomicU64::new(0));
        let mut merge = aggregate::Flush::new(config.to_flush());
        let restored = state.restore(&mut merge);
        let flush = Flush {
            workers: workers.handles(),
            merge,
            contexts: contexts.clone(),
            outputs: outputs.clone(),
            latest: latest.clone(),
            quantiles: config.to_quantiles(),
            settings: config.to_flush_settings(),
            waiting_points: waiting_points.clone(),
            keeper: keeper.tell(),
            state: state.clone(),
        };
        let flush = flush::Thread::start(flush, ended.clone(), messages)?;
        let streams = collector::Roll::default();
        let reloads = Reloads::none_yet();
        front.serve_status(Ledger {
            boot_id: boot_id.clone(),
            started: Now::read().wall_ms,
            workers: workers.handles(),
            listeners: listeners.clone(),
            containers: front.containers.clone(),
            outputs: outputs.clone(),
            waiting_points,
            latest,
            prometheus,
            traffic: front.traffic.clone(),
            terms: terms.clone(),
            contexts,
            looks: looks.clone(),
            streams: streams.clone(),
            reloads: reloads.clone(),
            unclean_previous_stop,
            restored,
            store: store.clone(),
        });
        front.serve_cardinality(Cardinality { workers: workers.handles(), terms: terms.clone() });
        front.follow_mesos(poller, retired, &ended);
        front.follow_node(config, looks, &ended);
        let collectors = collectors.into_iter().map(|bound| bound.start(&streams)).collect();
        let ground =
            Ground { listeners, store: store.clone(), way_in, outputs: outputs.clone(), own };
        let parts = Parts {
            ground,
            streams,
            workers: workers.handles(),
            terms,
            claims,
            total_series,
            flush: ended.clone(),
            reloads,
        };
        let in_force = InForce::new(config.clone(), shared, collectors, parts);
        front.all_listeners_are_open();
        state.consume();
        Ok(Self {
            front,
            in_force,
            workers,
            flush,
            messages: ended,
            outputs,
            keeper,
            store,
            _data_dir: data_dir,
        })
    }

    /// Lets the data run dry: no new containers, sockets read until empty, a last flush, outputs
    /// drained. Takes no longer than `grace`, whatever is stuck; that is counted or kept.
    pub(crate) async fn stop(self, grace: Duration) {
        let began = Instant::now();
        // Whoever asks or streams, and does not come to an end, takes little of it from what came.
        let requests = began + grace / 4;
        self.front.stop(requests).await;
        self.in_force.stop(requests).await;
        let deadline = began + grace;
        self.workers.drain(deadline).await;
        let (flushed, saving) = self.flush.finish(deadline).await;
        ship_stop(self.outputs, deadline).await;
        saving.wait(deadline).await;
        self.keeper.stop(flushed, deadline).await;
        settle(self.store, deadline).await;
        drop(self.messages);
        self.workers.end(deadline).await;
    }

    /// Every loop that is to be passed again and again.
    pub(crate) fn loops(&self) -> Vec<Ask> {
        let of_worker = |worker: worker::Handle| -> Ask {
            Box::new(move |beat| worker.ask(Request::Beat(beat)))
        };
        let messages = self.messages.clone();
        let of_flush: Ask = Box::new(move |beat| drop(messages.send(Message::Beat(beat))));
        self.workers.handles().into_iter().map(of_worker).chain([of_flush]).collect()
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

async fn settle(store: Store, deadline: Instant) {
    // A manager that does not listen by then will not.
    let deadline = deadline.min(Instant::now() + LONGEST_SETTLE);
    let _ = tokio::task::spawn_blocking(move || store.settle(deadline)).await;
}
