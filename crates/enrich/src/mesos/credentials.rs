use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Client;
use reqwest::header::HeaderValue;
use tokio::time::{Duration, Instant};
use tracing::warn;

use super::service_account::{self, LogIn};
use crate::Error;
use crate::directory::read_bounded;

// One log-in in this time, whether it succeeds or not.
const LOG_IN_EVERY: Duration = Duration::from_secs(30);

/// What is shown to a Mesos agent that asks who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// A DC/OS token in a file, which is read anew for each call.
    TokenFile(PathBuf),
    /// A DC/OS service account in a file: it logs in for a token when one is wanted, and again
    /// before the token ends.
    ServiceAccount(PathBuf),
}

/// A text that no message shows.
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The credentials with what became of them.
#[derive(Debug)]
pub(super) enum Session {
    None,
    TokenFile(PathBuf),
    Account(Account),
}

#[derive(Debug)]
pub(super) struct Account {
    file: PathBuf,
    token: Option<Token>,
    logged_in: Option<Instant>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    renew: Instant,
}

impl Session {
    pub(super) fn new(credentials: Credentials) -> Self {
        match credentials {
            Credentials::None => Self::None,
            Credentials::TokenFile(file) => Self::TokenFile(file),
            Credentials::ServiceAccount(file) => {
                Self::Account(Account { file, token: None, logged_in: None })
            }
        }
    }

    /// The header to call with; `None` if there is nothing to show yet.
    pub(super) async fn authorization(
        &mut self,
        client: &Client,
    ) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::None => Ok(None),
            Self::TokenFile(file) => {
                let file = file.clone();
                let read = tokio::task::spawn_blocking(move || token_in(&file)).await;
                read.unwrap_or_else(|error| Err(Error::Client { reason: error.to_string() }))
                    .map(Some)
            }
            Self::Account(account) => {
                account.renew(client).await;
                Ok(account.token.as_ref().map(|token| token.header.clone()))
            }
        }
    }

    /// The call was answered with 401: whether there is something new to show.
    pub(super) async fn refused(&mut self, client: &Client) -> Result<bool, Error> {
        match self {
            Self::None | Self::TokenFile(_) => Ok(false),
            Self::Account(account) => account.log_in(client).await,
        }
    }
}

impl Account {
    // A token that cannot be renewed yet still serves.
    async fn renew(&mut self, client: &Client) {
        if self.token.as_ref().is_some_and(|token| Instant::now() >= token.renew)
            && let Err(error) = self.log_in(client).await
        {
            warn!(%error, "the token is not renewed yet");
        }
    }

    // `false`: the last log-in was too short a time ago.
    async fn log_in(&mut self, client: &Client) -> Result<bool, Error> {
        let now = Instant::now();
        if self.logged_in.is_some_and(|last| now < last + LOG_IN_EVERY) {
            return Ok(false);
        }
        self.logged_in = Some(now);
        let failed = |reason| Error::LogIn { path: self.file.clone(), reason };
        let LogIn { token, life } =
            service_account::log_in(client, &self.file).await.map_err(failed)?;
        let header = header(&token).ok_or_else(|| failed("the token is no header".to_owned()))?;
        self.token = Some(Token { header, renew: now + life.mul_f64(0.8) });
        Ok(true)
    }
}

fn token_in(file: &Path) -> Result<HeaderValue, Error> {
    let failed = |reason: String| Error::TokenFile { path: file.to_owned(), reason };
    let bytes = read_bounded(file, 64 * 1024).map_err(|error| failed(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| failed("it has more than 64 KiB".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("it is no text".to_owned()))?;
    let token = Secret(text.trim().to_owned());
    if token.0.is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    header(&token).ok_or_else(|| failed("it holds more than a token".to_owned()))
}

fn header(token: &Secret) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("token={}", token.0)).ok()?;
    header.set_sensitive(true);
    Some(header)
}
