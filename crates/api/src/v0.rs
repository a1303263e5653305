//! DC/OS's metrics API, version 0: the newest values as dcos-telegraf and dcos-metrics gave them.

mod place;

mod list;
mod message;

mod names;
mod tags;

mod json;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{Method, StatusCode, Uri};
use metric::Origin;

use crate::answer::{self, Answer, Pieces};
use crate::{Held, Latest};
use message::{Message, Subject};
use place::{Path, Place};

/// What the metrics API answers, and how.
#[derive(Clone, Debug)]
pub struct V0 {
    /// Where the newest values are.
    pub latest: Latest,
    /// What it is to look like.
    pub config: V0Config,
}

/// How the metrics API looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V0Config {
    /// The `host` tag, which on DC/OS is not the dimension `hostname`. Default: that dimension.
    pub host: Option<Arc<str>>,
    /// What kind of node this is. Default: an agent.
    pub role: Role,
    /// Whose names the metrics of node and containers have. Default: those of DC/OS 1.12 and later.
    pub names: Names,
    /// How a value that is not a number is written. Default: it is left out.
    pub nan: NotANumber,
    /// A series is shown until weir saw no value of it for so long. Default 120 s.
    pub expiry: Duration,
}

/// What kind of node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs containers.
    Agent,
    /// It does not: what is asked about containers is not found.
    Master,
}

/// The release of DC/OS whose names and units are used for what a node and its containers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// 1.12 and later: `mem.total_bytes`, without a unit.
    Dcos112,
    /// 1.9 to 1.11: `mem.total`, in `bytes`.
    Dcos111,
}

/// How a value that is not a number is written. An infinite one is always left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotANumber {
    /// Not at all, and neither is its datapoint.
    Omit,
    /// `"NaN"`, as dcos-metrics did.
    String,
    /// `""`, as dcos-telegraf did.
    Empty,
}

impl Default for V0Config {
    fn default() -> Self {
        Self {
            host: None,
            role: Role::Agent,
            names: Names::Dcos112,
            nan: NotANumber::Omit,
            expiry: Duration::from_mins(2),
        }
    }
}

impl V0 {
    /// The answer to a request for something of this API; `None` if the path is none of its.
    pub(crate) async fn answer(&self, method: &Method, uri: &Uri) -> Option<Answer> {
        let place = match Path::read(uri.path(), self.config.role)? {
            Path::Malformed => {
                return Some(answer::text(StatusCode::BAD_REQUEST, "400 Bad Request"));
            }
            Path::Moved(to) => {
                let to = match uri.query() {
                    Some(query) => format!("{to}?{query}"),
                    None => to,
                };
                return Some(answer::moved_with_page(&to).unwrap_or_else(answer::no_such_path));
            }
            Path::Nowhere => return Some(answer::no_such_path()),
            Path::At(place) => place,
        };
        if method != Method::GET && method != Method::HEAD {
            return Some(answer::empty(StatusCode::METHOD_NOT_ALLOWED));
        }
        Some(match place {
            Place::Ping => ping(),
            Place::Containers => in_pieces(list::pieces(self.containers())).await,
            Place::Node => self.message(Subject::Node, None).await,
            Place::Container(id) => self.message(Subject::Container(id), None).await,
            Place::App(id) => self.message(Subject::App(id), None).await,
            Place::Metric(id, name) => self.message(Subject::App(id), Some(name)).await,
        })
    }

    async fn message(&self, subject: Subject, name: Option<String>) -> Answer {
        let all = match &subject {
            Subject::Node => self.latest.sources(),
            Subject::Container(id) | Subject::App(id) => self.latest.of_container(id),
        };
        let sources = all.into_iter().filter(|held| self.shows(held) && subject.is_told_by(held));
        match Message::new(&subject, sources.collect(), name, &self.config) {
            Some(mut message) => in_pieces(Box::new(move || message.next())).await,
            None => answer::empty(StatusCode::NO_CONTENT),
        }
    }

    fn containers(&self) -> Vec<Arc<str>> {
        let all = self.latest.sources().into_iter().filter(|held| self.shows(held));
        let mut ids: Vec<_> =
            all.filter_map(|held| held.source().container_id().cloned()).collect();
        // They come sorted.
        ids.dedup();
        ids
    }

    fn shows(&self, held: &Held) -> bool {
        !held.has_ended() && held.is_live(self.config.expiry)
    }
}

impl Subject {
    fn is_told_by(&self, held: &Held) -> bool {
        match (self, &held.source().origin) {
            (Self::Node, Origin::Node)
            | (Self::Container(_), Origin::Resources { .. })
            | (Self::App(_), Origin::Container { .. } | Origin::Claimed { .. }) => true,
            (
                Self::Node | Self::Container(_) | Self::App(_),
                Origin::Node
                | Origin::MesosAgent
                | Origin::Listener { .. }
                | Origin::Container { .. }
                | Origin::Claimed { .. }
                | Origin::Resources { .. },
            ) => false,
        }
    }
}

fn ping() -> Answer {
    let now = json::time(SystemTime::now());
    answer::json(StatusCode::OK, format!("{{\"ok\":true,\"timestamp\":\"{now}\"}}\n"))
}

/// The first piece decides what is answered: nothing at all is 204, and what is one piece only goes
/// with its length.
async fn in_pieces(mut pieces: Pieces) -> Answer {
    let first = loop {
        match pieces() {
            None => return answer::empty(StatusCode::NO_CONTENT),
            Some(nothing) if nothing.is_empty() => tokio::task::yield_now().await,
            Some(first) => break first,
        }
    };
    let mut second = pieces();
    let Some(held_back) = second.take() else {
        return answer::json(StatusCode::OK, first);
    };
    let mut started = vec![held_back, first];
    answer::json_in_pieces(Box::new(move || started.pop().or_else(&mut pieces)))
}
