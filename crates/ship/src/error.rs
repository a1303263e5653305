use std::io;
use std::path::PathBuf;

/// Why the outputs cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The text is no output's URL.
    #[error("cannot read {url:?} as an output: {expected}")]
    Url {
        /// What was given, without what could be a secret.
        url: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// Two settings of an output do not go together, or one is out of its range.
    #[error("cannot start output {name}: {problem}")]
    Setting {
        /// The output.
        name: String,
        /// What to change.
        problem: &'static str,
    },
    /// Two outputs were given one name.
    #[error("two outputs are named {0:?}: give each its own name")]
    SameName(String),
    /// Two outputs would write into one directory.
    #[error("two outputs write to {0}: give each its own directory")]
    SameDirectory(PathBuf),
    /// The directory of a file output cannot be used.
    #[error("cannot write to {path}: {source}; is it a directory that this user may write to?")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a thread.
    #[error("cannot start a thread for output {name}: {source}")]
    Thread {
        /// The output.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The HTTP client cannot be set up.
    #[error(
        "cannot set up HTTPS for output {name}: {problem}; are the system's CA certificates installed?"
    )]
    Client {
        /// The output.
        name: String,
        /// What the library said.
        problem: String,
    },
}
