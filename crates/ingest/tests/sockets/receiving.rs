use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ingest::{Event, IngestError, Store, Stored};

use crate::rig::{Rig, count, port_of, sender_to, source, udp};

const BUFFER: usize = 4 << 20;

#[test]
fn datagrams_of_any_length_arrive_whole_and_in_order() {
    let mut rig = Rig::new(1);
    let (_, port) = rig.open_udp(&source(), BUFFER);
    let sender = sender_to(port);
    // Around the length at which a datagram is put together from two parts.
    let lengths = [0, 1, 0, 65_507, 2_111, 2_112, 2_113, 8_192, 1, 65_507];
    let datagrams: Vec<Vec<u8>> =
        lengths.iter().map(|len| (0..*len).map(|i: u32| (i % 251) as u8).collect()).collect();
    for (i, datagram) in datagrams.iter().enumerate() {
        assert_eq!(sender.send(datagram).unwrap(), datagram.len());
        rig.until_received(i + 1);
    }
    assert!(rig.seen.bytes() == datagrams, "the bytes differ");
    assert!(rig.seen.packets.iter().all(|packet| !packet.truncated && packet.sender.is_none()));
}

#[test]
fn more_datagrams_than_a_batch_keep_their_order() {
    let mut rig = Rig::new(1);
    let (_, port) = rig.open_udp(&source(), BUFFER);
    let sender = sender_to(port);
    let datagrams: Vec<Vec<u8>> = (0..200).map(|i: u32| i.to_le_bytes().to_vec()).collect();
    for datagram in &datagrams {
        sender.send(datagram).unwrap();
    }
    rig.until_received(200);
    assert_eq!(rig.seen.bytes(), datagrams);
}

#[test]
fn a_socket_whose_datagrams_are_much_work_gives_a_few_in_a_turn_and_the_others_theirs() {
    let mut rig = Rig::new(1);
    let (heavy, light) = (source(), source());
    let ports = [&heavy, &light].map(|source| rig.open_udp(source, BUFFER).1);
    for port in ports {
        let sender = sender_to(port);
        for _ in 0..200 {
            sender.send(b"x").unwrap();
        }
    }
    let mut sources = HashMap::new();
    // How many of each come in a turn, if those of the first take two milliseconds each.
    let mut turn = || {
        let mut seen = [0, 0];
        let on = &mut |event: Event<'_>| match event {
            Event::Opened { socket, source } => {
                sources.insert(socket, source.clone());
            }
            Event::Packets { socket, packets } if sources[&socket] == heavy => {
                seen[0] += packets.len();
                let until = Instant::now() + Duration::from_millis(2) * packets.len() as u32;
                while Instant::now() < until {}
            }
            Event::Packets { packets, .. } => seen[1] += packets.len(),
            Event::Closed { .. } => {}
        };
        rig.receivers[0].turn(Some(Duration::ZERO), on).unwrap();
        seen
    };
    assert_eq!(turn(), [0, 0], "they are opened");
    assert_eq!(turn(), [8, 200]);
    assert_eq!(turn(), [1, 0]);
    assert_eq!(turn(), [1, 0]);
}

#[test]
fn a_long_datagram_leaves_nothing_of_itself_in_later_ones() {
    let mut rig = Rig::new(1);
    let (_, port) = rig.open_udp(&source(), BUFFER);
    let sender = sender_to(port);
    sender.send(&[b'x'; 5_000]).unwrap();
    rig.until_received(1);
    sender.send(&[b'y'; 3_000]).unwrap();
    sender.send(b"z").unwrap();
    rig.until_received(3);
    assert_eq!(rig.seen.bytes()[1..], [&[b'y'; 3_000][..], b"z"]);
}

