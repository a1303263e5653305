use anyhow::{Error, Result, anyhow};
use ingest::Listeners;
use ship::Inlet;

use super::{Difference, Ground};
use crate::collector::{self, Bound};
use crate::config::{Config, ConfigError, Output};
use crate::logging::Level;
use crate::service::bind_patiently;
use crate::shared::{self, Opened};

/// Another configuration, checked, with all that could be refused of it open and running. Dropped,
/// all of that is closed again.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) difference: Difference,
    pub(super) shared: Undecided,
    pub(super) streams: Vec<Bound>,
    pub(super) outputs: Vec<ship::Prepared>,
    /// Of each worker, those of new relays.
    pub(super) inlets: Vec<Vec<Inlet>>,
    pub(super) level: Option<Level>,
}

/// Listeners that are closed again, unless they are taken.
#[derive(Debug)]
pub(super) struct Undecided {
    opened: Vec<Opened>,
    listeners: Listeners,
}

impl Undecided {
    /// They stay.
    pub(super) fn take(&mut self) -> Vec<Opened> {
        std::mem::take(&mut self.opened)
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        for opened in &self.opened {
            // It happens whether it is awaited or not.
            drop(self.listeners.close(&opened.source));
        }
    }
}

impl Prepared {
    /// Everything that can be refused, beside what is running. Blocks: names are looked up, and files
    /// opened. Within a tokio runtime.
    pub(super) fn new(
        ground: &Ground,
        workers: usize,
        running: &Config,
        loaded: Result<Config, ConfigError>,
    ) -> Result<Self> {
        let config = loaded?;
        let difference = Difference::between(running, &config).map_err(Error::msg)?;
        let level = (config.log.level != running.log.level)
            .then(|| Level::read(&config.log.level))
            .transpose()
            .map_err(Error::msg)?;
        let mut shared = Undecided { opened: Vec::new(), listeners: ground.listeners.clone() };
        for listener in &difference.opened {
            let open = || shared::open_one(listener, &ground.listeners);
            let opened = bind_patiently(&ground.store, open);
            shared.opened.extend(opened?);
        }
        let streams = collector::bind(&difference.opened, &ground.way_in)?;
        let outputs = difference.outputs.iter().map(Output::to_ship).collect();
        let outputs = ground.outputs.prepare(outputs)?;
        let mut inlets: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
        let around = ground.own.surroundings(&ground.way_in.contexts);
        for output in &outputs {
            let of_workers = ground.outputs.start_relay(output, workers, &around)?;
            inlets.iter_mut().zip(of_workers).for_each(|(of, inlet)| of.push(inlet));
        }
        Ok(Self { config, difference, shared, streams, outputs, inlets, level })
    }
}

/// What is wrong, in one line.
pub(super) fn in_one_line(error: &Error) -> String {
    let words: Vec<_> = format!("{error:#}").split_whitespace().map(str::to_owned).collect();
    words.join(" ")
}

/// The look for a configuration did not come to an end.
pub(super) fn broken_off() -> Error {
    anyhow!("it could not be looked at: is the process about to end?")
}
