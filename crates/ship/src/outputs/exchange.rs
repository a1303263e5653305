//! Outputs that come and go while the others run.

use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Carrier, Kept, Output, Outputs, check_beside, name_all, own_dir};
use crate::relay::{Inlet, Surroundings};
use crate::sink::http;
use crate::sync::lock;
use crate::{Destination, DroppedInAll, OutputConfig, OutputLedger, ShipError};

/// When it is told that an output does not end.
const LATE: Duration = Duration::from_secs(5);

/// An output that is to run from the next [exchange](Outputs::exchange) on. It is offered nothing
/// yet, but may deliver already what its queue on disk holds. Dropped, it ends, and that is kept.
#[derive(Debug)]
pub struct Prepared {
    output: Arc<Output>,
    // It works with the files of the one whose place it takes, and starts when that has ended.
    waits: bool,
}

/// An output that was taken out, and is yet to [end](Outputs::finish).
#[derive(Debug)]
#[must_use = "it ends by `Outputs::finish`"]
pub struct Departing {
    pub(super) output: Arc<Output>,
    // What gathers for one that takes its place and its files.
    successor: Option<Arc<Output>>,
}

/// An output that was taken out and has ended.
#[derive(Debug)]
pub struct Departed {
    /// Its name.
    pub name: String,
    /// Whether another goes on with what it left.
    pub is_taken_over: bool,
    /// What it left.
    pub kept: Kept,
    /// Why the one that was to take its place could not start; it runs on as it was, if it could.
    pub error: Option<ShipError>,
}

/// The outputs that were taken out and have not ended yet.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    all: Vec<Leaver>,
    // What those before them had dropped.
    dropped: DroppedInAll,
}

#[derive(Debug)]
struct Leaver {
    output: Arc<Output>,
    // Another is to start when it has ended.
    has_successor: bool,
}

impl Leaving {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn has_successors(&self) -> bool {
        self.all.iter().any(|leaver| leaver.has_successor)
    }

    /// What is on disk stays there: nothing is waited for that can go later.
    pub(super) fn hurry(&self) {
        for output in self.outputs() {
            if let Carrier::Network(lanes, _) = &output.carrier {
                lanes.drain_no_more();
            }
        }
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = &Arc<Output>> {
        self.all.iter().map(|leaver| &leaver.output)
    }
}

impl Departing {
    /// The output's name.
    pub fn name(&self) -> &str {
        &self.output.config.name
    }
}

impl Outputs {
    /// Starts one more output. What its queue on disk holds is delivered.
    pub fn add(&self, config: OutputConfig) -> Result<(), ShipError> {
        if !config.name.is_empty() && self.find(&config.name).is_some() {
            return Err(ShipError::SameName(config.name));
        }
        let prepared = self.prepare(vec![config])?;
        // Nothing has that name.
        let _ = self.exchange(prepared, &[]);
        Ok(())
    }

    /// Takes an output out: it is offered nothing more, delivers what it has, backlog and all, for as
    /// long as `grace`, and keeps on disk what is left then. Blocks as [`Outputs::finish`] does.
    /// `None` if there is no such output.
    pub fn remove(&self, name: &str, grace: Duration) -> Option<Kept> {
        let departing = self.exchange(Vec::new(), &[name.to_owned()]).pop()?;
        Some(self.finish(departing, grace).kept)
    }

    /// Gets outputs ready to be added, or to take the place of running ones of the same names.
    /// Whatever can be refused is refused now, and then nothing has changed.
    pub fn prepare(&self, configs: Vec<OutputConfig>) -> Result<Vec<Prepared>, ShipError> {
        let running = self.running();
        check_beside(&configs, &running)?;
        name_all(configs, &running).into_iter().map(|config| self.prepare_one(config)).collect()
    }

    fn prepare_one(&self, config: OutputConfig) -> Result<Prepared, ShipError> {
        let dir: Option<PathBuf> = own_dir(&config, &self.ground.queues)?;
        let before = self.find(&config.name);
        if dir.is_some() && before.is_some_and(|before| before.dir == dir) {
            if let Destination::Http(url) = &config.destination {
                http::client(&config.name, url, config.retry)?;
            }
            return Ok(Prepared { output: Arc::new(Output::unstarted(config)), waits: true });
        }
        let output = Output::start(config, &self.ground)?;
        Ok(Prepared { output: Arc::new(output), waits: false })
    }

    /// Starts a relay that was prepared: for each of so many workers its inlet. None of other
    /// outputs.
    pub fn start_relay(
        &self,
        prepared: &Prepared,
        workers: usize,
        around: &Surroundings,
    ) -> Result<Vec<Inlet>, ShipError> {
        match &prepared.output.carrier {
            Carrier::Relay(relay) => relay.start(workers, around, &self.ground.runtime),
            Carrier::File(_) | Carrier::Network(..) | Carrier::None => Ok(Vec::new()),
        }
    }