#[test]
fn each_socket_speaks_for_its_own_source() {
    let mut rig = Rig::new(2);
    let sources: Vec<_> = (0..10).map(|_| source()).collect();
    let ports: Vec<SocketAddr> = sources.iter().map(|of| rig.open_udp(of, 0).1).collect();
    for (i, port) in ports.iter().enumerate() {
        sender_to(*port).send(&[i as u8]).unwrap();
    }
    rig.until_received(10);
    for packet in &rig.seen.packets {
        assert_eq!(packet.source, sources[usize::from(packet.bytes[0])]);
    }
    let at_first = rig.seen.packets.iter().filter(|packet| packet.worker == 0).count();
    assert_eq!(at_first, 5, "the workers have as many sockets each");
}

#[test]
fn a_port_with_several_readers_loses_nothing_and_keeps_each_senders_order() {
    let mut rig = Rig::new(2);
    let shared = source();
    let open = ingest::Open { readers: count(7), ..udp(&shared, "udp://127.0.0.1:0", BUFFER) };
    let opened = rig.listeners.open(&open).unwrap();
    assert_eq!(opened.readers, 2, "no more readers than workers");
    let senders: Vec<UdpSocket> = (0..64).map(|_| sender_to(port_of(&opened))).collect();
    for round in 0..3 {
        for (i, sender) in senders.iter().enumerate() {
            sender.send(&[i as u8, round]).unwrap();
        }
    }
    rig.until_received(3 * 64);
    for i in 0..senders.len() {
        let of_one: Vec<_> =
            rig.seen.packets.iter().filter(|packet| packet.bytes[0] == i as u8).collect();
        let rounds: Vec<u8> = of_one.iter().map(|packet| packet.bytes[1]).collect();
        assert_eq!(rounds, [0, 1, 2]);
        assert!(of_one.iter().all(|packet| packet.worker == of_one[0].worker));
        assert!(of_one.iter().all(|packet| packet.source == shared));
    }
    let workers = [0, 1].map(|w| rig.seen.packets.iter().filter(|got| got.worker == w).count());
    assert!(workers.iter().all(|count| *count > 0), "{workers:?}");
    rig.close(&shared).unwrap();
    assert_eq!(rig.seen.closed.len(), 2);
    assert!(rig.seen.closed.iter().all(|(_, _, last)| *last), "each is its worker's last");
}

#[test]
fn ipv6_is_read_and_the_unspecified_address_takes_ipv4_too() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return; // this machine has no IPv6
    }
    let mut rig = Rig::new(1);
    let one = rig.listeners.open(&udp(&source(), "udp://[::1]:0", 0)).unwrap();
    sender_to(port_of(&one)).send(b"one").unwrap();
    let both = rig.listeners.open(&udp(&source(), "udp://[::]:0", 0)).unwrap();
    let port = port_of(&both).port();
    sender_to(SocketAddr::new("::1".parse().unwrap(), port)).send(b"six").unwrap();
    sender_to(SocketAddr::new("127.0.0.1".parse().unwrap(), port)).send(b"four").unwrap();
    rig.until_received(3);
    let mut bytes = rig.seen.bytes();
    bytes.sort_unstable();
    assert_eq!(bytes, [&b"four"[..], b"one", b"six"]);
}

#[test]
fn an_address_that_this_host_does_not_have_can_be_bound() {
    let rig = Rig::new(1);
    let opened = rig.listeners.open(&udp(&source(), "udp://192.0.2.1:0", 0)).unwrap();
    assert_ne!(port_of(&opened).port(), 0);
}

#[test]
fn a_port_in_use_is_told_apart_even_if_both_would_share_it() {
    let rig = Rig::new(2);
    let open = ingest::Open { readers: count(2), ..udp(&source(), "udp://127.0.0.1:0", 0) };
    let address = rig.listeners.open(&open).unwrap().address;
    for readers in [1, 2] {
        let again =
            ingest::Open { address: address.clone(), readers: count(readers), ..open.clone() };
        let error = rig.listeners.open(&again).unwrap_err();
        assert!(
            matches!(&error, IngestError::InUse { address: taken } if *taken == address),
            "{error}"
        );
    }
}

