use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use dashmap::{DashMap, Entry};
use metric::{Origin, Source};
use rustix::process::{Resource, getrlimit};
use tokio::sync::oneshot;
use tracing::warn;

use crate::bind::{self, Bound, Warned, Wish};
use crate::socket::Socket;
use crate::store::{Place, Store, Stored, of_datagrams};
use crate::{Address, IngestError, Receiver, Waker};

/// More sockets than this do not share a port.
const MOST_READERS: usize = 64;

/// How datagrams are received.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many threads receive.
    pub workers: NonZeroUsize,
    /// How long a worker may let UDP datagrams gather before it looks again: waking up for each
    /// one costs more than reading it. It looks sooner where a receive buffer might fill up. `0`
    /// turns it off.
    pub max_rest: Duration,
}

/// A socket that is wanted.
#[derive(Clone, Debug)]
pub struct Open {
    /// To whom its datagrams are charged.
    pub source: Arc<Source>,
    /// Where it is bound.
    pub address: Address,
    /// Bytes of receive buffer to ask for; `0` leaves the system's default. A UDP socket's only:
    /// the queue of a unix datagram socket is bounded by `net.unix.max_dgram_qlen`.
    pub receive_buffer: usize,
    /// How many workers read it, by as many sockets that share the port; the kernel spreads the
    /// senders over them. At most all of them; always one for a unix socket.
    pub readers: NonZeroUsize,
}

/// A socket that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where it is bound, with the port that the kernel chose.
    pub address: Address,
    /// Bytes that each of its readers' queues may hold, as the kernel accounts for them: twice
    /// what it granted, and a small datagram costs 832.
    pub granted_receive_buffer: usize,
    /// How many workers read it.
    pub readers: usize,
}

/// One of the open sockets.
#[derive(Clone, Debug)]
pub struct OpenSocket {
    /// To whom its datagrams are charged.
    pub source: Arc<Source>,
    /// Where and how it is open.
    pub opened: Opened,
}

/// What a source lost at its sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Datagrams that the kernel dropped since they were opened.
    pub kernel_dropped: u64,
    /// Datagrams that were not read: see [`Listeners::close`].
    pub unread: u64,
}

/// Opens and closes the sockets that the [`Receiver`]s serve, from any thread.
#[derive(Clone, Debug)]
pub struct Listeners {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    workers: Box<[Worker]>,
    sockets: DashMap<Arc<Source>, Vec<Registered>>,
    warned: Warned,
    store: Store,
    // See `Wish::descriptors`.
    descriptors: RawFd,
}

/// How a worker is reached.
#[derive(Debug)]
struct Worker {
    // Has no bound of its own, and needs none: each message opens a descriptor, of which there is
    // a limit, or takes a source out of the registry.
    commands: mpsc::Sender<Command>,
    waker: Waker,
    sockets: AtomicUsize,
}

#[derive(Debug)]
struct Registered {
    opened: Opened,
    workers: Vec<usize>,
    // What the service manager has them under.
    names: Vec<Arc<str>>,
}

/// What a worker is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Open(Box<Socket>),
    Close { source: Arc<Source>, done: oneshot::Sender<Closed> },
}

impl Listeners {
    /// The registry of sockets, none open yet, and one receiver for each worker thread. No socket
    /// outlives the process.
    pub fn new(config: Config) -> Result<(Self, Vec<Receiver>), IngestError> {
        Self::with_store(config, Store::default())
    }

    /// As [`Listeners::new`], but sockets that an earlier process left can be taken up, and new ones
    /// are left to a later one.
    pub fn with_store(config: Config, store: Store) -> Result<(Self, Vec<Receiver>), IngestError> {
        let mut workers = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..config.workers.get() {
            let (commands, inbox) = mpsc::channel();
            let receiver = Receiver::new(inbox, config.max_rest)
                .map_err(|source| IngestError::Worker { source })?;
            workers.push(Worker {
                commands,
                waker: receiver.waker(),
                sockets: AtomicUsize::new(0),
            });
            receivers.push(receiver);
        }
        let shared = Shared {
            workers: workers.into(),
            sockets: DashMap::new(),
            warned: Warned::default(),
            store,
            descriptors: descriptors(),
        };
        Ok((Self { shared: Arc::new(shared) }, receivers))
    }

