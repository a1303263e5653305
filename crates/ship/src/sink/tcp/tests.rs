use std::future::Future;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::*;
use crate::ledger::DropReason;

const QUICK: Retry = Retry {
    first: Duration::from_millis(1),
    most: Duration::from_millis(5),
    timeout: Duration::from_secs(10),
};

struct Sink {
    lanes: Arc<Lanes>,
    account: Arc<Account>,
    running: JoinHandle<()>,
}

/// One that sends nothing again that was acknowledged.
fn start(port: u16, queue_bytes: usize) -> Sink {
    start_with(port, queue_bytes, 0)
}

fn start_with(port: u16, queue_bytes: usize, resend: u64) -> Sink {
    let account = Arc::new(Account::new("o".into(), false));
    let age = Duration::from_hours(1);
    let lanes = Arc::new(Lanes::new(queue_bytes as u64, age, false, Arc::clone(&account)));
    let sink = TcpSink {
        host: "127.0.0.1".to_owned(),
        port,
        resend,
        retry: QUICK,
        lanes: Arc::clone(&lanes),
        account: Arc::clone(&account),
    };
    Sink { lanes, account, running: tokio::spawn(sink.run()) }
}

impl Sink {
    fn push(&self, byte: u8, bytes: usize) {
        self.account.offer(1);
        self.lanes.push(Payload { bytes: vec![byte; bytes].into(), points: 1 });
    }