#[test]
fn every_drop_of_the_kernel_is_counted() {
    let mut rig = Rig::new(1);
    let (opened, port) = rig.open_udp(&source(), 1);
    assert!(opened.granted_receive_buffer < 100_000);
    let sender = sender_to(port);
    rig.turn();
    for _ in 0..3 {
        for _ in 0..1_000 {
            sender.send(&[b'x'; 100]).unwrap();
        }
        let sent_before = rig.seen.packets.len() as u64 + rig.kernel_drops();
        assert!(sent_before > 0);
        rig.turn();
    }
    rig.until(|rig| rig.seen.packets.len() as u64 + rig.kernel_drops() >= 3_000);
    assert!(rig.kernel_drops() > 1_000);
    assert_eq!(rig.seen.packets.len() as u64 + rig.kernel_drops(), 3_000);
}

#[test]
fn a_flood_at_one_socket_does_not_starve_another() {
    let mut rig = Rig::new(1);
    let (flooded, quiet) = (source(), source());
    let (_, flooded_port) = rig.open_udp(&flooded, BUFFER);
    let (_, quiet_port) = rig.open_udp(&quiet, BUFFER);
    rig.turn();
    let flood = sender_to(flooded_port);
    for _ in 0..3_000 {
        flood.send(b"x").unwrap();
    }
    sender_to(quiet_port).send(b"y").unwrap();
    rig.turn();
    let of = |rig: &Rig, source| rig.seen.packets.iter().filter(|got| got.source == source).count();
    assert_eq!(of(&rig, quiet), 1);
    assert!((1..=512).contains(&of(&rig, flooded.clone())), "{}", of(&rig, flooded));
}

#[test]
fn a_worker_is_behind_from_a_turn_that_leaves_datagrams_to_one_that_leaves_none() {
    let mut rig = Rig::new(1);
    let (_, port) = rig.open_udp(&source(), BUFFER);
    rig.turn();
    assert!(!rig.receivers[0].is_behind());
    let sender = sender_to(port);
    for _ in 0..600 {
        sender.send(b"x").unwrap();
    }
    rig.turn();
    assert!(rig.seen.packets.len() < 600 && rig.receivers[0].is_behind());
    rig.until_received(600);
    rig.turn();
    assert!(!rig.receivers[0].is_behind(), "a turn without anything to read leaves nothing");
    sender.send(b"x").unwrap();
    rig.until_received(601);
    assert!(!rig.receivers[0].is_behind());
}

#[test]
fn a_stop_takes_what_is_there_from_every_socket_and_leaves_them_open() {
    let mut rig = Rig::new(1);
    let ports = [(); 3].map(|()| rig.open_udp(&source(), BUFFER).1);
    for port in ports {
        let sender = sender_to(port);
        for _ in 0..200 {
            sender.send(b"x").unwrap();
        }
    }
    let seen = &mut rig.seen;
    let far = Instant::now() + std::time::Duration::from_secs(20);
    assert!(rig.receivers[0].drain_all(far, &mut |event| seen.take(0, &event)));
    assert_eq!(seen.packets.len(), 600);
    sender_to(ports[0]).send(b"later").unwrap();
    let passed = Instant::now();
    assert!(!rig.receivers[0].drain_all(passed, &mut |event| seen.take(0, &event)));
    assert_eq!(seen.packets.len(), 600, "nothing is read after the deadline");
}

#[test]
fn an_error_of_a_socket_is_counted_and_does_not_end_it() {
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer_port = peer.local_addr().unwrap();
    bound.connect(peer_port).unwrap();
    drop(peer);
    bound.send(b"anybody there?").unwrap();
    // Connected, as none is that was opened here, so that it can have an error.
    let stored = Stored { name: None, socket: bound.into() };
    let mut rig = Rig::with_store(1, Store::new(vec![stored], None, None).unwrap());
    rig.listeners.take_up(&udp(&source(), &format!("udp://{port}"), BUFFER)).unwrap();
    rig.until(|rig| rig.receivers[0].errors() > 0);
    let peer = UdpSocket::bind(peer_port).unwrap();
    peer.send_to(b"yes", port).unwrap();
    rig.until_received(1);
    assert_eq!(rig.seen.bytes(), [b"yes"]);
    assert_eq!(rig.receivers[0].errors(), 1);
}
