use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::ReplayError;

/// The longest that one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer: the status of the 10,000 containers that an agent may have is some 15 MB.
const LONGEST_ANSWER: usize = 64 << 20;

/// Where HTTP is spoken, in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `HOST:PORT`.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Endpoint {
    /// Asks once, over a connection of its own.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, ReplayError> {
        let asked = tokio::time::timeout(PATIENCE, self.ask_patiently(method, path, body)).await;
        let problem = match asked {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(problem)) => problem.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        Err(ReplayError::Http { endpoint: self.to_string(), problem })
    }

    async fn ask_patiently(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let host = match self {
            Self::Tcp(address) => address.as_str(),
            Self::Unix(_) => "weir",
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        match self {
            Self::Tcp(address) => exchange(TcpStream::connect(address).await?, request).await,
            Self::Unix(path) => exchange(UnixStream::connect(path).await?, request).await,
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no endpoint; write 127.0.0.1:8126, http://127.0.0.1:8126 or unix:PATH"
            )
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        let rest = ["http:", "tcp:"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let address = rest.map_or(text, |rest| rest.strip_prefix("//").unwrap_or(rest));
        let address = address.trim_end_matches('/');
        let port =
            address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(wrong());
        }
        Ok(Self::Tcp(address.to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_the_agent_writes_it() {
        for (text, is) in [
            ("127.0.0.1:8126", "http://127.0.0.1:8126"),
            ("http://127.0.0.1:8126/", "http://127.0.0.1:8126"),
            ("tcp://[::1]:1", "http://[::1]:1"),
            ("tcp:localhost:1", "http://localhost:1"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("unix:///run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), is);
        }
        for text in ["", "8126", "http://", "https://a:1", "a:b", "unix:", ":80"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
