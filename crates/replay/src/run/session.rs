use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::agent::containers::Containers;
use crate::agent::http::Endpoint;
use crate::agent::process::{Usage, threads};
use crate::agent::sockets::kernel_drops;
use crate::agent::spawned::Spawned;
use crate::agent::status::{Account, Status, Whose};
use crate::cli::{Options, StatusAt};
use crate::corpus::{Corpus, Passed};
use crate::error::ReplayError;
use crate::shipped::Shipped;
use crate::signals::Signals;
use crate::wire::Wire;

/// How often something is looked at that nobody tells of.
const LOOK: Duration = Duration::from_millis(100);

/// An agent that does not answer for so long will not any more.
const BUSY: Duration = Duration::from_secs(30);

/// What was shipped is all there when nothing came for so long.
const QUIET: Duration = Duration::from_millis(500);

/// So many flushes after another all of that is there too: each is written behind the one before,
/// and a source that waits for its context is late by one.
const LATER_FLUSHES: usize = 3;

/// Everything that a run speaks to.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) corpus: Arc<Corpus>,
    pub(crate) about: Option<String>,
    pub(crate) passed: Passed,
    pub(crate) wire: Arc<Wire>,
    pub(crate) status: Option<Endpoint>,
    whose: Whose,
    /// Ports whose drops this machine's kernel tells.
    local_ports: Vec<u16>,
    containers: Option<Containers>,
    spawned: Option<Spawned>,
    pid: Option<Pid>,
    /// New in each run: what is told apart by it cannot be of another.
    pub(crate) run: String,
    signals: Signals,
}

/// What is known of received and lost datagrams at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    status: Option<Account>,
    kernel_dropped: Option<u64>,
    /// No point is on its way.
    is_settled: bool,
    /// By the outputs' names.
    points_dropped: BTreeMap<String, u64>,
    boot_id: String,
}

impl Session {
    /// Starts the agent if that is asked for, finds its status, registers containers.
    pub(crate) async fn open(
        options: &Options,
        input: crate::corpus::Input,
    ) -> Result<Self, ReplayError> {
        let mut signals = Signals::listen().map_err(|source| ReplayError::Thread { source })?;
        let shared = if options.register { Vec::new() } else { resolve(&options.to)? };
        let mut spawned = match &options.spawn {
            Some(command) => Some(Spawned::start(command, &options.spawn_pin)?),
            None => None,
        };
        let usual = Endpoint::Tcp("127.0.0.1:8126".to_owned());
        let given = match &options.status {
            Some(StatusAt::At(endpoint)) => Some(endpoint.clone()),
            Some(StatusAt::Nowhere) | None => None,
        };
        if let Some(spawned) = &mut spawned {
            let unless_none = options.status != Some(StatusAt::Nowhere);
            let status = given.clone().or(unless_none.then(|| usual.clone()));
            let ports: Vec<u16> = shared.iter().map(SocketAddr::port).collect();
            tokio::select! {
                ready = spawned.ready(status.as_ref(), &ports) => ready?,
                () = signals.came() => return Err(ReplayError::Interrupted),
            }
        }
        let status = match (given, &options.status) {
            (Some(endpoint), _) => {
                Status::read(&endpoint).await?;
                Some(endpoint)
            }
            (None, None) => usual_status(usual, &shared, options.register).await,
            (None, Some(_)) => None,
        };
        let run = format!("{:08x}", std::process::id() ^ start_of_run());
        let containers = if options.register {
            let api = options.api.clone().or(status.clone()).ok_or_else(|| {
                ReplayError::Unverifiable(
                    "--register: no agent answers; say where with --api or --status".to_owned(),
                )
            })?;
            Some(Containers::register(&api, input.corpus.lanes(), &run).await?)
        } else {
            None
        };
        let targets = containers.as_ref().map_or(shared, |it| it.addresses.clone());
        let is_local = targets.iter().all(is_of_this_machine);
        let ports: Vec<u16> = targets.iter().map(SocketAddr::port).collect();
        let whose = match &containers {
            Some(containers) => Whose::Containers(containers.ids.clone()),
            None => Whose::Ports(ports.clone()),
        };
        let pid = spawned.as_ref().map(Spawned::pid).or(options.pid.and_then(Pid::from_raw));
        let wire = Wire::open(targets, options.segments);
        let mut session = Self {
            corpus: Arc::new(input.corpus),
            about: input.scenario.map(|scenario| scenario.about),
            passed: input.passed,
            wire: Arc::new(match wire {
                Ok(wire) => wire,
                Err(error) => {
                    if let Some(mut containers) = containers {
                        let _ = containers.remove().await;
                    }
                    return Err(error);
                }
            }),
            status,
            whose,
            local_ports: if is_local { ports } else { Vec::new() },
            containers,
            spawned,
            pid,
            run,
            signals,
        };
        session.local_ports.sort_unstable();
        session.local_ports.dedup();
        Ok(session)
    }