    async fn until(&self, condition: impl Fn(&Account) -> bool) {
        within(async {
            while !condition(&self.account) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("nothing here takes long")
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The next connection, after its header.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    let mut header = vec![0; 601];
    within(peer.read_exact(&mut header)).await.unwrap();
    assert_eq!(header, ocf::header(Schema::MetricList, Codec::Null, &STREAM_MARKER));
    peer
}

#[tokio::test]
async fn a_connection_carries_the_header_once_and_then_the_blocks() {
    let (listener, port) = listen().await;
    let sink = start(port, 1 << 20);
    let mut peer = accept(&listener).await;
    sink.until(Account::is_up).await;
    for byte in 1..=3 {
        sink.push(byte, 2);
        sink.until(|account| account.ledger().acknowledged == u64::from(byte)).await;
    }
    sink.lanes.close();
    within(sink.running).await.unwrap();
    let mut rest = Vec::new();
    within(peer.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, [1, 1, 2, 2, 3, 3]);
}

#[tokio::test]
async fn points_wait_for_a_peer_that_is_not_there_yet() {
    let (listener, port) = listen().await;
    drop(listener);
    let sink = start(port, 1 << 20);
    sink.push(1, 2);
    sink.push(2, 2);
    sink.until(|account| account.ledger().retries >= 3).await;
    let ledger = sink.account.ledger();
    assert_eq!((ledger.queued, ledger.acknowledged), (2, 0));
    assert!(!sink.account.is_up());
    assert!(ledger.last_error.unwrap().starts_with(&format!("127.0.0.1:{port}: ")));

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], port).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let mut peer = accept(&listener).await;
    let mut blocks = [0; 4];
    within(peer.read_exact(&mut blocks)).await.unwrap();
    assert_eq!(blocks, [1, 1, 2, 2]);
    sink.until(|account| account.ledger().acknowledged == 2).await;
}

#[tokio::test]
async fn a_block_that_a_reset_cut_off_is_sent_again_whole_after_a_new_header() {
    const LARGE: usize = 32 << 20;
    let (listener, port) = listen().await;
    let sink = start(port, 2 * LARGE);
    let mut peer = accept(&listener).await;
    sink.push(7, LARGE);
    sink.push(8, 2);
    let mut beginning = vec![0; 100_000];
    within(peer.read_exact(&mut beginning)).await.unwrap();
    // Unread bytes make the kernel answer with a reset.
    drop(peer);

    let mut peer = accept(&listener).await;
    let mut blocks = vec![0; LARGE + 2];
    within(peer.read_exact(&mut blocks)).await.unwrap();
    assert!(blocks[..LARGE].iter().all(|byte| *byte == 7));
    assert_eq!(blocks[LARGE..], [8, 8]);
    sink.until(|account| account.ledger().acknowledged == 2).await;
    assert_eq!(sink.account.ledger().retries, 1);
}

#[tokio::test]
async fn a_peer_that_closed_its_side_gets_nothing_more_on_that_connection() {
    let (listener, port) = listen().await;
    let sink = start(port, 1 << 20);
    let mut peer = accept(&listener).await;
    peer.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within(peer.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());

    let mut peer = accept(&listener).await;
    sink.push(1, 2);
    let mut block = [0; 2];
    within(peer.read_exact(&mut block)).await.unwrap();
    assert_eq!(sink.account.ledger().retries, 1);
}

#[tokio::test]
async fn what_a_peer_says_is_not_listened_to() {
    let (listener, port) = listen().await;
    let sink = start(port, 1 << 20);
    let mut peer = accept(&listener).await;
    within(peer.write_all(&[b'x'; 10_000])).await.unwrap();
    sink.push(1, 2);
    let mut block = [0; 2];
    within(peer.read_exact(&mut block)).await.unwrap();
    assert_eq!(sink.account.ledger().retries, 0);
}

#[tokio::test]
async fn a_peer_that_never_reads_costs_the_oldest_points_and_no_memory() {
    let (listener, port) = listen().await;
    let sink = start(port, 16 << 20);
    let peer = accept(&listener).await;
    for byte in 0..40 {
        sink.push(byte, 4 << 20);
        tokio::task::yield_now().await;
    }
    let ledger = sink.account.ledger();
    let lost = ledger.dropped.get(DropReason::QueueFull);
    assert!(lost > 0, "{ledger:?}");
    assert_eq!(ledger.offered, ledger.acknowledged + ledger.queued + lost);
    drop(peer);
}

#[tokio::test]
async fn a_closed_queue_ends_an_attempt_to_connect_that_has_nothing_to_carry() {
    let sink = start(9, 1 << 20);
    sink.lanes.close();
    within(sink.running).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_address_that_says_nothing_does_not_keep_from_the_next() {
    // It takes one connection, and drops what else comes while that is not accepted.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let silent = silent.listen(0).unwrap();
    let _taken = TcpStream::connect(silent.local_addr().unwrap()).await.unwrap();
    let (listener, _) = listen().await;
    let addresses = [silent.local_addr().unwrap(), listener.local_addr().unwrap()];

    let within = Duration::from_secs(30);
    let begun = Instant::now();
    let stream = connect_to_one(&addresses, begun + within).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    let half = within / 2;
    assert!((half..within).contains(&begun.elapsed()), "{:?}", begun.elapsed());

    let error = connect_to_one(&addresses[..1], Instant::now() + within).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// Closes a connection so that the other side is told of a reset.
fn reset(peer: TcpStream) {
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

async fn read(peer: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    within(peer.read_exact(&mut read)).await.unwrap();
    read
}

#[tokio::test]
async fn after_a_reset_the_last_acknowledged_bytes_are_sent_again_and_counted_once() {
    // Blocks of ten bytes: a window of 25 reaches into the third from the end.
    for (resend, repeated) in [(0, 0), (1, 1), (25, 3), (1 << 20, 5)] {
        let (listener, port) = listen().await;
        let sink = start_with(port, 1 << 20, resend);
        let mut peer = accept(&listener).await;
        for byte in 1..=5 {
            sink.push(byte, 10);
            sink.until(|account| account.ledger().acknowledged == u64::from(byte)).await;
        }
        read(&mut peer, 50).await;
        reset(peer);
        let mut peer = accept(&listener).await;
        sink.push(6, 10);
        let mut expected: Vec<u8> = (6 - repeated..=5).flat_map(|byte| [byte; 10]).collect();
        expected.extend([6; 10]);
        assert_eq!(read(&mut peer, expected.len()).await, expected);
        sink.until(|account| account.ledger().acknowledged == 6).await;
        let ledger = sink.account.ledger();
        assert_eq!((ledger.offered, ledger.queued, ledger.resent), (6, 0, u64::from(repeated)));
    }
}

#[tokio::test]
async fn what_is_sent_again_is_sent_again_if_that_connection_is_lost_too() {
    let (listener, port) = listen().await;
    let sink = start_with(port, 1 << 20, 15);
    let mut peer = accept(&listener).await;
    for byte in 1..=3 {
        sink.push(byte, 10);
        sink.until(|account| account.ledger().acknowledged == u64::from(byte)).await;
    }
    for _ in 0..2 {
        reset(peer);
        peer = accept(&listener).await;
    }
    let again = [[2; 10], [3; 10]].concat();
    assert_eq!(read(&mut peer, 20).await, again);
    assert_eq!(sink.account.ledger().acknowledged, 3);
}

#[tokio::test]
async fn a_block_counts_only_when_the_peers_kernel_has_it() {
    let (listener, port) = listen().await;
    SockRef::from(&listener).set_recv_buffer_size(64 << 10).unwrap();
    let sink = start(port, 64 << 20);
    let mut peer = accept(&listener).await;
    for byte in 1..=100 {
        sink.push(byte, 64 << 10);
    }
    // The peer's buffer takes some; from then on nothing moves.
    sink.until(|account| account.ledger().acknowledged > 0).await;
    let taken = sink.account.ledger().acknowledged;
    assert!(taken < 20, "{taken} of 64 KiB each in a buffer of 64 KiB");
    let all = read(&mut peer, 100 * (64 << 10)).await;
    assert!(all.chunks(64 << 10).zip(1..).all(|(block, byte)| block.iter().all(|it| *it == byte)));
    sink.until(|account| account.ledger().acknowledged == 100).await;
}

#[tokio::test]
async fn a_peer_that_closed_its_side_still_acknowledges_what_is_under_way() {
    let (listener, port) = listen().await;
    SockRef::from(&listener).set_recv_buffer_size(64 << 10).unwrap();
    let sink = start(port, 64 << 20);
    let mut peer = accept(&listener).await;
    for byte in 1..=20 {
        sink.push(byte, 64 << 10);
    }
    sink.until(|account| account.ledger().acknowledged > 0).await;
    peer.shutdown().await.unwrap();
    let mut first = Vec::new();
    within(peer.read_to_end(&mut first)).await.unwrap();
    let mut next = accept(&listener).await;
    let came = first.len() / (64 << 10);
    let again = read(&mut next, 64 << 10).await[0];
    assert!(usize::from(again) <= came + 1, "{again} is the first of the next, {came} have come");
    for byte in again + 1..=20 {
        assert_eq!(read(&mut next, 64 << 10).await[0], byte);
    }
    sink.until(|account| account.ledger().acknowledged == 20).await;
    assert_eq!(sink.account.ledger().retries, 1);
}

#[tokio::test]
async fn what_is_live_goes_before_a_backlog_to_a_slow_peer() {
    const BLOCK: usize = 64 << 10;
    let (listener, port) = listen().await;
    SockRef::from(&listener).set_recv_buffer_size(64 << 10).unwrap();
    let sink = start(port, 64 << 20);
    let lost = accept(&listener).await;
    for _ in 0..200 {
        sink.push(1, BLOCK);
    }
    reset(lost);
    let mut peer = accept(&listener).await;
    read(&mut peer, BLOCK).await;
    sink.push(2, BLOCK);
    let mut before = 0;
    while read(&mut peer, BLOCK).await[0] == 1 {
        before += 1;
    }
    assert!(before < 32, "{before} blocks came first");
    sink.until(|account| account.ledger().queued <= 199).await;
}

#[tokio::test]
async fn closed_lanes_wait_for_the_last_acknowledgement() {
    let (listener, port) = listen().await;
    SockRef::from(&listener).set_recv_buffer_size(64 << 10).unwrap();
    let sink = start(port, 64 << 20);
    let mut peer = accept(&listener).await;
    for byte in 1..=20 {
        sink.push(byte, 64 << 10);
    }
    sink.lanes.close();
    sink.until(|account| account.ledger().acknowledged > 0).await;
    assert!(!sink.running.is_finished());
    read(&mut peer, 20 * (64 << 10)).await;
    within(sink.running).await.unwrap();
    assert_eq!(sink.account.ledger().acknowledged, 20);
}
