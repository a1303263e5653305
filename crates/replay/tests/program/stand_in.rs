//! An agent as simple as can be, that can be told to lose things: counters only.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use apache_avro::types::Value as Avro;
use apache_avro::{Schema, Writer};
use metric::{ReadAs, Values};
use serde_json::{Value, json};

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// The second datagram is dropped, and counted as the kernel's.
    Drops,
    /// The second datagram is counted, but comes out nowhere.
    Forgets,
    /// What comes out is told twice.
    Repeats,
}

/// A running one; ended when dropped.
pub(crate) struct StandIn {
    pub(crate) http: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) points: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    flaw: Flaw,
    over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: Vec<Account>,
    /// By container and name.
    sums: BTreeMap<(String, String), f64>,
    registered: HashMap<String, u16>,
    removed: Vec<String>,
    /// Datagrams that are no marks.
    seen: u64,
    seq: i64,
}

#[derive(Default)]
struct Account {
    container: Option<String>,
    port: u16,
    datagrams: u64,
    samples: u64,
    aggregated: u64,
    rejected: BTreeMap<&'static str, u64>,
    kernel_dropped: u64,
}

impl StandIn {
    pub(crate) fn start(directory: &Path, flaw: Flaw) -> Self {
        let shared = Arc::new(Shared {
            flaw,
            over: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        });
        let udp = shared.listen(None);
        let points = directory.join("points");
        fs::create_dir(&points).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap();
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.over.load(Ordering::Relaxed) {
                    return;
                }
                serving.answer(stream.unwrap());
            }
        });
        let (flushing, to) = (Arc::clone(&shared), points.clone());
        thread::spawn(move || {
            let mut number = 0;
            while !flushing.over.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(30));
                number += 1;
                flushing.flush(&to, number);
            }
        });
        Self { http, udp, points, shared }
    }

    /// The containers that were removed.
    pub(crate) fn removed(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().removed.clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Whoever waits for a connection looks up.
        let _ = TcpStream::connect(self.http);
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, container: Option<String>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let mut state = self.state.lock().unwrap();
        let place = state.accounts.len();
        state.accounts.push(Account { container, port: address.port(), ..Account::default() });
        drop(state);
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while !shared.over.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut buffer) {
                    shared.take(place, &buffer[..length]);
                }
            }
        });
        address
    }

    fn take(&self, place: usize, payload: &[u8]) {
        let mut state = self.state.lock().unwrap();
        let State { accounts, sums, seen, .. } = &mut *state;
        let account = &mut accounts[place];
        // Marks come and go as they please; what is lost is always the same of the run itself.
        *seen += u64::from(!payload.starts_with(b"weir_replay_mark"));
        let is_second = *seen == 2;
        if is_second && self.flaw == Flaw::Drops {
            account.kernel_dropped += 1;
            return;
        }
        account.datagrams += 1;
        for line in statsd::lines(payload) {
            let reading = statsd::read(line, ReadAs::default(), 0);
            account.samples += reading.received();
            for reject in reading.rejects() {
                *account.rejected.entry(reject.reason.name()).or_default() += 1;
            }
            for sample in reading.samples() {
                let Values::Numbers(numbers) = sample.values else { continue };
                account.aggregated += numbers.len() as u64;
                if is_second && self.flaw == Flaw::Forgets {
                    continue;
                }
                let key = (account.container.clone().unwrap_or_default(), sample.name.to_owned());
                *sums.entry(key).or_default() += numbers.iter().sum::<f64>() / sample.rate;
            }
        }
    }

    fn flush(&self, to: &Path, number: u64) {
        let mut state = self.state.lock().unwrap();
        let sums = std::mem::take(&mut state.sums);
        if sums.is_empty() {
            return;
        }
        let schema = include_str!("../../../ship/schema/metric_point.avsc");
        let schema = Schema::parse_str(schema).unwrap();
        let mut writer = Writer::new(&schema, Vec::new()).unwrap();
        let times = if self.flaw == Flaw::Repeats { 2 } else { 1 };
        for ((container, name), sum) in sums.iter().flat_map(|sum| std::iter::repeat_n(sum, times))
        {
            let text = |text: &str| Avro::String(text.to_owned());
            let mut fields = vec![
                ("ts", Avro::TimestampMillis(1_700_000_000_000 + number as i64)),
                ("interval_ms", Avro::Int(30)),
                ("name", text(name)),
                ("kind", text("counter")),
                ("stat", text("sum")),
                ("value", Avro::Double(*sum)),
            ];
            let empty =
                ["unit", "host", "cluster_id", "agent_id", "framework_id", "framework_name"];
            fields.extend(empty.map(|name| (name, text(""))));
            fields.extend(["executor_id", "task_id", "task_name"].map(|name| (name, text(""))));
            fields.push(("container_id", text(container)));
            let label = [("team".to_owned(), text("blue"))];
            fields.push(("tags", Avro::Map(label.into())));
            fields.push(("boot_id", text("00ff")));
            fields.push(("seq", Avro::Long(state.seq)));
            state.seq += 1;
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            writer.append_value(Avro::Record(fields)).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let name = format!("{number:06}.avro");
        fs::write(to.join("new"), bytes).unwrap();
        fs::rename(to.join("new"), to.join(name)).unwrap();
    }

    fn answer(self: &Arc<Self>, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        let (head, body) = loop {
            let read = stream.read(&mut piece).unwrap_or(0);
            if read == 0 {
                return;
            }
            request.extend_from_slice(&piece[..read]);
            let text = String::from_utf8(request.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                break (head.to_owned(), body.to_owned());
            }
        };
        let (status, answer) = self.act(head.lines().next().unwrap(), &body);
        let length = answer.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        );
    }

    fn act(self: &Arc<Self>, request: &str, body: &str) -> (u16, String) {
        if request.starts_with("GET /status.json") {
            return (200, self.status().to_string());
        }
        if request.starts_with("POST /container") {
            let asked: Value = serde_json::from_str(body).unwrap();
            let id = asked["container_id"].as_str().unwrap().to_owned();
            let port = self.listen(Some(id.clone())).port();
            self.state.lock().unwrap().registered.insert(id.clone(), port);
            let answer =
                json!({ "container_id": id, "statsd_host": "127.0.0.1", "statsd_port": port });
            return (201, answer.to_string());
        }
        if let Some(rest) = request.strip_prefix("DELETE /container/") {
            let id = rest.split(' ').next().unwrap().to_owned();
            let mut state = self.state.lock().unwrap();
            let known = state.registered.remove(&id).is_some();
            state.removed.push(id);
            return (if known { 202 } else { 404 }, String::new());
        }
        (404, String::new())
    }

    fn status(&self) -> Value {
        let state = self.state.lock().unwrap();
        let source = |account: &Account| {
            json!({
                "source": "listener",
                "container_id": account.container,
                "port": account.port,
                "received": { "datagrams": account.datagrams, "samples": account.samples },
                "aggregated": account.aggregated,
                "rejected": account.rejected,
                "kernel_dropped": account.kernel_dropped,
            })
        };
        let sources: Vec<Value> = state.accounts.iter().map(source).collect();
        let datagrams: u64 = state.accounts.iter().map(|account| account.datagrams).sum();
        json!({
            "boot_id": "00ff",
            "sources": sources,
            "total": { "received": { "datagrams": datagrams } },
            "waiting": 0,
            "outputs": [],
        })
    }
}
