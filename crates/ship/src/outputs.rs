mod exchange;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use metric::Batch;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::disk::{self, Bounds, Disk, Files, Form};
use crate::encode::Encoder;
use crate::inbox::Inbox;
use crate::lanes::Lanes;
use crate::ledger::Account;
use crate::outlet::Outlet;
use crate::priority::{Backlog, be_nicer};
use crate::queue::Queue;
use crate::relay::{Inlet, Relay, Surroundings};
use crate::sink::file::FileSink;
use crate::sink::http::{self, HttpSink};
use crate::sink::tcp::TcpSink;
use crate::sync::lock;
use crate::{Destination, Durability, OutputConfig, OutputLedger, ShipError};
use exchange::Leaving;
pub use exchange::{Departed, Departing, Prepared};

/// How many points may wait to be encoded in each output: some tens of bytes each.
const INBOX_POINTS: u64 = 200_000;

/// The most bytes of payloads that wait for a file, whatever its `queue_bytes`.
const QUEUE_BYTES: u64 = 256 << 20;

/// How long each encoder may hold up whoever offers, before he says otherwise.
const PATIENCE: Duration = Duration::from_secs(2);

/// The running outputs.
#[derive(Debug)]
pub struct Outputs {
    // Exchanged whole, so that nobody holds the lock for long.
    running: Mutex<Arc<[Arc<Output>]>>,
    // Held by whoever exchanges it, for as long as that takes.
    changing: Mutex<()>,
    // Those that were taken out and have not ended yet.
    leaving: Mutex<Leaving>,
    left: Condvar,
    ground: Ground,
}

/// What every output is started with.
#[derive(Debug)]
struct Ground {
    queues: PathBuf,
    boot_id: String,
    runtime: Handle,
    backlog: Backlog,
}

/// What a removed output left in its queue on disk. An output of the same name, and to the same
/// kind of destination, delivers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many points.
    pub points: u64,
    /// The bytes of the queue's files.
    pub bytes: u64,
    /// The points that were given up, because they were in memory only.
    pub lost: u64,
}

#[derive(Debug)]
struct Output {
    /// What no other output of this process has.
    id: u64,
    config: OutputConfig,
    /// The directory that is its own.
    dir: Option<PathBuf>,
    account: Arc<Account>,
    /// None of a relay, which takes no batches.
    inbox: Option<Arc<Inbox>>,
    // How long whoever offers may still wait for this one.
    patience: Mutex<Duration>,
    carrier: Carrier,
    // Disconnected when all that works for it has ended.
    ended: Mutex<Receiver<Infallible>>,
}

/// What takes an output's payloads on.
#[derive(Debug)]
enum Carrier {
    /// Nothing yet: the output before it has not let go of the files that they share.
    None,
    File(Arc<Queue>),
    Network(Arc<Lanes>, AbortHandle),
    Relay(Relay),
}

impl Outputs {
    /// Starts these outputs; `boot_id` is 16 hexadecimal digits. Under `queues` each output over the
    /// network has a directory for its queue; what an earlier process left there is delivered.
    /// Completes what such a process left in the directories of file outputs.
    pub fn start(
        configs: Vec<OutputConfig>,
        queues: &Path,
        boot_id: &str,
        runtime: &Handle,
    ) -> Result<Self, ShipError> {
        let ground = Ground {
            queues: queues.to_owned(),
            boot_id: boot_id.to_owned(),
            runtime: runtime.clone(),
            backlog: Backlog::default(),
        };
        let mut running = Vec::with_capacity(configs.len());
        check(&configs)?;
        for config in name_all(configs, &[]) {
            running.push(Arc::new(Output::start(config, &ground)?));
        }
        let claimed: Vec<_> = running.iter().filter_map(|output| output.dir.clone()).collect();
        for (dir, bytes) in disk::unclaimed(queues, &claimed) {
            let dir = dir.display();
            tracing::warn!(%dir, bytes, "kept: the queue of an output that is not configured");
        }
        let running = Mutex::new(running.into());
        Ok(Self {
            running,
            changing: Mutex::default(),
            leaving: Mutex::default(),
            left: Condvar::new(),
            ground,
        })
    }

