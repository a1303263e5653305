//! The service manager's descriptor store: sockets that outlive this process.

mod left;
mod manager;
mod messages;
mod name;

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use tracing::{info, warn};

use crate::{Address, IngestError, sys};
use left::Left;
pub use left::{Place, Stored};
pub use manager::Manager;
use messages::Messages;
pub(crate) use name::of_datagrams;

/// For how long a port may still be in the manager's hands after it was told to let go.
const RELEASE: Duration = Duration::from_secs(2);

/// The sockets that the service manager keeps for us: those that an earlier process left, and ours.
///
/// A clone is another handle to the same. Nothing here waits for the manager but
/// [`Store::settle`].
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    left: Mutex<Left>,
    // The kernel's counts of drops as the earlier process read them last, by inode, if it told; and
    // as this one did where it gave a socket back.
    readings: Mutex<Option<HashMap<u64, u32>>>,
    messages: Option<Messages>,
    released: Mutex<Option<Instant>>,
    taken: AtomicU64,
}

/// How many datagrams the kernel had dropped at one socket when it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReading {
    /// The socket's, which stays when it is handed on.
    pub inode: u64,
    /// Modulo 2^32, since the socket was made.
    pub dropped: u32,
}

/// Takes possession of the sockets that this process was started with: `count` of them, from
/// descriptor 3 on, with names separated by colons; `sd_listen_fds(3)`. Only the first call
/// in a process gets any.
pub fn stored_sockets(count: usize, names: Option<&str>) -> Vec<Stored> {
    let mut names = names.into_iter().flat_map(|names| names.split(':'));
    let stored = |socket: Option<OwnedFd>| {
        // A place without a socket has a name, too.
        let name = names.next().filter(|name| !name.is_empty()).map(Arc::from);
        Some(Stored { name, socket: socket? })
    };
    sys::inherited(count).into_iter().filter_map(stored).collect()
}

