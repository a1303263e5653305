use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{Address, Closed, Config, Event, Listeners, Open, Opened, Receiver, SocketKey, Store};
use metric::{Origin, ReadAs, Source};

/// Listeners with their workers, all turned by the test's own thread.
pub(crate) struct Rig {
    pub(crate) listeners: Listeners,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) seen: Seen,
}

/// What came out of the workers so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) packets: Vec<Got>,
    pub(crate) closed: Vec<(Arc<Source>, Closed, bool)>,
    sources: HashMap<(usize, SocketKey), Arc<Source>>,
}

pub(crate) struct Got {
    pub(crate) source: Arc<Source>,
    pub(crate) worker: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
    pub(crate) sender: Option<u32>,
}

impl Rig {
    pub(crate) fn new(workers: usize) -> Self {
        Self::with_store(workers, Store::default())
    }

    pub(crate) fn with_store(workers: usize, store: Store) -> Self {
        let config = Config { workers: count(workers), max_rest: Duration::from_millis(2) };
        let (listeners, receivers) = Listeners::with_store(config, store).unwrap();
        Self { listeners, receivers, seen: Seen::default() }
    }

    pub(crate) fn open_udp(
        &self,
        source: &Arc<Source>,
        receive_buffer: usize,
    ) -> (Opened, SocketAddr) {
        let opened =
            self.listeners.open(&udp(source, "udp://127.0.0.1:0", receive_buffer)).unwrap();
        let port = port_of(&opened);
        (opened, port)
    }

    /// Turns every worker once, without waiting.
    pub(crate) fn turn(&mut self) {
        for (worker, receiver) in self.receivers.iter_mut().enumerate() {
            let seen = &mut self.seen;
            receiver.turn(Some(Duration::ZERO), &mut |event| seen.take(worker, &event)).unwrap();
        }
    }

    /// Turns until it is so.
    pub(crate) fn until(&mut self, mut so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !so(self) {
            assert!(Instant::now() < deadline, "it never came to be so");
            self.turn();
        }
    }

    pub(crate) fn until_received(&mut self, packets: usize) {
        self.until(|rig| rig.seen.packets.len() >= packets);
        assert_eq!(self.seen.packets.len(), packets);
    }

    pub(crate) fn close(&mut self, source: &Arc<Source>) -> Option<Closed> {
        let closing = self.listeners.close(source);
        assert!(self.listeners.sockets().iter().all(|socket| socket.source != *source));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut closing = std::pin::pin!(closing);
        let mut closed = None;
        self.until(|_| {
            closed = runtime.block_on(async {
                tokio::select! {
                    biased;
                    closed = &mut closing => Some(closed),
                    () = std::future::ready(()) => None,
                }
            });
            closed.is_some()
        });
        closed.unwrap()
    }

    pub(crate) fn kernel_drops(&mut self) -> u64 {
        let mut total = 0;
        for receiver in &mut self.receivers {
            receiver.kernel_drops(|_, _, dropped| total += dropped);
        }
        total
    }
}

impl Seen {
    pub(crate) fn take(&mut self, worker: usize, event: &Event<'_>) {
        match event {
            Event::Opened { socket, source } => {
                let before = self.sources.insert((worker, *socket), Arc::clone(source));
                assert!(before.is_none(), "a place was given away twice");
            }
            Event::Packets { socket, packets } => {
                assert!(packets.len() > 0);
                let source = &self.sources[&(worker, *socket)];
                self.packets.extend(packets.clone().map(|packet| Got {
                    source: source.clone(),
                    worker,
                    bytes: packet.bytes.to_vec(),
                    truncated: packet.truncated,
                    sender: packet.sender,
                }));
            }
            Event::Closed { socket, source, kernel_dropped, unread, last, .. } => {
                assert_eq!(self.sources.remove(&(worker, *socket)).as_ref(), Some(*source));
                let closed = Closed { kernel_dropped: *kernel_dropped, unread: *unread };
                self.closed.push((Arc::clone(source), closed, *last));
            }
        }
    }

    pub(crate) fn bytes(&self) -> Vec<&[u8]> {
        self.packets.iter().map(|packet| packet.bytes.as_slice()).collect()
    }
}

pub(crate) fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

pub(crate) fn source() -> Arc<Source> {
    Source::new(Origin::Listener { listener: "test".into() }, ReadAs::default())
}

pub(crate) fn udp(source: &Arc<Source>, address: &str, receive_buffer: usize) -> Open {
    let address = address.parse().unwrap();
    Open { source: source.clone(), address, receive_buffer, readers: count(1) }
}

pub(crate) fn port_of(opened: &Opened) -> SocketAddr {
    match &opened.address {
        Address::Udp(address) => *address,
        Address::Unixgram(path) => panic!("{} is no UDP address", path.display()),
    }
}

pub(crate) fn sender_to(port: SocketAddr) -> UdpSocket {
    let from = if port.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
    let sender = UdpSocket::bind(from).unwrap();
    sender.connect(port).unwrap();
    sender
}
