//! What one process leaves to the next in the data directory: a marker while it runs, gauges'
//! levels and counters' totals at its stop, and what the kernel has dropped at sockets that stay.

mod file;
mod keeper;
mod readings;
mod running;
mod state;

use std::path::{Path, PathBuf};

use api::UncleanStop;
use ingest::DropReading;
use tracing::warn;

use crate::ends::Now;
pub(crate) use keeper::{Keeper, Tell};
use running::Running;
pub(crate) use state::StateFile;

/// What the process before this one left.
#[derive(Debug)]
pub(crate) struct Handover {
    dir: PathBuf,
    /// It was killed or crashed: samples may be missing.
    pub(crate) unclean: Option<UncleanStop>,
    /// What the kernel had dropped at its sockets when it last asked; `None` if it did not tell.
    pub(crate) readings: Option<Vec<DropReading>>,
}

impl Handover {
    /// Looks what there is. Nothing is written yet: others wait for the start.
    pub(crate) fn take_up(dir: &Path, now: Now) -> Self {
        let unclean = Running::killed_before(dir)
            .map(|it| UncleanStop { from: it.until_ms, to: now.wall_ms });
        if let Some(UncleanStop { from, to }) = unclean {
            let since = match from {
                Some(from) => {
                    format!("{:.1} s ago", to.saturating_sub(from).max(0) as f64 / 1000.0)
                }
                None => "at an unknown time".to_owned(),
            };
            warn!(
                from,
                to,
                "the process before this one was killed or crashed: samples that came after its \
                 last flush, {since}, may be missing"
            );
        }
        Self { dir: dir.to_owned(), unclean, readings: readings::load(dir) }
    }

    /// Where levels and totals lie between two processes.
    pub(crate) fn state_file(&self) -> StateFile {
        StateFile::in_dir(&self.dir)
    }
}
