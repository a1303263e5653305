use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Certificate, Client, StatusCode, Url};

use crate::Error;
use crate::answer::{self, Agent, Containers, Numbers, State};
use crate::directory::read_bounded;

mod credentials;
pub(crate) mod service_account;

pub use credentials::Credentials;
use credentials::Session;

// What is said beside a refusal is not needed.
const REFUSAL_BYTES: usize = 64 * 1024;

/// How the Mesos agent of this node is asked.
#[derive(Clone)]
pub struct MesosConfig {
    /// `http://HOST:PORT` or `https://HOST:PORT`, usually port 5051.
    pub url: String,
    /// The certificates that are trusted for https; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// What is shown to an agent that wants to know who asks.
    pub credentials: Credentials,
    /// The longest that one call may take. Default 5 s.
    pub timeout: Duration,
    /// A longer answer is refused. Default 64 MiB.
    pub answer_bytes: usize,
}

impl MesosConfig {
    /// The agent at this address, everything else at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_file: None,
            credentials: Credentials::None,
            timeout: Duration::from_secs(5),
            answer_bytes: 64 << 20,
        }
    }

    /// Refuses an address that nobody can be asked at.
    pub fn check(&self) -> Result<(), Error> {
        base(&self.url).map(drop)
    }
}

fn base(url: &str) -> Result<Url, Error> {
    let base = Url::parse(url).map_err(|_| Error::Url)?;
    if matches!(base.scheme(), "http" | "https") { Ok(base) } else { Err(Error::Url) }
}

// Without the address, which may hold a password.
impl fmt::Debug for MesosConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MesosConfig")
            .field("ca_file", &self.ca_file)
            .field("credentials", &self.credentials)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Asks the agent's v1 operator API and its metrics, one call at a time, over connections that are
/// used again.
pub(crate) struct Mesos {
    client: Client,
    api: Url,
    snapshot: Url,
    session: Session,
    answer_bytes: usize,
}

// As that of the configuration.
impl fmt::Debug for Mesos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesos").field("session", &self.session).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Call {
    State,
    Containers,
    Agent,
    Snapshot,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::State => "GET_STATE",
            Self::Containers => "GET_CONTAINERS",
            Self::Agent => "GET_AGENT",
            Self::Snapshot => "/metrics/snapshot",
        }
    }

    fn body(self) -> &'static str {
        match self {
            // It is a GET.
            Self::Snapshot => "",
            Self::State => r#"{"type":"GET_STATE"}"#,
            Self::Containers => {
                r#"{"type":"GET_CONTAINERS","get_containers":{"show_nested":true,"show_standalone":true}}"#
            }
            Self::Agent => r#"{"type":"GET_AGENT"}"#,
        }
    }

    fn failed(self, reason: impl fmt::Display) -> Error {
        Error::Call { call: self.name(), reason: reason.to_string() }
    }
}

impl Mesos {
    pub(crate) fn new(config: &MesosConfig) -> Result<Self, Error> {
        let base = base(&config.url)?;
        let at = |path| {
            let mut url = base.clone();
            url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
            url
        };
        let client = client(config, base.scheme() == "https")?;
        let session = Session::new(config.credentials.clone());
        let mut snapshot = at("/metrics/snapshot");
        // What takes the agent longer is left out of its answer, which so comes in time.
        let share = format!("{}ms", (config.timeout / 2).as_millis().max(1));
        snapshot.query_pairs_mut().append_pair("timeout", &share);
        Ok(Self {
            client,
            api: at("/api/v1"),
            snapshot,
            session,
            answer_bytes: config.answer_bytes,
        })
    }

    pub(crate) async fn state(&mut self) -> Result<State, Error> {
        self.call(Call::State, answer::state).await
    }

    pub(crate) async fn containers(&mut self) -> Result<Containers, Error> {
        self.call(Call::Containers, answer::containers).await
    }

    pub(crate) async fn agent(&mut self) -> Result<Agent, Error> {
        self.call(Call::Agent, answer::agent).await
    }

    pub(crate) async fn snapshot(&mut self) -> Result<Numbers, Error> {
        self.call(Call::Snapshot, answer::snapshot).await
    }

    async fn call<T: Send + 'static>(
        &mut self,
        call: Call,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Error> {
        let mut answer = self.ask(call).await?;
        if answer.0 == StatusCode::UNAUTHORIZED && self.session.refused(&self.client).await? {
            answer = self.ask(call).await?;
        }
        let (status, body) = answer;
        if status != StatusCode::OK {
            return Err(call.failed(format!("HTTP {status}")));
        }
        // A large agent's state takes a while to read.
        let read = tokio::task::spawn_blocking(move || read(&body)).await;
        read.map_err(|error| call.failed(error))?.map_err(|reason| call.failed(reason))
    }

    async fn ask(&mut self, call: Call) -> Result<(StatusCode, Vec<u8>), Error> {
        let request = match call {
            Call::Snapshot => self.client.get(self.snapshot.clone()),
            Call::State | Call::Containers | Call::Agent => self
                .client
                .post(self.api.clone())
                .header(CONTENT_TYPE, "application/json")
                .body(call.body()),
        };
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(authorization) = self.session.authorization(&self.client).await? {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| call.failed(reason(error)))?;
        let status = response.status();
        let bound = if status == StatusCode::OK { self.answer_bytes } else { REFUSAL_BYTES };
        match body(response, bound).await {
            // Read only so that the connection can be used again.
            Err(_) if status != StatusCode::OK => Ok((status, Vec::new())),
            body => body.map(|body| (status, body)).map_err(|reason| call.failed(reason)),
        }
    }
}

// The whole body, if it has at most this many bytes.
async fn body(mut response: reqwest::Response, bytes: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reason)? {
        if body.len() + chunk.len() > bytes {
            return Err(format!("the answer has more than {bytes} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

// The error and its causes, without the address, which may hold a password.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn client(config: &MesosConfig, encrypted: bool) -> Result<Client, Error> {
    // Fails only if a provider was installed before, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .timeout(config.timeout)
        .connect_timeout(config.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(1)
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")));
    let logs_in = matches!(config.credentials, Credentials::ServiceAccount(_));
    let builder = match &config.ca_file {
        Some(file) => builder.tls_certs_only(certificates(file)?),
        None if encrypted || logs_in => builder,
        // The system's certificates are not needed, and need not exist.
        None => builder.tls_certs_only([]),
    };
    builder.build().map_err(|error| Error::Client { reason: reason(error) })
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, Error> {
    let failed = |reason: String| Error::CaFile { path: file.to_owned(), reason };
    let bytes = read_bounded(file, 4 << 20).map_err(|error| failed(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| failed("it has more than 4 MiB".to_owned()))?;
    let found = Certificate::from_pem_bundle(&bytes).map_err(|error| failed(reason(error)))?;
    if found.is_empty() {
        return Err(failed("it holds no PEM certificate".to_owned()));
    }
    Ok(found)
}
