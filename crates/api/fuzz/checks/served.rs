//! A server with all that a server of weir can have, and real sockets behind it.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use api::{
    App, Cardinality, CardinalityQuery, Containers, ContainersConfig, Endpoint, Health, Hooks,
    Latest, LatestConfig, OnFailure, Ports, Prometheus, PrometheusConfig, Server, Status, V0,
    V0Config, Views,
};
use ingest::Listeners;
use metric::{Batch, Datapoint, Dimensions, Kind, Origin, ReadAs, SeriesKey, Source, Value};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const HOST: &str = "198.51.100.1";
pub(crate) const MOST_CONTAINERS: usize = 4;

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Served {
    pub(crate) runtime: Runtime,
    pub(crate) containers: Containers,
    path: PathBuf,
    _directory: TempDir,
}

/// What was answered.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The one server of this process; one input has it at a time.
pub(crate) fn served() -> MutexGuard<'static, Served> {
    static SERVED: OnceLock<Mutex<Served>> = OnceLock::new();
    let served = SERVED.get_or_init(|| Mutex::new(Served::start()));
    served.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Served {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let directory = TempDir::new().expect("there is room for a directory");
        let path = directory.path().join("api.sock");
        let containers = containers();
        let app = {
            let _in_runtime = runtime.enter();
            app(containers.clone())
        };
        runtime.block_on(async {
            let server = Server::bind(&Endpoint::Unix(path.clone())).expect("it was just made");
            tokio::spawn(server.serve(app, CancellationToken::new()));
        });
        Self { runtime, containers, path, _directory: directory }
    }

    /// What is answered to these bytes; `None` if it is nothing at all.
    pub(crate) fn send(&self, request: &[u8]) -> Option<Answer> {
        let conversation = async {
            let mut stream = UnixStream::connect(&self.path).await.expect("the server is up");
            // It may have heard enough before the end.
            let _ = stream.write_all(request).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            // What it did not read is a reset behind its answer.
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answered = self.runtime.block_on(async { timeout(PATIENCE, conversation).await });
        let answered = answered.expect("every connection comes to its end");
        // Who asks first whether to send is told to go on.
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        let answered = answered.strip_prefix(go_on).unwrap_or(&answered);
        (!answered.is_empty()).then(|| Answer::read(answered))
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head has an end");
        let head = std::str::from_utf8(&bytes[..end]).expect("our heads are UTF-8");
        let (start, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = start.strip_prefix("HTTP/1.").expect("it is HTTP").split(' ').nth(1);
        let status = status.and_then(|status| status.parse().ok()).expect("it has a status");
        let fields: Vec<_> = fields.lines().filter_map(|line| line.split_once(": ")).collect();
        let field = |wanted: &str| {
            let mut found = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.next().map(|(_, value)| (*value).to_owned())
        };
        let body = bytes[end + 4..].to_vec();
        let length = field("Content-Length").map(|length| length.parse());
        // An answer to HEAD has the length of what it leaves out.
        if let (Some(length), false) = (length, body.is_empty()) {
            assert_eq!(length, Ok(body.len()));
        }
        Self { status, location: field("Location"), body }
    }
}

fn containers() -> Containers {
    let config = ingest::Config { workers: NonZeroUsize::MIN, max_rest: Duration::ZERO };
    let (listeners, receivers) = Listeners::new(config).expect("a worker's descriptors");
    for mut receiver in receivers {
        std::thread::spawn(move || while receiver.turn(None, &mut |_| ()).is_ok() {});
    }
    let config = ContainersConfig {
        statsd_host: HOST.to_owned(),
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports: Ports::Ephemeral,
        on_failure: OnFailure::NoContent,
        max_containers: MOST_CONTAINERS,
        read_as: ReadAs::default(),
        receive_buffer: 0,
        retry: Duration::from_secs(5),
    };
    let hooks = Hooks {
        persist: Box::new(|_| Ok(())),
        registered: Box::new(|_| ()),
        removed: Box::new(|_| ()),
    };
    Containers::new(config, listeners, hooks).expect("a thread")
}

fn app(containers: Containers) -> App {
    let (status, mut asked) = mpsc::channel::<oneshot::Sender<Arc<Status>>>(1);
    tokio::spawn(async move {
        while let Some(tell) = asked.recv().await {
            let _ = tell.send(Arc::default());
        }
    });
    let (cardinality, mut asked) = mpsc::channel::<CardinalityQuery>(1);
    tokio::spawn(async move {
        while let Some(query) = asked.recv().await {
            let (now, series, limit) = (0, 0, 0);
            let sources = Vec::new();
            let none = Cardinality { version: 1, now, series, limit, complete: true, sources };
            let _ = query.tell.send(Arc::new(none));
        }
    });
    let latest = latest();
    App {
        registration: Some(containers),
        views: Some(Views {
            status: status.clone(),
            cardinality,
            health: Arc::new(Health::default),
        }),
        v0: Some(V0 { latest: latest.clone(), config: V0Config::default() }),
        prometheus: Some(Prometheus::new(PrometheusConfig::default(), latest, status)),
        ..App::default()
    }
}

// The container `a` told of one gauge, `b/c`.
fn latest() -> Latest {
    let latest = Latest::new(LatestConfig::default());
    let origin = Origin::Container { container_id: "a".into() };
    let key = SeriesKey::new(Kind::Gauge, "b/c", &[]);
    let batch = Batch {
        dimensions: Arc::new(Dimensions { container_id: "a".to_owned(), ..Dimensions::default() }),
        source: Source::new(origin, ReadAs::default()),
        end_ms: 1_000,
        interval_ms: 1_000,
        first_seq: 0,
        quantiles: Arc::default(),
        datapoints: vec![Datapoint { key, timestamp: None, value: Value::Gauge(1.0) }],
    };
    latest.take_in(&Arc::new(batch));
    latest.end_flush();
    latest
}
