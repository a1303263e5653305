use etherparse::PacketBuilder;

use super::*;

const TO: [u8; 4] = [127, 0, 0, 1];

/// An IPv4 packet with a datagram to this port.
fn ip(port: u16, payload: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 9], TO, 64).udp(4000, port);
    builder.write(&mut packet, payload.as_bytes()).unwrap();
    packet
}

fn ip6(port: u16, payload: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(4000, port);
    builder.write(&mut packet, payload.as_bytes()).unwrap();
    packet
}

fn behind(header: &[u8], packet: &[u8]) -> Vec<u8> {
    [header, packet].concat()
}

/// A frame, what it was on the wire, and when it was captured, in microseconds.
type Captured = (Vec<u8>, u32, u64);

fn whole(frame: Vec<u8>) -> Captured {
    let length = frame.len() as u32;
    (frame, length, 0)
}

/// A pcap file with the magic number of its times' unit, in either order of bytes.
fn pcap(magic: u32, link: u32, big_endian: bool, frames: &[Captured]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = word(magic).to_vec();
    file.extend([half(2), half(4)].concat());
    file.extend([0, 0, 65_535, link].map(word).concat());
    for (frame, on_the_wire, at) in frames {
        let part = (at % 1_000_000) as u32;
        let part = if magic == 0xa1b2_3c4d { part * 1000 } else { part };
        let head = [(at / 1_000_000) as u32, part, frame.len() as u32, *on_the_wire];
        file.extend(head.map(word).concat());
        file.extend(frame);
    }
    file
}

/// A pcapng file of one section with an interface for each of these links, whose clocks tick
/// 2^10 times a second.
fn pcapng(links: &[u16], frames: &[(u32, Captured)]) -> Vec<u8> {
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let mut file = block(0x0a0d_0d0a, &section);
    for link in links {
        let resolution = [9, 0, 1, 0, 0x8a, 0, 0, 0, 0, 0, 0, 0];
        let body = [&link.to_le_bytes()[..], &[0; 6], &resolution].concat();
        file.extend(block(1, &body));
    }
    file.extend(packets(frames));
    file
}

/// Enhanced packet blocks, with their interfaces.
fn packets(frames: &[(u32, Captured)]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for (interface, (frame, on_the_wire, ticks)) in frames {
        let words =
            [*interface, (ticks >> 32) as u32, *ticks as u32, frame.len() as u32, *on_the_wire];
        let body = [&words.map(u32::to_le_bytes).concat()[..], frame].concat();
        blocks.extend(block(6, &body));
    }
    blocks
}

/// A block of a pcapng file.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, &body, &length].concat()
}

fn read_file(file: &[u8], ports: &[u16]) -> (Corpus, Passed) {
    assert!(begins(file));
    read(file, Path::new("test"), Corpus::new(1 << 20), ports).unwrap()
}

fn payloads(corpus: &Corpus) -> Vec<(u32, &str)> {
    let of =
        |it: &super::super::Datagram| (it.lane, std::str::from_utf8(corpus.payload(*it)).unwrap());
    corpus.datagrams().iter().map(of).collect()
}

#[test]
fn a_datagram_is_found_behind_every_known_header() {
    let mut ethernet = vec![0; 12];
    ethernet.extend([0x08, 0x00]);
    let mut vlan = vec![0; 12];
    vlan.extend([0x81, 0x00, 0, 7, 0x86, 0xdd]);
    // Of the loopback device.
    let cooked = [0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00];
    let mut cooked2 = vec![0x08, 0x00];
    cooked2.extend([0; 18]);
    for (link, frame) in [
        (1, behind(&ethernet, &ip(8125, "a:1|c"))),
        (1, behind(&vlan, &ip6(8125, "a:1|c"))),
        (113, behind(&cooked, &ip(8125, "a:1|c"))),
        (276, behind(&cooked2, &ip(8125, "a:1|c"))),
        (101, ip(8125, "a:1|c")),
        (101, ip6(8125, "a:1|c")),
        (228, ip(8125, "a:1|c")),
        (229, ip6(8125, "a:1|c")),
        (0, behind(&[2, 0, 0, 0], &ip(8125, "a:1|c"))),
    ] {
        for (magic, big_endian) in [(0xa1b2_c3d4, false), (0xa1b2_c3d4, true), (0xa1b2_3c4d, false)]
        {
            let file = pcap(magic, link, big_endian, &[whole(frame.clone())]);
            let (corpus, passed) = read_file(&file, &[]);
            assert_eq!(payloads(&corpus), [(0, "a:1|c")], "link {link}");
            assert_eq!(passed, Passed::default());
        }
    }
}

#[test]
fn times_are_kept_from_the_first_on_whatever_their_unit() {
    let at = |seconds: f64| (ip(8125, "a"), 29, (seconds * 1e6) as u64);
    let frames = [at(100.25), at(100.5), at(103.0)];
    for magic in [0xa1b2_c3d4, 0xa1b2_3c4d] {
        let (corpus, _) = read_file(&pcap(magic, 101, false, &frames), &[]);
        let times = [0, 250, 2750].map(Duration::from_millis);
        assert_eq!(corpus.times(), Some(&times[..]));
    }
    let ticks = |ticks: u64| (0, (ip(8125, "a"), 29, ticks));
    let (corpus, _) = read_file(&pcapng(&[101], &[ticks(1 << 33), ticks((1 << 33) + 1536)]), &[]);
    assert_eq!(corpus.times(), Some(&[Duration::ZERO, Duration::from_millis(1500)][..]));
}