    fn running(&self) -> Arc<[Arc<Output>]> {
        Arc::clone(&lock(&self.running))
    }

    /// How long [`Outputs::offer`] may wait in all, from now on until the next word. Each output has
    /// an equal share of it, so that a slow one uses up no other's. At first two seconds each.
    pub fn be_patient(&self, patience: Duration) {
        let running = self.running();
        let take_batches: Vec<_> = running.iter().filter(|it| it.inbox.is_some()).collect();
        for output in &take_batches {
            *lock(&output.patience) = patience / take_batches.len() as u32;
        }
    }

    /// Where workers say that they are behind: the encoders pause then, and whoever offers is to.
    pub fn backlog(&self) -> &Backlog {
        &self.ground.backlog
    }

    /// Hands a batch to every output. Waits for an encoder that is behind as long as there is
    /// patience with it; an output that has no room after that drops the batch.
    pub fn offer(&self, batch: &Arc<Batch>) {
        for output in self.running().iter() {
            if let Some(inbox) = &output.inbox {
                inbox.offer(batch, &mut lock(&output.patience));
            }
        }
    }

    /// Starts the relays that were not started yet, so that they take lines: for each of so many
    /// workers the inlets that it is to put what it keeps into. `around` is asked by their threads.
    pub fn start_relays(
        &self,
        workers: usize,
        around: &Surroundings,
    ) -> Result<Vec<Vec<Inlet>>, ShipError> {
        let mut of_workers: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
        for output in self.running().iter() {
            if let Carrier::Relay(relay) = &output.carrier {
                let inlets = relay.start(workers, around, &self.ground.runtime)?;
                of_workers.iter_mut().zip(inlets).for_each(|(of, inlet)| of.push(inlet));
            }
        }
        Ok(of_workers)
    }

    /// Ends a flush, or what leaves on its own: what was offered since the last end goes out.
    pub fn end_flush(&self) {
        for output in self.running().iter() {
            if let Some(inbox) = &output.inbox {
                inbox.end_flush();
            }
        }
    }

    /// Of every output, by a number that no other has, how many points it had been offered, and
    /// whether all of them would outlive a crash: delivered, on disk, or counted as given up.
    pub fn safety(&self) -> Vec<(u64, u64, bool)> {
        let leaving = lock(&self.leaving);
        let running = self.running();
        let all = running.iter().chain(leaving.outputs());
        all.map(|output| output.safety()).collect()
    }

    /// The outputs that are not up: not connected, or the last attempt was a failure.
    pub fn down(&self) -> Vec<OutputLedger> {
        let running = self.running();
        running.iter().filter(|it| !it.account.is_up()).map(|it| it.ledger()).collect()
    }

    /// Delivers what is live, for as long as `grace`. What is left then, and every backlog, is kept
    /// on disk; what is in memory only is delivered within `grace` or dropped as `Shutdown`.
    /// Blocks, but never for longer, even if a peer or a disk is stuck; so not on a thread that the
    /// runtime needs. Batches offered later are dropped too.
    pub fn stop(&self, grace: Duration) {
        let begun = Instant::now();
        let left = || grace.saturating_sub(begun.elapsed());
        // What has gathered for one that is yet to start can be kept only by that.
        self.wait_while(grace / 2, Leaving::has_successors);
        let running = self.running();
        for output in running.iter() {
            output.close();
        }
        for output in running.iter() {
            output.end(left());
        }
        self.wait_while(left(), |leaving| {
            leaving.hurry();
            !leaving.is_empty()
        });
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Its front may be another's by now.
        if !matches!(self.carrier, Carrier::None) {
            self.end(Duration::ZERO);
        }
    }
}

