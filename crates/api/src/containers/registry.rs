use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ingest::{Address, IngestError, Listeners, Open, Opened};
use metric::{Container, Origin, Source};
use tracing::{debug, warn};

use super::ports::Free;
use super::saver::{Saver, Written};
use super::turns::Turns;
use super::{Change, ContainersConfig, Hooks, Ports, Refusal, Refused, Tell};
use crate::ApiError;
use crate::seldom::Seldom;

/// How long an answer waits for the disk. The isolator itself waits 5 s, for everything.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long a removal waits for the socket's worker, which needs about 100 ms at most.
const LONGEST_CLOSE: Duration = Duration::from_secs(1);

/// How many ports of a range one registration tries: the next one goes on where it stopped.
const MOST_TRIES: usize = 1024;

/// How a port is had: bound, or taken up from an earlier process.
type OpenBy = fn(&Listeners, &Open) -> Result<Opened, IngestError>;

/// The registry itself; [`super::Containers`] is a handle to it.
pub(super) struct Registry {
    pub(super) config: ContainersConfig,
    statsd_host: Arc<str>,
    listeners: Listeners,
    pub(super) saver: Saver,
    registered: Tell,
    removed: Tell,
    pub(super) turns: Turns,
    state: Mutex<State>,
    refused_for_number: Seldom,
    refused_for_port: Seldom,
}

pub(super) struct State {
    // Sorted, so that every list is.
    pub(super) held: BTreeMap<Arc<str>, Held>,
    // Registrations that have passed the limit and are about to be held.
    opening: usize,
    free: Free,
    pub(super) refused: Refused,
    pub(super) late: u64,
}

// Who may change an entry has its turn.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) source: Arc<Source>,
    host: Arc<str>,
    // 0 only if it was restored without one and none could be had yet.
    pub(super) port: u16,
    pub(super) unbound: bool,
    pub(super) since: Instant,
}

