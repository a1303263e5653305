use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::time::{Instant, sleep_until};

use crate::lanes::{Lanes, Pace, Taken};
use crate::ledger::Account;
use crate::retry::Backoff;
use crate::{Retry, ShipError};

/// Posts files: a 2xx is the acknowledgement. One of each lane at a time, so that what is live never
/// waits for the answer to a part of the backlog.
pub(crate) struct HttpSink {
    pub(crate) client: Client,
    pub(crate) url: Url,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) retry: Retry,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) account: Arc<Account>,
}

/// What became of a request.
enum Outcome {
    Delivered,
    Refused(StatusCode),
    Failed { why: String, wait: Option<Duration> },
}

type Posting<'a> = Pin<Box<dyn Future<Output = (Taken, Outcome)> + Send + 'a>>;

/// The posts of one lane, one after the other.
struct Lane<'a> {
    posting: Option<Posting<'a>>,
    backoff: Backoff,
    /// After a failure: since when is waited, and how long.
    waits: Option<(Instant, Duration)>,
}

impl Lane<'_> {
    fn new(retry: Retry) -> Self {
        Self { posting: None, backoff: Backoff::new(retry), waits: None }
    }

    /// When the next post may begin; `None` while one is under way.
    fn next(&self, lanes: &Lanes) -> Option<Instant> {
        if self.posting.is_some() {
            return None;
        }
        let (since, wait) = self.waits.unwrap_or_else(|| (Instant::now(), Duration::ZERO));
        Some(since + lanes.pause_of(wait))
    }

    fn may_begin(&self, lanes: &Lanes) -> bool {
        self.next(lanes).is_some_and(|at| at <= Instant::now())
    }

    async fn done(&mut self) -> (Taken, Outcome) {
        let Some(posting) = &mut self.posting else { return pending().await };
        let done = posting.await;
        self.posting = None;
        done
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.waits = None;
    }

    fn failed(&mut self, asked: Option<Duration>) {
        let wait = asked.unwrap_or_else(|| self.backoff.wait());
        self.waits = Some((Instant::now(), wait));
    }
}

impl HttpSink {
    /// Posts until nothing more comes and nothing is left.
    pub(crate) async fn run(self) {
        let (mut live, mut backlog) = (Lane::new(self.retry), Lane::new(self.retry));
        let mut pace = Pace::new();
        loop {
            if live.may_begin(&self.lanes)
                && let Some(taken) = self.lanes.take_live()
            {
                live.posting = Some(Box::pin(self.deliver(taken)));
            }
            if backlog.may_begin(&self.lanes)
                && pace.is_due()
                && let Some(taken) = self.lanes.take_backlog()
            {
                pace.took(taken.payload.bytes.len());
                backlog.posting = Some(Box::pin(self.deliver(taken)));
            }
            let is_idle = live.posting.is_none() && backlog.posting.is_none();
            if is_idle && self.lanes.is_finished() {
                return;
            }
            let waits = [&live, &backlog].map(|lane| lane.next(&self.lanes));
            let next = waits.into_iter().flatten().filter(|at| *at > Instant::now()).min();
            let is_closing = self.lanes.is_closing();
            tokio::select! {
                (taken, outcome) = live.done() => {
                    if let Err(wait) = self.judge(&taken, &outcome, &mut live) {
                        self.lanes.put_back(taken);
                        self.lanes.fall_behind();
                        // The backlog goes to the same place.
                        backlog.failed(wait);
                    }
                }
                (taken, outcome) = backlog.done() => {
                    match self.judge(&taken, &outcome, &mut backlog) {
                        Ok(()) => live.succeeded(),
                        Err(_) => self.lanes.put_back(taken),
                    }
                }
                () = self.lanes.changed() => {}
                () = pace.due() => {}
                () = until(next) => {}
                () = self.lanes.closing(), if !is_closing => {}
            }
            self.account.set_up(live.waits.is_none() && backlog.waits.is_none());
        }
    }