/// Refuses outputs that cannot work, alone or together, as [`Outputs::start`] does; but nothing is
/// looked at beside what is configured.
pub fn check(configs: &[OutputConfig]) -> Result<(), ShipError> {
    check_beside(configs, &[])
}

/// Refuses what cannot work, together and beside what runs. One with the name of a running one is to
/// take its place.
fn check_beside(configs: &[OutputConfig], running: &[Arc<Output>]) -> Result<(), ShipError> {
    let mut names = HashSet::new();
    // By whom they are written to.
    let dir_of = |output: &Arc<Output>| Some((output.dir.clone()?, output.config.name.clone()));
    let mut directories: HashMap<_, _> = running.iter().filter_map(dir_of).collect();
    for config in configs {
        config.check()?;
        // Wherever the queues are.
        own_dir(config, Path::new(""))?;
        if !config.name.is_empty() && !names.insert(&config.name) {
            return Err(ShipError::SameName(config.name.clone()));
        }
        if let Destination::File(dir) = &config.destination
            && let Some(other) = directories.insert(absolute(dir), config.name.clone())
            && (other.is_empty() || other != config.name)
        {
            return Err(ShipError::SameDirectory(dir.clone()));
        }
    }
    Ok(())
}

/// Gives every output a name that no other has.
fn name_all(mut configs: Vec<OutputConfig>, running: &[Arc<Output>]) -> Vec<OutputConfig> {
    let mut names: HashSet<_> = configs.iter().map(|config| config.name.clone()).collect();
    names.extend(running.iter().map(|output| output.config.name.clone()));
    for config in configs.iter_mut().filter(|config| config.name.is_empty()) {
        let first = config.name();
        let numbered = (2..).map(|number| format!("{first} {number}"));
        config.name = std::iter::once(first.clone())
            .chain(numbered)
            .find(|name| names.insert(name.clone()))
            .expect("the numbers do not end before the outputs do");
    }
    configs
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

impl Output {
    fn start(config: OutputConfig, ground: &Ground) -> Result<Self, ShipError> {
        let front = Front::of(&config);
        Self::start_behind(front, config, ground)
    }

    /// Starts what works behind a front that may have taken something in already.
    fn start_behind(
        front: Front,
        config: OutputConfig,
        ground: &Ground,
    ) -> Result<Self, ShipError> {
        let Front { id, account, inbox } = front;
        let (running, ended) = mpsc::channel();
        let retry = config.retry;
        let dir = own_dir(&config, &ground.queues)?;
        let (carrier, outlet) = match config.destination.clone() {
            Destination::File(dir) => {
                let queue = start_file(&config, &dir, &ground.boot_id, &account, running)?;
                (Carrier::File(Arc::clone(&queue)), Some(Outlet::Files(queue)))
            }
            Destination::AvroTcp { host, port } => {
                let lanes = start_lanes(&config, dir.clone(), &account, &running)?;
                let (from, account) = (Arc::clone(&lanes), Arc::clone(&account));
                let resend = config.resend;
                let sink = TcpSink { host, port, resend, retry, lanes: from, account };
                let carrier = start_sink(sink.run(), ground, &lanes, running);
                (carrier, Some(Outlet::Network(lanes)))
            }
            Destination::Http(url) => {
                let client = http::client(&config.name, &url, retry)?;
                let token_file = config.token_file.clone();
                let lanes = start_lanes(&config, dir.clone(), &account, &running)?;
                let (from, account) = (Arc::clone(&lanes), Arc::clone(&account));
                let sink = HttpSink { client, url, token_file, retry, lanes: from, account };
                let carrier = start_sink(sink.run(), ground, &lanes, running);
                (carrier, Some(Outlet::Network(lanes)))
            }
            Destination::StatsdUdp { host, port } => {
                let relay = Relay::new(&config, (host, port), Arc::clone(&account), running);
                (Carrier::Relay(relay), None)
            }
        };
        if let (Some(inbox), Some(outlet)) = (&inbox, outlet) {
            start_encoder(&config, ground, &account, inbox, outlet)?;
        }
        let (name, destination) = (&config.name, &config.destination);
        tracing::info!(output = name, %destination, "output started");
        let (patience, ended) = (Mutex::new(PATIENCE), Mutex::new(ended));
        Ok(Self { id, config, dir, account, inbox, patience, carrier, ended })
    }

    /// Only the front of one.
    fn unstarted(config: OutputConfig) -> Self {
        let Front { id, account, inbox } = Front::of(&config);
        // There is nothing to end.
        let (_, ended) = mpsc::channel();
        let (dir, carrier) = (None, Carrier::None);
        let (patience, ended) = (Mutex::new(PATIENCE), Mutex::new(ended));
        Self { id, config, dir, account, inbox, patience, carrier, ended }
    }

    fn front(&self) -> Front {
        let Self { id, account, inbox, .. } = self;
        Front { id: *id, account: Arc::clone(account), inbox: inbox.clone() }
    }

    fn ledger(&self) -> OutputLedger {
        let queue_bytes = match &self.carrier {
            Carrier::File(queue) => queue.bytes(),
            Carrier::Network(lanes, _) => lanes.bytes(),
            // Its lines wait for a tenth of a second.
            Carrier::Relay(_) | Carrier::None => 0,
        };
        OutputLedger { queue_bytes, ..self.account.ledger() }
    }

    fn safety(&self) -> (u64, u64, bool) {
        // Read first: what comes later is no part of it.
        let ledger = self.ledger();
        let on_disk = match &self.carrier {
            Carrier::File(_) | Carrier::None => 0,
            Carrier::Network(lanes, _) => lanes.synced_points(),
            // Its lines are no points, and nobody waits for them.
            Carrier::Relay(_) => return (self.id, ledger.offered, true),
        };
        (self.id, ledger.offered, ledger.queued <= on_disk)
    }

    /// Nothing more comes in.
    fn close(&self) {
        if let Carrier::Relay(relay) = &self.carrier {
            relay.close();
        }
        if let Some(inbox) = &self.inbox {
            inbox.close();
        }
    }

    /// Waits this long for all that works for it to end, then gives up what it still has.
    fn end(&self, grace: Duration) -> Kept {
        // An error either way: it has ended, or the time is over.
        let _ = lock(&self.ended).recv_timeout(grace);
        let kept = match &self.carrier {
            Carrier::None => Kept::default(),
            Carrier::File(queue) => {
                queue.abandon();
                Kept::default()
            }
            Carrier::Network(lanes, task) => {
                let points = lanes.abandon();
                task.abort();
                Kept { points, bytes: lanes.bytes(), lost: 0 }
            }
            Carrier::Relay(relay) => {
                relay.abandon();
                Kept::default()
            }
        };
        if let Some(inbox) = &self.inbox {
            inbox.abandon();
        }
        // It may have ended before.
        let Some(lost) = self.account.close(kept.points) else { return kept };
        let output = &self.config.name;
        if lost > 0 {
            tracing::warn!(output, points = lost, "stopped before everything was delivered");
        }
        if kept.points > 0 {
            let (points, bytes) = (kept.points, kept.bytes);
            tracing::info!(output, points, bytes, "kept on disk, to be delivered after a start");
        }
        Kept { lost, ..kept }
    }
}

/// What the flush sees of an output.
#[derive(Debug)]
struct Front {
    id: u64,
    account: Arc<Account>,
    inbox: Option<Arc<Inbox>>,
}

impl Front {
    fn of(config: &OutputConfig) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = config.name.clone();
        let (account, takes_batches) = match config.destination {
            Destination::File(_) | Destination::Http(_) => (Account::new(name, true), true),
            Destination::AvroTcp { .. } => (Account::new(name, false), true),
            Destination::StatsdUdp { .. } => (Account::new(name, false).of_lines(), false),
        };
        let account = Arc::new(account);
        let inbox = || Arc::new(Inbox::new(INBOX_POINTS, Arc::clone(&account)));
        let inbox = takes_batches.then(inbox);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), account, inbox }
    }
}

