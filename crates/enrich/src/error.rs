use std::io;
use std::path::PathBuf;

/// Why something could not be found out or kept. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The containers directory cannot be made or listed.
    #[error("cannot use the containers directory {path}: {source}; may this user write there?")]
    Directory { path: PathBuf, source: io::Error },
    /// A container's file was not written: the container is lost at the next start.
    #[error("cannot save container {container_id:?} in {path}: {source}")]
    Save { container_id: String, path: PathBuf, source: io::Error },
    /// A container's file is still there: the container comes back at the next start.
    #[error("cannot remove the file of container {container_id:?} from {path}: {source}")]
    Remove { container_id: String, path: PathBuf, source: io::Error },
    /// `mesos.url` is none; it is not repeated, for it may hold a password.
    #[error("cannot ask Mesos: its address must be http://HOST:PORT or https://HOST:PORT")]
    Url,
    /// `mesos.ca_file` is not a bundle of certificates.
    #[error("cannot use the CA file {path}: {reason}")]
    CaFile { path: PathBuf, reason: String },
    /// The HTTP client cannot be made.
    #[error("cannot prepare to ask Mesos: {reason}")]
    Client { reason: String },
    /// `mesos.token_file` cannot be used now; it is read anew for each call.
    #[error("cannot use the token file {path}: {reason}")]
    TokenFile { path: PathBuf, reason: String },
    /// The service account did not get a token; tried again when a call needs one.
    #[error("cannot log in with the service account {path}: {reason}")]
    LogIn { path: PathBuf, reason: String },
    /// A call of the agent's API failed; the next poll makes it again.
    #[error("{call} of the Mesos agent failed: {reason}")]
    Call { call: &'static str, reason: String },
}
