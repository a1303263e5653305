use std::io;
use std::path::PathBuf;

/// Why something about the node could not be told; the next look tries again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the kernel's cannot be read.
    #[error("cannot read {path}: {source}; is /proc mounted, and may this user see it?")]
    Read { path: PathBuf, source: io::Error },
    /// A file of the kernel's is not as it should be.
    #[error("cannot understand {path}: {reason}")]
    Content { path: PathBuf, reason: String },
    /// The processes of others are hidden from us, so there is nothing to count.
    #[error(
        "cannot count processes: {path} shows only this user's own; is it mounted with hidepid?"
    )]
    Hidden { path: PathBuf },
    /// A file system does not tell how full it is.
    #[error("cannot ask the file system at {path}: {source}; may this user go there?")]
    FileSystem { path: PathBuf, source: io::Error },
}
