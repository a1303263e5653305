use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use api::{
    App, Change, Containers, ContainersConfig, Endpoint, Hooks, OnFailure, Ports, Server, Traffic,
};
use ingest::{Event, Listeners, Store, Waker};
use metric::{Container, ReadAs, Source};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// Sockets that are really read, by one worker thread.
pub(crate) struct Worker {
    pub(crate) listeners: Listeners,
    pub(crate) read: mpsc::Receiver<Vec<u8>>,
    busy: Arc<(Mutex<bool>, Condvar)>,
    waker: Waker,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(store: Store) -> Self {
        let one = NonZeroUsize::MIN;
        let config = ingest::Config { workers: one, max_rest: Duration::ZERO };
        let (listeners, mut receivers) = Listeners::with_store(config, store).unwrap();
        let mut receiver = receivers.remove(0);
        let waker = receiver.waker();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (tell, read) = mpsc::channel();
        let busy = Arc::new((Mutex::new(false), Condvar::new()));
        let held_up = Arc::clone(&busy);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let turn = receiver.turn(None, &mut |event| {
                    let busy = held_up.0.lock().unwrap();
                    drop(held_up.1.wait_while(busy, |busy| *busy).unwrap());
                    if let Event::Packets { packets, .. } = event {
                        packets.for_each(|packet| drop(tell.send(packet.bytes.to_vec())));
                    }
                });
                turn.unwrap();
            }
        });
        Self { listeners, read, busy, waker, stop, thread: Some(thread) }
    }
}

impl Worker {
    /// Until this is dropped, nothing that happens at a socket is taken in.
    pub(crate) fn hold_up(&self) -> HeldUp {
        *self.busy.0.lock().unwrap() = true;
        HeldUp(Arc::clone(&self.busy))
    }
}

pub(crate) struct HeldUp(Arc<(Mutex<bool>, Condvar)>);

impl Drop for HeldUp {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A directory of containers that lies in memory, and can fail or hang.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<(Mutex<DiskState>, Condvar)>);

#[derive(Default)]
struct DiskState {
    files: std::collections::BTreeMap<String, Container>,
    writes: Vec<Change>,
    full: bool,
    hanging: bool,
    hangs: bool,
}

impl Disk {
    fn persist(&self, change: &Change) -> io::Result<()> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        while state.hanging {
            state.hangs = true;
            changed.notify_all();
            state = changed.wait(state).unwrap();
        }
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.writes.push(change.clone());
        changed.notify_all();
        match change {
            Change::Save(container) => {
                state.files.insert(container.container_id.clone(), container.clone());
            }
            Change::Remove(id) => {
                state.files.remove(&**id);
            }
        }
        Ok(())
    }

    pub(crate) fn hang(&self, hanging: bool) {
        self.0.0.lock().unwrap().hanging = hanging;
        self.0.1.notify_all();
    }

    /// Until a change is stuck in it.
    pub(crate) fn wait_until_it_hangs(&self) {
        self.wait(|state| state.hangs);
    }

    /// Until so many changes have been written.
    pub(crate) fn wait_for_writes(&self, count: usize) {
        self.wait(|state| state.writes.len() >= count);
    }

    fn wait(&self, until: impl Fn(&DiskState) -> bool) {
        let (state, changed) = &*self.0;
        let waiting = |state: &mut DiskState| !until(state);
        let patience = Duration::from_secs(5);
        let (_state, waited) =
            changed.wait_timeout_while(state.lock().unwrap(), patience, waiting).unwrap();
        assert!(!waited.timed_out());
    }

    pub(crate) fn fill(&self, full: bool) {
        self.0.0.lock().unwrap().full = full;
    }

    pub(crate) fn files(&self) -> Vec<Container> {
        self.0.0.lock().unwrap().files.values().cloned().collect()
    }

    pub(crate) fn writes(&self) -> Vec<Change> {
        self.0.0.lock().unwrap().writes.clone()
    }
}

/// A registry with everything that it needs.
pub(crate) struct Rig {
    pub(crate) containers: Containers,
    pub(crate) disk: Disk,
    pub(crate) worker: Worker,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn config() -> ContainersConfig {
    ContainersConfig {
        statsd_host: "198.51.100.1".into(),
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports: Ports::Ephemeral,
        on_failure: OnFailure::NoContent,
        max_containers: 10_000,
        read_as: ReadAs::default(),
        receive_buffer: 0,
        retry: Duration::from_millis(5),
    }
}

impl Rig {
    pub(crate) fn new(config: ContainersConfig) -> Self {
        Self::with_store(config, Store::default())
    }

    pub(crate) fn with_store(config: ContainersConfig, store: Store) -> Self {
        let (worker, disk) = (Worker::start(store), Disk::default());
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = |what: &'static str| {
            let told = Arc::clone(&told);
            move |source: &Arc<Source>| {
                told.lock().unwrap().push(format!("{what} {}", source.container_id().unwrap()));
            }
        };
        let of_hook = disk.clone();
        let hooks = Hooks {
            persist: Box::new(move |change| of_hook.persist(change)),
            registered: Box::new(teller("registered")),
            removed: Box::new(teller("removed")),
        };
        let containers = Containers::new(config, worker.listeners.clone(), hooks).unwrap();
        Self { containers, disk, worker, told }
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

/// A container that asks for nothing in particular.
pub(crate) fn asks(id: &str) -> Container {
    Container { container_id: id.into(), statsd_host: String::new(), statsd_port: 0 }
}

/// Ports that nobody else is given when they are let go: they lie below those that the system
/// chooses from.
pub(crate) fn free_range(length: u16) -> (Vec<UdpSocket>, RangeInclusive<u16>) {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let first = NEXT.fetch_add(length, Ordering::Relaxed);
        let range = first..=first + length - 1;
        let bind = |port| UdpSocket::bind(("127.0.0.1", port));
        if let Ok(held) = range.clone().map(bind).collect() {
            return (held, range);
        }
    }
}

pub(crate) fn free_port() -> (UdpSocket, u16) {
    let (mut held, range) = free_range(1);
    (held.remove(0), *range.start())
}

/// A server on a unix socket of its own.
pub(crate) struct Served {
    pub(crate) path: PathBuf,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<()>,
    _directory: TempDir,
}

impl Served {
    pub(crate) fn start(app: App) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("api.sock");
        let server = Server::bind(&Endpoint::Unix(path.clone())).unwrap();
        let (traffic, stop) = (Arc::clone(&app.traffic), CancellationToken::new());
        let task = tokio::spawn(server.serve(app, stop.clone()));
        Self { path, traffic, stop, task, _directory: directory }
    }

    pub(crate) fn registration(containers: &Containers) -> Self {
        Self::start(App { registration: Some(containers.clone()), ..App::default() })
    }

    pub(crate) async fn send(&self, request: &str) -> String {
        send(&self.path, request.as_bytes()).await
    }
}

/// What is answered to these bytes until the server closes, without the `Date`.
pub(crate) async fn send(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // A server that has heard enough closes early.
    let _ = stream.write_all(request).await;
    read(&mut stream).await
}

pub(crate) async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let dated = |line: &&str| !line.starts_with("Date: ");
    answer.split_inclusive("\r\n").filter(dated).collect()
}

/// A request as the isolator writes it over a unix socket.
pub(crate) fn isolator(verb: &str, path: &str, body: &str) -> String {
    format!(
        "{verb} {path} HTTP/1.1\r\nHost: \r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
