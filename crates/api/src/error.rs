use std::io;
use std::path::PathBuf;

use crate::Endpoint;

/// Why the API cannot be served: each is found at start-up.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The text names no address.
    #[error("`{text}` is no address for the API: expected unix:PATH or tcp://HOST:PORT")]
    Address { text: String },
    /// The name of the host is not known.
    #[error("cannot find the address of {endpoint}: {source}")]
    Resolve { endpoint: Endpoint, source: io::Error },
    /// The socket file's directory is missing.
    #[error("cannot create the socket {}: its directory does not exist; create it first", path.display())]
    NoDirectory { path: PathBuf },
    /// What lies at the socket's path is something else, which is left alone.
    #[error("{} exists and is no socket; remove it or choose another path", path.display())]
    NotASocket { path: PathBuf },
    /// A living process serves the socket.
    #[error("{} is served by a running process; is another agent running?", path.display())]
    Live { path: PathBuf },
    /// The address cannot be bound.
    #[error("cannot listen on {endpoint}: {source}")]
    Bind { endpoint: Endpoint, source: io::Error },
    /// The thread that saves containers cannot be started.
    #[error("cannot start the thread that saves containers: {source}")]
    Thread { source: io::Error },
}