    /// Binds a socket and gives it to the workers that have the fewest. When this returns the
    /// kernel takes datagrams for it, whatever the workers are doing.
    ///
    /// A unix socket replaces the file of a dead one. A source may have several sockets; they are
    /// closed together.
    pub fn open(&self, open: &Open) -> Result<Opened, IngestError> {
        self.bind(open, &open.address, Vec::new())
    }

    /// As [`Listeners::open`], but a socket that an earlier process left at this address is taken
    /// up, with what it holds; drops that were counted before are not counted again. Only for
    /// whoever was known to that process: others have no right to what came before them.
    pub fn take_up(&self, open: &Open) -> Result<Opened, IngestError> {
        let left = self.take_left(open);
        let address = left.first().map_or(&open.address, |bound| &bound.address).clone();
        self.bind(open, &address, left).inspect_err(|error| {
            // One of ours may be in the way, from before the configuration changed.
            if let (IngestError::InUse { .. }, Address::Udp(address)) = (error, &address) {
                self.shared.store.give_up_udp(address.port());
            }
        })
    }

    fn bind(
        &self,
        open: &Open,
        address: &Address,
        there: Vec<Bound>,
    ) -> Result<Opened, IngestError> {
        let bound = bind::bind(address, there, self.wish(open), &self.shared.warned)?;
        self.serve(&open.source, bound)
    }

    /// Whether an address that is in use may be free in a moment, when the service manager has let
    /// go of a socket that was closed.
    pub fn is_releasing(&self) -> bool {
        self.shared.store.is_releasing()
    }

    fn take_left(&self, open: &Open) -> Vec<Bound> {
        let store = &self.shared.store;
        let mut left = store.take(&Place::Datagrams(open.address.clone()));
        if let (Address::Udp(address), Origin::Listener { .. }) =
            (&open.address, &open.source.origin)
            && address.port() == 0
        {
            left = take_by_name(store, open, address.ip());
        }
        let adopt = |stored| match bind::adopt(stored, self.wish(open), &self.shared.warned, store)
        {
            Ok(bound) => Some(bound),
            Err(error) => {
                warn!("a socket that was stored is left out: {error}");
                None
            }
        };
        left.into_iter().filter_map(adopt).collect()
    }

    fn wish(&self, open: &Open) -> Wish {
        Wish {
            receive_buffer: open.receive_buffer,
            credentials: open.source.read_as.trust_container,
            readers: open.readers.get().min(self.shared.workers.len()),
            descriptors: self.shared.descriptors,
        }
    }

    fn serve(&self, source: &Arc<Source>, bound: Vec<Bound>) -> Result<Opened, IngestError> {
        let opened = Opened {
            address: bound[0].address.clone(),
            granted_receive_buffer: bound.iter().map(|bound| bound.granted).min().unwrap_or(0),
            readers: bound.len(),
        };
        let names = names(source, &bound);
        let workers = self.least_loaded(bound.len());
        // The source's entry stays locked until all is sent: its close must come after its open.
        let mut sockets = self.shared.sockets.entry(source.clone()).or_default();
        for ((index, bound), name) in workers.iter().zip(bound).zip(&names) {
            let worker = &self.shared.workers[*index];
            let (is_stored, unit) = (bound.is_stored, bound.unit());
            let mut socket = Box::new(Socket::new(bound, source.clone()));
            if let Some(unit) = unit {
                socket.is_lent(unit, self.shared.store.clone());
            }
            if !is_stored {
                self.shared.store.keep(name, socket.descriptor());
            }
            if is_stored || self.shared.store.is_kept() {
                socket.outlives_process();
            }
            worker.commands.send(Command::Open(socket)).map_err(|_| IngestError::Stopped)?;
            worker.sockets.fetch_add(1, Ordering::Relaxed);
            worker.waker.wake();
        }
        sockets.push(Registered { opened: opened.clone(), workers, names });
        Ok(opened)
    }

    /// The workers with the fewest sockets, more than once if there are not so many.
    fn least_loaded(&self, count: usize) -> Vec<usize> {
        let load = |index: &usize| self.shared.workers[*index].sockets.load(Ordering::Relaxed);
        let mut indices: Vec<usize> = (0..self.shared.workers.len()).collect();
        indices.sort_by_key(load);
        indices.into_iter().cycle().take(count).collect()
    }