#[test]
fn each_interface_of_a_pcapng_has_its_link() {
    let mut ethernet = vec![0; 12];
    ethernet.extend([0x08, 0x00]);
    let frames = [
        (1, whole(ip(8125, "raw"))),
        (0, whole(behind(&ethernet, &ip(8126, "ethernet")))),
        (9, whole(ip(8125, "of no interface"))),
    ];
    let (corpus, passed) = read_file(&pcapng(&[1, 101], &frames), &[]);
    assert_eq!(payloads(&corpus), [(0, "raw"), (1, "ethernet")]);
    assert_eq!(passed, Passed { damaged: 1, ..Passed::default() });
}

#[test]
fn what_is_not_sent_is_counted_by_its_reason() {
    let mut fragment = ip(8125, "the first part");
    // More fragments follow.
    fragment[6] |= 0x20;
    let mut later = ip(8125, "the second part");
    later[7] = 4;
    let mut tcp = Vec::new();
    PacketBuilder::ipv4(TO, TO, 64).tcp(1, 8125, 0, 0).write(&mut tcp, b"x").unwrap();
    let mut cut = whole(ip(8125, "a:1|c"));
    cut.1 += 10;
    let frames = [
        whole(fragment),
        whole(later),
        whole(tcp),
        cut,
        whole(ip(53, "other")),
        whole(vec![0x45, 0, 0]),
        whole(ip(8125, "a:1|c")),
    ];
    let (corpus, passed) = read_file(&pcap(0xa1b2_c3d4, 101, false, &frames), &[8125, 8126]);
    assert_eq!(payloads(&corpus), [(0, "a:1|c")]);
    let expected =
        Passed { fragments: 2, cut: 1, other_ports: 1, other: 1, unknown_links: 0, damaged: 1 };
    assert_eq!(passed, expected);
    assert_eq!(
        passed.to_string(),
        "2 fragments, 1 cut by the capture, 1 to other ports, 1 not UDP, 1 damaged"
    );
    let (_, passed) = read_file(&pcap(0xa1b2_c3d4, 147, false, &[whole(vec![0; 40])]), &[]);
    assert_eq!(passed.unknown_links, 1);
}

#[test]
fn a_packet_without_a_time_goes_with_the_one_before_it() {
    let datagram = ip(8125, "a");
    let simple = [&(datagram.len() as u32).to_le_bytes()[..], &datagram].concat();
    let timed = |seconds: u64| [(0, (datagram.clone(), 29, seconds << 10))];
    for (parts, seconds) in [
        ([block(3, &simple), packets(&timed(2000)), packets(&timed(2003))], [0, 0, 3]),
        ([packets(&timed(2000)), packets(&timed(2003)), block(3, &simple)], [0, 3, 3]),
    ] {
        let (corpus, _) = read_file(&[pcapng(&[101], &[]), parts.concat()].concat(), &[]);
        assert_eq!(corpus.times(), Some(&seconds.map(Duration::from_secs)[..]));
    }
}

#[test]
fn what_no_clock_can_have_told_is_damaged() {
    let at = |ticks: u64| (0, (ip(8125, "a"), 29, ticks));
    let (corpus, passed) = read_file(&pcapng(&[101], &[at(0), at(u64::MAX), at(1 << 10)]), &[]);
    assert_eq!(corpus.times(), Some(&[0, 1].map(Duration::from_secs)[..]));
    assert_eq!(passed, Passed { damaged: 1, ..Passed::default() });
}

#[test]
fn an_obsolete_packet_is_counted() {
    let file = [pcapng(&[101], &[]), block(2, &[0; 20])].concat();
    assert_eq!(read_file(&file, &[]).1, Passed { damaged: 1, ..Passed::default() });
}

#[test]
fn a_capture_that_ends_in_the_middle_is_good_up_to_there() {
    let mut huge = pcap(0xa1b2_c3d4, 101, false, &[whole(ip(1, "one")), whole(ip(1, "two"))]);
    let second = huge.len() - 31 - 16;
    huge[second + 8..second + 12].copy_from_slice(&900_000_u32.to_le_bytes());
    for file in [
        pcap(0xa1b2_c3d4, 101, false, &[whole(ip(1, "one")), whole(ip(1, "two"))]),
        pcapng(&[101], &[(0, whole(ip(1, "one"))), (0, whole(ip(1, "two")))]),
        huge,
    ] {
        let (corpus, passed) = read_file(&file[..file.len() - 5], &[]);
        assert_eq!(payloads(&corpus), [(0, "one")]);
        assert_eq!(passed.damaged, 1);
    }
}

#[test]
fn nonsense_is_refused_without_taking_memory() {
    let good = pcap(0xa1b2_c3d4, 101, false, &[whole(ip(1, "one"))]);
    // A packet that claims to be 4 GiB long, in a file that goes on.
    let mut huge = good.clone();
    huge[32..36].fill(0xff);
    huge.resize(3 << 20, 0);
    let mut garbage = pcapng(&[101], &[]);
    garbage.extend([6, 0, 0, 0, 7, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    garbage.resize(3 << 20, 1);
    for file in [&huge[..], &good[..10], &garbage[..]] {
        let refused = read(file, Path::new("test"), Corpus::new(1 << 20), &[]);
        assert!(matches!(refused, Err(ReplayError::Capture { .. })), "{refused:?}");
    }
    assert!(!begins(b"a:1|") && !begins(b""));
}
