//! From start to stop: configuration, logs, the pipeline, signals.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write, stdout};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use ingest::Address;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ship::Destination;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::cli::RunOptions;
use crate::config::Config;
use crate::logging;
use crate::pipeline::Pipeline;
use crate::service::{Service, notify};
use crate::watchdog;

/// Runs the agent until it is told to stop.
pub(crate) fn run(options: &RunOptions) -> Result<()> {
    let config = Config::load(options.config.as_deref(), options.flags())?;
    logging::start(&config.log).map_err(anyhow::Error::msg)?;
    raise_descriptor_limit();
    let service = Service::from_environment();
    block_on(serve(&config, service))
}

/// Runs something on the runtime of all that is not on the data's own threads.
pub(crate) fn block_on(task: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("api")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let done = runtime.block_on(task);
    // A name look-up or a disk that hangs does not hold up the end.
    runtime.shutdown_background();
    done
}

async fn serve(config: &Config, service: Service) -> Result<()> {
    // Before anything else: a stop that comes early must find us listening for it.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let boot_id = new_boot_id();
    let (manager, watchdog) = (service.manager.clone(), service.watchdog);
    let pipeline = Pipeline::start(config, &boot_id, service)?;
    info!(boot_id = %boot_id, "weir {} runs", env!("CARGO_PKG_VERSION"));
    // A reader that closed the pipe does not matter.
    let _ = tell_what_to_try(config, &pipeline);
    notify(manager.as_deref(), "READY=1");
    let heart = manager
        .clone()
        .zip(watchdog)
        .map(|(manager, within)| tokio::spawn(watchdog::run(manager, within, pipeline.loops())));

    let signal = signals.next().await;
    info!("{signal}: stopping");
    // From here the manager has another limit. The loops end when nobody can ask them any more.
    if let Some(heart) = heart {
        heart.abort();
        let _ = heart.await;
    }
    notify(manager.as_deref(), "STOPPING=1");
    pipeline.stop(config.shutdown_grace).await;
    info!("stopped");
    Ok(())
}

/// The signals that end the agent.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

// 16 hex digits, different for each process.
pub(crate) fn new_boot_id() -> Arc<str> {
    format!("{:016x}", RandomState::new().build_hasher().finish()).into()
}

// Each container has a socket. What the hard limit allows is asked for.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!("cannot raise the limit of open files: {error}");
    }
}

fn tell_what_to_try(config: &Config, pipeline: &Pipeline) -> io::Result<()> {
    let mut out = stdout().lock();
    // As it was called, so that the lines can be pasted.
    let weir = std::env::args().next().unwrap_or_else(|| "weir".to_owned());
    for listener in &pipeline.shared {
        writeln!(out, "listening on {}", listener.address)?;
    }
    for collector in &pipeline.collectors {
        writeln!(out, "listening on avro+tcp://{}", collector.address)?;
    }
    if let Some(http) = pipeline.http() {
        writeln!(out, "HTTP on {http}")?;
    }
    writeln!(out, "\nTry:")?;
    let udp = pipeline.shared.iter().find_map(|listener| match &listener.address {
        Address::Udp(address) => Some(address),
        Address::Unixgram(_) => None,
    });
    if let Some(address) = udp {
        let (ip, port) = (address.ip(), address.port());
        let ip = if ip.is_unspecified() { "127.0.0.1".to_owned() } else { ip.to_string() };
        writeln!(out, "  echo 'hello:1|c|#from:me' | nc -u -w1 {ip} {port}")?;
    }
    let every = humantime::format_duration(config.flush_interval);
    for output in &config.outputs {
        match &output.url.destination {
            Destination::File(dir) => {
                writeln!(out, "  {weir} cat {}/*      # a flush every {every}", dir.display())?;
            }
            Destination::AvroTcp { host, port } => {
                writeln!(out, "  {weir} cat tcp://{host}:{port}      # collects there, on {host}")?;
            }
            Destination::StatsdUdp { host, port } => {
                writeln!(out, "  nc -klu {port}      # on {host}: the lines as they come")?;
            }
            Destination::Http(_) => {
                writeln!(out, "  # {} is sent what comes, every {every}", output.name)?;
            }
        }
    }
    if let Some(http) = pipeline.http() {
        let http = http.to_string().replace("tcp://", "http://");
        writeln!(out, "  curl {http}/status.json")?;
    }
    out.flush()
}
