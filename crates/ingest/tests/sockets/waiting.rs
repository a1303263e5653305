use std::thread;
use std::time::{Duration, Instant};

use crate::rig::{Rig, sender_to, source};

#[test]
fn a_wait_is_ended_by_a_waker_from_another_thread() {
    let mut rig = Rig::new(1);
    let waker = rig.receivers[0].waker();
    let other = thread::spawn(move || waker.wake());
    // Without the wake-up this would never return.
    rig.receivers[0].turn(None, &mut |_| {}).unwrap();
    other.join().unwrap();
}

#[test]
fn a_wake_up_before_the_wait_is_not_lost_and_many_are_one() {
    let mut rig = Rig::new(1);
    let waker = rig.receivers[0].waker();
    for _ in 0..1_000 {
        waker.wake();
    }
    rig.receivers[0].turn(None, &mut |_| {}).unwrap();
    let began = Instant::now();
    rig.receivers[0].turn(Some(Duration::from_millis(5)), &mut |_| {}).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(5), "the wake-ups were used up by one turn");
}

#[test]
fn a_worker_that_waits_is_reached_by_an_open_a_datagram_and_a_close() {
    let mut rig = Rig::new(1);
    let listeners = rig.listeners.clone();
    let other = thread::spawn(move || {
        let shared = source();
        let open = crate::rig::udp(&shared, "udp://127.0.0.1:0", 0);
        let opened = listeners.open(&open).unwrap();
        sender_to(crate::rig::port_of(&opened)).send(b"x").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(listeners.close(&shared))
    });
    while rig.seen.closed.is_empty() {
        let seen = &mut rig.seen;
        rig.receivers[0].turn(None, &mut |event| seen.take(0, &event)).unwrap();
    }
    assert_eq!(rig.seen.packets.len(), 1);
    assert_eq!(other.join().unwrap(), Some(rig.seen.closed[0].1));
}

#[test]
fn rests_end_and_nothing_is_forgotten_over_them() {
    let mut rig = Rig::new(1);
    let (_, port) = rig.open_udp(&source(), 4 << 20);
    let sender = sender_to(port);
    for i in 0..20 {
        sender.send(b"x").unwrap();
        // Waits for ever, if the datagram that came during the rest is overlooked.
        while rig.seen.packets.len() == i {
            let seen = &mut rig.seen;
            rig.receivers[0].turn(None, &mut |event| seen.take(0, &event)).unwrap();
        }
    }
    assert_eq!(rig.seen.packets.len(), 20);
}