impl Store {
    /// With what an earlier process left, and its last readings of the kernel's drops: a socket
    /// that is not among them had none. Without readings, drops before now are nobody's.
    ///
    /// From now on `manager` is told of sockets that open and close; without one nothing outlives
    /// the process.
    pub fn new(
        stored: Vec<Stored>,
        readings: Option<Vec<DropReading>>,
        manager: Option<Arc<Manager>>,
    ) -> Result<Self, IngestError> {
        let start =
            |manager| Messages::start(manager).map_err(|source| IngestError::Store { source });
        let messages = manager.map(start).transpose()?;
        let stored = each_once(stored);
        if let Some(messages) = &messages {
            names_of_one(&stored).for_each(|it| messages.is_stored(it));
        }
        let by_inode = |readings: Vec<DropReading>| {
            readings.into_iter().map(|reading| (reading.inode, reading.dropped)).collect()
        };
        let shared = Shared {
            left: Mutex::new(Left::new(stored)),
            readings: Mutex::new(readings.map(by_inode)),
            messages,
            ..Shared::default()
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Whether a service manager is told of sockets, so that they may outlive the process.
    pub fn is_kept(&self) -> bool {
        self.0.messages.is_some()
    }

    /// How many sockets of an earlier process were taken up.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// The sockets that were left and are bound there. The caller serves them.
    pub fn take(&self, place: &Place) -> Vec<Stored> {
        self.count_taken(self.left().take(place))
    }

    /// Where sockets are bound that were left with such names; they are not taken yet.
    pub fn find_named(&self, wanted: impl Fn(&Place, &str) -> bool) -> Vec<Place> {
        self.left().find(wanted)
    }

    fn count_taken<T>(&self, taken: Vec<T>) -> Vec<T> {
        self.0.taken.fetch_add(taken.len() as u64, Ordering::Relaxed);
        taken
    }

    /// Has the manager keep a stream socket that was bound at this endpoint.
    pub fn keep_streams(&self, endpoint: &str, socket: &Arc<impl AsFd + Send + Sync + 'static>) {
        self.keep(&Self::name_of_streams(endpoint).into(), socket);
    }

    /// What a stream socket that was bound at this endpoint is called.
    pub fn name_of_streams(endpoint: &str) -> String {
        name::of_streams(endpoint)
    }

    pub(crate) fn keep(&self, name: &Arc<str>, socket: &Arc<impl AsFd + Send + Sync + 'static>) {
        if let Some(messages) = &self.0.messages {
            let socket = Arc::downgrade(socket);
            messages.keep(Arc::clone(name), socket);
        }
    }

    /// Has the manager let go of a socket that is about to be closed.
    pub fn release(&self, name: &Arc<str>) {
        if let Some(messages) = &self.0.messages {
            messages.release(name);
            *self.released() = Some(Instant::now());
        }
    }

    /// Whether an address that is in use may be so only because the manager is yet to let go of a
    /// socket: then it is worth another try.
    pub fn is_releasing(&self) -> bool {
        self.released().is_some_and(|at| at.elapsed() < RELEASE)
    }

    /// Closes UDP sockets that were left on this port at another address than is wanted now.
    pub(crate) fn give_up_udp(&self, port: u16) {
        let is_in_the_way = |place: &Place| matches!(place, Place::Datagrams(Address::Udp(address)) if address.port() == port);
        let taken = self.left().take_if(is_in_the_way);
        self.close(taken);
    }

    /// Closes TCP sockets that were left on this port at another address than is wanted now.
    pub fn give_up_tcp(&self, port: u16) {
        let is_in_the_way = |place: &Place| matches!(place, Place::Tcp(at) if at.port() == port);
        let taken = self.left().take_if(is_in_the_way);
        self.close(taken);
    }

    /// Closes what was left and nobody took, for good.
    pub fn close_rest(&self) {
        let rest = self.left().take_rest();
        for (stored, why) in &rest {
            let name = stored.name.as_deref().unwrap_or("without a name");
            info!("a socket that was stored ({name}) is closed: {why}");
        }
        self.close(rest.into_iter().map(|(stored, _)| stored).collect());
    }

    fn close(&self, stored: Vec<Stored>) {
        for Stored { name, socket } in stored {
            if !is_of_a_unit(name.as_deref()) {
                hang_up(&socket);
            }
            if let Some(name) = name {
                self.release(&name);
            }
        }
    }

    /// Takes back a socket unit's socket, at which the kernel had counted so many drops, for whoever
    /// is to listen there next.
    pub(crate) fn give_back(&self, unit: Arc<str>, socket: OwnedFd, dropped: u32) {
        if let (Some(readings), Ok(file)) = (&mut *self.readings(), fstat(&socket)) {
            readings.insert(file.st_ino, dropped);
        }
        self.left().put(Stored { name: Some(unit), socket });
    }

    /// Waits until the manager was told of everything; warns if it was not by the deadline. Blocks.
    pub fn settle(&self, deadline: Instant) {
        if let Some(messages) = &self.0.messages
            && !messages.settle(deadline)
        {
            warn!("the service manager was not told of every socket that opened or closed");
        }
    }

    /// What the earlier process knew of the kernel's drops at this socket; `None` if it did not
    /// tell.
    pub(crate) fn dropped_before(&self, socket: impl AsFd) -> Option<u32> {
        let readings = self.readings();
        let readings = readings.as_ref()?;
        let inode = fstat(socket).ok()?.st_ino;
        Some(readings.get(&inode).copied().unwrap_or(0))
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readings(&self) -> MutexGuard<'_, Option<HashMap<u64, u32>>> {
        self.0.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn released(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A manager that does not know how to let go by name does so when a socket hangs up.
pub(crate) fn hang_up(socket: impl AsFd) {
    // One that is not connected says so, and hangs up all the same.
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
}

/// Whether a socket that the manager gave us under this name may be a socket unit's, which is to go
/// on: one that is not called as ours are.
pub(crate) fn is_of_a_unit(name: Option<&str>) -> bool {
    name.is_some_and(|name| !name::is_ours(name))
}

// A socket may be there twice, from a socket unit and from the store; it is one all the same.
fn each_once(mut stored: Vec<Stored>) -> Vec<Stored> {
    let mut inodes = HashSet::new();
    stored
        .retain(|it| fstat(&it.socket).is_ok_and(|file| inodes.insert((file.st_dev, file.st_ino))));
    stored
}

// By a name that several have, as all of a socket unit, nobody lets go: that would let go of all.
fn names_of_one(stored: &[Stored]) -> impl Iterator<Item = Arc<str>> {
    let mut uses: HashMap<Arc<str>, usize> = HashMap::new();
    for name in stored.iter().filter_map(|it| it.name.clone()) {
        *uses.entry(name).or_default() += 1;
    }
    uses.into_iter().filter(|(_, uses)| *uses == 1).map(|(name, _)| name)
}
