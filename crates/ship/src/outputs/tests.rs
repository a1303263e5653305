use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use tokio::runtime::Runtime;

use super::*;
use crate::encode::tests::counters;
use crate::read::Reader;
use crate::{Codec, DropReason, DroppedInAll, Retry, Schema};

const BOOT: &str = "00c0ffee00c0ffee";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn config(url: &str) -> OutputConfig {
    let first = Duration::from_millis(1);
    let retry = Retry { first, most: Duration::from_millis(5), timeout: Duration::from_secs(20) };
    let durability = Durability::Memory;
    OutputConfig { durability, retry, ..OutputConfig::new(url.parse().unwrap()) }
}

fn on_disk(url: &str) -> OutputConfig {
    OutputConfig { durability: Durability::Disk, ..config(url) }
}

fn file_url(dir: &Path) -> String {
    format!("file:{}", dir.display())
}

fn start(configs: Vec<OutputConfig>, runtime: &Runtime) -> Outputs {
    start_in(Path::new("/nowhere/at/all"), configs, runtime)
}

fn start_in(queues: &Path, configs: Vec<OutputConfig>, runtime: &Runtime) -> Outputs {
    Outputs::start(configs, queues, BOOT, runtime.handle()).unwrap()
}

fn assert_adds_up(ledger: &OutputLedger) {
    let settled = ledger.acknowledged + ledger.queued + ledger.dropped.total();
    assert_eq!(ledger.offered, settled, "{ledger:?}");
}

/// How many records there are, and the number of the last.
fn count(input: impl std::io::Read) -> usize {
    let mut reader = Reader::open(input).unwrap();
    let mut records = 0;
    while let Some(block) = reader.next_block().unwrap() {
        records += block.map(Result::unwrap).count();
    }
    records
}

/// Answers each POST with 200 until `posts` of them came; returns how many records they had.
fn serve(listener: &TcpListener, posts: usize) -> usize {
    (0..posts).map(|_| post(listener)).sum()
}

fn post(listener: &TcpListener) -> usize {
    let (mut peer, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    peer.read_exact(&mut body).unwrap();
    peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    count(&body[..])
}

#[test]
fn every_output_gets_every_point_and_a_stop_delivers_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let (tcp, http) = (TcpListener::bind("[::1]:0"), TcpListener::bind("127.0.0.1:0"));
    let (tcp, http) = (tcp.unwrap(), http.unwrap());
    let urls = [
        file_url(dir.path()),
        format!("avro+tcp://{}", tcp.local_addr().unwrap()),
        format!("http://{}/in", http.local_addr().unwrap()),
    ];
    let runtime = runtime();
    let outputs = start(urls.iter().map(|url| config(url)).collect(), &runtime);
    for flush in 0..2 {
        outputs.offer(&counters(flush * 100, 60));
        outputs.offer(&counters(flush * 100 + 60, 40));
        outputs.end_flush();
    }
    std::thread::scope(|scope| {
        let lists = scope.spawn(|| count(tcp.accept().unwrap().0));
        let points = scope.spawn(|| serve(&http, 2));
        outputs.stop(Duration::from_secs(20));
        assert_eq!(lists.join().unwrap(), 4, "one list for each batch");
        assert_eq!(points.join().unwrap(), 200);
    });
    let ledgers = outputs.ledgers();
    assert_eq!(ledgers.len(), 3);
    for ledger in &ledgers {
        assert_eq!((ledger.offered, ledger.acknowledged), (200, 200), "{ledger:?}");
    }
    let mut files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap).collect();
    let file = files.pop().unwrap();
    assert!(files.is_empty());
    assert_eq!(file.path().extension().unwrap(), "avro");
    assert_eq!(count(File::open(file.path()).unwrap()), 200);
}

