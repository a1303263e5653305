//! The program `weir`: the per-node StatsD agent.
#![forbid(unsafe_code)]

mod cli;
mod config;

mod cardinality;
mod claims;
mod collector;
mod ends;
mod flush;
mod front;
mod handover;
mod ledger;
mod lifecycle;
mod looks;
mod own;
mod pipeline;
mod reload;
mod service;
mod shared;
mod terms;
mod watchdog;
mod worker;

mod data_dir;
mod glob;
mod logging;

mod cat;
mod check;
mod demo;
mod look;
mod parse;

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

// Series come in waves; the C library's allocator would keep the memory of the highest.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let Cli { command, run } = Cli::parse();
    match command.unwrap_or(Command::Run(run)) {
        Command::Run(options) => match lifecycle::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(stderr().lock(), "weir: {error:#}");
                ExitCode::FAILURE
            }
        },
        Command::Status(options) => look::status::run(&options),
        Command::Cardinality(options) => look::cardinality::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Parse(options) => parse::run(&options),
        Command::Cat(options) => cat::run(&options),
        Command::Demo(options) => demo::run(&options),
    }
}