/// Starts what turns batches into payloads.
fn start_encoder(
    config: &OutputConfig,
    ground: &Ground,
    account: &Arc<Account>,
    inbox: &Arc<Inbox>,
    outlet: Outlet,
) -> Result<(), ShipError> {
    let encoder = Encoder::new(config, &ground.boot_id, Arc::clone(account), outlet);
    let (batches, backlog) = (Arc::clone(inbox), ground.backlog.clone());
    start_thread(&config.name, "encode", move || encoder.run(&batches, &backlog))
}

/// The directory that is an output's alone: of its files, or of its queue if that is kept on disk.
fn own_dir(config: &OutputConfig, queues: &Path) -> Result<Option<PathBuf>, ShipError> {
    let form = match &config.destination {
        Destination::File(dir) => return Ok(Some(absolute(dir))),
        Destination::AvroTcp { .. } => Form::Blocks,
        Destination::Http(_) => Form::Files,
        Destination::StatsdUdp { .. } => return Ok(None),
    };
    if config.durability == Durability::Memory {
        return Ok(None);
    }
    let problem = "its name is too long for a directory: give it a shorter one";
    let dir = disk::dir(queues, &config.name, form);
    dir.map(Some).ok_or_else(|| ShipError::Setting { name: config.name.clone(), problem })
}

