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
    let mut sorter =
        Sorter { ports, lanes: HashMap::new(), first: None, passed: Passed::default() };
    let mut links = Links::default();
    loop {
        match reader.next() {
            Ok((length, block)) => {
                for_each_packet(&block, &mut links, |frame| sorter.take(&frame, &mut corpus))?;
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
    /// Since the epoch.
    at: Duration,
}

/// What the file says of its interfaces so far.
#[derive(Default)]
struct Links {
    /// Of a pcap file: its only one, and the length of its clock's tick.
    only: Option<(Linktype, u32)>,
    /// Of a pcapng's section, each with the ticks of its clock in a second.
    section: Vec<(Linktype, u64)>,
}

fn for_each_packet(
    block: &PcapBlockOwned<'_>,
    links: &mut Links,
    mut take: impl FnMut(Frame<'_>) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let tick = if header.is_nanosecond_precision() { 1 } else { 1000 };
            // The upper bits may say how many bytes of checksum a frame ends with.
            links.only = Some((Linktype(header.network.0 & 0xffff), tick));
        }
        PcapBlockOwned::Legacy(packet) => {
            let Some((link, tick)) = links.only else { return Ok(()) };
            let nanoseconds = u64::from(packet.ts_usec) * u64::from(tick);
            let at =
                Duration::from_secs(u64::from(packet.ts_sec)) + Duration::from_nanos(nanoseconds);
            take(Frame { link, bytes: packet.data, on_the_wire: packet.origlen, at })?;
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => links.section.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            links.section.push((interface.linktype, ticks(interface.if_tsresol)));
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let Some((link, ticks)) = links.section.get(packet.if_id as usize) else {
                return Ok(());
            };
            let time = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let part = u128::from(time % ticks) * 1_000_000_000 / u128::from(*ticks);
            let at = Duration::new(time / ticks, part as u32);
            let bytes = packet.packet_data();
            take(Frame { link: *link, bytes, on_the_wire: packet.orig_len(), at })?;
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let Some((link, _)) = links.section.first() else { return Ok(()) };
            let (bytes, on_the_wire) = (packet.packet_data(), packet.orig_len());
            // It has no time: it goes with the packet before it.
            take(Frame { link: *link, bytes, on_the_wire, at: Duration::ZERO })?;
        }
        PcapBlockOwned::NG(_) => {}
    }
    Ok(())
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
                let next = self.lanes.len();
                let lane = *self.lanes.entry(to).or_insert(next);
                let first = *self.first.get_or_insert(frame.at);
                return corpus.push_at(lane, payload, frame.at.saturating_sub(first));
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
