use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};

use metric::{Origin, ReadAs};
use tokio::runtime::Runtime;

use super::*;
use crate::OutputLedger;

struct Rig {
    runtime: Runtime,
    relay: Relay,
    account: Arc<Account>,
    ended: mpsc::Receiver<Infallible>,
}

fn rig(annotation: Annotation, packet_bytes: usize) -> Rig {
    let destination = "statsd+udp://metrics.test:8125".parse().unwrap();
    let config = OutputConfig { annotation, packet_bytes, ..OutputConfig::new(destination) };
    let account = Arc::new(Account::new(config.name(), false).of_lines());
    let (running, ended) = mpsc::channel();
    let place = ("metrics.test".to_owned(), 8125);
    let relay = Relay::new(&config, place, Arc::clone(&account), running);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    Rig { runtime, relay, account, ended }
}

fn around() -> Surroundings {
    let framework = |source: &Source| Dimensions {
        framework_id: source.container_id().map_or(String::new(), |id| format!("f.{id}")),
        ..Dimensions::default()
    };
    Surroundings {
        dimensions: Arc::new(move |source| Arc::new(framework(source))),
        is_own: Arc::new(|_| false),
    }
}

impl Rig {
    fn start(&self, workers: usize, around: &Surroundings, look_up: LookUp) -> Vec<Inlet> {
        self.relay.start_with(look_up, workers, around, self.runtime.handle()).unwrap()
    }

