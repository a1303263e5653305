use std::time::{Duration, Instant};

use ingest::{Closed, Event};

use crate::rig::{Rig, sender_to, source, udp};

const BUFFER: usize = 4 << 20;

#[test]
fn a_close_delivers_everything_that_was_sent_before() {
    let mut rig = Rig::new(1);
    let closed = source();
    let (_, port) = rig.open_udp(&closed, BUFFER);
    let sender = sender_to(port);
    for i in 0..200_u32 {
        sender.send(&i.to_le_bytes()).unwrap();
    }
    // The worker has not even heard of the socket yet.
    assert_eq!(rig.close(&closed), Some(Closed::default()));
    let sent: Vec<[u8; 4]> = (0..200_u32).map(u32::to_le_bytes).collect();
    assert_eq!(rig.seen.bytes(), sent);
    assert_eq!(rig.seen.closed, [(closed, Closed::default(), true)]);
}

#[test]
fn a_port_is_free_when_its_close_is_done() {
    let mut rig = Rig::new(1);
    let first = source();
    let (opened, _) = rig.open_udp(&first, 0);
    rig.close(&first).unwrap();
    let again = rig.listeners.open(&udp(&source(), &opened.address.to_string(), 0)).unwrap();
    assert_eq!(again.address, opened.address);
}

#[test]
fn a_source_without_a_socket_cannot_be_closed() {
    let mut rig = Rig::new(1);
    let once = source();
    assert_eq!(rig.close(&once), None);
    rig.open_udp(&once, 0);
    assert!(rig.close(&once).is_some());
    assert_eq!(rig.close(&once), None);
}

#[test]
fn all_sockets_of_a_source_are_closed_together() {
    let mut rig = Rig::new(1);
    let both = source();
    let ports = [(); 2].map(|()| rig.open_udp(&both, BUFFER).1);
    for port in ports {
        sender_to(port).send(b"x").unwrap();
    }
    rig.close(&both).unwrap();
    assert_eq!(rig.seen.packets.len(), 2);
    let last: Vec<bool> = rig.seen.closed.iter().map(|(_, _, last)| *last).collect();
    assert_eq!(last, [false, true]);
}

#[test]
fn a_close_tells_what_the_kernel_dropped() {
    let mut rig = Rig::new(1);
    let small = source();
    let (_, port) = rig.open_udp(&small, 1);
    let sender = sender_to(port);
    for _ in 0..1_000 {
        sender.send(&[b'x'; 100]).unwrap();
    }
    let closed = rig.close(&small).unwrap();
    assert!(closed.kernel_dropped > 0);
    assert_eq!(rig.seen.packets.len() as u64 + closed.kernel_dropped + closed.unread, 1_000);
    assert_eq!(rig.seen.closed[0].1, closed);
}

#[test]
fn what_comes_while_a_socket_is_being_closed_is_counted_as_unread() {
    let mut rig = Rig::new(1);
    let busy = source();
    let (_, port) = rig.open_udp(&busy, BUFFER);
    let sender = sender_to(port);
    for _ in 0..100 {
        sender.send(b"in time").unwrap();
    }
    drop(rig.listeners.close(&busy));
    let (mut received, mut late, mut counts) = (Vec::new(), 0, None);
    while counts.is_none() {
        let on = &mut |event: Event<'_>| match event {
            Event::Opened { .. } => {}
            Event::Packets { packets, .. } => {
                received.extend(packets.map(|packet| packet.bytes.to_vec()));
                // There are several batches; this comes before each but the first, and at the end.
                sender.send(b"too late").unwrap();
                late += 1;
            }
            Event::Closed { kernel_dropped, unread, .. } => counts = Some((kernel_dropped, unread)),
        };
        rig.receivers[0].turn(None, on).unwrap();
    }
    assert_eq!(received, vec![b"in time".to_vec(); 100]);
    assert!(late > 1);
    assert_eq!(counts, Some((0, late)));
}

#[test]
fn a_close_ends_in_time_and_counts_what_was_left() {
    let mut rig = Rig::new(1);
    let slow = source();
    let (opened, port) = rig.open_udp(&slow, BUFFER);
    let sender = sender_to(port);
    for _ in 0..2_000 {
        sender.send(b"x").unwrap();
    }
    let closing = rig.listeners.close(&slow);
    let (mut received, mut closed) = (0, None);
    while closed.is_none() {
        let on = &mut |event: Event<'_>| match event {
            Event::Opened { .. } => {}
            Event::Packets { packets, .. } => {
                // A reader that takes longer over it than a close may last.
                let slow = Instant::now() + Duration::from_millis(20);
                while Instant::now() < slow {
                    std::hint::spin_loop();
                }
                received += packets.len() as u64;
            }
            Event::Closed { kernel_dropped, unread, .. } => {
                closed = Some(Closed { kernel_dropped, unread });
            }
        };
        rig.receivers[0].turn(None, on).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(closing), closed);
    let closed = closed.unwrap();
    assert_eq!(received + closed.kernel_dropped + closed.unread, 2_000);
    // With a capped buffer all that it holds is read in one go.
    if opened.granted_receive_buffer >= 2 * BUFFER {
        assert!((8..1_000).contains(&received), "{received}");
        assert_eq!(closed.kernel_dropped, 0);
    }
}

#[test]
fn a_close_is_done_even_if_nobody_waits_for_it_and_an_open_that_follows_stays() {
    let mut rig = Rig::new(1);
    let again = source();
    rig.open_udp(&again, 0);
    drop(rig.listeners.close(&again));
    let (_, port) = rig.open_udp(&again, 0);
    sender_to(port).send(b"x").unwrap();
    rig.until_received(1);
    assert_eq!(rig.seen.closed.len(), 1);
    assert_eq!(rig.listeners.sockets().len(), 1);
}

#[test]
fn a_close_is_done_if_the_workers_have_stopped() {
    let mut rig = Rig::new(1);
    let orphan = source();
    rig.open_udp(&orphan, 0);
    rig.receivers.clear();
    assert_eq!(rig.close(&orphan), Some(Closed::default()));
    assert!(rig.listeners.open(&udp(&orphan, "udp://127.0.0.1:0", 0)).is_err());
    assert!(rig.listeners.sockets().is_empty());
}
