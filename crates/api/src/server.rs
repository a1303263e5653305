mod patient;
mod socket;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ingest::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::answer::{Room, Until};
use crate::request::Request;
use crate::seldom::Seldom;
use crate::{ApiError, App, Endpoint, Event};
use patient::Patient;
use socket::{Accepted, Socket};

/// How long a request may take to come in. An idle or stalled connection is promised to be closed
/// within 5 s.
const LONGEST_REQUEST: Duration = Duration::from_millis(4500);

/// How long nothing may move on a connection. More than the above, so that who stalls in the middle
/// of a body is told so.
const LONGEST_STALL: Duration = Duration::from_millis(4800);

/// How long a connection may last that keeps moving: a large answer to a slow reader. An answer may
/// say [`Until`] when.
const LONGEST_CONNECTION: Duration = Duration::from_secs(30);

/// How long open connections are waited for when the server stops.
const LONGEST_STOP: Duration = Duration::from_secs(1);

/// How long a connection that has just come when the server stops may take to say what it wants.
const LAST_CALL: Duration = Duration::from_millis(50);

/// How many connections one server keeps open. One more is closed at once.
const MOST_CONNECTIONS: usize = 256;

/// A pause after the system could not give us a connection, or else we would ask without end.
const PAUSE: Duration = Duration::from_millis(100);

/// The start line and the headers, in bytes.
const LARGEST_HEAD: usize = 16 << 10;

/// What hyper reads at once, and keeps of an answer before it waits for the reader.
const BUFFER: usize = 64 << 10;

/// A bound socket, and later what answers there.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    endpoint: Endpoint,
}

impl Server {
    /// Binds the endpoint; from then on connections queue up. To be called within a tokio
    /// runtime.
    ///
    /// A unix socket gets the mode 0660. The file of a dead server is replaced; it is removed
    /// when this one stops, unless it has been replaced by then.
    pub fn bind(endpoint: &Endpoint) -> Result<Self, ApiError> {
        Self::bind_stored(endpoint, &Store::default())
    }

    /// As [`Server::bind`], but a socket that an earlier process left there is taken up with the
    /// connections that wait at it, and a new one is left to a later process.
    pub fn bind_stored(endpoint: &Endpoint, store: &Store) -> Result<Self, ApiError> {
        let (socket, endpoint) = Socket::bind(endpoint, store)?;
        Ok(Self { socket, endpoint })
    }

    /// Where it listens, with the port that the system chose.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Answers until `stop`, then lets the requests that are under way finish, for a second at
    /// most. Every connection carries one request.
    pub async fn serve(self, app: App, stop: CancellationToken) {
        let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let (tasks, room) = (TaskTracker::new(), Room::default());
        // Ends what is left after the stop.
        let abandon = CancellationToken::new();
        let complaints = Seldom::default();
        while let Some(accepted) = stop.run_until_cancelled(self.socket.accept()).await {
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.failed(&app, &error, &complaints);
                    if !is_of_one_connection(&error) {
                        let _ = stop.run_until_cancelled(sleep(PAUSE)).await;
                    }
                    continue;
                }
            };
            app.traffic.count(Event::Connection);
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                app.traffic.count(Event::OverCap);
                continue;
            };
            let (app, room, stop) = (app.clone(), room.clone(), stop.clone());
            match accepted {
                Accepted::Unix(stream) => {
                    spawn(&tasks, &abandon, converse(stream, app, room, stop, permit));
                }
                Accepted::Tcp(stream) => {
                    spawn(&tasks, &abandon, converse(stream, app, room, stop, permit));
                }
            }
        }
        drop(self.socket);
        tasks.close();
        if timeout(LONGEST_STOP, tasks.wait()).await.is_err() {
            abandon.cancel();
            tasks.wait().await;
        }
    }

    fn failed(&self, app: &App, error: &io::Error, complaints: &Seldom) {
        app.traffic.count(Event::AcceptFailed);
        if let Some(failures) = complaints.due() {
            warn!(
                "{} cannot take a connection: {error} ({failures} times since the last such line)",
                self.endpoint
            );
        }
    }
}

// The others are of the whole process or system, like a lack of descriptors, and last.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn spawn(
    tasks: &TaskTracker,
    abandon: &CancellationToken,
    connection: impl Future<Output = ()> + Send + 'static,
) {
    let abandon = abandon.clone();
    tasks.spawn(async move {
        let _ = abandon.run_until_cancelled(connection).await;
    });
}

async fn converse<S>(
    stream: S,
    app: App,
    room: Room,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let deadline = Instant::now() + LONGEST_REQUEST;
    let traffic = Arc::clone(&app.traffic);
    let head_came = Arc::new(AtomicBool::new(false));
    let coming = Arc::clone(&head_came);
    let (tell_end, mut end) = watch::channel(Instant::now() + LONGEST_CONNECTION);
    let tell_end = Arc::new(tell_end);
    let service = service_fn(move |request| {
        coming.store(true, Ordering::Relaxed);
        let (app, room, tell_end) = (app.clone(), room.clone(), Arc::clone(&tell_end));
        async move {
            let request = Request::read(request, deadline).await;
            let mut answer = app.answer(request, &room).await;
            if let Some(Until(earlier)) = answer.extensions_mut().remove() {
                tell_end.send_replace(earlier);
            }
            let headers = answer.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        // Who has said everything may close its side and still wait for the answer.
        .half_close(true)
        .title_case_headers(true)
        .max_header_size(LARGEST_HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Patient::new(stream, LONGEST_STALL)), service);
    let mut connection = pin!(connection);
    let too_late = async {
        sleep_until(deadline).await;
        if head_came.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let stopping = async {
        stop.cancelled().await;
        sleep(LAST_CALL).await;
    };
    let conversation = async {
        tokio::select! {
            biased;
            () = too_late => return None,
            result = connection.as_mut() => return Some(result),
            () = stopping => connection.as_mut().graceful_shutdown(),
        }
        Some(connection.await)
    };
    let ended = tokio::select! {
        biased;
        ended = conversation => ended,
        () = reached(&mut end) => None,
    };
    match ended {
        Some(Ok(())) => {}
        None => traffic.count(Event::Cut),
        Some(Err(error)) if is_stalled(&error) => traffic.count(Event::Cut),
        Some(Err(error)) if error.is_parse() => traffic.count(Event::Undecodable),
        Some(Err(error)) => debug!("a connection ended early: {error}"),
    }
}

// Until the moment that was last told.
async fn reached(moment: &mut watch::Receiver<Instant>) {
    loop {
        let last = *moment.borrow_and_update();
        tokio::select! {
            () = sleep_until(last) => return,
            Ok(()) = moment.changed() => {}
        }
    }
}

fn is_stalled(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
