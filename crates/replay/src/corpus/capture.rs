use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::Corpus;
use super::packet::{self, Packet, Passed};
use crate::error::ReplayError;

/// No packet is longer: this is the most that tcpdump and dumpcap capture.
const LONGEST_BLOCK: usize = 1 << 20;

/// No capture is longer: what claims to be so long after the first packet has a damaged time.
const LONGEST_CAPTURE: Duration = Duration::from_hours(24 * 3660);

/// Whether a file that begins so is a capture: pcap in either order of bytes, with micro- or
/// nanoseconds, or pcapng.
pub(super) fn begins(file: &[u8]) -> bool {
    [0xa1b2_c3d4_u32, 0xa1b2_3c4d, 0xa1b2_cd34, 0x0a0d_0d0a].iter().any(|magic| {
        file.starts_with(&magic.to_be_bytes()) || file.starts_with(&magic.to_le_bytes())
    })
}

/// Reads the datagrams to these ports (none: to all), each port of each address a lane of its own.
pub(super) fn read(
    from: impl Read + Send,
    path: &Path,
    mut corpus: Corpus,
    ports: &[u16],
) -> Result<(Corpus, Passed), ReplayError> {
    let damaged = |problem: &str| ReplayError::Capture {
        input: path.to_owned(),
        problem: problem.to_owned(),
    };
    let mut reader = create_reader(LONGEST_BLOCK, from).map_err(|error| damaged(&short(&error)))?;
    let passed = Passed::default();
    let mut sorter =
        Sorter { ports, lanes: HashMap::new(), first: None, last: Duration::ZERO, passed };
    let mut links = Links::default();
    loop {
        match reader.next() {
            Ok((length, block)) => {
                match packet_of(&block, &mut links) {
                    Entry::Frame(frame) => sorter.take(&frame, &mut corpus)?,
                    Entry::Unreadable => sorter.passed.damaged += 1,
                    Entry::NoPacket => {}
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => {
                let held = reader.data().len();
                reader.refill().map_err(|error| damaged(&short(&error)))?;
                if reader.data().len() == held && !reader.reader_exhausted() {
                    return Err(damaged("a packet claims to be over 1 MiB long"));
                }
            }
            // The capture was ended in the middle of a packet; all before it is good.
            Err(PcapError::UnexpectedEof) => {
                sorter.passed.damaged += 1;
                break;
            }
            Err(error) => return Err(damaged(&short(&error))),
        }
    }
    Ok((corpus, sorter.passed))
}

/// A packet as it was captured.
struct Frame<'a> {
    link: Linktype,
    bytes: &'a [u8],
    on_the_wire: u32,
    /// Since the epoch; `None` where that is not told.
    at: Option<Duration>,
}

/// What a part of a capture is.
enum Entry<'a> {
    Frame(Frame<'a>),
    /// A packet of an interface that the file does not tell of, or in a form that was given up
    /// before any of today's programs was written.
    Unreadable,
    NoPacket,
}

/// pcapng's obsolete packet block.
const OBSOLETE_PACKET: u32 = 2;

/// What the file says of its interfaces so far.
#[derive(Default)]
struct Links {
    /// Of a pcap file: its only one, and the length of its clock's tick.
    only: Option<(Linktype, u32)>,
    /// Of a pcapng's section, each with the ticks of its clock in a second.
    section: Vec<(Linktype, u64)>,
}

fn packet_of<'a>(block: &'a PcapBlockOwned<'_>, links: &mut Links) -> Entry<'a> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let tick = if header.is_nanosecond_precision() { 1 } else { 1000 };
            // The upper bits may say how many bytes of checksum a frame ends with.
            links.only = Some((Linktype(header.network.0 & 0xffff), tick));
            Entry::NoPacket
        }
        PcapBlockOwned::Legacy(packet) => {
            let Some((link, tick)) = links.only else { return Entry::Unreadable };
            let nanoseconds = u64::from(packet.ts_usec) * u64::from(tick);
            let at =
                Duration::from_secs(u64::from(packet.ts_sec)) + Duration::from_nanos(nanoseconds);
            let (bytes, on_the_wire) = (packet.data, packet.origlen);
            Entry::Frame(Frame { link, bytes, on_the_wire, at: Some(at) })
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            links.section.clear();
            Entry::NoPacket
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            links.section.push((interface.linktype, ticks(interface.if_tsresol)));
            Entry::NoPacket
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let Some((link, ticks)) = links.section.get(packet.if_id as usize) else {
                return Entry::Unreadable;
            };
            let time = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let part = u128::from(time % ticks) * 1_000_000_000 / u128::from(*ticks);
            let at = Duration::new(time / ticks, part as u32);
            let (bytes, on_the_wire) = (packet.packet_data(), packet.orig_len());
            Entry::Frame(Frame { link: *link, bytes, on_the_wire, at: Some(at) })
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let Some((link, _)) = links.section.first() else { return Entry::Unreadable };
            let (bytes, on_the_wire) = (packet.packet_data(), packet.orig_len());
            Entry::Frame(Frame { link: *link, bytes, on_the_wire, at: None })
        }
        PcapBlockOwned::NG(Block::Unknown(block)) if block.block_type == OBSOLETE_PACKET => {
            Entry::Unreadable
        }
        PcapBlockOwned::NG(_) => Entry::NoPacket,
    }
}