    /// Settles what became of a post; an error if it failed, with how long the other side asked us to
    /// wait.
    fn judge(
        &self,
        taken: &Taken,
        outcome: &Outcome,
        lane: &mut Lane<'_>,
    ) -> Result<(), Option<Duration>> {
        match outcome {
            Outcome::Delivered => {
                self.lanes.acknowledge(taken);
                lane.succeeded();
                Ok(())
            }
            Outcome::Refused(status) => {
                self.account.error(format!("refused: {status}"));
                self.lanes.refuse(taken);
                lane.succeeded();
                Ok(())
            }
            Outcome::Failed { why, wait } => {
                self.account.retry(why);
                lane.failed(*wait);
                Err(*wait)
            }
        }
    }

    async fn deliver(&self, taken: Taken) -> (Taken, Outcome) {
        let outcome = self.post(taken.payload.bytes.clone()).await;
        (taken, outcome)
    }

    async fn post(&self, body: Bytes) -> Outcome {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("avro/binary"));
        if let Some(path) = self.token_file.clone() {
            // Not on this thread: the file may be on a disk that hangs.
            let read = tokio::task::spawn_blocking(move || credentials(&path));
            match read.await {
                Ok(Ok((name, value))) => headers.insert(name, value),
                Ok(Err(why)) => return Outcome::Failed { why, wait: None },
                Err(_) => return failed("cannot read token_file"),
            };
        }
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        match request.send().await {
            Ok(response) => self.read(response).await,
            // The URL may hold a key, so it is not told.
            Err(error) => failed(&chain(&error.without_url())),
        }
    }

    async fn read(&self, mut response: Response) -> Outcome {
        let status = response.status();
        // The connection is used again if the answer is read to its end; a long one is not worth it.
        let mut unread = ANSWER_BYTES;
        while let Ok(Some(chunk)) = response.chunk().await {
            let Some(left) = unread.checked_sub(chunk.len()) else { break };
            unread = left;
        }
        if status.is_success() {
            Outcome::Delivered
        } else if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let wait = retry_after(response.headers(), SystemTime::now());
            Outcome::Failed { why: format!("answered {status}"), wait }
        } else {
            Outcome::Refused(status)
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// The most of an answer's body that is read.
const ANSWER_BYTES: usize = 64 << 10;

fn failed(why: &(impl fmt::Display + ?Sized)) -> Outcome {
    Outcome::Failed { why: why.to_string(), wait: None }
}

/// An error with its causes: reqwest's own text says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The longest that a destination may make us wait.
const WAIT_MOST: Duration = Duration::from_mins(5);

/// How long the answer asks us to wait, in seconds or until a date; `None` where it says nothing
/// sensible, or 0.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok()?,
    };
    (!wait.is_zero()).then_some(wait.min(WAIT_MOST))
}

/// The header that the first line of this file asks for: a whole header, or a bearer token.
fn credentials(path: &PathBuf) -> Result<(HeaderName, HeaderValue), String> {
    use std::io::Read as _;

    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text))
        .map_err(|error| format!("cannot read token_file {}: {error}", path.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(format!("token_file {} has an empty first line", path.display()));
    }
    let whole_header = line.split_once(": ").and_then(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value.trim().to_owned()))
    });
    let (name, value) = whole_header.unwrap_or_else(|| (AUTHORIZATION, format!("Bearer {line}")));
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| format!("token_file {} holds what no header may", path.display()))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The most of a token file that is read.
const TOKEN_BYTES: u64 = 64 << 10;

/// A client for this URL, which answers for itself only: no redirects, no proxies.
pub(crate) fn client(output: &str, url: &Url, retry: Retry) -> Result<Client, ShipError> {
    let failed = |problem: String| ShipError::Client { name: output.to_owned(), problem };
    let provider = rustls::crypto::ring::default_provider();
    let mut builder = Client::builder()
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(retry.timeout)
        .timeout(retry.timeout);
    if url.scheme() == "http" {
        // Without TLS the system's certificates are not needed, and may be missing.
        let tls = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder = builder.tls_backend_preconfigured(tls);
    } else {
        // An error means that the program has installed one already, which is as good.
        let _ = provider.install_default();
    }
    builder.build().map_err(|error| failed(chain(&error)))
}

#[cfg(test)]
mod tests;
