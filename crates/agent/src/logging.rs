//! Logs on stderr, as text or JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, reload};

use crate::config::{Format, Log};

/// The running logs.
pub(crate) struct Logging {
    exchange: Box<dyn Fn(Level) -> Result<(), reload::Error> + Send + Sync>,
}

/// What is logged.
#[derive(Debug)]
pub(crate) struct Level(EnvFilter);

impl Level {
    /// Reads one, or says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        EnvFilter::try_new(text)
            .map(Self)
            .map_err(|error| format!("log.level: {error}; write error, warn, info, debug or trace"))
    }
}

impl Logging {
    /// Starts logging; the level is refused if it is none.
    pub(crate) fn start(log: &Log) -> Result<Self, String> {
        let Level(filter) = Level::read(&log.level)?;
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
        let exchange: Box<dyn Fn(Level) -> Result<(), reload::Error> + Send + Sync>;
        match log.format {
            Format::Text => {
                let logs = logs.with_ansi(stderr().is_terminal()).with_filter_reloading();
                let handle = logs.reload_handle();
                exchange = Box::new(move |Level(filter)| handle.reload(filter));
                logs.init();
            }
            Format::Json => {
                let logs = logs.json().with_filter_reloading();
                let handle = logs.reload_handle();
                exchange = Box::new(move |Level(filter)| handle.reload(filter));
                logs.init();
            }
        }
        Ok(Self { exchange })
    }

    /// From now on this is logged.
    pub(crate) fn set(&self, level: Level) {
        // It fails only when nothing logs any more.
        let _ = (self.exchange)(level);
    }
}