    /// Lets the resolver look once.
    fn resolve(&self, looked: impl Fn() -> bool) {
        self.runtime.block_on(async {
            while !looked() {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Stops it, which waits for its first look, and waits for its end.
    fn stop(&self) -> OutputLedger {
        self.relay.close();
        assert!(self.ended.recv().is_err());
        self.relay.abandon();
        let ledger = self.account.ledger();
        assert_eq!(ledger.offered, ledger.acknowledged + ledger.dropped.total(), "{ledger:?}");
        assert_eq!(ledger.queued, 0);
        ledger
    }
}

fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn packet(socket: &UdpSocket) -> String {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn container(id: &str) -> Arc<Source> {
    Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
}

fn always(address: SocketAddr) -> LookUp {
    Arc::new(move || Ok(vec![address]))
}

#[test]
fn lines_of_all_workers_leave_packed_and_with_their_containers() {
    let (socket, address) = receiver();
    let rig = rig(Annotation::TagDatadog, 100);
    let mut inlets = rig.start(2, &around(), always(address));
    let (one, other) = (container("one"), container("other"));
    inlets[0].put(&one, b"a:1|c");
    inlets[0].put(&one, b"b:1|c|#x:y");
    inlets[0].put(&other, b"c:1|c");
    inlets[1].put(&other, b"d:1|c");
    inlets.iter_mut().for_each(Inlet::end_batch);
    rig.resolve(|| rig.account.is_up());
    let (of_one, of_other) =
        ("framework_id:f.one,container_id:one", "framework_id:f.other,container_id:other");
    // A packet that is not full leaves after a moment, whether more comes or not.
    let packets = [packet(&socket), packet(&socket)];
    assert_eq!(packets[0], format!("a:1|c|#{of_one}\nb:1|c|#x:y,{of_one}"));
    assert_eq!(packets[1], format!("c:1|c|#{of_other}\nd:1|c|#{of_other}"));
    let ledger = rig.stop();
    assert_eq!((ledger.offered, ledger.acknowledged), (4, 4));
}

#[test]
fn what_was_handed_over_before_a_stop_leaves() {
    let (socket, address) = receiver();
    let rig = rig(Annotation::None, 1432);
    let mut inlets = rig.start(1, &around(), always(address));
    rig.resolve(|| rig.account.is_up());
    let source = container("c");
    for line in ["a:1|c", "b:2|g"] {
        inlets[0].put(&source, line.as_bytes());
        inlets[0].end_batch();
    }
    assert_eq!(rig.stop().acknowledged, 2);
    assert_eq!(packet(&socket), "a:1|c\nb:2|g");
    assert!(!inlets[0].is_open(), "the worker sees that it is gone");
}

#[test]
fn lines_wait_until_it_is_known_where_they_go_and_are_lost_if_that_is_nowhere() {
    let rig = rig(Annotation::None, 1432);
    let nowhere: LookUp = Arc::new(|| Err(std::io::Error::other("no such name")));
    let mut inlets = rig.start(1, &around(), nowhere);
    let source = container("c");
    inlets[0].put(&source, b"a:1|c");
    inlets[0].end_batch();
    assert_eq!(rig.account.ledger().offered, 0);
    rig.resolve(|| rig.account.ledger().last_error.is_some());
    let ledger = rig.stop();
    assert_eq!((ledger.offered, ledger.dropped.get(DropReason::Unreachable)), (1, 1));
    assert_eq!(ledger.last_error.as_deref(), Some("no such name"));
}

#[test]
fn a_stop_waits_for_the_first_look_but_not_once_it_is_abandoned() {
    let (socket, address) = receiver();
    for is_found in [true, false] {
        let rig = rig(Annotation::None, 1432);
        let mut inlets = rig.start(1, &around(), always(address));
        inlets[0].put(&container("c"), b"a:1|c");
        inlets[0].end_batch();
        rig.relay.close();
        if is_found {
            rig.resolve(|| rig.account.ledger().acknowledged == 1);
            assert_eq!(packet(&socket), "a:1|c");
        } else {
            rig.relay.abandon();
            rig.resolve(|| rig.account.ledger().offered == 1);
        }
        let lost = u64::from(!is_found);
        assert_eq!(rig.stop().dropped.get(DropReason::Unreachable), lost);
    }
}

#[test]
fn nothing_is_sent_to_ourselves() {
    let (socket, address) = receiver();
    socket.set_nonblocking(true).unwrap();
    let rig = rig(Annotation::None, 1432);
    let around = Surroundings { is_own: Arc::new(move |at| at == address), ..around() };
    let mut inlets = rig.start(1, &around, always(address));
    inlets[0].put(&container("c"), b"a:1|c");
    inlets[0].end_batch();
    rig.resolve(|| rig.account.ledger().last_error.is_some());
    let ledger = rig.stop();
    assert_eq!(ledger.dropped.get(DropReason::Unreachable), 1);
    assert!(ledger.last_error.unwrap().contains("this weir's own"));
    assert_eq!(socket.recv(&mut [0; 10]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_name_that_moved_takes_the_lines_with_it() {
    let ((before, first), (after, second)) = (receiver(), receiver());
    let mut rig = rig(Annotation::None, 1432);
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    rig.runtime = builder.enable_time().start_paused(true).build().unwrap();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let moves: LookUp = Arc::new(move || {
        Ok(vec![if counted.fetch_add(1, Ordering::Relaxed) < 2 { first } else { second }])
    });
    let mut inlets = rig.start(1, &around(), moves);
    rig.resolve(|| rig.account.is_up());
    let source = container("c");
    let mut put = |line: &str| {
        inlets[0].put(&source, line.as_bytes());
        inlets[0].end_batch();
    };
    put("a:1|c");
    assert_eq!(packet(&before), "a:1|c");
    // Of the paused clock: the look at its end is the third.
    let until = resolver::REFRESH * 2 + Duration::from_secs(1);
    rig.runtime.block_on(async { tokio::time::sleep(until).await });
    assert_eq!(looks.load(Ordering::Relaxed), 3);
    put("b:1|c");
    assert_eq!(packet(&after), "b:1|c");
    assert_eq!(rig.stop().acknowledged, 2);
}

#[test]
fn a_relay_that_never_started_ends_at_once() {
    let rig = rig(Annotation::None, 1432);
    let ledger = rig.stop();
    assert_eq!((ledger.offered, ledger.unit.name()), (0, "lines"));
    assert!(rig.start(1, &around(), always("127.0.0.1:9".parse().unwrap())).is_empty());
}
