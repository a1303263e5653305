//! StatsD lines to another StatsD server, as they were received.
//!
//! ```text
//!  worker -> Inlet -+
//!  worker -> Inlet -+-> a thread: Annotation, Packet, Sender -> UDP
//!                       Resolver, a task: where to, every minute
//! ```
//! A worker copies a line into a ring of its own and never waits: a relay that is behind loses
//! lines, and its account says so, in lines.

mod annotation;
mod inlet;
mod packet;
mod resolver;
mod sender;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use metric::{Dimensions, Source};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::ledger::{Account, DropReason};
use crate::sync::lock;
use crate::{OutputConfig, ShipError};

pub use annotation::Annotation;
pub(crate) use annotation::LONGEST;
pub use inlet::Inlet;
use inlet::Outflow;
use packet::Packet;
use resolver::{IsOwn, LookUp, Resolver};
use sender::Sender;

/// How long lines gather before they are taken: waking up for each batch would cost more.
const GATHER: Duration = Duration::from_millis(5);

/// With more than this taken at once there is no time to let lines gather.
const MUCH: usize = 128 << 10;

/// What a source's mark says is looked up again after this.
const MARKS_LAST: Duration = Duration::from_secs(1);

type WhoIs = Arc<dyn Fn(&Source) -> Arc<Dimensions> + Send + Sync>;

/// What relays ask of those around them.
#[derive(Clone)]
pub struct Surroundings {
    /// Who a source is, as far as it is known.
    pub dimensions: WhoIs,
    /// Whether a datagram to this address would come back to this process. May block.
    pub is_own: IsOwn,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// A relay: at first only planned, then running.
#[derive(Debug)]
pub(crate) struct Relay {
    plan: Plan,
    account: Arc<Account>,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct Plan {
    name: String,
    host: String,
    port: u16,
    annotation: Annotation,
    packet_bytes: usize,
}

#[derive(Debug)]
enum State {
    // Dropped when all that works for it has ended.
    Planned(mpsc::Sender<Infallible>),
    Running { messages: mpsc::Sender<Message>, thread: Thread, resolver: AbortHandle },
    Stopping(AbortHandle),
    Ended,
}

#[derive(Debug)]
enum Message {
    GoTo(Result<SocketAddr, String>),
    Stop,
}

impl Relay {
    pub(crate) fn new(
        config: &OutputConfig,
        (host, port): (String, u16),
        account: Arc<Account>,
        running: mpsc::Sender<Infallible>,
    ) -> Self {
        let plan = Plan {
            name: config.name(),
            host,
            port,
            annotation: config.annotation,
            packet_bytes: config.packet_bytes,
        };
        Self { plan, account, state: Mutex::new(State::Planned(running)) }
    }

    /// Starts it: its inlets, one for each worker. None if it runs already or was closed.
    pub(crate) fn start(
        &self,
        workers: usize,
        around: &Surroundings,
        runtime: &Handle,
    ) -> Result<Vec<Inlet>, ShipError> {
        let look_up = resolver::system(&self.plan.host, self.plan.port);
        self.start_with(look_up, workers, around, runtime)
    }

    fn start_with(
        &self,
        look_up: LookUp,
        workers: usize,
        around: &Surroundings,
        runtime: &Handle,
    ) -> Result<Vec<Inlet>, ShipError> {
        let mut state = lock(&self.state);
        let State::Planned(running) = &*state else { return Ok(Vec::new()) };
        let (messages, inbox) = mpsc::channel();
        let (hand, handed) = mpsc::channel();
        let work = Work {
            outflows: Vec::new(),
            messages: inbox,
            annotation: self.plan.annotation,
            marks: Marks::new(Arc::clone(&around.dimensions)),
            packet: Packet::new(self.plan.packet_bytes),
            sender: Sender::new(Arc::clone(&self.account)),
            account: Arc::clone(&self.account),
            lines: Vec::new(),
            line: Vec::new(),
        };
        let running = running.clone();
        let run = move || {
            // What it works on needs the thread's own handle.
            if let Ok(outflows) = handed.recv() {
                Work { outflows, ..work }.run();
            }
            drop(running);
        };
        let thread = thread::Builder::new().name("ship-relay".to_owned()).spawn(run);
        let thread = thread
            .map_err(|source| ShipError::Thread { name: self.plan.name.clone(), source })?
            .thread()
            .clone();
        let output: Arc<str> = self.plan.name.as_str().into();
        let pairs = (0..workers).map(|_| inlet::pair(&output, thread.clone()));
        let (inlets, outflows): (Vec<_>, Vec<_>) = pairs.unzip();
        let _ = hand.send(outflows);

        let resolver = Resolver { look_up, is_own: Arc::clone(&around.is_own) };
        let (plan, tell, wake) = (self.plan.clone(), messages.clone(), thread.clone());
        let resolver = runtime.spawn(resolver.run(move |outcome| {
            plan.log(&outcome);
            let heard = tell.send(Message::GoTo(outcome)).is_ok();
            wake.unpark();
            heard
        }));
        *state = State::Running { messages, thread, resolver: resolver.abort_handle() };
        Ok(inlets)
    }

