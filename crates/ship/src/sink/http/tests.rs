use std::fmt::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::DropReason;
use crate::queue::Payload;

const QUICK: Retry = Retry {
    first: Duration::from_millis(1),
    most: Duration::from_millis(5),
    timeout: Duration::from_secs(10),
};

/// A server that gives one scripted answer to each request, and keeps what it was asked.
struct Server {
    listener: TcpListener,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in?key=s3cret", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next request, head and body; its connection is closed after the answer.
    async fn answer(&self, answer: &str) -> (String, Vec<u8>) {
        let (mut peer, head, body) = self.request().await;
        let mut text = format!("HTTP/1.1 {answer}\r\n");
        write!(text, "content-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        peer.write_all(text.as_bytes()).await.unwrap();
        (head, body)
    }

    async fn request(&self) -> (TcpStream, String, Vec<u8>) {
        let accepted = timeout(Duration::from_secs(20), self.listener.accept()).await;
        let (mut peer, _) = accepted.expect("nothing here takes long").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(peer.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        peer.read_exact(&mut body).await.unwrap();
        (peer, head, body)
    }
}

struct Sink {
    lanes: Arc<Lanes>,
    account: Arc<Account>,
    running: JoinHandle<()>,
}

fn start(url: &str, token_file: Option<PathBuf>, retry: Retry) -> Sink {
    let account = Arc::new(Account::new("o".into(), true));
    let age = Duration::from_hours(1);
    let lanes = Arc::new(Lanes::new(1 << 20, age, false, Arc::clone(&account)));
    let url: Url = url.parse().unwrap();
    let sink = HttpSink {
        client: client("o", &url, retry).unwrap(),
        url,
        token_file,
        retry,
        lanes: Arc::clone(&lanes),
        account: Arc::clone(&account),
    };
    Sink { lanes, account, running: tokio::spawn(sink.run()) }
}

impl Sink {
    fn push(&self, body: &'static [u8], points: u64) {
        self.account.offer(points);
        self.lanes.push(Payload { bytes: Bytes::from_static(body), points });
    }

    /// Lets the sink finish what it has, and returns its account.
    async fn finish(self) -> crate::OutputLedger {
        self.lanes.close();
        let ended = timeout(Duration::from_secs(20), self.running).await;
        ended.expect("nothing here takes long").unwrap();
        self.account.ledger()
    }
}

#[tokio::test]
async fn a_payload_is_posted_until_it_is_taken_and_the_next_one_waits_for_it() {
    let server = Server::start().await;
    let sink = start(&server.url, None, QUICK);
    sink.push(b"first", 3);
    sink.push(b"second", 4);
    let mut bodies = Vec::new();
    for answer in ["503 Busy", "429 Slow down", "500 Oops", "200 OK", "204 No content"] {
        let (head, body) = server.answer(answer).await;
        assert!(head.starts_with("post /in?key=s3cret http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: avro/binary\r\n"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
        bodies.push(String::from_utf8(body).unwrap());
    }
    assert_eq!(bodies, ["first", "first", "first", "first", "second"]);
    let ledger = sink.finish().await;
    assert_eq!((ledger.acknowledged, ledger.queued, ledger.retries), (7, 0, 3));
    assert_eq!(ledger.last_error.unwrap(), "answered 500 Internal Server Error");
}

#[tokio::test]
async fn an_answer_that_is_no_yes_and_no_later_drops_the_payload_and_only_it() {
    let server = Server::start().await;
    let sink = start(&server.url, None, QUICK);
    let answers = ["400 Bad", "401 Who", "404 Where", "413 Large", "302 Found\r\nlocation: /other"];
    for answer in answers {
        sink.push(b"refused", 2);
        server.answer(answer).await;
    }
    sink.push(b"taken", 5);
    let (head, body) = server.answer("202 Accepted").await;
    assert!(head.starts_with("post /in?"), "a redirect is not followed: {head}");
    assert_eq!(body, b"taken");
    let ledger = sink.finish().await;
    assert_eq!(ledger.dropped.get(DropReason::Refused), 10);
    assert_eq!((ledger.acknowledged, ledger.retries), (5, 0));
    assert_eq!(ledger.last_error.unwrap(), "refused: 302 Found");
}

#[tokio::test]
async fn a_server_that_hangs_or_hangs_up_or_is_gone_is_tried_again() {
    let server = Server::start().await;
    let sink = start(&server.url, None, Retry { timeout: Duration::from_millis(300), ..QUICK });
    sink.push(b"body", 1);
    let (hanging, _, _) = server.request().await;
    let (mut cut_off, _, _) = server.request().await;
    cut_off.write_all(b"HTTP/1.1 200").await.unwrap();
    drop(cut_off);
    server.answer("200 OK").await;
    drop(hanging);
    let ledger = sink.finish().await;
    assert_eq!((ledger.acknowledged, ledger.retries), (1, 2));
    assert!(!ledger.last_error.unwrap().contains("s3cret"));
}

#[tokio::test]
async fn a_server_says_how_long_to_wait() {
    let server = Server::start().await;
    let hour = Duration::from_hours(1);
    let sink = start(&server.url, None, Retry { first: hour, most: hour, ..QUICK });
    sink.push(b"body", 1);
    server.answer("429 Slow down\r\nretry-after: 1").await;
    server.answer("200 OK").await;
    assert_eq!(sink.finish().await.acknowledged, 1);
}

#[tokio::test]
async fn the_token_is_read_before_each_request_and_told_to_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let server = Server::start().await;
    let sink = start(&server.url, Some(path.clone()), QUICK);
    sink.push(b"body", 1);
    while sink.account.ledger().retries == 0 {
        tokio::task::yield_now().await;
    }
    assert!(sink.account.ledger().last_error.unwrap().starts_with("cannot read token_file"));

    for (file, header) in [
        ("t0ken.of-mine\n", "authorization: bearer t0ken.of-mine\r\n"),
        ("  other \nsecond line", "authorization: bearer other\r\n"),
        ("X-Api-Key: k3y\n", "x-api-key: k3y\r\n"),
    ] {
        // As it would be replaced: at once.
        std::fs::write(dir.path().join("new"), file).unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        let (head, _) = server.answer("503 Busy").await;
        // A request that was under way may still have the one before.
        if !head.contains(header) {
            let (head, _) = server.answer("503 Busy").await;
            assert!(head.contains(header), "{head}");
        }
    }
    server.answer("200 OK").await;
    let ledger = sink.finish().await;
    assert_eq!(ledger.acknowledged, 1);
    assert!(!format!("{ledger:?}").contains("k3y"));
}

#[test]
fn a_token_file_that_cannot_be_a_header_is_refused_without_telling_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    for content in ["", "\nsecond", "s3cret\u{1}"] {
        std::fs::write(&path, content).unwrap();
        let error = credentials(&path).unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_and_bounded() {
    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    for (text, wait) in [
        ("7", Some(7)),
        ("999999", Some(300)),
        ("0", None),
        ("-1", None),
        ("soon", None),
        ("Sun, 06 Nov 1994 08:49:39 GMT", Some(2)),
        ("Sun, 06 Nov 1994 08:49:30 GMT", None),
        ("Mon, 07 Nov 1994 08:49:37 GMT", Some(300)),
    ] {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{text}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[tokio::test]
async fn what_is_live_does_not_wait_for_a_part_of_the_backlog() {
    let server = Server::start().await;
    let sink = start(&server.url, None, QUICK);
    sink.push(b"backlog", 1);
    server.answer("503 Busy").await;
    // Only now it is known to have failed.
    let (_hanging, _, body) = server.request().await;
    assert_eq!(body, b"backlog");
    for _ in 0..3 {
        sink.push(b"live", 1);
        let (_, body) = server.answer("200 OK").await;
        assert_eq!(body, b"live");
    }
}

#[tokio::test]
async fn a_payload_that_always_fails_holds_up_nothing_but_the_backlog() {
    let server = Server::start().await;
    let sink = start(&server.url, None, QUICK);
    sink.push(b"poison", 1);
    server.answer("500 Oops").await;
    while sink.account.ledger().retries == 0 {
        tokio::task::yield_now().await;
    }
    sink.push(b"live", 1);
    let mut live = 0;
    while live < 3 {
        let (mut peer, _, body) = server.request().await;
        let answer = if body == b"live" { "200 OK" } else { "500 Oops" };
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        peer.write_all(answer.as_bytes()).await.unwrap();
        if body == b"live" {
            live += 1;
            sink.push(b"live", 1);
        }
    }
    assert!(!sink.account.is_up(), "a part of it is not delivered");
    assert!(sink.account.ledger().acknowledged >= 2);
}
