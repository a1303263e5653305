use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::session::Session;
use crate::error::ReplayError;
use crate::shipped::{MARK, Shipped};

/// A mark that did not come out by then was lost, or its flush is not due; it is sent again.
const AGAIN: Duration = Duration::from_secs(2);

/// Sends a mark behind everything else to each target, and waits until all of them came out: then
/// what was sent before them did too. Returns how many were sent.
pub(super) async fn pass_through(
    session: &mut Session,
    shipped: &Shipped,
    phase: &str,
    patience: Duration,
) -> Result<u64, ReplayError> {
    // Twice the same target is one listener.
    let mut targets = session.wire.targets().to_vec();
    targets.sort_unstable();
    targets.dedup();
    let name = |place: usize| format!("{MARK}{}_{phase}_{place}", session.run);
    let names: Vec<String> = (0..targets.len()).map(name).collect();
    let (mut sent, mut last) = (0, None::<Instant>);
    let began = Instant::now();
    while began.elapsed() < patience {
        let missing: Vec<usize> = {
            let seen = shipped.seen();
            let is_missing = |place: &usize| !seen.marks.contains_key(&names[*place]);
            (0..targets.len()).filter(is_missing).collect()
        };
        if missing.is_empty() {
            // Those that were sent again are received too before anybody counts.
            let meter = session.read_meter().await?;
            session.await_received(&meter, u64::MAX, |_| {}).await?;
            return Ok(sent);
        }
        if last.is_none_or(|last| last.elapsed() >= AGAIN) {
            for place in missing {
                send(targets[place], &format!("{}:1|c", names[place]))?;
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

fn send(to: SocketAddr, line: &str) -> Result<(), ReplayError> {
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let failed = |source| ReplayError::Socket { to, source };
    let socket = UdpSocket::bind(any).map_err(failed)?;
    socket.send_to(line.as_bytes(), to).map_err(failed)?;
    Ok(())
}
