//! What others speak to over HTTP: registration of containers, the operator's listener, and the
//! tasks behind them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use api::{
    App, CardinalityFeed, CardinalityQuery, Change, Containers, Endpoint, Health, Hooks, Latest,
    Prometheus, Server, Status, Traffic, V0, Views,
};
use enrich::{Contexts, Directory, Measured, Poller};
use ingest::{Listeners, Place, Store};
use metric::Source;
use ship::Outputs;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::cardinality::Cardinality;
use crate::config::{Config, HttpListen};
use crate::flush::Message;
use crate::ledger::Ledger;
use crate::looks::Looks;
use crate::service::bind_patiently;
use crate::worker;

/// What a socket unit calls a socket that is to serve the registration, though the configuration
/// does not name its address.
const NAME: &str = "registration";

/// How many readers of the status may wait for it.
const READERS: usize = 64;

/// How long a stop waits for the disk to take the containers' files.
const LONGEST_SETTLE: Duration = Duration::from_secs(1);

/// Where what was measured goes.
type Flush = std::sync::mpsc::Sender<Message>;

type StatusReaders = mpsc::Receiver<oneshot::Sender<Arc<Status>>>;

/// The servers and their tasks.
pub(crate) struct Front {
    /// The registered containers.
    pub(crate) containers: Containers,
    /// What happens at the servers' sockets.
    pub(crate) traffic: Arc<Traffic>,
    /// Where the operator's HTTP is served.
    pub(crate) http: Option<Endpoint>,
    status: mpsc::Sender<oneshot::Sender<Arc<Status>>>,
    readers: Option<StatusReaders>,
    cardinality: CardinalityFeed,
    queries: Option<mpsc::Receiver<CardinalityQuery>>,
    listening: Arc<AtomicBool>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Front {
    /// Gives the known containers their ports back, then opens registration.
    pub(crate) fn start(
        config: &Config,
        listeners: &Listeners,
        contexts: &Contexts,
        store: &Store,
    ) -> Result<Self> {
        let directory = Directory::open(&config.containers.dir)?;
        let known = directory.load()?;
        for (path, why) in &known.set_aside {
            warn!("{} is no container's file and was set aside: {why}", path.display());
        }
        let hooks = hooks(directory, contexts);
        let containers = Containers::new(config.to_containers(), listeners.clone(), hooks)?;
        // Bound first: whoever serves this path already is an error, and keeps its containers' ports.
        let endpoints = config.containers.api.iter().map(|at| at.0.clone());
        let bind = |at| bind_patiently(store, || Server::bind_stored(&at, store));
        let mut servers: Vec<Server> = endpoints.map(bind).collect::<Result<_, _>>()?;
        for endpoint in store.find_named(|_, name| name == NAME).into_iter().filter_map(endpoint_of)
        {
            servers.push(Server::bind_stored(&endpoint, store)?);
        }
        containers.restore(known.containers);
        for container in containers.list() {
            contexts.taken_up(&container.container_id);
        }

        let (status, readers) = mpsc::channel(READERS);
        let (cardinality, queries) = mpsc::channel(READERS);
        let front = Self {
            containers,
            traffic: Arc::default(),
            http: None,
            status,
            readers: Some(readers),
            cardinality,
            queries: Some(queries),
            listening: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        for server in servers {
            let app = App {
                registration: Some(front.containers.clone()),
                traffic: front.traffic.clone(),
                ..App::default()
            };
            front.serve(server, app);
        }
        let (containers, stop) = (front.containers.clone(), front.stop.clone());
        front.tasks.spawn(async move { containers.retry_unbound(stop).await });
        Ok(front)
    }

    /// Answers readers of the status from now on.
    pub(crate) fn serve_status(&mut self, ledger: Ledger) {
        if let Some(readers) = self.readers.take() {
            let stop = self.stop.clone();
            self.tasks.spawn(async move { stop.run_until_cancelled(ledger.serve(readers)).await });
        }
    }

    /// Answers who asks for the cardinality from now on.
    pub(crate) fn serve_cardinality(&mut self, cardinality: Cardinality) {
        if let Some(queries) = self.queries.take() {
            let stop = self.stop.clone();
            self.tasks
                .spawn(async move { stop.run_until_cancelled(cardinality.serve(queries)).await });
        }
    }

    /// Asks Mesos who containers are and what they use, and retires those that it does not know any
    /// more.
    pub(crate) fn follow_mesos(
        &self,
        poller: Poller,
        mut retired: mpsc::Receiver<String>,
        flush: &Flush,
    ) {
        let flush = flush.clone();
        let measured = move |all: Vec<Measured>| {
            if !all.is_empty() {
                // At the very end there is no flush thread any more.
                let _ = flush.send(Message::Measured { all, done: None });
            }
        };
        self.tasks.spawn(poller.run(self.stop.clone(), measured));
        let (containers, stop) = (self.containers.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            while let Some(Some(id)) = stop.run_until_cancelled(retired.recv()).await {
                info!("Mesos does not know container {id:?} any more: it is retired");
                containers.remove(&id).await;
            }
        });
    }

    /// Looks at the node itself, if that is wanted.
    pub(crate) fn follow_node(&self, config: &Config, looks: Looks, flush: &Flush) {
        let (every, stop, flush) = (config.node.poll, self.stop.clone(), flush.clone());
        if !every.is_zero() {
            let tell = move |measured| {
                // As above.
                let _ = flush.send(Message::Measured { all: vec![measured], done: None });
            };
            let run = looks.run(every, tell);
            self.tasks.spawn(async move { stop.run_until_cancelled(run).await });
        }
    }

    /// Has workers look up their sources' terms anew whenever something became known of containers.
    pub(crate) fn follow_contexts(&self, contexts: &Contexts, workers: Vec<worker::Handle>) {
        let (mut changes, stop) = (contexts.changes(), self.stop.clone());
        self.tasks.spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(changes.changed()).await {
                for worker in &workers {
                    worker.ask(worker::Request::Unsettle);
                }
            }
        });
    }

    /// What answers scrapes, if anything is to.
    pub(crate) fn prometheus(
        &self,
        config: &Config,
        latest: Option<&Latest>,
    ) -> Option<Prometheus> {
        let latest = latest.filter(|_| config.prometheus.enabled)?;
        Some(Prometheus::new(config.to_prometheus(), latest.clone(), self.status.clone()))
    }

    /// Opens the own listeners of the metrics API and of Prometheus, and the operator's HTTP
    /// listener, if there are to be any.
    pub(crate) fn serve_http(
        &mut self,
        config: &Config,
        outputs: Arc<Outputs>,
        latest: Option<Latest>,
        prometheus: Option<Prometheus>,
        store: &Store,
    ) -> Result<()> {
        let v0 = config.api.enabled.then_some(latest).flatten();
        let v0 = v0.map(|latest| V0 { latest, config: config.to_v0() });
        if v0.is_some() {
            for at in &config.api.v0 {
                let traffic = self.traffic.clone();
                let server = bind_patiently(store, || Server::bind_stored(&at.0, store))?;
                self.serve(server, App { v0: v0.clone(), traffic, ..App::default() });
            }
        }
        if prometheus.is_some()
            && let Some(at) = config.prometheus.listen.0
        {
            let at = endpoint(at);
            let server = bind_patiently(store, || Server::bind_stored(&at, store))?;
            let (prometheus, traffic) = (prometheus.clone(), self.traffic.clone());
            self.serve(server, App { prometheus, traffic, ..App::default() });
        }
        let HttpListen::At(address) = config.http.listen else { return Ok(()) };
        let endpoint = endpoint(address);
        let server = bind_patiently(store, || Server::bind_stored(&endpoint, store))?;
        self.http = Some(server.endpoint().clone());
        let registers = config.containers.api.is_empty() && endpoint.is_local();
        let listening = self.listening.clone();
        let app = App {
            registration: registers.then(|| self.containers.clone()),
            views: Some(Views {
                status: self.status.clone(),
                cardinality: self.cardinality.clone(),
                health: Arc::new(move || health(&listening, &outputs)),
            }),
            v0,
            prometheus,
            traffic: self.traffic.clone(),
        };
        self.serve(server, app);
        Ok(())
    }

    /// What `/healthz` waits for.
    pub(crate) fn all_listeners_are_open(&self) {
        self.listening.store(true, Ordering::Relaxed);
    }

    /// Ends the servers and tasks, and brings to the disk what is not there yet, if that can be
    /// had by the deadline.
    pub(crate) async fn stop(self, deadline: Instant) {
        self.stop.cancel();
        self.tasks.close();
        if timeout_at(deadline.into(), self.tasks.wait()).await.is_err() {
            warn!("not every request and look-up could be ended in time");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if !self.containers.settle(left.min(LONGEST_SETTLE)).await {
            warn!("not every container's file is on the disk as it should be");
        }
    }

    fn serve(&self, server: Server, app: App) {
        self.tasks.spawn(server.serve(app, self.stop.clone()));
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::Tcp { host: address.ip().to_string(), port: address.port() }
}

fn endpoint_of(place: Place) -> Option<Endpoint> {
    match place {
        Place::Unix(path) => Some(Endpoint::Unix(path)),
        Place::Tcp(at) => Some(endpoint(at)),
        Place::Datagrams(_) => None,
    }
}

fn hooks(directory: Directory, contexts: &Contexts) -> Hooks {
    let persist = move |change: &Change| -> io::Result<()> {
        let written = match change {
            Change::Save(container) => directory.save(container),
            Change::Remove(id) => directory.remove(id),
        };
        written.map_err(io::Error::other)
    };
    let (registered, removed) = (contexts.clone(), contexts.clone());
    let tell = |told: fn(&Contexts, &str), contexts: Contexts| {
        move |source: &Arc<Source>| {
            if let Some(id) = source.container_id() {
                told(&contexts, id);
            }
        }
    };
    Hooks {
        persist: Box::new(persist),
        registered: Box::new(tell(Contexts::registered, registered)),
        removed: Box::new(tell(Contexts::removed, removed)),
    }
}

fn health(listening: &AtomicBool, outputs: &Outputs) -> Health {
    let mut health = Health::default();
    if !listening.load(Ordering::Relaxed) {
        health.listeners.push("not every listener is open yet".to_owned());
    }
    health.outputs.extend(outputs.down().into_iter().map(|output| {
        let why = output.last_error.unwrap_or_else(|| "it is not up yet".to_owned());
        format!("output {}: {why}", output.name)
    }));
    health
}
