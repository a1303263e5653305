use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aggregate::{Flush, Saved, Stamp};
use api::Restored;
use rustix::time::{ClockId, clock_gettime};
use tracing::{info, warn};

use super::file;
use crate::ends::Now;

const NAME: &str = "state";

/// Gauges' levels and counters' running totals between two processes.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self { path: dir.join(NAME) }
    }

    /// Has the flush side go on where the process before stopped. What cannot be used is set
    /// aside; the start goes on without it.
    pub(crate) fn restore(&self, flush: &mut Flush) -> Restored {
        let mut restored = Restored::default();
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return restored,
            Err(error) => {
                warn!("cannot read {}: {error}", self.path.display());
                return restored;
            }
        };
        match flush.restore(&stamp(), &mut BufReader::with_capacity(256 << 10, file)) {
            Ok(Saved { levels, totals }) => {
                (restored.gauges, restored.totals) = (levels, totals);
                info!(gauges = levels, totals, "values of the process before were restored");
            }
            Err(error) => {
                restored.files_set_aside = 1;
                let path = self.path.display();
                match file::set_aside(&self.path) {
                    Ok(aside) => warn!(
                        "{path}: {error}; it was set aside as {}: gauges and running totals start \
                         anew",
                        aside.display()
                    ),
                    Err(aside) => {
                        warn!("{path}: {error}; it cannot be set aside: {aside}");
                    }
                }
            }
        }
        restored
    }

    /// It was used: a process that is killed leaves nothing that is older than it is.
    pub(crate) fn consume(&self) {
        if let Err(error) = file::remove(&self.path) {
            warn!("cannot remove {}: {error}", self.path.display());
        }
    }

    /// Writes what is to outlive the process, `at` this time since the flush side was started.
    pub(crate) fn save(&self, flush: &Flush, at: Duration) {
        let saved = file::replace(&self.path, true, |to| flush.save(at, &stamp(), to));
        match saved {
            Ok(Saved { levels, totals }) => {
                info!(gauges = levels, totals, "values were saved for the next process");
            }
            Err(error) => warn!(
                "cannot write {}: {error}; gauges and running totals will start anew",
                self.path.display()
            ),
        }
    }
}

/// Now, on clocks that go on when this process has ended.
fn stamp() -> Stamp {
    let now = clock_gettime(ClockId::Boottime);
    let since_boot = Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32);
    Stamp { wall_ms: Now::read().wall_ms, since_boot, boot: boot() }
}

// A UUID, new at each boot.
fn boot() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use aggregate::FlushConfig;

    use super::*;

    #[test]
    fn a_state_file_is_used_once_and_one_that_cannot_be_used_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFile::in_dir(dir.path());
        let flush = || Flush::new(FlushConfig::default());
        assert_eq!(state.restore(&mut flush()), Restored::default());
        state.save(&flush(), Duration::ZERO);
        assert_eq!(state.restore(&mut flush()), Restored::default());
        state.consume();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        let aside = dir.path().join("state.bad");
        for damaged in ["", "weirstat", "another thing altogether"] {
            std::fs::write(dir.path().join(NAME), damaged).unwrap();
            assert_eq!(state.restore(&mut flush()).files_set_aside, 1);
            assert_eq!(std::fs::read_to_string(&aside).unwrap(), damaged);
            state.consume();
        }
    }

    #[test]
    fn the_clock_since_boot_goes_on() {
        let (one, other) = (stamp(), stamp());
        assert!(other.since(&one).is_some_and(|since| since < Duration::from_mins(1)));
        assert_eq!(one.boot, other.boot);
    }
}