    /// Takes the outputs of these names out, and those in that were prepared: from the next batch
    /// on they are offered all there is. Does not block. What was taken out, replaced or not, is yet
    /// to [end](Outputs::finish).
    pub fn exchange(&self, prepared: Vec<Prepared>, removed: &[String]) -> Vec<Departing> {
        let _changing = lock(&self.changing);
        let mut running = self.running().to_vec();
        let mut departing = Vec::new();
        let is_removed = |output: &mut Arc<Output>| removed.contains(&output.config.name);
        for output in running.extract_if(.., is_removed) {
            departing.push(Departing { output, successor: None });
        }
        for Prepared { output, waits } in prepared {
            let place = running.iter().position(|it| it.config.name == output.config.name);
            match place {
                Some(place) => {
                    let before = std::mem::replace(&mut running[place], Arc::clone(&output));
                    let successor = waits.then_some(output);
                    departing.push(Departing { output: before, successor });
                }
                None => running.push(output),
            }
        }
        let mut leaving = lock(&self.leaving);
        leaving.all.extend(departing.iter().map(|Departing { output, successor }| Leaver {
            output: Arc::clone(output),
            has_successor: successor.is_some(),
        }));
        *lock(&self.running) = running.into();
        // One that is not replaced delivers its backlog, too; a stop that comes then ends that.
        for Departing { output, successor } in &departing {
            if let (Carrier::Network(lanes, _), None) = (&output.carrier, successor) {
                lanes.drain();
            }
        }
        departing
    }

    /// Waits until an output that was taken out has ended, and starts the one that takes its place.
    /// One that is not replaced delivers all that it has, backlog and all, for as long as `grace`;
    /// of one that is, what is new: the other goes on with the rest. What is left then is kept on
    /// disk. Blocks, a moment longer than `grace`, and for as long as a disk that hangs.
    pub fn finish(&self, departing: Departing, grace: Duration) -> Departed {
        let Departing { output, successor } = departing;
        output.close();
        let kept = output.end(grace);
        output.wait_for_files();
        let name = output.config.name.clone();
        let has_successor = successor.is_some();
        let error = successor.and_then(|successor| self.succeed(&output, &successor).err());
        let is_taken_over = has_successor && self.find(&name).is_some();
        let mut leaving = lock(&self.leaving);
        leaving.all.retain(|leaver| !Arc::ptr_eq(&leaver.output, &output));
        leaving.dropped.add(&output.account.ledger());
        drop(leaving);
        self.left.notify_all();
        Departed { name, is_taken_over, kept, error }
    }

    // Starts what was to start when `before` has ended; or that again, if it cannot.
    fn succeed(&self, before: &Output, successor: &Arc<Output>) -> Result<(), ShipError> {
        let start = |config: &OutputConfig| {
            Output::start_behind(successor.front(), config.clone(), &self.ground)
        };
        let (started, done) = match start(&successor.config) {
            Ok(output) => (Some(output), Ok(())),
            Err(error) => (start(&before.config).ok(), Err(error)),
        };
        let _changing = lock(&self.changing);
        let mut running = self.running().to_vec();
        let place = running.iter().position(|it| Arc::ptr_eq(it, successor));
        match (place, started) {
            (Some(place), Some(started)) => running[place] = Arc::new(started),
            (Some(place), None) => {
                let gathered = running.remove(place);
                gathered.end(Duration::ZERO);
                lock(&self.leaving).dropped.add(&gathered.account.ledger());
            }
            // Nobody takes it out before it has started.
            (None, _) => {}
        }
        *lock(&self.running) = running.into();
        done
    }

    /// Every output's account, those that are about to end included; and what those had dropped
    /// that are not shown any more. Within each account, offered = acknowledged + queued +
    /// dropped.
    pub fn accounts(&self) -> (Vec<OutputLedger>, DroppedInAll) {
        let leaving = lock(&self.leaving);
        let mut ledgers = self.ledgers();
        let mut dropped = leaving.dropped;
        for ledger in leaving.outputs().map(|output| output.ledger()) {
            // A name stands there once.
            if ledgers.iter().any(|it| it.name == ledger.name) {
                dropped.add(&ledger);
            } else {
                ledgers.push(ledger);
            }
        }
        (ledgers, dropped)
    }

    /// The account of every output that runs.
    pub fn ledgers(&self) -> Vec<OutputLedger> {
        self.running().iter().map(|output| output.ledger()).collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Output>> {
        self.running().iter().find(|output| output.config.name == name).cloned()
    }

    pub(super) fn wait_while(&self, at_most: Duration, so: impl Fn(&Leaving) -> bool) {
        let leaving = lock(&self.leaving);
        let waited = self.left.wait_timeout_while(leaving, at_most, |leaving| so(leaving));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Output {
    /// Waits until nothing of an output that has ended works with its files any more.
    fn wait_for_files(&self) {
        let ended = lock(&self.ended);
        if ended.recv_timeout(LATE) == Err(RecvTimeoutError::Timeout) {
            let output = &self.config.name;
            tracing::warn!(output, "taken out, but does not end: does its disk hang?");
            // An error: nothing is ever sent.
            let _ = ended.recv();
        }
    }
}
