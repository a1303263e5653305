//! The older metrics module's way in: Avro over TCP, as dcos-metrics' collector took it.
//!
//! Each connection has a thread of its own, for reading Avro blocks it; there are few, and none
//! without a peer. What a connection brings goes past the aggregator: its numbers have no kind, so
//! there is nothing to add up. All connections of a listener have one account, in which a datagram
//! is a block, a sample is a number, and `aggregated` are those that were passed on.
//!
//! A stream is not trusted with anything but its word about containers. Its memory is bounded by
//! [`BLOCK_BYTES`] for each connection, and one block is unpacked at a time; its time by deadlines
//! for the header and for each block, and by a limit of bytes a minute; its schema must be the one.

mod connection;
mod containers;
mod list;
mod pace;
mod roll;
mod throttle;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use enrich::Contexts;
use metric::{Counts, Origin, ReadAs, Source};
use rustix::net::sockopt::set_socket_keepalive;
use tokio::net::TcpListener;
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::{ListenUrl, Listener};
use crate::flush::Message;
use crate::worker::{Trouble, Troubles};
use connection::Connection;
use containers::Containers;
pub(crate) use roll::Roll;

/// How many may be connected to one listener. The module has one connection.
const CONNECTIONS: usize = 32;

/// The largest block. The module's are a sixteenth of it at most, weir's own about a quarter.
const BLOCK_BYTES: usize = 4 << 20;

/// How long to wait when no connection can be taken.
const RETRY: Duration = Duration::from_secs(1);

/// How long a stop waits for the streams.
const LONGEST_DRAIN: Duration = Duration::from_secs(1);

const LOG_EVERY: Duration = Duration::from_mins(1);

/// What a stream's numbers go through.
#[derive(Clone, Debug)]
pub(crate) struct WayIn {
    pub(crate) contexts: Contexts,
    pub(crate) flush: mpsc::Sender<Message>,
}

/// A listener of streams that nobody is served at yet.
#[derive(Debug)]
pub(crate) struct Bound {
    url: ListenUrl,
    listener: TcpListener,
    address: SocketAddr,
    streams: Streams,
}

/// A listener that takes streams.
#[derive(Debug)]
pub(crate) struct Collector {
    /// As configured.
    pub(crate) url: ListenUrl,
    pub(crate) address: SocketAddr,
    streams: Streams,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
    ended: tokio::sync::mpsc::Receiver<()>,
}

/// What is known of a listener's streams. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub(crate) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Arc<Source>,
    counts: Mutex<Counts>,
    fares: Mutex<Fares>,
    troubles: Mutex<Troubles>,
    containers: Mutex<Containers>,
    /// Held while a block is unpacked, so that only one is at a time.
    unpacking: Mutex<()>,
    open: Mutex<HashMap<u64, TcpStream>>,
    way_in: WayIn,
}

/// How a listener's connections fare.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fares {
    /// Taken, ever.
    pub(crate) connections: u64,
    /// Refused, for there were too many.
    pub(crate) refused: u64,
    /// Ended by us: for what they sent or did not send.
    pub(crate) failed: u64,
    /// Why that was, last.
    pub(crate) last_error: Option<String>,
    /// When it was last logged.
    logged: Option<Instant>,
}

/// Listens for streams wherever these listeners are of such. Within a tokio runtime.
pub(crate) fn bind(listeners: &[Listener], way_in: &WayIn) -> Result<Vec<Bound>> {
    let bound = listeners.iter().filter_map(|listener| match &listener.url {
        ListenUrl::AvroTcp { host, port } => {
            let url = &listener.url;
            let bound = Bound::at(url, host, *port, way_in);
            Some(bound.with_context(|| {
                format!("cannot listen on {url}; does dcos-metrics or another agent run?")
            }))
        }
        ListenUrl::Udp { .. } | ListenUrl::Unixgram(_) => None,
    });
    bound.collect()
}

