//! `weir demo`: the agent with three invented containers, and a table of what comes out.
//!
//! Nothing is staged: the containers register over HTTP and send over UDP, and the table is read
//! from the Avro stream of an ordinary output.

mod container;
mod table;

use std::io::{Write, stderr, stdout};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Flags, HttpListen};
use crate::lifecycle::{self, Signals, new_boot_id};
use crate::logging::Logging;
use crate::pipeline::Pipeline;
use crate::service::Service;

/// Everything happens on free ports of 127.0.0.1 and in a temporary directory.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Time between flushes, and so between tables
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = crate::config::parse_duration)]
    flush_interval: Duration,
    /// How many tables to show; without it until Ctrl-C
    #[arg(long, value_name = "N")]
    tables: Option<usize>,
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> ExitCode {
    match lifecycle::block_on(show(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr().lock(), "weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn show(options: &Options) -> Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let collector = TcpListener::bind("127.0.0.1:0").context("cannot open a port")?;
    let dir = Dir::new();
    let config = config(options, collector.local_addr()?, &dir)?;
    Logging::start(&config.log).map_err(anyhow::Error::msg)?;
    let pipeline = Pipeline::start(&config, &new_boot_id(), Service::default())?;
    let api = pipeline.http().context("the demo has an HTTP listener")?.to_string();
    let api = api.trim_start_matches("tcp://").to_owned();

    tell(&api, options);
    let (tables, mut shown) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || table::print(&collector, &tables));
    let stop = CancellationToken::new();
    let containers = container::start_all(&api, &stop).await?;
    let enough = async {
        let mut left = options.tables.unwrap_or(usize::MAX);
        while left > 0 && shown.recv().await.is_some() {
            left -= 1;
        }
    };
    tokio::select! {
        _ = signals.next() => {}
        () = enough => {}
    }
    stop.cancel();
    for container in containers {
        container.await.context("a container's task failed")?;
    }
    pipeline.stop(config.shutdown_grace).await;
    Ok(())
}

fn config(options: &Options, collector: SocketAddr, dir: &Dir) -> Result<Config> {
    let flags = Flags {
        data_dir: Some(dir.0.clone()),
        listen: vec!["udp://127.0.0.1:0".parse().map_err(anyhow::Error::msg)?],
        http: Some(HttpListen::At(SocketAddr::from(([127, 0, 0, 1], 0)))),
        output: vec![format!("avro+tcp://{collector}").parse()?],
        flush_interval: Some(options.flush_interval),
        role: None,
    };
    let mut config = Config::load(None, flags)?;
    "warn".clone_into(&mut config.log.level);
    // The table is of what the containers say.
    config.node.poll = Duration::ZERO;
    Ok(config)
}

fn tell(api: &str, options: &Options) {
    let every = humantime::format_duration(options.flush_interval);
    let _ = writeln!(
        stdout().lock(),
        "Three containers register and send; every {every} comes out what they said.\n\
         Meanwhile: curl http://{api}/status.json; curl http://{api}/containers"
    );
}

/// A directory that goes with the demo.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("weir-demo-{}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
