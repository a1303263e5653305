use std::collections::HashSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use metric::Batch;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::encode::Encoder;
use crate::inbox::Inbox;
use crate::ledger::Account;
use crate::queue::Queue;
use crate::sink::file::FileSink;
use crate::sink::http::{self, HttpSink};
use crate::sink::tcp::TcpSink;
use crate::sync::lock;
use crate::{Destination, OutputConfig, OutputLedger, ShipError};

/// How many points may wait to be encoded in each output.
const INBOX_POINTS: u64 = 1_000_000;

/// The most bytes of payloads that an output keeps in memory, whatever its `queue_bytes`.
const QUEUE_BYTES: u64 = 256 << 20;

/// How long the encoders may hold up one flush, all together.
const PATIENCE: Duration = Duration::from_secs(2);

/// The running outputs.
#[derive(Debug)]
pub struct Outputs {
    outputs: Vec<Output>,
    patience: Mutex<Duration>,
}

#[derive(Debug)]
struct Output {
    account: Arc<Account>,
    inbox: Arc<Inbox>,
    queue: Arc<Queue>,
    // Disconnected when the sink has ended.
    ended: Mutex<Receiver<Infallible>>,
    // Of a sink that is a task.
    task: Option<AbortHandle>,
}

impl Outputs {
    /// Starts these outputs; `boot_id` is 16 hexadecimal digits. Completes what a previous process
    /// left in the directories of file outputs.
    pub fn start(
        configs: Vec<OutputConfig>,
        boot_id: &str,
        runtime: &Handle,
    ) -> Result<Self, ShipError> {
        let named = check_all(configs)?;
        let mut outputs = Vec::with_capacity(named.len());
        for config in named {
            outputs.push(Output::start(&config, boot_id, runtime)?);
        }
        Ok(Self { outputs, patience: Mutex::new(PATIENCE) })
    }

    /// Hands a batch to every output. Waits for an encoder that is behind, but for no more than two
    /// seconds in a flush; an output that has no room after that drops the batch.
    pub fn offer(&self, batch: &Arc<Batch>) {
        let mut patience = lock(&self.patience);
        for output in &self.outputs {
            output.inbox.offer(batch, &mut patience);
        }
    }

    /// Ends a flush, or what leaves on its own: what was offered since the last end goes out.
    pub fn end_flush(&self) {
        for output in &self.outputs {
            output.inbox.end_flush();
        }
        *lock(&self.patience) = PATIENCE;
    }

    /// Every output's account. Within each, offered = acknowledged + queued + dropped.
    pub fn ledgers(&self) -> Vec<OutputLedger> {
        self.outputs.iter().map(|output| output.account.ledger()).collect()
    }

    /// Whether every output is up: connected, or its last attempt was no failure.
    pub fn ready(&self) -> bool {
        self.outputs.iter().all(|output| output.account.is_up())
    }

    /// Delivers what is queued, for as long as `grace`; what is left then is dropped as `Shutdown`.
    /// Blocks, but never for longer, even if a peer or a disk is stuck; so not on a thread that the
    /// runtime needs. Batches offered later are dropped too.
    pub fn stop(&self, grace: Duration) {
        let begun = Instant::now();
        for output in &self.outputs {
            output.inbox.close();
        }
        for output in &self.outputs {
            output.end(grace.saturating_sub(begun.elapsed()));
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// Refuses what cannot work, and gives every output its name.
fn check_all(mut configs: Vec<OutputConfig>) -> Result<Vec<OutputConfig>, ShipError> {
    let mut names = HashSet::new();
    let mut directories: HashSet<PathBuf> = HashSet::new();
    for config in &configs {
        config.check()?;
        if !config.name.is_empty() && !names.insert(config.name.clone()) {
            return Err(ShipError::SameName(config.name.clone()));
        }
        if let Destination::File(dir) = &config.destination {
            let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            if !directories.insert(absolute) {
                return Err(ShipError::SameDirectory(dir.clone()));
            }
        }
    }
    for config in configs.iter_mut().filter(|config| config.name.is_empty()) {
        let first = config.name();
        let numbered = (2..).map(|number| format!("{first} {number}"));
        config.name = std::iter::once(first.clone())
            .chain(numbered)
            .find(|name| names.insert(name.clone()))
            .expect("the numbers do not end before the outputs do");
    }
    Ok(configs)
}

impl Output {
    fn start(config: &OutputConfig, boot_id: &str, runtime: &Handle) -> Result<Self, ShipError> {
        let name = config.name();
        let connects = matches!(config.destination, Destination::AvroTcp { .. });
        let account = Arc::new(Account::new(name.clone(), !connects));
        let inbox = Arc::new(Inbox::new(INBOX_POINTS, Arc::clone(&account)));
        let bound = config.queue_bytes.min(QUEUE_BYTES) as usize;
        let queue = Arc::new(Queue::new(bound, Arc::clone(&account)));
        let encoder = Encoder::new(config, boot_id, Arc::clone(&account), Arc::clone(&queue));
        let (running, ended) = mpsc::channel();
        let task = start_sink(config, boot_id, runtime, (&queue, &account), running)?;
        let output =
            Self { account, inbox: Arc::clone(&inbox), queue, ended: Mutex::new(ended), task };
        start_thread(&name, "encode", move || encoder.run(&inbox))?;
        tracing::info!(output = name, destination = %config.destination, "output started");
        Ok(output)
    }

    /// Waits this long for the sink to end, then gives up what it still has.
    fn end(&self, grace: Duration) {
        // An error either way: it has ended, or the time is over.
        let _ = lock(&self.ended).recv_timeout(grace);
        let points = self.account.close();
        if points > 0 {
            let output = self.account.ledger().name;
            tracing::warn!(output, points, "stopped before everything was delivered");
        }
        self.inbox.abandon();
        self.queue.abandon();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Starts what takes the payloads out of the queue; `running` lives as long as that does.
fn start_sink(
    config: &OutputConfig,
    boot_id: &str,
    runtime: &Handle,
    (queue, account): (&Arc<Queue>, &Arc<Account>),
    running: Sender<Infallible>,
) -> Result<Option<AbortHandle>, ShipError> {
    let (queue, account) = (Arc::clone(queue), Arc::clone(account));
    let retry = config.retry;
    match config.destination.clone() {
        Destination::File(dir) => {
            let sink = FileSink::open(config, dir.clone(), boot_id, queue, account)
                .map_err(|source| ShipError::Directory { path: dir, source })?;
            start_thread(&config.name(), "write", move || {
                sink.run();
                drop(running);
            })?;
            Ok(None)
        }
        Destination::AvroTcp { host, port } => {
            let sink = TcpSink { host, port, retry, queue, account };
            let task = runtime.spawn(async move {
                sink.run().await;
                drop(running);
            });
            Ok(Some(task.abort_handle()))
        }
        Destination::Http(url) => {
            let client = http::client(&config.name(), &url, retry)?;
            let token_file = config.token_file.clone();
            let sink = HttpSink { client, url, token_file, retry, queue, account };
            let task = runtime.spawn(async move {
                sink.run().await;
                drop(running);
            });
            Ok(Some(task.abort_handle()))
        }
    }
}

fn start_thread(
    output: &str,
    what: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), ShipError> {
    match thread::Builder::new().name(format!("ship-{what}")).spawn(run) {
        Ok(_) => Ok(()),
        Err(source) => Err(ShipError::Thread { name: output.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
