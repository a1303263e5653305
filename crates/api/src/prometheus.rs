//! `/metrics`: the newest value of each series and weir's own numbers, for Prometheus.
//!
//! A scrape copies what it shows and puts it in order, for the format wants a name in one place:
//! with all that belongs to it 64 to 140 bytes a series, 150 to 390 a timer (`tests/scrape.rs` holds
//! it to that). The text is written as it is taken, so that no more than a piece of it is in memory.
//! Two scrapes are answered at once, others wait; a slow reader is cut.

mod account;
mod encoding;
mod families;
mod labels;
mod names;
mod own;
mod text;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use hyper::{Method, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::answer::{self, Answer, Body, PIECE, Until};
use crate::status::{STATUS_PATIENCE, read_status};
use crate::{Latest, Status, StatusFeed};
use account::Account;
pub use account::{Clash, PrometheusStatus, Refusals};
use families::{Families, Progress};
use own::FAMILIES;
use text::Text;

/// So many scrapes are answered at once: two servers that watch the same node.
const MOST_AT_ONCE: usize = 2;

/// How long a further one waits; less than the 10 s after which Prometheus gives up.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long an answer may take from its turn on, so that slow readers keep nobody else from theirs.
/// A Prometheus server gives up as soon, unless it is told otherwise.
const LONGEST_SCRAPE: Duration = Duration::from_secs(10);

/// What is shown.
#[derive(Clone, Debug)]
pub struct PrometheusConfig {
    /// A series is shown until weir saw no value of it for so long. Default 120 s.
    pub expiry: Duration,
    /// The `host` label, which on DC/OS is not the dimension `hostname`. Default: that dimension.
    pub host: Option<Arc<str>>,
    /// What is appended to counters' names that do not end so; letters, digits and `_`. Default
    /// nothing, as on DC/OS.
    pub counter_suffix: Arc<str>,
    /// Whether weir's own numbers are shown of each container, beside those of shared listeners
    /// and the sums. Default yes.
    pub container_self_metrics: bool,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            expiry: Duration::from_mins(2),
            host: None,
            counter_suffix: "".into(),
            container_self_metrics: true,
        }
    }
}

/// Answers scrapes. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct Prometheus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: PrometheusConfig,
    latest: Latest,
    status: StatusFeed,
    turns: Arc<Semaphore>,
    account: Account,
}

impl Prometheus {
    /// Shows these values and these numbers.
    pub fn new(config: PrometheusConfig, latest: Latest, status: StatusFeed) -> Self {
        let turns = Arc::new(Semaphore::new(MOST_AT_ONCE));
        Self(Arc::new(Inner { config, latest, status, turns, account: Account::default() }))
    }

    /// How its answers fare.
    pub fn status(&self) -> PrometheusStatus {
        self.0.account.read()
    }

    pub(crate) async fn answer(&self, method: &Method, headers: &HeaderMap) -> Answer {
        if method == Method::HEAD {
            return head(encoding::is_gzip_wanted(headers), Body::default());
        }
        if method != Method::GET {
            return answer::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let turn = timeout(LONGEST_WAIT, self.0.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            self.0.account.turned_away();
            return unavailable(format!("{MOST_AT_ONCE} other scrapes are under way"));
        };
        let until = Until(Instant::now() + LONGEST_SCRAPE);
        let Some(status) = read_status(&self.0.status).await else {
            self.0.account.turned_away();
            return unavailable(format!("The status could not be read within {STATUS_PATIENCE:?}"));
        };
        let inner = self.0.clone();
        // To put so much in order takes longer than others here may be kept from their work.
        let families = tokio::task::spawn_blocking(move || inner.families()).await;
        let Ok(families) = families else {
            return unavailable("weir stops".to_owned());
        };
        let is_gzip = encoding::is_gzip_wanted(headers);
        let scrape = Scrape {
            each_container: self.0.config.container_self_metrics,
            status,
            own: 0,
            families,
            progress: Progress::default(),
            gzip: is_gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            is_done: false,
            _turn: turn,
        };
        let mut answer = head(is_gzip, scrape.into_body());
        answer.extensions_mut().insert(until);
        answer
    }
}

impl Inner {
    fn families(&self) -> Families {
        let mut refused = Refusals::default();
        let families = Families::of(&self.latest, &self.config, &mut refused);
        self.account.scraped(families.samples(), refused);
        families
    }
}

fn head(is_gzip: bool, body: Body) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(text::CONTENT_TYPE));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn unavailable(why: String) -> Answer {
    answer::text(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// An answer that is being written.
struct Scrape {
    status: Arc<Status>,
    each_container: bool,
    /// How many of weir's own families are written.
    own: usize,
    families: Families,
    progress: Progress,
    gzip: Option<GzEncoder<Vec<u8>>>,
    is_done: bool,
    _turn: OwnedSemaphorePermit,
}

impl Scrape {
    fn into_body(mut self) -> Body {
        Body::InPieces(Box::new(move || self.next_piece()))
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if self.is_done {
            // All of it was taken.
            self.families.were_told();
            return None;
        }
        let mut text = Text::with_capacity(PIECE * 2);
        while text.bytes().len() < PIECE && !self.is_done {
            self.is_done = !self.write_some(&mut text);
        }
        let Some(gzip) = &mut self.gzip else { return Some(text.into_bytes().into()) };
        // In memory neither can fail.
        let mut packed = gzip.write_all(text.bytes());
        if self.is_done {
            packed = packed.and_then(|()| gzip.try_finish());
        }
        debug_assert!(packed.is_ok(), "{packed:?}");
        Some(std::mem::take(gzip.get_mut()).into())
    }

    fn write_some(&mut self, text: &mut Text) -> bool {
        if let Some(family) = FAMILIES.get(self.own) {
            self.own += 1;
            family.write(&self.status, self.each_container, text);
            return true;
        }
        self.families.write_some(&mut self.progress, text)
    }
}

#[cfg(test)]
mod tests;