#[test]
fn a_stop_ends_within_its_grace_whatever_is_stuck_and_counts_what_is_left() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let runtime = runtime();
    let outputs = start(
        vec![
            config(&format!("avro+tcp://{}", mute.local_addr().unwrap())),
            OutputConfig {
                schema: Schema::MetricList,
                codec: Codec::Null,
                ..config(&format!("http://{}/", hanging.local_addr().unwrap()))
            },
            config(&format!("avro+tcp://{gone}")),
        ],
        &runtime,
    );
    let _peers = (mute.accept().unwrap(), {
        // More than the buffers of a socket take.
        for flush in 0..20 {
            outputs.offer(&counters(flush * 20_000, 20_000));
        }
        outputs.end_flush();
        hanging.accept().unwrap()
    });
    let begun = Instant::now();
    outputs.stop(Duration::from_millis(100));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for ledger in outputs.ledgers() {
        assert_adds_up(&ledger);
        assert_eq!((ledger.offered, ledger.queued), (400_000, 0));
        assert!(ledger.dropped.get(DropReason::Shutdown) > 0, "{ledger:?}");
    }
    assert_eq!(outputs.down().len(), outputs.ledgers().len());

    outputs.offer(&counters(400_000, 5));
    for ledger in outputs.ledgers() {
        assert_adds_up(&ledger);
        assert_eq!(ledger.offered, 400_005);
    }
}

#[test]
fn a_stop_with_nothing_queued_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = [file_url(dir.path()), format!("avro+tcp://{gone}"), format!("http://{gone}/")];
    let runtime = runtime();
    let outputs = start(urls.iter().map(|url| config(url)).collect(), &runtime);
    let begun = Instant::now();
    outputs.stop(Duration::from_mins(10));
    assert!(begun.elapsed() < Duration::from_mins(1));
}

/// Numbers that look like chance and are the same each time.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

#[test]
fn the_ledgers_add_up_at_every_reading_whatever_the_peer_does() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let small = |url: &str| OutputConfig { queue_bytes: 64 << 10, ..config(url) };
    let runtime = runtime();
    let outputs = start(
        vec![small(&format!("avro+tcp://{address}")), small(&file_url(dir.path()))],
        &runtime,
    );
    let offered = std::thread::scope(|scope| {
        // A peer that takes a little from each connection, then resets it.
        scope.spawn(|| {
            let mut random = numbers(1);
            while let Ok((mut peer, _)) = listener.accept() {
                let mut some = vec![0; 601 + (random() % 4000) as usize];
                if peer.read_exact(&mut some[..1]).is_err() || some[0] == b'.' {
                    break;
                }
                let _ = peer.read_exact(&mut some[1..]);
            }
        });
        let flushes = scope.spawn(|| {
            let mut random = numbers(2);
            let mut offered = 0;
            for _ in 0..300 {
                let points = (random() % 200) as usize + 1;
                outputs.offer(&counters(offered as i64, points));
                offered += points as u64;
                if random().is_multiple_of(3) {
                    outputs.end_flush();
                }
            }
            offered
        });
        while !flushes.is_finished() {
            outputs.ledgers().iter().for_each(assert_adds_up);
        }
        outputs.stop(Duration::from_millis(500));
        // Lets the peer end.
        TcpStream::connect(address).unwrap().write_all(b".").unwrap();
        flushes.join().unwrap()
    });
    for ledger in outputs.ledgers() {
        assert_adds_up(&ledger);
        assert_eq!((ledger.offered, ledger.queued), (offered, 0));
    }
}

#[test]
fn an_output_is_ready_when_it_is_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let runtime = runtime();
    let url = format!("avro+tcp://{}", listener.local_addr().unwrap());
    let outputs = start(vec![config(&url)], &runtime);
    let peer = listener.accept().unwrap();
    while !outputs.down().is_empty() {
        std::thread::yield_now();
    }
    drop(listener);
    drop(peer);
    while outputs.down().is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn only_what_is_down_is_told_as_down_whoever_had_an_error_before() {
    let dir = tempfile::tempdir().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let runtime = runtime();
    let tcp = OutputConfig { name: "tcp".into(), ..config(&format!("avro+tcp://{gone}")) };
    let outputs = start(vec![config(&file_url(dir.path())), tcp], &runtime);
    outputs.running()[0].account.error("it was full".to_owned());
    let down: Vec<_> = outputs.down().into_iter().map(|output| output.name).collect();
    assert_eq!(down, ["tcp"]);
}

