//! From start to stop: configuration, logs, the pipeline, signals.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write, stdout};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use ingest::{Address, Manager};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use ship::Destination;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::cli::RunOptions;
use crate::config::{Config, ConfigError};
use crate::logging::Logging;
use crate::pipeline::Pipeline;
use crate::reload::InForce;
use crate::service::{Service, notify};
use crate::watchdog;

/// Runs the agent until it is told to stop.
pub(crate) fn run(options: &RunOptions) -> Result<()> {
    // What it was started with, before anything else takes a descriptor.
    let service = Service::from_environment();
    block_on(serve(options.clone(), service))
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

async fn serve(options: RunOptions, service: Service) -> Result<()> {
    // Before anything else: a signal that comes early must find us listening for it.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut hangups = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let load = move || Config::load(options.config.as_deref(), options.flags());
    let config = load()?;
    let logging = Logging::start(&config.log).map_err(anyhow::Error::msg)?;
    if let Some(trouble) = &service.trouble {
        warn!("{trouble}");
    }
    raise_descriptor_limit();
    let boot_id = new_boot_id();
    let (manager, watchdog) = (service.manager.clone(), service.watchdog);
    let mut pipeline = Pipeline::start(&config, &boot_id, service)?;
    info!(boot_id = %boot_id, "weir {} runs", env!("CARGO_PKG_VERSION"));
    // A reader that closed the pipe does not matter.
    let _ = tell_what_to_try(&config, &pipeline);
    notify(manager.as_deref(), "READY=1");
    let heart = manager
        .clone()
        .zip(watchdog)
        .map(|(manager, within)| tokio::spawn(watchdog::run(manager, within, pipeline.loops())));

    // One at a time, each to its end; several that come meanwhile are one. A stop waits for none.
    let signal = loop {
        let reload = async {
            hangups.recv().await;
            reload(&mut pipeline.in_force, load.clone(), &logging, manager.as_deref()).await;
        };
        tokio::select! {
            signal = signals.next() => break signal,
            () = reload => {}
        }
    };
    info!("{signal}: stopping");
    // From here the manager has another limit. The loops end when nobody can ask them any more.
    if let Some(heart) = heart {
        heart.abort();
        let _ = heart.await;
    }
    notify(manager.as_deref(), "STOPPING=1");
    let grace = pipeline.in_force.config.shutdown_grace;
    pipeline.stop(grace).await;
    info!("stopped");
    Ok(())
}

async fn reload(
    in_force: &mut InForce,
    load: impl FnOnce() -> Result<Config, ConfigError> + Send + 'static,
    logging: &Logging,
    manager: Option<&Manager>,
) {
    info!("SIGHUP: the configuration is read again");
    let since_boot = clock_gettime(ClockId::Monotonic);
    let micros = since_boot.tv_sec * 1_000_000 + since_boot.tv_nsec / 1_000;
    notify(manager, &format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    let status = match in_force.exchange(load, logging).await {
        Ok(()) => "the configuration is the one that was read last".to_owned(),
        Err(reason) => format!("the last configuration was refused: {reason}"),
    };
    notify(manager, &format!("READY=1\nSTATUS={status}"));
    in_force.let_go().await;
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
    for listener in &pipeline.in_force.shared {
        writeln!(out, "listening on {}", listener.address)?;
    }
    for collector in &pipeline.in_force.collectors {
        writeln!(out, "listening on avro+tcp://{}", collector.address)?;
    }
    if let Some(http) = pipeline.http() {
        writeln!(out, "HTTP on {http}")?;
    }
    writeln!(out, "\nTry:")?;
    let udp = pipeline.in_force.shared.iter().find_map(|listener| match &listener.address {
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