    /// What was taken leaves, then the relay ends.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        *state = match std::mem::replace(&mut *state, State::Ended) {
            State::Running { messages, thread, resolver } => {
                let _ = messages.send(Message::Stop);
                thread.unpark();
                State::Stopping(resolver)
            }
            State::Stopping(resolver) => State::Stopping(resolver),
            State::Planned(_) | State::Ended => State::Ended,
        };
    }

    /// Nothing is waited for any more.
    pub(crate) fn abandon(&self) {
        self.close();
        if let State::Stopping(resolver) = &*lock(&self.state) {
            resolver.abort();
        }
    }
}

impl Plan {
    fn log(&self, outcome: &Result<SocketAddr, String>) {
        let Self { name: output, host, port, .. } = self;
        match outcome {
            Ok(address) => tracing::info!(output, %address, "lines are relayed"),
            Err(why) => tracing::warn!(output, "nothing is relayed to {host}:{port}: {why}"),
        }
    }
}

/// What the relay's thread does.
struct Work {
    outflows: Vec<Outflow>,
    messages: mpsc::Receiver<Message>,
    annotation: Annotation,
    marks: Marks,
    packet: Packet,
    sender: Sender,
    account: Arc<Account>,
    // A run, and a line of it with its mark.
    lines: Vec<u8>,
    line: Vec<u8>,
}

impl Work {
    fn run(mut self) {
        let mut is_stopping = self.wait_for_destination();
        while !is_stopping {
            let taken = self.take(Instant::now());
            if self.packet.due().is_some_and(|due| due <= Instant::now()) {
                self.packet.take(|packet, lines| self.sender.send(packet, lines));
            }
            self.sender.settle();
            if taken == 0 && self.packet.due().is_none() {
                // A worker or a message ends it; an end that came before is not lost.
                thread::park();
            }
            is_stopping = self.hear(if taken > MUCH { Duration::ZERO } else { GATHER });
        }
        while self.take(Instant::now()) > 0 {}
        self.packet.take(|packet, lines| self.sender.send(packet, lines));
        self.sender.settle();
    }

    /// Until it is known where they go, lines wait in their rings, and so does a stop; whether there
    /// was one.
    fn wait_for_destination(&mut self) -> bool {
        let mut is_stopping = false;
        loop {
            match self.messages.recv() {
                Ok(Message::GoTo(destination)) => {
                    self.sender.go_to(destination);
                    return is_stopping;
                }
                Ok(Message::Stop) => is_stopping = true,
                Err(_) => return true,
            }
        }
    }

    /// Waits so long for a message; whether it is to stop.
    fn hear(&mut self, wait: Duration) -> bool {
        match self.messages.recv_timeout(wait) {
            Ok(Message::GoTo(destination)) => {
                self.sender.go_to(destination);
                false
            }
            Err(mpsc::RecvTimeoutError::Timeout) => false,
            Ok(Message::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => true,
        }
    }

    /// Takes what is there now; how many bytes that was.
    fn take(&mut self, now: Instant) -> usize {
        let mut taken = 0;
        self.marks.forget_old(now);
        for outflow in &mut self.outflows {
            let refused = outflow.take_refused();
            if refused > 0 {
                self.account.offer(refused);
                self.account.lose(refused, DropReason::QueueFull);
            }
            // What comes meanwhile is for the next time, or a flood would never end.
            for _ in 0..outflow.runs() {
                let Some(run) = outflow.take(&mut self.lines) else { break };
                self.account.offer(run.lines);
                taken += run.bytes;
                let mark = self.marks.of(self.annotation, &run.source);
                for line in self.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
                {
                    self.line.clear();
                    self.annotation.write(mark, line, &mut self.line);
                    let send = |packet: &[u8], lines| self.sender.send(packet, lines);
                    self.packet.add(&self.line, now, send);
                }
            }
        }
        taken
    }
}

/// What is written into the lines of each source that spoke lately.
struct Marks {
    dimensions: WhoIs,
    known: HashMap<Arc<Source>, Vec<u8>>,
    since: Instant,
}

impl Marks {
    fn new(dimensions: WhoIs) -> Self {
        Self { dimensions, known: HashMap::new(), since: Instant::now() }
    }

    fn of(&mut self, annotation: Annotation, source: &Arc<Source>) -> &[u8] {
        if annotation == Annotation::None {
            return &[];
        }
        let Self { dimensions, known, .. } = self;
        known
            .entry(Arc::clone(source))
            .or_insert_with(|| annotation.mark(source, &dimensions(source)))
    }

    fn forget_old(&mut self, now: Instant) {
        if now.duration_since(self.since) >= MARKS_LAST {
            self.known.clear();
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests;