#[test]
fn outputs_get_names_of_their_own_and_clashes_are_refused() {
    let of = |name: &str, url: &str| OutputConfig { name: name.into(), ..config(url) };
    let all = vec![
        of("", "http://h/"),
        of("main", "http://h/"),
        of("", "http://h/?key=s3cret"),
        of("http://h/ 2", "http://h/"),
    ];
    check(&all).unwrap();
    let names: Vec<_> = name_all(all, &[]).into_iter().map(|config| config.name).collect();
    assert_eq!(names, ["http://h/", "main", "http://h/ 3", "http://h/ 2"]);

    let twice = [of("a", "file:x"), of("a", "file:y")];
    assert!(matches!(check(&twice), Err(ShipError::SameName(_))));
    let shared = [of("a", "file:x"), of("b", "file:./x")];
    assert!(matches!(check(&shared), Err(ShipError::SameDirectory(_))));
    let wrong = [OutputConfig { queue_bytes: 1, ..config("file:x") }];
    assert!(matches!(check(&wrong), Err(ShipError::Setting { .. })));
    let long = "x".repeat(300);
    let no_directory = [OutputConfig { name: long.clone(), ..on_disk("http://h/") }];
    assert!(matches!(check(&no_directory), Err(ShipError::Setting { .. })));
    check(&[of(&long, "http://h/")]).unwrap();
}

#[test]
fn https_needs_nothing_but_the_systems_certificates() {
    let runtime = runtime();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let configs = vec![config(&format!("https://{gone}/"))];
    match Outputs::start(configs, Path::new("/nowhere"), BOOT, runtime.handle()) {
        Ok(outputs) => assert!(outputs.down().is_empty()),
        // A machine may have none.
        Err(error) => assert!(matches!(error, ShipError::Client { .. }), "{error}"),
    }
}

/// The ledger of the only output, once this is true of it.
fn ledger_when(outputs: &Outputs, so: impl Fn(&OutputLedger) -> bool) -> OutputLedger {
    loop {
        let ledger = outputs.ledgers().remove(0);
        assert_adds_up(&ledger);
        if so(&ledger) {
            return ledger;
        }
        std::thread::yield_now();
    }
}

#[test]
fn what_a_stop_cannot_deliver_is_kept_on_disk_and_delivered_by_the_next_process() {
    let queues = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("avro+tcp://{gone}"), format!("http://{gone}/")] {
        let name = "out".to_owned();
        let of = |url: &str| OutputConfig { name: name.clone(), ..on_disk(url) };
        let outputs = start_in(queues.path(), vec![of(&url)], &runtime);
        for flush in 0..3 {
            outputs.offer(&counters(flush * 100, 100));
            outputs.end_flush();
        }
        // Nobody is waited for: it is safe where it is.
        outputs.stop(Duration::from_mins(10));
        let ledger = &outputs.ledgers()[0];
        assert_adds_up(ledger);
        assert_eq!((ledger.queued, ledger.dropped.total()), (300, 0));
        drop(outputs);

        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url.replace(&gone.to_string(), &peer.local_addr().unwrap().to_string());
        let outputs = start_in(queues.path(), vec![of(&url)], &runtime);
        outputs.offer(&counters(300, 50));
        outputs.end_flush();
        std::thread::scope(|scope| {
            let received = scope.spawn(|| {
                if url.starts_with("http") {
                    serve(&peer, 4)
                } else {
                    count(peer.accept().unwrap().0)
                }
            });
            let ledger = ledger_when(&outputs, |ledger| ledger.acknowledged == 350);
            assert_eq!((ledger.offered, ledger.recovered, ledger.queued), (350, 300, 0));
            outputs.stop(Duration::from_secs(20));
            let expected = if url.starts_with("http") { 350 } else { 4 };
            assert_eq!(received.join().unwrap(), expected, "points, or lists of a batch each");
        });
        drop(outputs);
        assert_eq!(std::fs::read_dir(queues.path()).unwrap().count(), 0, "nothing is left");
    }
}