    /// Removes what was registered and stops what was started.
    pub(crate) async fn close(mut self) -> Result<(), ReplayError> {
        let removed = match &mut self.containers {
            Some(containers) => containers.remove().await,
            None => Ok(()),
        };
        if let Some(spawned) = &mut self.spawned {
            spawned.stop().await;
        }
        removed
    }

    /// Done when the user asks to stop.
    pub(crate) async fn interrupted(&mut self) {
        self.signals.came().await;
    }

    /// Whether the agent is known to have received nothing yet.
    pub(crate) async fn is_fresh(&self) -> bool {
        let Some(status) = &self.status else { return false };
        // Containers of this run are new, whatever else the agent has.
        self.has_containers() || Status::read(status).await.is_ok_and(|it| it.is_fresh())
    }

    pub(crate) fn has_containers(&self) -> bool {
        self.containers.is_some()
    }

    /// Who each lane is: a container each, or all shared listeners together.
    pub(crate) fn origins(&self) -> Vec<usize> {
        let lanes = 0..self.corpus.lanes();
        if self.has_containers() { lanes.collect() } else { lanes.map(|_| 0).collect() }
    }

    /// The container of each origin.
    pub(crate) fn origin_names(&self) -> Vec<String> {
        self.containers.as_ref().map_or_else(|| vec![String::new()], |it| it.ids.clone())
    }

    /// What is known of what the agent received and of what was lost. An agent that is too busy
    /// to answer is asked again for a while.
    pub(crate) async fn read_meter(&self) -> Result<Meter, ReplayError> {
        let began = Instant::now();
        loop {
            match self.try_meter().await {
                Err(_) if began.elapsed() < BUSY => tokio::time::sleep(LOOK).await,
                read => return read,
            }
        }
    }

    /// As [`Session::read_meter`], but asks once.
    pub(crate) async fn try_meter(&self) -> Result<Meter, ReplayError> {
        let kernel_dropped = match &self.local_ports[..] {
            [] => None,
            ports => kernel_drops(ports),
        };
        let Some(endpoint) = &self.status else {
            return Ok(Meter { kernel_dropped, is_settled: true, ..Meter::default() });
        };
        let status = Status::read(endpoint).await?;
        Ok(Meter {
            status: Some(status.account(&self.whose)),
            kernel_dropped,
            is_settled: status.is_settled(),
            points_dropped: status.points_dropped(),
            boot_id: status.boot_id,
        })
    }

