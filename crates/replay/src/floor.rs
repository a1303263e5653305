//! The floor: what receiving costs, before anything is done with it, or what adding up costs at
//! the least.

mod sums;

use std::io::{self, IoSliceMut, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cli::parse_duration;
use crate::error::ReplayError;
use crate::signals::Signals;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use sums::Sums;

const BATCH: usize = 64;
const LONGEST: usize = 2048;

/// It looks so often whether it is to stop, when nothing comes.
const HEARS: Duration = Duration::from_millis(200);

/// A bare recvmmsg loop of one thread in batches of 64; it ends with SIGINT, SIGTERM or SIGHUP and
/// tells how much it received.
///
/// Run it beside an agent to see how near the agent comes: `weir-replay FILE --search 0.1%
/// --status none --to 127.0.0.1:PORT --spawn 'weir-replay floor --port PORT'`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The port to receive at, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Receive at so many ports from that one on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    ports: u16,
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
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |source| ReplayError::Listen { at: at(options.port), source };
    let sockets: Result<Vec<Socket>, _> = (0..options.ports)
        .map(|nth| {
            let at = at(options.port.saturating_add(nth));
            open(at, options.receive_buffer).map_err(|source| ReplayError::Listen { at, source })
        })
        .collect();
    let sockets = sockets?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (sums, rest, asked) = (options.add.then(Sums::default), options.rest, Arc::clone(&stop));
    let receive = move || Floor::new(sums, rest, asked).receive(&sockets);
    let receiving = std::thread::Builder::new().spawn(receive);
    let receiving = receiving.map_err(failed)?;
    runtime
        .block_on(async {
            Signals::listen()?.came().await;
            Ok(())
        })
        .map_err(failed)?;
    stop.store(true, Ordering::Relaxed);
    let received = receiving.join().unwrap_or_else(|_| Ok(Received::default())).map_err(failed)?;
    let Received { datagrams, bytes, batches, series } = received;
    let series = series.map(|series| format!(", {series} series")).unwrap_or_default();
    let _ =
        writeln!(io::stdout(), "{datagrams} datagrams, {bytes} bytes in {batches} batches{series}");
    Ok(())
}

fn open(at: SocketAddr, receive_buffer: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let _ = socket.set_recv_buffer_size(receive_buffer);
    socket.set_read_timeout(Some(HEARS))?;
    socket.bind(&at.into())?;
    Ok(socket)
}

/// The loop, and what it has received.
struct Floor {
    buffers: Vec<[u8; LONGEST]>,
    headers: MultiHeaders<SockaddrStorage>,
    received: Received,
    sums: Option<Sums>,
    rest: Duration,
    stop: Arc<AtomicBool>,
}

impl Floor {
    fn new(sums: Option<Sums>, rest: Duration, stop: Arc<AtomicBool>) -> Self {
        Self {
            buffers: vec![[0; LONGEST]; BATCH],
            headers: MultiHeaders::preallocate(BATCH, None),
            received: Received::default(),
            sums,
            rest,
            stop,
        }
    }

    fn receive(mut self, sockets: &[Socket]) -> io::Result<Received> {
        match sockets {
            [socket] => self.receive_at(socket),
            sockets => self.receive_at_all(sockets)?,
        }
        Ok(Received { series: self.sums.map(|sums| sums.series()), ..self.received })
    }

    fn receive_at(&mut self, socket: &Socket) {
        while !self.stop.load(Ordering::Relaxed) {
            let count = self.take(socket, MsgFlags::MSG_WAITFORONE);
            // A rest of nothing would be one of the kernel's timer slack.
            if count > 0 && count < BATCH && !self.rest.is_zero() {
                std::thread::park_timeout(self.rest);
            }
        }
    }

    /// A batch of each socket that has any, in turn.
    fn receive_at_all(&mut self, sockets: &[Socket]) -> io::Result<()> {
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (place, socket) in sockets.iter().enumerate() {
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&ready, socket, data, epoll::EventFlags::IN)?;
        }
        let hears = Timespec::try_from(HEARS).map_err(io::Error::other)?;
        let mut events = Vec::with_capacity(sockets.len());
        while !self.stop.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(&ready, rustix::buffer::spare_capacity(&mut events), Some(&hears)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut is_more = false;
            for event in &events {
                let count = self.take(&sockets[event.data.u64() as usize], MsgFlags::MSG_DONTWAIT);
                is_more |= count == BATCH;
            }
            if !events.is_empty() && !is_more && !self.rest.is_zero() {
                std::thread::park_timeout(self.rest);
            }
        }
        Ok(())
    }

    /// Receives a batch and returns how many datagrams it was; none after an error, which is a
    /// time-out or a signal.
    fn take(&mut self, socket: &Socket, flags: MsgFlags) -> usize {
        let Self { buffers, headers, received, sums, .. } = self;
        let mut pieces: Vec<_> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let Ok(batch) = recvmmsg(socket.as_raw_fd(), headers, pieces.iter_mut(), flags, None)
        else {
            return 0;
        };
        received.batches += 1;
        let mut count = 0;
        for datagram in batch {
            count += 1;
            received.bytes += datagram.bytes as u64;
            if let Some(sums) = sums {
                datagram.iovs().for_each(|payload| sums.add_datagram(payload));
            }
        }
        received.datagrams += count as u64;
        count
    }
}
