//! `weir check`: the configuration as the agent would take it.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Args;

use crate::cli::RunOptions;
use crate::config::Config;

/// What to check: the same options as `weir run`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    run: RunOptions,
}

/// Prints the effective configuration and exits 0, or the error and exits 1.
pub(crate) fn run(options: &Options) -> ExitCode {
    let text = Config::load(options.run.config.as_deref(), options.run.flags())
        .map_err(|error| error.to_string())
        .and_then(|config| toml::to_string_pretty(&config).map_err(|error| error.to_string()));
    match text {
        Ok(text) => {
            // A reader that closed the pipe has seen enough.
            let _ = stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(stderr().lock(), "weir: {error}");
            ExitCode::FAILURE
        }
    }
}
