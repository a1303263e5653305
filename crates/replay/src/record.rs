//! Writes what arrives at a port to a capture.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etherparse::PacketBuilder;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::agent::sockets::kernel_drops;
use crate::cli::parse_duration;
use crate::error::ReplayError;
use crate::signals::Signals;
use crate::text::count;

/// Raw IP: what a socket knows of a packet.
const LINKTYPE_RAW: u32 = 101;

/// When nothing has come for so long the file is whole. A kill before that may leave half a packet
/// at its end, which readers pass over.
const FLUSH: Duration = Duration::from_millis(200);

/// Write the datagrams that arrive at a port to a pcap file, until interrupted.
///
/// The port must be free: stop the agent, or have the senders send here. To record beside a running
/// agent use `tcpdump -i any -s 0 -w FILE udp port PORT`; weir-replay reads that too.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The port to receive at
    #[arg(long)]
    port: u16,
    /// The address to receive at; :: is every one
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Stop after so long
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Stop after so many datagrams
    #[arg(long, value_name = "N")]
    datagrams: Option<u64>,
    /// The file, which is written anew; readable by tcpdump, Wireshark and weir-replay
    #[arg(value_name = "FILE.pcap")]
    file: PathBuf,
}

/// Records until a signal, or as long as was asked for.
pub(crate) fn run(options: &Options) -> Result<(), ReplayError> {
    let at = SocketAddr::new(options.bind, options.port);
    let failed = |source| ReplayError::Listen { at, source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed)?.block_on(record(options, at))
}

async fn record(options: &Options, at: SocketAddr) -> Result<(), ReplayError> {
    let failed = |source| ReplayError::Listen { at, source };
    let socket = open(at).map_err(failed)?;
    let at = socket.local_addr().map_err(failed)?;
    let unwritable = |source| ReplayError::Output { path: options.file.clone(), source };
    let file = File::create(&options.file).map_err(unwritable)?;
    let mut capture = Capture::begin(BufWriter::new(file)).map_err(unwritable)?;
    let mut signals = Signals::listen().map_err(failed)?;
    let end = options.duration.and_then(|duration| Instant::now().checked_add(duration));
    let _ = writeln!(io::stderr(), "recording what arrives at udp://{at}; Ctrl-C ends it");
    let mut recorded = 0;
    let mut payload = vec![0; 65_535];
    while options.datagrams.is_none_or(|most| recorded < most) {
        let came = tokio::select! {
            came = socket.recv_from(&mut payload) => came,
            () = over(end, &mut signals) => break,
            () = tokio::time::sleep(FLUSH) => {
                capture.flush().map_err(unwritable)?;
                continue;
            }
        };
        // Of a socket that is not connected no error is ours.
        let Ok((length, from)) = came else { continue };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        capture.write(time, from, at, &payload[..length]).map_err(unwritable)?;
        recorded += 1;
    }
    capture.flush().map_err(unwritable)?;
    let dropped = kernel_drops(&[at.port()]).unwrap_or(0);
    let _ = writeln!(
        io::stderr(),
        "{} datagrams recorded, {} dropped by the kernel",
        count(recorded),
        count(dropped)
    );
    Ok(())
}

fn open(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    // A refusal only means that bursts are lost sooner, and that is counted.
    let _ = socket.set_recv_buffer_size(4 << 20);
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

async fn over(end: Option<Instant>, signals: &mut Signals) {
    let at_end = async {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = at_end => {}
        () = signals.came() => {}
    }
}

/// A pcap file of raw IP packets.
struct Capture<W> {
    to: W,
    packet: Vec<u8>,
}

impl<W: Write> Capture<W> {
    fn begin(mut to: W) -> io::Result<Self> {
        let mut header = Vec::new();
        // Microseconds, version 2.4.
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0x0004_0000, LINKTYPE_RAW] {
            header.extend_from_slice(&u32::to_le_bytes(word));
        }
        to.write_all(&header)?;
        Ok(Self { to, packet: Vec::new() })
    }

    fn write(
        &mut self,
        time: Duration,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        self.packet.clear();
        let builder = match (from.ip().to_canonical(), to.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            }
            // Bound to every address, the one that was sent to is not known.
            (IpAddr::V4(from), IpAddr::V6(_)) => PacketBuilder::ipv4(from.octets(), [0; 4], 64),
            (IpAddr::V6(from), to) => {
                let to = match to {
                    IpAddr::V4(to) => to.to_ipv6_mapped(),
                    IpAddr::V6(to) => to,
                };
                PacketBuilder::ipv6(from.octets(), to.octets(), 64)
            }
        };
        let written = builder.udp(from.port(), to.port()).write(&mut self.packet, payload);
        written.map_err(|error| io::Error::other(error.to_string()))?;
        let length = self.packet.len() as u32;
        for word in [time.as_secs() as u32, time.subsec_micros(), length, length] {
            self.to.write_all(&word.to_le_bytes())?;
        }
        self.to.write_all(&self.packet)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
