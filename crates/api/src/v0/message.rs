use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use metric::Dimensions;

use super::names::Older;
use super::tags::{self, Common};
use super::{Names, NotANumber, V0Config, json, names};
use crate::answer::PIECE;
use crate::{Held, Newest, Place, Seen};

/// What a message is about.
#[derive(Debug)]
pub(super) enum Subject {
    Node,
    /// What the container of this id uses.
    Container(String),
    /// What it tells.
    App(String),
}

/// So many pieces of a source are looked through in one go in which nothing is found to be told.
const MOST_IN_VAIN: usize = 8;

/// A message, written as it is sent: `{"datapoints":[…],"dimensions":{…}}` and a line feed.
pub(super) struct Message {
    style: Style,
    sources: Vec<Source>,
    /// The source that is read now, and how far.
    current: usize,
    place: Place,
    is_read: bool,
    seen: VecDeque<Seen>,
    is_begun: bool,
    ending: Vec<u8>,
    is_over: bool,
    scratch: Scratch,
}

struct Style {
    kind: Kind,
    /// Only datapoints of this name.
    only: Option<String>,
    config: V0Config,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Node,
    Container,
    App,
}

struct Source {
    held: Arc<Held>,
    who: Arc<Dimensions>,
    common: Common,
}

/// Kept from one datapoint to the next.
#[derive(Default)]
struct Scratch {
    name: String,
    tags: Vec<u8>,
    number: String,
    time: String,
    time_is_of: Option<u32>,
}

impl Message {
    /// Of these sources, in their order; `None` without any.
    pub(super) fn new(
        subject: &Subject,
        sources: Vec<Arc<Held>>,
        only: Option<String>,
        config: &V0Config,
    ) -> Option<Self> {
        let (kind, id) = match subject {
            Subject::Node => (Kind::Node, ""),
            Subject::Container(id) => (Kind::Container, id.as_str()),
            Subject::App(id) => (Kind::App, id.as_str()),
        };
        let source = |held: Arc<Held>| {
            let who = held.dimensions();
            let mut common = match kind {
                Kind::Node => Common::default(),
                Kind::Container => Common::from([("container_id".to_owned(), id.to_owned())]),
                Kind::App => tags::of_node(&who, config.host.as_deref()),
            };
            if kind != Kind::Node {
                tags::add_executor(&mut common, &who);
            }
            Source { held, who, common }
        };
        let sources: Vec<_> = sources.into_iter().map(source).collect();
        // The one that came last knows best.
        let who = &sources.last()?.who;
        let mut ending = b"],".to_vec();
        write_dimensions(&mut ending, kind, id, who, config.host.as_deref());
        ending.extend_from_slice(b"}\n");
        Some(Self {
            style: Style { kind, only, config: config.clone() },
            sources,
            current: 0,
            place: Place::default(),
            is_read: false,
            seen: VecDeque::new(),
            is_begun: false,
            ending,
            is_over: false,
            scratch: Scratch::default(),
        })
    }

    /// The next piece: see [`crate::answer::Pieces`]. Nothing at all if there is no datapoint.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut piece = Vec::new();
        let mut in_vain = 0;
        while piece.len() < PIECE && in_vain < MOST_IN_VAIN {
            let Some(seen) = self.seen.pop_front() else {
                if self.read_on() {
                    in_vain += 1;
                    continue;
                }
                self.is_over = true;
                if !self.is_begun {
                    return None;
                }
                piece.append(&mut self.ending);
                break;
            };
            let before = piece.len();
            self.tell(&seen, &mut piece);
            if piece.len() > before {
                in_vain = 0;
            }
        }
        Some(piece.into())
    }

    // Reads a further piece of the sources; `false` if there is none.
    fn read_on(&mut self) -> bool {
        if self.is_read {
            self.current += 1;
            self.place = Place::default();
        }
        let Some(source) = self.sources.get(self.current) else {
            return false;
        };
        let mut seen = Vec::from(std::mem::take(&mut self.seen));
        self.is_read = !source.held.read(&mut self.place, self.style.config.expiry, &mut seen);
        self.seen = seen.into();
        true
    }

    // Appends the datapoints of a series.
    fn tell(&mut self, seen: &Seen, piece: &mut Vec<u8>) {
        let Self { style, sources, current, is_begun, scratch, .. } = self;
        let source = &sources[*current];
        let older = match (style.kind, style.config.names) {
            (Kind::Container, Names::Dcos111) => names::older(seen.key.name(), seen.key.tags()),
            (Kind::Node | Kind::Container | Kind::App, Names::Dcos111 | Names::Dcos112) => None,
        };
        let unit = match (style.kind, &older) {
            (Kind::Node, _) => names::unit_of_node(seen.key.name()),
            (Kind::Container | Kind::App, older) => older.as_ref().map_or("", |older| older.unit),
        };
        let name = older.as_ref().map_or(seen.key.name(), |older| &older.name);
        let mut is_first = true;
        each_number(&seen.newest, |field, value| {
            scratch.name_it(name, field);
            if style.only.as_ref().is_some_and(|only| *only != scratch.name) || !style.shows(value)
            {
                return;
            }
            if is_first {
                // Who has the same series in two ways has it once: as it was heard of last.
                let later = &sources[*current + 1..];
                let expiry = style.config.expiry;
                if later.iter().any(|later| later.held.has(&seen.key, expiry)) {
                    return;
                }
                scratch.tag_it(source, seen, older.as_ref());
                scratch.date_it(seen.at);
                is_first = false;
            }
            let opening: &[u8] = if *is_begun { b"," } else { b"{\"datapoints\":[" };
            *is_begun = true;
            piece.extend_from_slice(opening);
            scratch.write(piece, value, unit, style.config.nan);
        });
    }
}