impl Registry {
    pub(super) fn new(
        config: ContainersConfig,
        listeners: Listeners,
        hooks: Hooks,
    ) -> Result<Self, ApiError> {
        let most_unwritten = config.max_containers.saturating_mul(2).saturating_add(1000);
        let state = State {
            held: BTreeMap::new(),
            opening: 0,
            free: Free::of(&config.ports),
            refused: Refused::default(),
            late: 0,
        };
        Ok(Self {
            statsd_host: config.statsd_host.as_str().into(),
            saver: Saver::start(hooks.persist, config.retry, most_unwritten)?,
            registered: hooks.registered,
            removed: hooks.removed,
            turns: Turns::default(),
            state: Mutex::new(state),
            refused_for_number: Seldom::default(),
            refused_for_port: Seldom::default(),
            config,
            listeners,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self, id: &str) -> Option<Held> {
        self.state().held.get(id).cloned()
    }

    fn source(&self, id: &Arc<str>) -> Arc<Source> {
        let origin = Origin::Container { container_id: Arc::clone(id) };
        Source::new(origin, self.config.read_as)
    }

    // Most containers are told the same host: it is kept once.
    fn host(&self, asked: &str) -> Arc<str> {
        if asked.is_empty() || asked == &*self.statsd_host {
            Arc::clone(&self.statsd_host)
        } else {
            asked.into()
        }
    }

    pub(super) fn restore(&self, id: &Arc<str>, container: &Container) {
        let source = self.source(id);
        let held = Held {
            source: Arc::clone(&source),
            host: self.host(&container.statsd_host),
            port: container.statsd_port,
            unbound: true,
            since: Instant::now(),
        };
        match self.open_by(Listeners::take_up, &source, held.port) {
            Ok(port) => drop(self.bound(id, held, port)),
            Err(refusal) => {
                warn!(
                    "container {id:?} is known but cannot be served: {refusal}; its port {} is \
                     tried again every {:?}",
                    held.port, self.config.retry
                );
                let mut state = self.state();
                // It is waited for: nobody else may get it.
                state.free.take(held.port);
                state.held.insert(Arc::clone(id), held);
            }
        }
        (self.registered)(&source);
    }

    pub(super) fn serve(
        &self,
        id: &Arc<str>,
        asked: &Container,
    ) -> Result<(Container, Option<Written>), Refusal> {
        {
            let mut state = self.state();
            if state.held.len() + state.opening >= self.config.max_containers {
                return Err(Refusal::TooMany);
            }
            state.opening += 1;
        }
        let source = self.source(id);
        let opened = self.open(&source, asked.statsd_port);
        let mut state = self.state();
        state.opening -= 1;
        let port = opened?;
        let host = self.host(&asked.statsd_host);
        let held =
            Held { source: Arc::clone(&source), host, port, unbound: false, since: Instant::now() };
        let container = held.container(id);
        state.held.insert(Arc::clone(id), held);
        drop(state);
        debug!("container {id:?} is registered with port {port}");
        let written = self.saver.submit(Change::Save(container.clone()));
        (self.registered)(&source);
        Ok((container, Some(written)))
    }

    // Its own port if that can be had by now, else another.
    pub(super) fn bind_again(
        &self,
        id: &Arc<str>,
        held: Held,
    ) -> Result<(Container, Option<Written>), Refusal> {
        let opened = self.open(&held.source, held.port);
        let port = opened.or_else(|_| self.open(&held.source, 0))?;
        Ok(self.bound(id, held, port))
    }

    pub(super) fn bound(
        &self,
        id: &Arc<str>,
        mut held: Held,
        port: u16,
    ) -> (Container, Option<Written>) {
        let old = std::mem::replace(&mut held.port, port);
        held.unbound = false;
        let container = held.container(id);
        let mut state = self.state();
        if old != port {
            state.free.give_back(old);
        }
        state.held.insert(Arc::clone(id), held);
        drop(state);
        let save = || self.saver.submit(Change::Save(container.clone()));
        let written = (old != port).then(save);
        (container, written)
    }

    pub(super) async fn remove(&self, id: &Arc<str>) -> bool {
        let turn = self.turns.take(id).await;
        let Some(Held { source, port, .. }) = self.held(id) else {
            return false;
        };
        let closed = tokio::time::timeout(LONGEST_CLOSE, self.listeners.close(&source)).await;
        if closed.is_err() {
            warn!("the socket of container {id:?} is not closed yet: its worker is too busy");
        }
        {
            let mut state = self.state();
            state.held.remove(id);
            state.free.give_back(port);
        }
        debug!("container {id:?} is removed");
        let written = self.saver.submit(Change::Remove(Arc::clone(id)));
        (self.removed)(&source);
        drop(turn);
        self.wait_for(written).await;
        true
    }

    pub(super) async fn wait_for(&self, written: Written) {
        if !written.within(PATIENCE).await {
            self.state().late += 1;
        }
    }

    // `wanted`, or if that is 0 the port that is due.
    pub(super) fn open(&self, source: &Arc<Source>, wanted: u16) -> Result<u16, Refusal> {
        self.open_by(Listeners::open, source, wanted)
    }

    fn open_by(&self, by: OpenBy, source: &Arc<Source>, wanted: u16) -> Result<u16, Refusal> {
        let tries = match &self.config.ports {
            Ports::Range(_) if wanted == 0 => self.state().free.len().min(MOST_TRIES),
            Ports::Ephemeral | Ports::Range(_) => {
                let port =
                    self.bind(by, source, wanted).map_err(|error| Refusal::NoPort(Some(error)))?;
                self.state().free.take(port);
                return Ok(port);
            }
        };
        for _ in 0..tries {
            let Some(port) = self.state().free.next() else {
                break;
            };
            match self.bind(by, source, port) {
                Ok(port) => return Ok(port),
                // Somebody else's: it is tried again when all others have been.
                Err(IngestError::InUse { .. }) => self.state().free.give_back(port),
                Err(error) => {
                    self.state().free.give_back(port);
                    return Err(Refusal::NoPort(Some(error)));
                }
            }
        }
        Err(Refusal::NoPort(None))
    }

    fn bind(&self, by: OpenBy, source: &Arc<Source>, port: u16) -> Result<u16, IngestError> {
        let open = Open {
            source: Arc::clone(source),
            address: Address::Udp(SocketAddr::new(self.config.bind, port)),
            receive_buffer: self.config.receive_buffer,
            readers: NonZeroUsize::MIN,
        };
        let opened = by(&self.listeners, &open)?;
        Ok(match opened.address {
            Address::Udp(address) => address.port(),
            Address::Unixgram(_) => port,
        })
    }

    /// Whether what was refused may be had in a moment: the service manager is yet to let go of a
    /// port.
    pub(super) fn is_worth_another_try(&self, refusal: &Refusal) -> bool {
        let in_use = matches!(refusal, Refusal::NoPort(None | Some(IngestError::InUse { .. })));
        in_use && self.listeners.is_releasing()
    }

    /// Whether a port that is waited for may be had in a moment.
    pub(super) fn is_about_to_be_bound(&self) -> bool {
        self.listeners.is_releasing() && self.state().held.values().any(|held| held.unbound)
    }

    /// Counts a registration that is refused for good, and says so in the log now and then.
    pub(super) fn refuse(&self, id: &str, refusal: Refusal) -> Refusal {
        let seldom = {
            let refused = &mut self.state().refused;
            match &refusal {
                Refusal::TooMany => {
                    refused.too_many += 1;
                    &self.refused_for_number
                }
                Refusal::NoPort(Some(IngestError::Descriptors { .. })) => {
                    refused.no_descriptor += 1;
                    &self.refused_for_port
                }
                Refusal::NoPort(_) => {
                    refused.no_port += 1;
                    &self.refused_for_port
                }
                Refusal::Id(_) | Refusal::Host => return refusal,
            }
        };
        if let Some(refused) = seldom.due() {
            warn!(
                "container {id:?} is not served: {refusal} ({refused} refused since the last such line)"
            );
        }
        refusal
    }
}

impl Held {
    pub(super) fn container(&self, id: &str) -> Container {
        Container {
            container_id: id.to_owned(),
            statsd_host: self.host.as_ref().to_owned(),
            statsd_port: self.port,
        }
    }
}