    /// What the agent has cost so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.pid.and_then(Usage::of)
    }

    /// The processor time of the agent's threads so far.
    pub(crate) fn threads(&self) -> BTreeMap<String, Duration> {
        self.pid.map(threads).unwrap_or_default()
    }

    /// Waits until what was sent has been received or is known to be lost, or nothing moves any
    /// more: what is known then. Each reading on the way is shown to `look`.
    pub(crate) async fn await_received(
        &self,
        before: &Meter,
        sent: u64,
        mut look: impl FnMut(&Meter),
    ) -> Result<Meter, ReplayError> {
        let mut last = self.read_meter().await?;
        let mut moved = Instant::now();
        while last.known_since(before).is_none_or(|known| known < sent) && moved.elapsed() < QUIET {
            look(&last);
            tokio::time::sleep(LOOK).await;
            let now = self.read_meter().await?;
            if now.known_since(before) != last.known_since(before) {
                moved = Instant::now();
            }
            last = now;
        }
        Ok(last)
    }

    /// Waits until no point of what came out so far, or of the same flush, is on its way any more.
    pub(crate) async fn await_settled(
        &mut self,
        shipped: &Shipped,
        patience: Duration,
    ) -> Result<(), ReplayError> {
        let began = Instant::now();
        let last = shipped.seen().last_flush();
        while began.elapsed() < patience {
            // With a short flush interval and gauges it never is quiet.
            let is_settled = self.read_meter().await?.is_settled;
            let is_past = shipped.seen().flushes_after(last) >= LATER_FLUSHES;
            if is_settled && (is_past || shipped.is_quiet_for(QUIET)) {
                return Ok(());
            }
            self.pause().await?;
        }
        // It goes on and on; what is there is looked at.
        Ok(())
    }

    /// A moment, unless the user asks to stop.
    pub(crate) async fn pause(&mut self) -> Result<(), ReplayError> {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => Ok(()),
            () = self.interrupted() => Err(ReplayError::Interrupted),
        }
    }
}

impl Meter {
    /// What an agent's status tells.
    #[cfg(test)]
    pub(super) fn of(status: Account) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// What the agent says that came since another reading.
    pub(crate) fn status_since(&self, before: &Self) -> Option<Account> {
        Some(self.status.clone()? - before.status.clone()?)
    }

    /// Datagrams that the kernel dropped since: by the agent's word, or else by the kernel's.
    pub(crate) fn kernel_dropped_since(&self, before: &Self) -> Option<u64> {
        match self.status_since(before) {
            Some(status) => Some(status.kernel_dropped),
            None => Some(self.kernel_dropped?.saturating_sub(before.kernel_dropped?)),
        }
    }

    /// Points that an output dropped since: the one that dropped most, as nobody tells here which of
    /// them shipped what is looked at.
    pub(crate) fn points_dropped_since(&self, before: &Self) -> u64 {
        let since = |(output, dropped): (&String, &u64)| {
            dropped.saturating_sub(before.points_dropped.get(output).copied().unwrap_or(0))
        };
        self.points_dropped.iter().map(since).max().unwrap_or(0)
    }

    /// Datagrams that arrived, and those that are known not to; `None` without a status.
    fn known_since(&self, before: &Self) -> Option<u64> {
        let status = self.status_since(before)?;
        Some(status.received.datagrams + status.kernel_dropped + status.closed_unread)
    }

    /// Another agent answers than before.
    pub(crate) fn is_another_process(&self, before: &Self) -> bool {
        self.boot_id != before.boot_id
    }
}

/// Where a status is that nobody named, if it is the account of who is sent to.
async fn usual_status(usual: Endpoint, to: &[SocketAddr], registers: bool) -> Option<Endpoint> {
    let status = Status::read(&usual).await.ok()?;
    let ports: Vec<u16> = to.iter().map(SocketAddr::port).collect();
    if registers || (status.tells_of(&ports) && to.iter().all(is_of_this_machine)) {
        return Some(usual);
    }
    let _ = writeln!(
        std::io::stderr(),
        "weir-replay: {usual} is not who is sent to, and its account is left aside; say --status \
         {usual} if it is"
    );
    None
}

fn resolve(targets: &[String]) -> Result<Vec<SocketAddr>, ReplayError> {
    let resolve = |target: &String| {
        let address = target.strip_prefix("udp:").unwrap_or(target).trim_start_matches('/');
        let resolved = address.to_socket_addrs().ok().and_then(|mut all| all.next());
        resolved.ok_or_else(|| ReplayError::Target { target: target.clone() })
    };
    targets.iter().map(resolve).collect()
}

/// Whether an address is this machine's: nobody can listen at another.
fn is_of_this_machine(address: &SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}

/// A number that differs from run to run.
fn start_of_run() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    (now.as_secs() as u32).wrapping_mul(0x9e37_79b9) ^ now.subsec_nanos()
}