/// Starts what keeps the queue of an output over the network, on disk if it has a directory.
fn start_lanes(
    config: &OutputConfig,
    dir: Option<PathBuf>,
    account: &Arc<Account>,
    running: &Sender<Infallible>,
) -> Result<Arc<Lanes>, ShipError> {
    let bounds = Bounds { bytes: config.queue_bytes, age: config.queue_age };
    let lanes = Lanes::new(bounds.bytes, bounds.age, dir.is_some(), Arc::clone(account));
    let lanes = Arc::new(lanes);
    if let Some(dir) = dir {
        let (keeping, running) = (Arc::clone(&lanes), running.clone());
        let disk = Disk::new(Files::new(dir), bounds, keeping, Arc::clone(account));
        start_thread(&config.name, "queue", move || {
            disk.run();
            drop(running);
        })?;
    }
    Ok(lanes)
}

/// Starts what writes files; `running` lives as long as that does.
fn start_file(
    config: &OutputConfig,
    dir: &Path,
    boot_id: &str,
    account: &Arc<Account>,
    running: Sender<Infallible>,
) -> Result<Arc<Queue>, ShipError> {
    let bound = config.queue_bytes.min(QUEUE_BYTES) as usize;
    let queue = Arc::new(Queue::new(bound, Arc::clone(account)));
    let (from, counted) = (Arc::clone(&queue), Arc::clone(account));
    let sink = FileSink::open(config, dir.to_owned(), boot_id, from, counted)
        .map_err(|source| ShipError::Directory { path: dir.to_owned(), source })?;
    start_thread(&config.name, "write", move || {
        sink.run();
        drop(running);
    })?;
    Ok(queue)
}

/// Starts what sends over the network; `running` lives as long as that does.
fn start_sink(
    sink: impl Future<Output = ()> + Send + 'static,
    ground: &Ground,
    lanes: &Arc<Lanes>,
    running: Sender<Infallible>,
) -> Carrier {
    let left = Arc::clone(lanes);
    let task = ground.runtime.spawn(async move {
        sink.await;
        left.leave();
        drop(running);
    });
    Carrier::Network(Arc::clone(lanes), task.abort_handle())
}

fn start_thread(
    output: &str,
    what: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), ShipError> {
    let run = move || {
        be_nicer();
        run();
    };
    match thread::Builder::new().name(format!("ship-{what}")).spawn(run) {
        Ok(_) => Ok(()),
        Err(source) => Err(ShipError::Thread { name: output.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
