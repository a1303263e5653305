//! Packets from a capture, a file or a scenario to the wire at a stated rate, and an account of what
//! came out.
#![forbid(unsafe_code)]

mod cli;
mod run;

mod corpus;
mod scenario;

mod pace;
mod sender;
mod wire;

mod account;
mod agent;
mod shipped;
mod verify;

mod progress;
mod report;
mod text;

mod floor;
mod record;

mod error;
mod signals;

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};

/// What could not be carried out.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let Cli { command, send } = Cli::parse();
    let done = match (command, send) {
        (Some(Command::Record(options)), _) => record::run(&options).map(|()| ExitCode::SUCCESS),
        (Some(Command::Floor(options)), _) => floor::run(&options).map(|()| ExitCode::SUCCESS),
        (None, Some(options)) => run::run(&options),
        (None, None) => {
            let _ = writeln!(stderr(), "{}", Cli::command().render_usage());
            return ExitCode::from(FAILED);
        }
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(stderr(), "weir-replay: {error}");
        ExitCode::from(FAILED)
    })
}
