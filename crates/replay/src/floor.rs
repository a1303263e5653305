//! The floor: what receiving costs, before anything is done with it, or what adding up costs at
//! the least.

mod sums;

use std::io::{self, IoSliceMut, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use crate::cli::parse_duration;
use crate::error::ReplayError;
use crate::signals::Signals;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use socket2::{Domain, Socket, Type};
use sums::Sums;

const BATCH: usize = 64;
const LONGEST: usize = 2048;

/// A bare recvmmsg loop of one thread in batches of 64; it ends with SIGINT, SIGTERM or SIGHUP and tells
/// how much it received.
///
/// Run it beside an agent to see how near the agent comes: `weir-replay FILE --search 0.1%
/// --status none --to 127.0.0.1:PORT --spawn 'weir-replay floor --port PORT'`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The port to receive at, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Receive buffer to ask for, in bytes
    #[arg(long, default_value_t = 4 << 20)]
    receive_buffer: usize,
    /// Add the lines up as well, as plainly as can be: by a hash of all but the value, in one table,
    /// nothing compared, judged or flushed
    #[arg(long)]
    add: bool,
    /// Rest so long whenever less than a batch was there: what arrives by then wakes it once, 2ms
    /// as the agent at most by default
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    rest: Duration,
}

/// What was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Received {
    datagrams: u64,
    bytes: u64,
    batches: u64,
    /// Where lines are added up.
    series: Option<usize>,
}

/// Receives until a signal.
pub(crate) fn run(options: &Options) -> Result<(), ReplayError> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let failed = |source| ReplayError::Listen { at, source };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).map_err(failed)?;
    let _ = socket.set_recv_buffer_size(options.receive_buffer);
    // So that a signal is noticed when nothing comes.
    socket.set_read_timeout(Some(Duration::from_millis(200))).map_err(failed)?;
    socket.bind(&at.into()).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = std::sync::Arc::clone(&stop);
    let (sums, rest) = (options.add.then(Sums::default), options.rest);
    let receiving = std::thread::Builder::new().spawn(move || receive(&socket, sums, rest, &asked));
    let receiving = receiving.map_err(failed)?;
    runtime
        .block_on(async {
            Signals::listen()?.came().await;
            Ok(())
        })
        .map_err(failed)?;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let received = receiving.join().unwrap_or_default();
    let Received { datagrams, bytes, batches, series } = received;
    let series = series.map(|series| format!(", {series} series")).unwrap_or_default();
    let _ =
        writeln!(io::stdout(), "{datagrams} datagrams, {bytes} bytes in {batches} batches{series}");
    Ok(())
}

fn receive(
    socket: &Socket,
    mut sums: Option<Sums>,
    rest: Duration,
    stop: &std::sync::atomic::AtomicBool,
) -> Received {
    let mut buffers = vec![[0_u8; LONGEST]; BATCH];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut received = Received::default();
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let mut pieces: Vec<_> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        // An error is a time-out, or a signal.
        let Ok(batch) = recvmmsg(socket.as_raw_fd(), &mut headers, pieces.iter_mut(), flags, None)
        else {
            continue;
        };
        received.batches += 1;
        let before = received.datagrams;
        for datagram in batch {
            received.datagrams += 1;
            received.bytes += datagram.bytes as u64;
            if let Some(sums) = &mut sums {
                datagram.iovs().for_each(|payload| sums.add_datagram(payload));
            }
        }
        // A rest of nothing would be one of the kernel's timer slack.
        if received.datagrams - before < BATCH as u64 && !rest.is_zero() {
            std::thread::park_timeout(rest);
        }
    }
    Received { series: sums.map(|sums| sums.series()), ..received }
}