impl Bound {
    fn at(url: &ListenUrl, host: &str, port: u16, way_in: &WayIn) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((host, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let origin = Origin::Listener { listener: url.to_string().into() };
        let source = Source::new(origin, ReadAs::default());
        let streams = Streams(Arc::new(Shared {
            containers: Mutex::new(Containers::of(source.clone())),
            source,
            counts: Mutex::default(),
            fares: Mutex::default(),
            troubles: Mutex::default(),
            unpacking: Mutex::default(),
            open: Mutex::default(),
            way_in: way_in.clone(),
        }));
        Ok(Self { url: url.clone(), listener, address, streams })
    }

    /// Takes connections from now on, and stands in the roll.
    pub(crate) fn start(self, roll: &Roll) -> Collector {
        roll.open(self.streams.clone());
        let stop = CancellationToken::new();
        // Each connection's thread has a sender, and drops it at its end.
        let (lives, ended) = tokio::sync::mpsc::channel(1);
        let accept = accept(self.listener, self.streams.clone(), stop.clone(), lives);
        let accepting = tokio::spawn(accept);
        Collector {
            url: self.url,
            address: self.address,
            streams: self.streams,
            stop,
            accepting,
            ended,
        }
    }
}

impl Collector {
    /// As [`Collector::stop`], and the listener is one of those that were closed.
    pub(crate) async fn close(self, roll: Roll, deadline: Instant) {
        roll.close(&self.streams);
        self.stop(deadline).await;
    }

    /// Takes no more connections, and reads those that there are until nothing is there, or for as
    /// long as may be: a sender that does not stop must not cost the last flush its time.
    pub(crate) async fn stop(mut self, deadline: Instant) {
        let deadline = deadline.min(Instant::now() + LONGEST_DRAIN);
        self.stop.cancel();
        // It ends at its next await.
        let _ = self.accepting.await;
        for stream in self.streams.open().values() {
            // What has come can still be read after this; if it is closed, nothing.
            let _ = stream.shutdown(Shutdown::Read);
        }
        let all = async { while self.ended.recv().await.is_some() {} };
        if timeout_at(deadline.into(), all).await.is_err() {
            warn!("not every Avro stream was read to its end in time");
        }
    }
}

impl Streams {
    /// The listener.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.0.source
    }

    /// The account of all that they brought.
    pub(crate) fn counts(&self) -> Counts {
        *lock(&self.0.counts)
    }

    /// How the connections fare, and how many there are.
    pub(crate) fn fares(&self) -> (Fares, usize) {
        (lock(&self.0.fares).clone(), self.open().len())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        lock(&self.0.open)
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut lock(&self.0.counts));
    }

    // Whether it is to be logged: a sender that comes again and again is told of once a minute.
    fn failed(&self, error: String) -> bool {
        let (now, mut fares) = (Instant::now(), lock(&self.0.fares));
        fares.failed += 1;
        fares.last_error = Some(error);
        let logs = fares.logged.is_none_or(|last| now.duration_since(last) >= LOG_EVERY);
        if logs {
            fares.logged = Some(now);
        }
        logs
    }

    // Samples were lost, so many, one of them as in the example. A log that hangs holds up those who
    // sent them only.
    fn complain(&self, lost: (Trouble, u64), example: &str) {
        let Shared { troubles, source, .. } = &*self.0;
        let complaint = lock(troubles).about(source, lost, example.as_bytes(), Instant::now());
        if let Some(complaint) = complaint {
            complaint.write();
        }
    }

    fn fare(&self, fare: impl FnOnce(&mut Fares)) {
        fare(&mut lock(&self.0.fares));
    }
}

async fn accept(
    listener: TcpListener,
    streams: Streams,
    stop: CancellationToken,
    lives: tokio::sync::mpsc::Sender<()>,
) {
    let mut number = 0;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        number += 1;
        let taken = accepted.and_then(|(stream, peer)| {
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            // A peer that is gone without a word is found out.
            set_socket_keepalive(&stream, true)?;
            Ok((stream, peer))
        });
        let started = taken.and_then(|(stream, peer)| {
            if streams.open().len() >= CONNECTIONS {
                streams.fare(|fares| fares.refused += 1);
                return Ok(());
            }
            streams.open().insert(number, stream.try_clone()?);
            streams.fare(|fares| fares.connections += 1);
            let connection = Connection {
                number,
                peer,
                streams: streams.clone(),
                runtime: Runtime::current(),
                stop: stop.clone(),
            };
            let lives = lives.clone();
            let serve = move || {
                connection.serve(stream);
                drop(lives);
            };
            let thread = thread::Builder::new().name("stream".to_owned()).spawn(serve);
            thread.map(drop).inspect_err(|_| drop(streams.open().remove(&number)))
        });
        if let Err(error) = started {
            streams.fare(|fares| fares.last_error = Some(error.to_string()));
            // No descriptor or no thread is to be had: one may be soon.
            stop.run_until_cancelled(sleep(RETRY)).await;
        }
    }
}

// Nothing that panics is done under these locks; and if it were, what they guard is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