    /// Closes a source's sockets: `None` if it has none. What they hold is read and delivered
    /// first, for at most 100 ms; nothing is queued any more meanwhile. The future is done when
    /// the last of its events was delivered and its port is free; it all happens whether or not
    /// the future is awaited.
    ///
    /// `unread` is what the sockets still held after that time, and the UDP datagrams that came
    /// while they were being closed: counted one by one, not estimated. With what was delivered
    /// and dropped by the kernel it makes up all that senders were not refused, but for a
    /// datagram that another processor was queueing in that very moment.
    ///
    /// A socket unit's socket stays open: it can be taken up again with what comes to it meanwhile.
    pub fn close(
        &self,
        source: &Arc<Source>,
    ) -> impl Future<Output = Option<Closed>> + Send + use<> {
        let parts = match self.shared.sockets.entry(source.clone()) {
            Entry::Vacant(_) => None,
            // Removed only when all is sent: an open that follows must not be closed by it.
            Entry::Occupied(entry) => {
                let parts = self.ask_to_close(source, entry.get());
                entry.remove();
                Some(parts)
            }
        };
        async move {
            let mut total = Closed::default();
            for part in parts? {
                // A worker that has stopped has closed its sockets without an account.
                let closed = part.await.unwrap_or_default();
                total.kernel_dropped += closed.kernel_dropped;
                total.unread += closed.unread;
            }
            Some(total)
        }
    }

    fn ask_to_close(
        &self,
        source: &Arc<Source>,
        sockets: &[Registered],
    ) -> Vec<oneshot::Receiver<Closed>> {
        let mut workers: Vec<usize> =
            sockets.iter().flat_map(|socket| &socket.workers).copied().collect();
        // Before they are closed, or a process that comes now would find them stored.
        sockets.iter().flat_map(|it| &it.names).for_each(|name| self.shared.store.release(name));
        for index in &workers {
            self.shared.workers[*index].sockets.fetch_sub(1, Ordering::Relaxed);
        }
        workers.sort_unstable();
        workers.dedup();
        let ask = |index: usize| self.shared.workers[index].ask_to_close(source.clone());
        workers.into_iter().map(ask).collect()
    }

    /// The sockets that are open, in no order.
    pub fn sockets(&self) -> Vec<OpenSocket> {
        let mut open = Vec::new();
        for entry in &self.shared.sockets {
            open.extend(entry.value().iter().map(|socket| OpenSocket {
                source: entry.key().clone(),
                opened: socket.opened.clone(),
            }));
        }
        open
    }
}

/// What the manager is to let go of when each is closed: as it was called, or a name that is its own.
fn names(source: &Source, bound: &[Bound]) -> Vec<Arc<str>> {
    let mut numbers = 0..;
    let taken: Vec<_> = bound.iter().filter_map(|bound| bound.name.as_deref()).collect();
    let name = |bound: &Bound| match &bound.name {
        // A socket unit's is given back, not let go of.
        Some(_) if bound.unit().is_some() => Arc::default(),
        Some(name) => Arc::clone(name),
        // Without a name it cannot be let go of by one.
        None if bound.is_stored => Arc::default(),
        None => loop {
            let number = numbers.next().unwrap_or_default();
            let name = of_datagrams(&source.origin, &bound.address, number);
            if !taken.contains(&name.as_str()) {
                return name.into();
            }
        },
    };
    bound.iter().map(name).collect()
}

/// What an earlier process left of a listener whose port was the kernel's choice: those of one
/// port, for its clients know that.
fn take_by_name(store: &Store, open: &Open, ip: IpAddr) -> Vec<Stored> {
    let names: HashSet<String> =
        (0..MOST_READERS).map(|it| of_datagrams(&open.source.origin, &open.address, it)).collect();
    let is_of_it = |place: &Place, name: &str| match place {
        Place::Datagrams(Address::Udp(address)) => address.ip() == ip && names.contains(name),
        Place::Datagrams(Address::Unixgram(_)) | Place::Tcp(_) | Place::Unix(_) => false,
    };
    store.find_named(is_of_it).first().map(|place| store.take(place)).unwrap_or_default()
}

// So many files of a limit are for the rest of the process: connections, files, a directory.
fn descriptors() -> RawFd {
    const MOST_SPARE: u64 = 512;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    RawFd::try_from(limit - (limit / 4).min(MOST_SPARE)).unwrap_or(RawFd::MAX)
}

impl Worker {
    fn ask_to_close(&self, source: Arc<Source>) -> oneshot::Receiver<Closed> {
        let (done, closed) = oneshot::channel();
        // If it has stopped, `done` is dropped with the message, and the waiter learns of it.
        let _ = self.commands.send(Command::Close { source, done });
        self.waker.wake();
        closed
    }
}
