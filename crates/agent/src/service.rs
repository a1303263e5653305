//! What the service manager gave us at the start, and what it is told.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{Manager, Store, Stored};
use tracing::warn;

/// How long a word to the manager may wait while it is busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before an address is tried again that the manager is yet to let go of.
const PAUSE: Duration = Duration::from_millis(20);

/// The service manager, as far as there is one.
#[derive(Debug, Default)]
pub(crate) struct Service {
    /// Where it is told things.
    pub(crate) manager: Option<Arc<Manager>>,
    /// Sockets of an earlier process, or of socket units.
    pub(crate) stored: Vec<Stored>,
    /// It wants to hear from us within this time, again and again.
    pub(crate) watchdog: Option<Duration>,
    /// What is wrong with what it said, to be told when there are logs.
    pub(crate) trouble: Option<String>,
}

impl Service {
    /// What the environment says. To be called once, before there are other threads.
    pub(crate) fn from_environment() -> Self {
        let own_pid = std::process::id().to_string();
        let stored = match read("LISTEN_PID") {
            Some(pid) if pid == own_pid => {
                let count = read("LISTEN_FDS").and_then(|count| count.parse().ok());
                ingest::stored_sockets(count.unwrap_or(0), read("LISTEN_FDNAMES").as_deref())
            }
            // They are for somebody else.
            Some(_) | None => Vec::new(),
        };
        let watchdog = read("WATCHDOG_USEC").and_then(|micros| micros.parse().ok());
        let is_ours = read("WATCHDOG_PID").is_none_or(|pid| pid == own_pid);
        let manager = read_os("NOTIFY_SOCKET").map(|address| {
            Manager::at(&address).map(Arc::new).map_err(|error| {
                let address = address.display();
                format!("the service manager's socket {address} cannot be used: {error}")
            })
        });
        let (manager, trouble) = match manager.transpose() {
            Ok(manager) => (manager, None),
            Err(trouble) => (None, Some(trouble)),
        };
        Self {
            manager,
            stored,
            trouble,
            watchdog: watchdog.filter(|micros| is_ours && *micros > 0).map(Duration::from_micros),
        }
    }
}

/// Tells the service manager, if there is one.
pub(crate) fn notify(manager: Option<&Manager>, message: &str) {
    if let Some(manager) = manager
        && let Err(error) = manager.send(message, None, PATIENCE)
    {
        warn!("cannot tell the service manager {message}: {error}");
    }
}

/// For how long an address is tried again at most: others may be let go of again and again.
const LONGEST_TRY: Duration = Duration::from_secs(5);

/// Tries again for as long as the manager may be yet to let go of an address. Blocks.
pub(crate) fn bind_patiently<T, E>(
    store: &Store,
    mut bind: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match bind() {
            Err(_) if store.is_releasing() && begun.elapsed() < LONGEST_TRY => {
                std::thread::park_timeout(PAUSE);
            }
            done => return done,
        }
    }
}

fn read(name: &str) -> Option<String> {
    read_os(name)?.into_string().ok()
}

// What a service manager tells is in the environment, and nowhere else.
fn read_os(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
