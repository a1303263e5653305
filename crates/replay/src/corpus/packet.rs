use std::fmt;
use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, IpNumber, NetSlice, SlicedPacket, TransportSlice};
use pcap_parser::Linktype;
use serde::Serialize;

/// How many packets of a capture are not sent, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Passed {
    /// Fragments of UDP datagrams: they are not put together.
    pub(crate) fragments: u64,
    /// Packets that were captured only in part: capture with `-s 0`.
    pub(crate) cut: u64,
    /// Datagrams to other ports.
    pub(crate) other_ports: u64,
    /// Packets that are not UDP over IP.
    pub(crate) other: u64,
    /// Packets of links that are not read here.
    pub(crate) unknown_links: u64,
    /// Packets that are damaged.
    pub(crate) damaged: u64,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.fragments, "fragments"),
            (self.cut, "cut by the capture"),
            (self.other_ports, "to other ports"),
            (self.other, "not UDP"),
            (self.unknown_links, "of unknown links"),
            (self.damaged, "damaged"),
        ];
        let mut first = true;
        for (count, what) in all.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{}{count} {what}", if first { "" } else { ", " })?;
            first = false;
        }
        if first { f.write_str("nothing") } else { Ok(()) }
    }
}

/// What a captured packet is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Datagram { to: SocketAddr, payload: &'a [u8] },
    Fragment,
    Other,
    UnknownLink,
    Damaged,
}

/// Reads a packet of this link type, whole as it was on the wire.
pub(super) fn read(link: Linktype, bytes: &[u8]) -> Packet<'_> {
    let sliced = match link {
        Linktype::ETHERNET => SlicedPacket::from_ethernet(bytes).ok(),
        // Linux "cooked": the protocol is the last of 16 bytes, or the first of 20. What device it
        // was, which the library would know, does not matter.
        Linktype::LINUX_SLL => behind_protocol(bytes, 16, 14),
        SLL2 => behind_protocol(bytes, 20, 0),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => SlicedPacket::from_ip(bytes).ok(),
        // BSD's loopback: an address family of four bytes, in the order of whoever wrote it.
        Linktype::NULL | Linktype::LOOP => {
            bytes.get(4..).and_then(|rest| SlicedPacket::from_ip(rest).ok())
        }
        _ => return Packet::UnknownLink,
    };
    let Some(packet) = sliced else { return Packet::Damaged };
    if packet.is_ip_payload_fragmented() {
        let udp = packet.ip_payload().is_some_and(|payload| payload.ip_number == IpNumber::UDP);
        return if udp { Packet::Fragment } else { Packet::Other };
    }
    let to: IpAddr = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => ip.header().destination_addr().into(),
        Some(NetSlice::Ipv6(ip)) => ip.header().destination_addr().into(),
        Some(NetSlice::Arp(_)) | None => return Packet::Other,
    };
    match packet.transport {
        Some(TransportSlice::Udp(udp)) => Packet::Datagram {
            to: SocketAddr::new(to, udp.destination_port()),
            payload: udp.payload(),
        },
        Some(
            TransportSlice::Icmpv4(_)
            | TransportSlice::Icmpv6(_)
            | TransportSlice::Igmp(_)
            | TransportSlice::Tcp(_),
        )
        | None => Packet::Other,
    }
}

fn behind_protocol(bytes: &[u8], header: usize, protocol: usize) -> Option<SlicedPacket<'_>> {
    let (head, rest) = bytes.split_at_checked(header)?;
    let protocol = EtherType(u16::from_be_bytes([head[protocol], head[protocol + 1]]));
    SlicedPacket::from_ether_type(protocol, rest).ok()
}

/// Linux "cooked", version 2: what `tcpdump -i any` writes today.
pub(super) const SLL2: Linktype = Linktype(276);
