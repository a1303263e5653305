use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::session::Session;
use crate::error::ReplayError;
use crate::shipped::{MARK, Shipped};

/// A mark that did not come out by then was lost, or its flush is not due; it is sent again.
const AGAIN: Duration = Duration::from_secs(2);

/// What a mark adds to its series tells which it is, for both are of one: a source that is at its
/// limit of series takes no new one at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Begin,
    End,
}

impl Phase {
    /// More than all beginnings together.
    fn value(self) -> u32 {
        match self {
            Self::Begin => 1,
            Self::End => 1_000_000,
        }
    }
}

/// Makes the marks' series known to each target, which need not have flushed them before the run.
/// Returns how many were sent.
pub(super) async fn introduce(session: &Session) -> Result<u64, ReplayError> {
    let marks = Marks::of(session);
    let before = session.read_meter().await?;
    (0..marks.targets.len()).try_for_each(|place| marks.send(place, Phase::Begin))?;
    let sent = marks.targets.len() as u64;
    // Received later, they would be taken for datagrams of the run and hide as many losses.
    session.await_received(&before, sent, |_| {}).await?;
    Ok(sent)
}

/// Sends a mark behind everything else to each target, and waits until all of them came out: then
/// what was sent before them did too. Returns how many were sent.
pub(super) async fn pass_through(
    session: &mut Session,
    shipped: &Shipped,
    phase: Phase,
    patience: Duration,
) -> Result<u64, ReplayError> {
    let marks = Marks::of(session);
    let (mut sent, mut last) = (0, None::<Instant>);
    let began = Instant::now();
    while began.elapsed() < patience {
        let missing = marks.missing(shipped, phase);
        if missing.is_empty() {
            // Those that were sent again are received too before anybody counts.
            let meter = session.read_meter().await?;
            session.await_received(&meter, u64::MAX, |_| {}).await?;
            return Ok(sent);
        }
        if last.is_none_or(|last| last.elapsed() >= AGAIN) {
            for place in missing {
                marks.send(place, phase)?;
                sent += 1;
            }
            last = Some(Instant::now());
        }
        session.pause().await?;
    }
    let problem = shipped.seen().problem.clone();
    Err(ReplayError::Unverifiable(format!(
        "what was sent did not come out within {}{}; is --shipped where the agent ships to, and \
         --patience longer than some flush intervals?",
        humantime::format_duration(patience),
        problem.map(|problem| format!(" ({problem})")).unwrap_or_default()
    )))
}

/// A series at each target.
struct Marks {
    targets: Vec<SocketAddr>,
    names: Vec<String>,
}

impl Marks {
    fn of(session: &Session) -> Self {
        // Twice the same target is one listener.
        let mut targets = session.wire.targets().to_vec();
        targets.sort_unstable();
        targets.dedup();
        let name = |place: usize| format!("{MARK}{}_{place}", session.run);
        Self { names: (0..targets.len()).map(name).collect(), targets }
    }

    /// Those that did not come out yet.
    fn missing(&self, shipped: &Shipped, phase: Phase) -> Vec<usize> {
        let seen = shipped.seen();
        let came = |place: &usize| {
            let mark = seen.marks.get(&self.names[*place]);
            mark.is_some_and(|mark| mark.most >= f64::from(phase.value()))
        };
        (0..self.targets.len()).filter(|place| !came(place)).collect()
    }

    fn send(&self, place: usize, phase: Phase) -> Result<(), ReplayError> {
        let to = self.targets[place];
        let any: SocketAddr = if to.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let failed = |source| ReplayError::Socket { to, source };
        let socket = UdpSocket::bind(any).map_err(failed)?;
        let line = format!("{}:{}|c", self.names[place], phase.value());
        socket.send_to(line.as_bytes(), to).map_err(failed)?;
        Ok(())
    }
}