/// The ticks of a clock in a second: a power of ten, or with the highest bit set of two. The
/// library has only the first.
fn ticks(resolution: u8) -> u64 {
    let power = u32::from(resolution & 0x7f);
    let ticks =
        if resolution & 0x80 == 0 { 10_u64.checked_pow(power) } else { 1_u64.checked_shl(power) };
    ticks.unwrap_or(u64::MAX)
}

/// Puts datagrams into lanes, and counts what is none.
struct Sorter<'a> {
    ports: &'a [u16],
    lanes: HashMap<SocketAddr, usize>,
    first: Option<Duration>,
    /// How long after it the last one was.
    last: Duration,
    passed: Passed,
}

impl Sorter<'_> {
    fn take(&mut self, frame: &Frame<'_>, corpus: &mut Corpus) -> Result<(), ReplayError> {
        let passed = &mut self.passed;
        if (frame.bytes.len() as u64) < u64::from(frame.on_the_wire) {
            passed.cut += 1;
            return Ok(());
        }
        let counter = match packet::read(frame.link, frame.bytes) {
            Packet::Datagram { to, payload } => {
                if !self.ports.is_empty() && !self.ports.contains(&to.port()) {
                    passed.other_ports += 1;
                    return Ok(());
                }
                // One without a time goes with the one before it.
                let after = frame
                    .at
                    .map_or(self.last, |at| at.saturating_sub(*self.first.get_or_insert(at)));
                if after <= LONGEST_CAPTURE {
                    self.last = after;
                    let next = self.lanes.len();
                    let lane = *self.lanes.entry(to).or_insert(next);
                    return corpus.push_at(lane, payload, after);
                }
                &mut passed.damaged
            }
            Packet::Fragment => &mut passed.fragments,
            Packet::Other => &mut passed.other,
            Packet::UnknownLink => &mut passed.unknown_links,
            Packet::Damaged => &mut passed.damaged,
        };
        *counter += 1;
        Ok(())
    }
}

/// The library's errors may quote what they could not read.
fn short(error: &PcapError<&[u8]>) -> String {
    match error {
        PcapError::BufferTooSmall => "a packet claims to be over 1 MiB long".to_owned(),
        PcapError::ReadError => "the file cannot be read".to_owned(),
        PcapError::HeaderNotRecognized => "its header is damaged".to_owned(),
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => {
            "it ends in its header".to_owned()
        }
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "a block is damaged".to_owned(),
    }
}

#[cfg(test)]
mod tests;
