//! Logs on stderr, as text or JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{Format, Log};

/// Starts logging; the level is refused if it is none.
pub(crate) fn start(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| format!("log.level: {error}; write error, warn, info, debug or trace"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match log.format {
        Format::Text => logs.with_ansi(stderr().is_terminal()).init(),
        Format::Json => logs.json().init(),
    }
    Ok(())
}