#[test]
fn an_output_that_comes_later_gets_what_is_offered_then() {
    let queues = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let first = OutputConfig { name: "first".into(), ..config(&file_url(dir.path())) };
    let outputs = start_in(queues.path(), vec![first], &runtime);
    outputs.offer(&counters(0, 10));

    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("avro+tcp://{}", peer.local_addr().unwrap());
    let second = OutputConfig { name: "second".into(), ..on_disk(&url) };
    outputs.add(second.clone()).unwrap();
    assert!(matches!(outputs.add(second), Err(ShipError::SameName(_))));
    let same = OutputConfig { name: "third".into(), ..config(&file_url(dir.path())) };
    assert!(matches!(outputs.add(same), Err(ShipError::SameDirectory(_))));
    outputs.offer(&counters(10, 5));
    outputs.end_flush();
    std::thread::scope(|scope| {
        let lists = scope.spawn(|| count(peer.accept().unwrap().0));
        outputs.stop(Duration::from_secs(20));
        assert_eq!(lists.join().unwrap(), 1);
    });
    let ledgers = outputs.ledgers();
    let acknowledged: Vec<_> =
        ledgers.iter().map(|ledger| (&*ledger.name, ledger.acknowledged)).collect();
    assert_eq!(acknowledged, [("first", 15), ("second", 5)]);
}

#[test]
fn a_removed_output_delivers_what_it_can_and_keeps_the_rest_for_its_return() {
    let queues = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let of = |url: &str| OutputConfig { name: "out".into(), ..on_disk(url) };
    let outputs = start_in(queues.path(), vec![of(&format!("http://{gone}/"))], &runtime);
    outputs.offer(&counters(0, 100));
    outputs.end_flush();
    ledger_when(&outputs, |ledger| ledger.retries > 0);
    assert_eq!(outputs.remove("other", Duration::ZERO), None);
    let kept = outputs.remove("out", Duration::from_millis(300)).unwrap();
    assert_eq!((kept.points, kept.lost), (100, 0));
    assert!(kept.bytes > 1_000);
    assert_eq!(outputs.ledgers(), []);
    outputs.offer(&counters(100, 100));

    // It is back, with a backlog, and this time all of it goes before the end.
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    outputs.add(of(&format!("http://{}/", peer.local_addr().unwrap()))).unwrap();
    std::thread::scope(|scope| {
        let points = scope.spawn(|| serve(&peer, 1));
        let kept = outputs.remove("out", Duration::from_mins(1)).unwrap();
        assert_eq!(kept, Kept::default());
        assert_eq!(points.join().unwrap(), 100);
    });
}

#[test]
fn a_removed_output_in_memory_says_what_is_lost() {
    let runtime = runtime();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outputs = start(vec![config(&format!("avro+tcp://{gone}"))], &runtime);
    let name = outputs.ledgers().remove(0).name;
    outputs.offer(&counters(0, 7));
    outputs.end_flush();
    let kept = outputs.remove(&name, Duration::from_millis(50)).unwrap();
    assert_eq!(kept, Kept { lost: 7, ..Kept::default() });
}

#[test]
fn a_name_that_is_too_long_for_a_directory_is_refused() {
    let runtime = runtime();
    let long = OutputConfig { name: "n".repeat(250), ..on_disk("http://h/") };
    let started = Outputs::start(vec![long], Path::new("/nowhere"), BOOT, runtime.handle());
    assert!(matches!(started, Err(ShipError::Setting { .. })));
}

