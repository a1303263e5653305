use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ingest::{DropReading, Store};
use ship::Outputs;
use tracing::warn;

use super::running::Running;
use super::{Handover, readings};
use crate::ends::Now;

/// How often it is looked whether a flush is safe.
const PAUSE: Duration = Duration::from_millis(50);

/// How seldom a failure is worth a line.
const SELDOM: Duration = Duration::from_mins(1);

/// So many flushes that are not safe yet are told apart.
const MOST_FLUSHES: usize = 64;

/// Keeps the marker and the readings up to date while the process runs, on a thread of its own: a
/// disk that hangs holds up no flush.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    news: Mutex<News>,
    wake: Condvar,
}

/// What the flush thread has told.
#[derive(Debug, Default)]
struct News {
    // Flushes whose points are not known to be safe, the earliest first.
    flushes: VecDeque<Flushed>,
    readings: Option<Vec<DropReading>>,
    stop: Option<Stop>,
}

/// A flush, and how many points each output, by its number, had been offered when it was done.
#[derive(Debug)]
struct Flushed {
    end_ms: i64,
    offered: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Clean,
    Unclean,
}

/// How the keeper is told of flushes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tell(Arc<Shared>);

impl Tell {
    /// A flush ended then, and all its points were offered.
    pub(crate) fn flushed(&self, end_ms: i64, outputs: &Outputs) {
        let offered = outputs.safety().into_iter().map(|(output, offered, _)| (output, offered));
        let offered = offered.collect();
        let mut news = self.0.news();
        // The times between go: they promise less than the later ones, when those are safe.
        if news.flushes.len() >= MOST_FLUSHES {
            news.flushes.remove(MOST_FLUSHES / 2);
        }
        news.flushes.push_back(Flushed { end_ms, offered });
        drop(news);
        self.0.wake.notify_one();
    }

    /// What the kernel has dropped at the sockets, as it was read last.
    pub(crate) fn readings(&self, readings: Vec<DropReading>) {
        self.0.news().readings = Some(readings);
        self.0.wake.notify_one();
    }
}

impl Keeper {
    /// Marks that a process runs, and keeps that up to date from now on. To be called before a
    /// sample is taken. A directory that cannot be written is warned of, and costs the next process
    /// what it would have been told.
    pub(crate) fn start(
        handover: Handover,
        store: &Store,
        outputs: Arc<Outputs>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let dir = handover.dir;
        let running = Running::begin(&dir, Now::read().wall_ms);
        let keeping = Keeping {
            shared: Arc::clone(&shared),
            readings_dir: store.is_kept().then_some(dir),
            running,
            outputs,
            safe: HashMap::new(),
            last_readings: None,
            complained: None,
        };
        let thread = thread::Builder::new().name("handover".to_owned()).spawn(|| keeping.run())?;
        Ok(Self { shared, thread })
    }

    /// How it is told of flushes.
    pub(crate) fn tell(&self) -> Tell {
        Tell(Arc::clone(&self.shared))
    }

    /// Writes the last of it. `clean`: everything was flushed, so that nothing is missing.
    pub(crate) async fn stop(self, clean: bool, deadline: Instant) {
        self.shared.news().stop = Some(if clean { Stop::Clean } else { Stop::Unclean });
        self.shared.wake.notify_one();
        let join = tokio::task::spawn_blocking(move || drop(self.thread.join()));
        if tokio::time::timeout_at(deadline.into(), join).await.is_err() {
            warn!("the disk does not take in time that the stop was a clean one");
        }
    }
}

impl Shared {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Keeping {
    shared: Arc<Shared>,
    // None where no socket outlives the process.
    readings_dir: Option<PathBuf>,
    running: Option<Running>,
    outputs: Arc<Outputs>,
    // How many points each output had been offered when last all of them were safe. Their order may
    // change on the way, so nothing is known of some of them.
    safe: HashMap<u64, u64>,
    last_readings: Option<Vec<DropReading>>,
    complained: Option<Instant>,
}

impl Keeping {
    fn run(mut self) {
        loop {
            let (safe_ms, readings, stop) = self.wait();
            if let (Some(running), Some(end_ms)) = (&mut self.running, safe_ms)
                && let Err(error) = running.completed(end_ms)
            {
                self.complain(&error);
            }
            if let (Some(dir), Some(readings)) = (self.readings_dir.clone(), readings) {
                self.save_readings(&dir, readings);
            }
            match stop {
                None => {}
                Some(Stop::Unclean) => return,
                Some(Stop::Clean) => {
                    if let Some(running) = self.running
                        && let Err(error) = running.end()
                    {
                        warn!("the next process will take this stop for a crash: {error}");
                    }
                    return;
                }
            }
        }
    }

    /// Waits for something to do: the latest flush that is safe now, readings, the stop.
    fn wait(&mut self) -> (Option<i64>, Option<Vec<DropReading>>, Option<Stop>) {
        let shared = Arc::clone(&self.shared);
        let mut news = shared.news();
        loop {
            let mut safe_ms = None;
            if !news.flushes.is_empty() {
                self.look_at_outputs();
                // Where the later ones are safe so are the earlier ones.
                if let Some(last) = news.flushes.iter().rposition(|it| it.is_safe(&self.safe)) {
                    safe_ms = news.flushes.drain(..=last).next_back().map(|it| it.end_ms);
                }
            }
            let readings = news.readings.take();
            if safe_ms.is_some() || readings.is_some() || news.stop.is_some() {
                return (safe_ms, readings, news.stop);
            }
            news = if news.flushes.is_empty() {
                shared.wake.wait(news).unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = shared.wake.wait_timeout(news, PAUSE);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    fn look_at_outputs(&mut self) {
        let outputs = self.outputs.safety();
        // Nothing more becomes of what a removed output was offered.
        self.safe.retain(|known, _| outputs.iter().any(|(output, ..)| output == known));
        for (output, offered, is_safe) in outputs {
            let safe = self.safe.entry(output).or_insert(0);
            if is_safe {
                *safe = offered;
            }
        }
    }

    fn save_readings(&mut self, dir: &Path, readings: Vec<DropReading>) {
        if self.last_readings.as_ref() == Some(&readings) {
            return;
        }
        match readings::save(dir, &readings) {
            Ok(()) => self.last_readings = Some(readings),
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if self.complained.is_none_or(|last| last.elapsed() >= SELDOM) {
            self.complained = Some(Instant::now());
            warn!("what the next process is to know after a crash cannot be written: {error}");
        }
    }
}

impl Flushed {
    /// Whether nothing of it would be missing after a crash. An output that is not there any more
    /// has settled what it was offered.
    fn is_safe(&self, safe: &HashMap<u64, u64>) -> bool {
        self.offered
            .iter()
            .all(|(output, offered)| safe.get(output).is_none_or(|safe| safe >= offered))
    }
}