/// The numbers that are told of a series, each with its field; in the order of the fields' names.
fn each_number(newest: &Newest, mut tell: impl FnMut(&str, f64)) {
    match newest {
        Newest::Number(number) => tell("", *number),
        Newest::Summary(summary) => {
            tell("count", summary.count());
            tell("lower", summary.min());
            tell("mean", summary.mean());
            tell("stddev", summary.stddev());
            tell("sum", summary.sum());
            tell("upper", summary.max());
        }
    }
}

impl Style {
    fn shows(&self, value: f64) -> bool {
        value.is_finite() || value.is_nan() && self.config.nan != NotANumber::Omit
    }
}

impl Scratch {
    fn name_it(&mut self, name: &str, field: &str) {
        self.name.clear();
        self.name.push_str(name);
        if !field.is_empty() {
            self.name.push('.');
            self.name.push_str(field);
        }
    }

    fn tag_it(&mut self, source: &Source, seen: &Seen, older: Option<&Older>) {
        self.tags.clear();
        if let Some(device) = older.and_then(|older| older.device.as_deref()) {
            let own = [(Cow::Borrowed("blkio_device"), device)];
            tags::write_with_own(&mut self.tags, &source.common, own.into_iter());
        } else {
            let own = source.who.client_tags(&seen.key);
            tags::write_with_own(&mut self.tags, &source.common, own);
        }
    }

    fn date_it(&mut self, at: u32) {
        if self.time_is_of != Some(at) {
            self.time_is_of = Some(at);
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at.into());
            self.time = json::time(at).to_string();
        }
    }

    fn write(&mut self, to: &mut Vec<u8>, value: f64, unit: &str, nan: NotANumber) {
        to.extend_from_slice(b"{\"name\":");
        json::text(to, &self.name);
        to.extend_from_slice(b",\"value\":");
        if value.is_nan() {
            json::text(to, if nan == NotANumber::String { "NaN" } else { "" });
        } else {
            self.number.clear();
            json::number(&mut self.number, value);
            to.extend_from_slice(self.number.as_bytes());
        }
        to.extend_from_slice(b",\"unit\":");
        json::text(to, unit);
        to.extend_from_slice(b",\"timestamp\":");
        json::text(to, &self.time);
        to.extend_from_slice(&self.tags);
        to.push(b'}');
    }
}

fn write_dimensions(to: &mut Vec<u8>, kind: Kind, id: &str, who: &Dimensions, host: Option<&str>) {
    let of_container = if kind == Kind::Node { &Dimensions::default() } else { who };
    to.extend_from_slice(b"\"dimensions\":{\"mesos_id\":");
    json::text(to, &who.agent_id);
    for (key, value) in [
        ("cluster_id", who.cluster_id.as_str()),
        ("container_id", id),
        ("executor_id", &of_container.executor_id),
        ("framework_name", &of_container.framework_name),
        ("framework_id", &of_container.framework_id),
        ("framework_role", &of_container.framework_role),
        ("framework_principal", &of_container.framework_principal),
        ("task_name", &of_container.task_name),
        ("task_id", &of_container.task_id),
    ] {
        if !value.is_empty() {
            to.push(b',');
            json::text(to, key);
            to.push(b':');
            json::text(to, value);
        }
    }
    to.extend_from_slice(b",\"hostname\":");
    json::text(to, &who.hostname);
    if kind == Kind::Container {
        tags::write_object(to, "labels", &tags::of_node(who, host));
    }
    to.push(b'}');
}