#[test]
fn the_ledger_of_a_queue_on_disk_adds_up_at_every_reading_whatever_the_peer_does() {
    let queues = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = runtime();
    let of = |name: &str| OutputConfig {
        name: name.into(),
        queue_bytes: 256 << 10,
        resend: 1000,
        ..on_disk(&format!("avro+tcp://{address}"))
    };
    let outputs = start_in(queues.path(), vec![of("a"), of("b")], &runtime);
    let offered = std::thread::scope(|scope| {
        // A peer that takes a little from each connection, then resets it.
        scope.spawn(|| {
            let mut random = numbers(1);
            while let Ok((mut peer, _)) = listener.accept() {
                let mut some = vec![0; 601 + (random() % 200_000) as usize];
                if peer.read_exact(&mut some[..1]).is_err() || some[0] == b'.' {
                    break;
                }
                let _ = peer.set_read_timeout(Some(Duration::from_millis(5)));
                let _ = peer.read_exact(&mut some[1..]);
            }
        });
        let flushes = scope.spawn(|| {
            let mut random = numbers(2);
            let mut offered = 0;
            for _ in 0..200 {
                let points = (random() % 500) as usize + 1;
                outputs.offer(&counters(offered as i64, points));
                offered += points as u64;
                if random().is_multiple_of(3) {
                    outputs.end_flush();
                }
            }
            offered
        });
        while !flushes.is_finished() {
            outputs.ledgers().iter().for_each(assert_adds_up);
        }
        outputs.stop(Duration::from_mins(1));
        // Lets the peer end.
        TcpStream::connect(address).unwrap().write_all(b".").unwrap();
        flushes.join().unwrap()
    });
    let kept: u64 = outputs
        .ledgers()
        .iter()
        .map(|ledger| {
            assert_adds_up(ledger);
            assert_eq!(ledger.offered, offered);
            assert_eq!(ledger.dropped.get(DropReason::Shutdown), 0, "{ledger:?}");
            ledger.queued
        })
        .sum();
    drop(outputs);
    // What the one says is kept is what the next finds.
    let outputs = start_in(queues.path(), vec![of("a"), of("b")], &runtime);
    let mut recovered = 0;
    while recovered != kept {
        recovered = outputs.ledgers().iter().map(|ledger| ledger.recovered).sum();
        assert!(recovered <= kept, "{recovered} of {kept}");
    }
}

#[test]
fn one_that_takes_the_place_of_another_goes_on_with_its_queue_and_misses_nothing() {
    let queues = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let of = |url: &str| OutputConfig { name: "out".into(), ..on_disk(url) };
    let outputs = start_in(queues.path(), vec![of(&format!("http://{gone}/"))], &runtime);
    outputs.offer(&counters(0, 100));
    outputs.end_flush();
    let [(first, 100, _)] = outputs.safety()[..] else { panic!("{:?}", outputs.safety()) };

    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", peer.local_addr().unwrap());
    let prepared = outputs.prepare(vec![of(&url)]).unwrap();
    let departing = outputs.exchange(prepared, &[]).pop().unwrap();
    // What comes before the first has ended waits for the second.
    outputs.offer(&counters(100, 7));
    outputs.end_flush();
    let safety = outputs.safety();
    assert_eq!(safety.len(), 2);
    assert!(safety.iter().any(|(id, offered, _)| (*id, *offered) == (first, 100)));
    assert!(
        safety.iter().any(|(id, offered, safe)| *id != first && (*offered, *safe) == (7, false))
    );
    let (shown, _) = outputs.accounts();
    assert_eq!(shown.iter().map(|it| it.offered).collect::<Vec<_>>(), [7], "a name stands once");

    let departed = outputs.finish(departing, Duration::from_mins(1));
    assert!(departed.is_taken_over && departed.error.is_none(), "{departed:?}");
    assert_eq!((departed.kept.points, departed.kept.lost), (100, 0));
    std::thread::scope(|scope| {
        let points = scope.spawn(|| serve(&peer, 2));
        let ledger = ledger_when(&outputs, |ledger| ledger.acknowledged == 107);
        assert_eq!((ledger.offered, ledger.recovered), (107, 100));
        assert_eq!(points.join().unwrap(), 107);
    });
    assert!(outputs.safety().iter().all(|(id, ..)| *id != first));
    outputs.stop(Duration::from_secs(20));
}

