use std::net::UdpSocket;

use super::*;
use crate::pace::Profile;

fn corpus(payloads: &[&str]) -> Arc<Corpus> {
    let mut corpus = Corpus::new(1 << 20);
    for payload in payloads {
        corpus.push(0, payload.as_bytes()).unwrap();
    }
    Arc::new(corpus)
}

fn job(corpus: Arc<Corpus>, pace: Pace, length: Length) -> (UdpSocket, Job) {
    let at = UdpSocket::bind("127.0.0.1:0").unwrap();
    let wire = Arc::new(Wire::open(vec![at.local_addr().unwrap()], false).unwrap());
    (at, Job { corpus, wire, pace, length })
}

fn datagrams(count: u64) -> Length {
    Length { datagrams: Some(count), time: None }
}

#[test]
fn so_many_datagrams_are_sent_and_the_first_follows_the_last() {
    let (at, job) = job(corpus(&["a", "b", "c"]), Pace::FlatOut, datagrams(7));
    let progress = Progress::default();
    let sent = send(&job, &progress).unwrap();
    assert_eq!((sent.datagrams, sent.cut_short, progress.sent()), (7, 0, 7));
    let mut buffer = [0; 10];
    let mut next = || {
        let length = at.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!((0..7).map(|_| next()).collect::<String>(), "abcabca");
}

#[test]
fn it_ends_by_time_or_when_asked_to() {
    let time = Duration::from_millis(5);
    let length = Length { datagrams: None, time: Some(time) };
    let slow = Pace::Profile(Profile::steady(1.0, Unit::Datagrams));
    let (_at, by_time) = job(corpus(&["a"]), slow.clone(), length);
    let sent = send(&by_time, &Progress::default()).unwrap();
    assert_eq!(sent.datagrams, 1);
    assert!(sent.elapsed >= time);

    let (_at, endless) = job(corpus(&["a"]), slow, Length::default());
    let progress = Progress::default();
    progress.stop();
    assert_eq!(send(&endless, &progress).unwrap().datagrams, 0);
}

#[test]
fn what_is_due_follows_the_profile_in_lines_or_datagrams() {
    for (unit, expected) in [(Unit::Datagrams, [0, 1, 2, 2]), (Unit::Lines, [0, 1, 1, 2])] {
        let pace = Pace::Profile(Profile::steady(10.0, unit));
        let (_at, job) = job(corpus(&["a:1|c\nb:1|c", "c:1|c"]), pace, datagrams(2));
        let schedule = Schedule::new(&job);
        let ready = [0, 50, 150, 250].map(|at| schedule.ready(Duration::from_millis(at)));
        assert_eq!(ready, expected, "{unit:?}");
    }
}

#[test]
fn the_wait_is_until_the_next_is_due() {
    let pace = Pace::Profile(Profile::steady(20.0, Unit::Datagrams));
    let (_at, job) = job(corpus(&["a", "b"]), pace, datagrams(2));
    let mut schedule = Schedule::new(&job);
    schedule.advance(1);
    let wait = schedule.wait(Duration::from_millis(10));
    assert!(wait >= Duration::from_millis(40) && wait < Duration::from_micros(40_100), "{wait:?}");
    // One datagram, and the next that is not quite due, of ten.
    assert_eq!(schedule.kept(Duration::from_millis(500)), 0.2);
}

#[test]
fn a_capture_is_sent_at_its_times_again_and_again() {
    let mut captured = Corpus::new(1 << 20);
    for at in [0, 10, 20] {
        captured.push_at(0, b"a", Duration::from_secs(at)).unwrap();
    }
    let (_at, job) = job(Arc::new(captured), Pace::Captured { speed: 2.0 }, datagrams(9));
    let mut schedule = Schedule::new(&job);
    assert_eq!(schedule.ready(Duration::from_secs(5)), 2);
    schedule.advance(2);
    assert_eq!(schedule.wait(Duration::from_secs(9)), Duration::from_secs(1));
    assert_eq!(schedule.kept(Duration::from_secs(20)), 0.5);
    schedule.advance(1);
    // The second pass begins a mean gap after the end of the first: 30 s, at double speed 15.
    assert_eq!(schedule.ready(Duration::from_secs(14)), 0);
    assert_eq!(schedule.ready(Duration::from_secs(20)), 2);
}
