mod config;
mod ports;

mod registry;
mod saver;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{IngestError, Listeners};
use metric::{Container, ContainerError, Source, check_container_id};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use config::{ContainersConfig, Hooks, OnFailure, Persist, Tell};
pub use ports::Ports;
pub use saver::Change;

use crate::ApiError;
use registry::{Held, Registry};

/// How long a registration waits for a port that the service manager is yet to let go of.
const LONGEST_TRY: Duration = Duration::from_millis(500);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// In bytes; a name of the DNS has 253 at most.
const LONGEST_HOST: usize = 1024;

/// The registered containers, each with its port and its socket.
///
/// A clone is another handle to the same registry.
#[derive(Clone)]
pub struct Containers(Arc<Registry>);

/// A container as the registry shows it.
#[derive(Clone, Debug)]
pub struct Registered {
    /// To whom its datagrams are charged.
    pub source: Arc<Source>,
    /// What it was told.
    pub container: Container,
    /// Its port could not be had since the start: it is tried again and again.
    pub unbound: bool,
    /// When this process registered it, or took it up from an earlier one.
    pub since: Instant,
}

/// Why a container is not served.
#[derive(Debug)]
pub enum Refusal {
    /// No container may have its id.
    Id(ContainerError),
    /// The host that it asks for is longer than 1,024 bytes.
    Host,
    /// There are as many as there may be.
    TooMany,
    /// No port could be had.
    NoPort(Option<IngestError>),
}

/// How the registry fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ContainersCounts {
    /// Containers that are registered now.
    pub registered: u64,
    /// Those of them that wait for their port.
    pub unbound: u64,
    /// Those of them whose file is not on the disk as it should be.
    pub unsaved: u64,
    /// Answers that were given before their change was on the disk.
    pub saved_late: u64,
    /// Files that were left behind, because too many removals waited for the disk.
    pub files_left: u64,
    /// Registrations that were refused.
    pub refused: Refused,
}

/// Registrations that were refused, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// There were as many containers as there may be.
    pub too_many: u64,
    /// No port could be had.
    pub no_port: u64,
    /// The limit of open files was near.
    pub no_descriptor: u64,
}

impl Containers {
    /// An empty registry, whose sockets are opened and closed through `listeners`.
    pub fn new(
        config: ContainersConfig,
        listeners: Listeners,
        hooks: Hooks,
    ) -> Result<Self, ApiError> {
        Ok(Self(Arc::new(Registry::new(config, listeners, hooks)?)))
    }

    /// Takes up the containers of an earlier process, on their old ports. To be called before
    /// anything else takes a port: a registration might get one of theirs.
    ///
    /// One whose port is taken is kept: see [`Containers::retry_unbound`].
    pub fn restore(&self, mut known: Vec<Container>) {
        // One without a port is given one that none of the others has.
        known.sort_by_key(|container| container.statsd_port == 0);
        for container in known {
            if let Err(error) = check_container_id(&container.container_id) {
                warn!("a stored container is left out: {error}");
                continue;
            }
            let id: Arc<str> = container.container_id.as_str().into();
            if self.0.held(&id).is_some() {
                warn!("container {id:?} is stored twice; the second one is left out");
                continue;
            }
            self.0.restore(&id, &container);
        }
    }

    /// Serves a container, and says where. One that is known is told what it was told before,
    /// whatever it asks for now.
    ///
    /// Waits for the disk, but not for long: the container is served all the same.
    pub async fn register(&self, asked: Container) -> Result<Container, Refusal> {
        check_container_id(&asked.container_id).map_err(Refusal::Id)?;
        if asked.statsd_host.len() > LONGEST_HOST {
            return Err(Refusal::Host);
        }
        let id: Arc<str> = asked.container_id.as_str().into();
        let turn = self.0.turns.take(&id).await;
        let begun = tokio::time::Instant::now();
        // Nothing is awaited while it is served: that happens whole or not at all.
        let (container, written) = loop {
            let served = match self.0.held(&id) {
                Some(held) if !held.unbound => return Ok(held.container(&id)),
                Some(held) => self.0.bind_again(&id, held),
                None => self.0.serve(&id, &asked),
            };
            match served {
                Ok(served) => break served,
                Err(refusal)
                    if self.0.is_worth_another_try(&refusal) && begun.elapsed() < LONGEST_TRY =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(refusal) => return Err(self.0.refuse(&id, refusal)),
            }
        };
        drop(turn);
        if let Some(written) = written {
            self.0.wait_for(written).await;
        }
        Ok(container)
    }

    /// Reads the container's socket until empty, closes it and forgets the container; false if
    /// there is none of that name. Whoever asks may hang up: once begun it is done.
    ///
    /// A registration of the same id waits meanwhile, and is a new one.
    pub async fn remove(&self, id: &str) -> bool {
        let registry = Arc::clone(&self.0);
        let id: Arc<str> = id.into();
        // It fails only when the runtime ends.
        tokio::spawn(async move { registry.remove(&id).await }).await.unwrap_or(false)
    }

    /// The container of this id.
    pub fn get(&self, id: &str) -> Option<Container> {
        self.0.held(id).map(|held| held.container(id))
    }

    /// All containers, by id.
    pub fn list(&self) -> Vec<Container> {
        self.0.state().held.iter().map(|(id, held)| held.container(id)).collect()
    }

    /// All containers with their sources, by id.
    pub fn sources(&self) -> Vec<Registered> {
        let registered = |(id, held): (&Arc<str>, &Held)| Registered {
            source: Arc::clone(&held.source),
            container: held.container(id),
            unbound: held.unbound,
            since: held.since,
        };
        self.0.state().held.iter().map(registered).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.state().held.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it fares.
    pub fn counts(&self) -> ContainersCounts {
        let (unsaved, files_left) = (self.0.saver.unsaved(), self.0.saver.forgotten());
        let state = self.0.state();
        ContainersCounts {
            registered: state.held.len() as u64,
            unbound: state.held.values().filter(|held| held.unbound).count() as u64,
            unsaved,
            saved_late: state.late,
            files_left,
            refused: state.refused,
        }
    }

    /// What is answered to a container that cannot be served.
    pub fn on_failure(&self) -> OnFailure {
        self.0.config.on_failure
    }

    /// Tries again and again to get the ports that were taken at the start, until `stop`.
    pub async fn retry_unbound(&self, stop: CancellationToken) {
        let pause = || {
            let soon = if self.0.is_about_to_be_bound() { 10 * PAUSE } else { Duration::MAX };
            tokio::time::sleep(self.0.config.retry.min(soon))
        };
        while stop.run_until_cancelled(pause()).await.is_some() {
            let unbound = self.sources().into_iter().filter(|registered| registered.unbound);
            for Registered { container, .. } in unbound {
                let id: Arc<str> = container.container_id.into();
                let _turn = self.0.turns.take(&id).await;
                if let Some(held) = self.0.held(&id)
                    && held.unbound
                    && let Ok(port) = self.0.open(&held.source, held.port)
                {
                    info!("container {id:?} has its port {port} back");
                    let _ = self.0.bound(&id, held, port);
                }
                if stop.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// Tries to bring to the disk what is not there yet; whether within this time all of it came
    /// there.
    pub async fn settle(&self, within: Duration) -> bool {
        self.0.saver.settle(within).await
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(error) => error.fmt(f),
            Self::Host => write!(f, "its statsd_host is longer than {LONGEST_HOST} bytes"),
            Self::TooMany => f.write_str("max_containers is reached"),
            Self::NoPort(Some(error)) => error.fmt(f),
            Self::NoPort(None) => f.write_str("no port of the range is free"),
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Debug for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containers").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