#[test]
fn what_is_refused_beside_the_others_changes_nothing() {
    let dirs = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let runtime = runtime();
    let of = |name: &str, dir: &Path| OutputConfig { name: name.into(), ..config(&file_url(dir)) };
    let outputs = start(vec![of("a", dirs[0].path()), of("b", dirs[1].path())], &runtime);
    let refused = |config: OutputConfig| outputs.prepare(vec![config]).unwrap_err();
    assert!(matches!(refused(of("b", dirs[0].path())), ShipError::SameDirectory(_)));
    assert!(matches!(refused(of("c", dirs[1].path())), ShipError::SameDirectory(_)));
    assert!(matches!(refused(of("c", Path::new("/proc/nothing"))), ShipError::Directory { .. }));
    assert_eq!(outputs.ledgers().len(), 2);
    // One that was ready and is not taken leaves the others as they are.
    drop(outputs.prepare(vec![config("http://127.0.0.1:9/"), of("a", dirs[0].path())]).unwrap());
    outputs.offer(&counters(0, 5));
    outputs.stop(Duration::from_secs(20));
    assert!(outputs.ledgers().iter().all(|ledger| ledger.acknowledged == 5));
}

#[test]
fn what_an_output_dropped_that_is_gone_is_not_forgotten() {
    let runtime = runtime();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outputs = start(vec![config(&format!("avro+tcp://{gone}"))], &runtime);
    outputs.offer(&counters(0, 7));
    let name = outputs.ledgers().remove(0).name;
    outputs.remove(&name, Duration::ZERO).unwrap();
    assert_eq!(outputs.accounts(), (Vec::new(), DroppedInAll { points: 7, lines: 0 }));
}

#[test]
fn one_that_cannot_take_the_place_of_another_costs_what_came_meanwhile_and_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("points");
    let runtime = runtime();
    let named = |codec| OutputConfig { name: "o".into(), codec, ..config(&file_url(&dir)) };
    let outputs = start(vec![named(Codec::Deflate)], &runtime);
    outputs.offer(&counters(0, 5));
    let prepared = outputs.prepare(vec![named(Codec::Null)]).unwrap();
    let departing = outputs.exchange(prepared, &[]).pop().unwrap();
    outputs.offer(&counters(5, 3));
    // It has no directory any more, and cannot make one.
    departing.output.close();
    departing.output.end(Duration::from_secs(20));
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::write(&dir, "no directory").unwrap();
    let departed = outputs.finish(departing, Duration::from_secs(20));
    assert!(matches!(departed.error, Some(ShipError::Directory { .. })), "{departed:?}");
    assert!(!departed.is_taken_over);
    assert_eq!(outputs.accounts(), (Vec::new(), DroppedInAll { points: 3, lines: 0 }));
}

#[test]
fn a_stop_does_not_wait_for_what_a_removed_output_cannot_deliver() {
    let queues = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("avro+tcp://{gone}"), format!("http://{gone}/")] {
        let outputs = start_in(queues.path(), vec![on_disk(&url)], &runtime);
        outputs.offer(&counters(0, 9));
        outputs.end_flush();
        ledger_when(&outputs, |ledger| ledger.retries > 0);
        let name = outputs.ledgers().remove(0).name;
        let departing = outputs.exchange(Vec::new(), &[name]).pop().unwrap();
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| outputs.finish(departing, Duration::from_hours(1)));
            outputs.stop(Duration::from_hours(1));
            assert_eq!(ending.join().unwrap().kept.points, 9);
        });
    }
}

#[test]
fn an_output_that_is_slow_uses_up_no_patience_with_another() {
    let runtime = runtime();
    let outputs = start(vec![], &runtime);
    // Nobody encodes what comes in, unless the test does.
    let named = |name: &str| OutputConfig { name: name.to_owned(), ..config("file:x") };
    let running = ["slow", "healthy"].map(|name| Arc::new(Output::unstarted(named(name))));
    *lock(&outputs.running) = Arc::from(running.clone());
    let [slow, healthy] = running;
    outputs.offer(&counters(0, INBOX_POINTS as usize));
    healthy.inbox.as_ref().unwrap().take();

    let share = Duration::from_millis(5);
    outputs.be_patient(2 * share);
    outputs.offer(&counters(0, 1));
    assert_eq!(slow.ledger().dropped.get(DropReason::QueueFull), 1);
    assert_eq!(*lock(&slow.patience), Duration::ZERO);
    assert_eq!(*lock(&healthy.patience), share);
}
