use std::fmt;
use std::sync::Arc;

use hyper::header::ORIGIN;
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::answer::{self, Answer, Room};
use crate::path::percent_decode;
use crate::request::{Request, Unread};
use crate::status::read_status;
use crate::{
    Cardinality, CardinalityFeed, CardinalityQuery, Containers, Event, Health, Prometheus,
    StatusFeed, Traffic, V0, registration,
};

const INDEX: &str = "weir, a StatsD agent

/status.json       every count, by container, listener and output
/metrics           the newest values and the same counts, for Prometheus
/cardinality.json  who has how many series, and why; ?container=ID for more of one
/healthz           200 when the listeners are open
/readyz            200 when the outputs are up, too
/v0                the newest values, as DC/OS's metrics API: /v0/node, /v0/containers,
                   /v0/containers/ID, /v0/containers/ID/app, /v0/ping";

/// What a server answers. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// The registration of containers, if this server has it.
    pub registration: Option<Containers>,
    /// Health and status, if this server has them.
    pub views: Option<Views>,
    /// The metrics API, if this server has it.
    pub v0: Option<V0>,
    /// `/metrics`, if this server has it.
    pub prometheus: Option<Prometheus>,
    /// Where what happens is counted.
    pub traffic: Arc<Traffic>,
}

/// What is asked for health and status.
#[derive(Clone)]
pub struct Views {
    /// Gives the status.
    pub status: StatusFeed,
    /// Gives the cardinality.
    pub cardinality: CardinalityFeed,
    /// Tells what is not well. Must not block.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
}

impl App {
    pub(crate) async fn answer(&self, request: Result<Request, Unread>, room: &Room) -> Answer {
        let request = match request {
            Ok(request) => request,
            Err(unread) => return self.refuse(unread),
        };
        // Only web pages send it, and none has a reason to speak to this.
        if request.head.headers.contains_key(ORIGIN) {
            self.traffic.count(Event::Forbidden);
            return answer::text(StatusCode::FORBIDDEN, "Requests from web pages are refused");
        }
        let (method, uri) = (&request.head.method, &request.head.uri);
        if let Some(prometheus) = &self.prometheus
            && uri.path() == "/metrics"
        {
            return prometheus.answer(method, &request.head.headers).await;
        }
        if let Some(views) = &self.views
            && let Some(view) = View::at(uri.path(), self.registration.is_none())
        {
            if method != Method::GET && method != Method::HEAD {
                return answer::empty(StatusCode::METHOD_NOT_ALLOWED);
            }
            return views.show(view, uri.query().unwrap_or_default(), room).await;
        }
        if let Some(v0) = &self.v0
            && let Some(answer) = v0.answer(method, uri).await
        {
            return answer;
        }
        let Some(containers) = &self.registration else {
            return answer::no_such_path();
        };
        let answer = registration::answer(containers, method, uri, &request.body, room).await;
        if answer.status() == StatusCode::BAD_REQUEST {
            self.traffic.count(Event::Undecodable);
        }
        answer
    }

    fn refuse(&self, unread: Unread) -> Answer {
        match unread {
            Unread::TooLarge => {
                self.traffic.count(Event::TooLarge);
                answer::text(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB")
            }
            Unread::Stalled => {
                self.traffic.count(Event::Cut);
                answer::text(StatusCode::REQUEST_TIMEOUT, "The request did not come in time")
            }
            Unread::Broken => {
                self.traffic.count(Event::Undecodable);
                answer::text(StatusCode::BAD_REQUEST, "The body could not be read")
            }
        }
    }
}

#[derive(Clone, Copy)]
enum View {
    Index,
    Status,
    Cardinality,
    Health,
    Readiness,
}

impl View {
    fn at(path: &str, with_index: bool) -> Option<Self> {
        match path {
            "/" if with_index => Some(Self::Index),
            "/status.json" => Some(Self::Status),
            "/cardinality.json" => Some(Self::Cardinality),
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Readiness),
            _ => None,
        }
    }
}

impl Views {
    async fn show(&self, view: View, query: &str, room: &Room) -> Answer {
        match view {
            View::Index => answer::text(StatusCode::OK, INDEX),
            View::Status => {
                let answer = room.json(read_status(&self.status), json).await;
                answer.unwrap_or_else(|| late("status"))
            }
            View::Cardinality => match container_in(query) {
                Ok(container_id) => {
                    let answer = room.json(self.read_cardinality(container_id), json).await;
                    answer.unwrap_or_else(|| late("cardinality"))
                }
                Err(error) => answer::text(StatusCode::BAD_REQUEST, error),
            },
            View::Health => well(&(self.health)().listeners),
            View::Readiness => {
                let Health { mut listeners, outputs } = (self.health)();
                listeners.extend(outputs);
                well(&listeners)
            }
        }
    }

    async fn read_cardinality(&self, container_id: Option<String>) -> Option<Arc<Cardinality>> {
        let (tell, told) = oneshot::channel();
        self.cardinality.send(CardinalityQuery { container_id, tell }).await.ok()?;
        told.await.ok()
    }
}

fn json<T: Serialize>(view: &Arc<T>) -> Vec<u8> {
    serde_json::to_vec(&**view).expect("a view can be written as JSON")
}

fn late(what: &str) -> Answer {
    let why = format!("The {what} could not be read in time");
    answer::text(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// The container that a query names: `container=ID`, percent-encoded, is all that it may say.
fn container_in(query: &str) -> Result<Option<String>, &'static str> {
    let mut container_id = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let encoded = pair.strip_prefix("container=").ok_or("The query may be container=ID")?;
        let decoded = percent_decode(encoded.as_bytes());
        let decoded = decoded.and_then(|id| String::from_utf8(id).ok());
        container_id = Some(decoded.ok_or("The container's id is not percent-encoded UTF-8")?);
    }
    Ok(container_id)
}

fn well(reasons: &[String]) -> Answer {
    if reasons.is_empty() {
        answer::text(StatusCode::OK, "ok")
    } else {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n"))
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").finish_non_exhaustive()
    }
}
