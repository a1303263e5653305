//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flags, HttpListen, ListenUrl, OutputUrl, Role};
use crate::{cat, check, demo, look, parse};

const EXAMPLES: &str = "\
Examples:
  weir                                   listen on udp://127.0.0.1:8125, write ./weir-data
  weir --listen udp://0.0.0.0:8125 --listen unixgram:/run/weir/statsd.sock
  weir --config /etc/weir/weir.toml
  weir status                            what was received, and what was lost
  weir cardinality                       who has how many series, and why
  weir demo                              three invented containers, and what comes out
  echo 'a:1|c' | weir parse              how a line is read
  weir cat weir-data/points/*.avro       what was written, as JSON lines

Signals: TERM and INT stop it: sockets are read until empty, the last flush is delivered. HUP has it
read its configuration again, and take it or refuse it as a whole: `weir status` says which.";

/// The per-node StatsD agent: containers' metrics in, tagged Avro out.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("WEIR_BUILD"), ")"),
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the agent; what `weir` alone does.
    #[command(after_help = EXAMPLES)]
    Run(RunOptions),
    /// Show where every sample and point of a running agent went, losses first.
    Status(look::status::Options),
    /// Show who has how many series, why, and a rule that drops most of them.
    Cardinality(look::cardinality::Options),
    /// Print the effective configuration as TOML that `weir run` accepts, or what is wrong with it.
    Check(check::Options),
    /// Print how StatsD lines are read: one JSON object a line.
    Parse(parse::Options),
    /// Print Avro that weir or DC/OS wrote as JSON lines; with tcp://HOST:PORT, collect it.
    Cat(cat::Options),
    /// Run the agent with three invented containers, and show what comes out at each flush.
    Demo(demo::Options),
}

/// What can be said on the command line; each option beats the file.
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::doc_markdown)] // these texts are the program's help, not Markdown
pub(crate) struct RunOptions {
    /// The configuration, TOML; without one every key has its default
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where state and, by default, points are kept [default: ./weir-data or $STATE_DIRECTORY]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A shared listener: udp://HOST:PORT, unixgram:PATH or avro+tcp://HOST:PORT; may be repeated,
    /// replaces the file's [default: udp://127.0.0.1:8125]
    #[arg(long, value_name = "URL")]
    listen: Vec<ListenUrl>,
    /// Where status is served: HOST:PORT or none [default: 127.0.0.1:8126]
    #[arg(long, value_name = "ADDR")]
    http: Option<HttpListen>,
    /// An output: file:DIR, avro+tcp://HOST:PORT, http://... or https://..., for the points of each
    /// flush; statsd+udp://HOST:PORT for the lines as they were received, each with its container
    /// before its name. May be repeated, replaces the file's [default: file:DATA_DIR/points]
    #[arg(long, value_name = "URL")]
    output: Vec<OutputUrl>,
    /// Time between flushes: 10s, 500ms, 1m [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::config::parse_duration)]
    flush_interval: Option<Duration>,
    /// What kind of node this is; on a master /v0 tells nothing of containers [default: agent]
    #[arg(long, value_name = "ROLE", value_enum)]
    role: Option<Role>,
}

impl RunOptions {
    /// The flags, beside the name of the file.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            data_dir: self.data_dir.clone(),
            listen: self.listen.clone(),
            http: self.http,
            output: self.output.clone(),
            flush_interval: self.flush_interval,
            role: self.role,
        }
    }
}
