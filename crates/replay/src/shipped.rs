//! What came out: the Avro that the agent writes or sends, read as it comes.

mod collector;
mod files;
mod frame;
mod record;
mod seen;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::ReplayError;
use frame::{Block, Frames};

#[cfg(test)]
pub(crate) use seen::Mark;
pub(crate) use seen::{Flushed, Form, MARK, Numbers, Seen, Spelling, Stat};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Where the agent ships its points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The directory of an output `file:DIR`.
    Files(PathBuf),
    /// This program is the collector of an output `avro+tcp://HOST:PORT`, and listens here.
    Collector(SocketAddr),
}

/// So many blocks may wait to be decoded: then they are taken later, and seem to come later.
const WAITING_BLOCKS: usize = 1024;

/// Reads what is shipped, in threads of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Shipped {
    shared: Arc<Shared>,
}

/// What the threads share with whoever asks: one, or several, take blocks as they come, so that
/// the time is known, and one decodes them.
#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    over: AtomicBool,
    blocks: SyncSender<Block>,
    waiting: AtomicUsize,
}

impl Shipped {
    /// Begins to read. What lies in complete files already is left aside.
    pub(crate) fn read(place: &Place, every_record: bool) -> Result<Self, ReplayError> {
        let (blocks, decoding) = mpsc::sync_channel(WAITING_BLOCKS);
        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen::default()),
            over: AtomicBool::new(false),
            blocks,
            waiting: AtomicUsize::new(0),
        });
        let failed = |problem: String| ReplayError::Shipped { place: place.to_string(), problem };
        let theirs = Arc::clone(&shared);
        let decoder = thread::Builder::new().name("decoder".to_owned());
        let started = decoder.spawn(move || theirs.decode(&decoding, every_record));
        started.map_err(|error| failed(error.to_string()))?;
        let theirs = Arc::clone(&shared);
        let reader = thread::Builder::new().name("shipped".to_owned());
        let started = match place {
            Place::Files(directory) => {
                let mut files = files::Files::at(directory.clone());
                reader.spawn(move || {
                    while !theirs.is_over() {
                        files.look(&theirs);
                        thread::park_timeout(LOOK);
                    }
                })
            }
            Place::Collector(at) => {
                let listener = collector::listen(*at).map_err(|error| failed(error.to_string()))?;
                reader.spawn(move || collector::collect(&listener, &theirs))
            }
        };
        started.map_err(|error| failed(error.to_string()))?;
        Ok(Self { shared })
    }

    /// What was read so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen()
    }

    /// Whether nothing has come for so long.
    pub(crate) fn is_quiet_for(&self, time: Duration) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) == 0
            && self.seen().quiet().is_none_or(|quiet| quiet >= time)
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Takes what is whole of a file or stream.
    fn take(&self, frames: &mut Frames) -> Result<(), String> {
        while let Some(block) = frames.next_block()? {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // Nobody decodes any more: it is over.
            let _ = self.blocks.send(block);
        }
        Ok(())
    }

    fn decode(&self, blocks: &Receiver<Block>, every_record: bool) {
        while !self.is_over() {
            let Ok(block) = blocks.recv_timeout(LOOK) else { continue };
            if let Err(problem) = record::read_block(block, every_record, &self.seen) {
                self.complain(problem);
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn complain(&self, problem: String) {
        self.seen().problem.get_or_insert(problem);
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tcp = ["avro+tcp:", "tcp:"].iter().find_map(|scheme| text.strip_prefix(scheme));
        if let Some(address) = tcp {
            let address = address.strip_prefix("//").unwrap_or(address);
            return address.parse().map(Self::Collector).map_err(|_| {
                format!("{text:?}: write tcp://ADDR:PORT, an address of this machine")
            });
        }
        let path = text.strip_prefix("file:").unwrap_or(text);
        if path.is_empty() || path.contains("://") {
            return Err(format!("{text:?} is no place; write file:DIR or tcp://ADDR:PORT"));
        }
        Ok(Self::Files(path.into()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(directory) => write!(f, "file:{}", directory.display()),
            Self::Collector(at) => write!(f, "tcp://{at}"),
        }
    }
}
