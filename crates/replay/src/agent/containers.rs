use std::net::{SocketAddr, ToSocketAddrs as _};

use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::http::{Answer, Endpoint};
use super::status::shown;
use crate::error::ReplayError;

/// Invented containers, each with a port of its own.
#[derive(Debug)]
pub(crate) struct Containers {
    api: Endpoint,
    /// In the order of their lanes.
    pub(crate) ids: Vec<String>,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What of the answer is used.
#[derive(Deserialize)]
struct Registered {
    statsd_host: String,
    statsd_port: u16,
}

impl Containers {
    /// Registers so many, as the DC/OS isolator does. Their ids are new in each run.
    pub(crate) async fn register(
        api: &Endpoint,
        count: usize,
        run: &str,
    ) -> Result<Self, ReplayError> {
        let mut containers = Self { api: api.clone(), ids: Vec::new(), addresses: Vec::new() };
        for number in 0..count {
            let id = format!("weir-replay-{run}-{number:04}");
            match containers.register_one(id).await {
                Ok(()) => {}
                Err(error) => {
                    // Those before it would stay for good. What failed first is what is told.
                    let _ = containers.remove().await;
                    return Err(error);
                }
            }
        }
        Ok(containers)
    }

    async fn register_one(&mut self, id: String) -> Result<(), ReplayError> {
        let body = serde_json::json!({ "container_id": id }).to_string();
        let answer = self.api.ask(Method::POST, "/container", body.into_bytes()).await?;
        if answer.status == StatusCode::NO_CONTENT {
            return Err(ReplayError::NoPort { container: id });
        }
        if answer.status != StatusCode::CREATED {
            return Err(self.unexpected("POST /container", &answer));
        }
        let registered: Registered = serde_json::from_slice(&answer.body)
            .map_err(|_| self.unexpected("POST /container", &answer))?;
        let to = (registered.statsd_host.as_str(), registered.statsd_port);
        let resolved = to.to_socket_addrs().ok().and_then(|mut all| all.next());
        let address = resolved.ok_or_else(|| ReplayError::Target {
            target: format!("{}:{}", registered.statsd_host, registered.statsd_port),
        })?;
        self.ids.push(id);
        self.addresses.push(address);
        Ok(())
    }

    /// Removes all of them; a failure of one does not keep the others.
    pub(crate) async fn remove(&mut self) -> Result<(), ReplayError> {
        let mut first_failure = Ok(());
        for id in std::mem::take(&mut self.ids) {
            let path = format!("/container/{id}");
            let removed = match self.api.ask(Method::DELETE, &path, Vec::new()).await {
                Ok(answer) if answer.status == StatusCode::ACCEPTED => Ok(()),
                Ok(answer) => Err(self.unexpected(&format!("DELETE {path}"), &answer)),
                Err(error) => Err(error),
            };
            first_failure = first_failure.and(removed);
        }
        first_failure
    }

    fn unexpected(&self, request: &str, answer: &Answer) -> ReplayError {
        ReplayError::Answer {
            endpoint: self.api.to_string(),
            request: request.to_owned(),
            status: answer.status.as_u16(),
            body: shown(&answer.body),
        }
    }
}
