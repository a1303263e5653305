use std::io;

use crate::Address;

/// Why a socket cannot be listened to.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The text names no address.
    #[error(
        "`{text}` is no address to listen on; write udp://HOST:PORT with a numeric host, or \
         unixgram:PATH"
    )]
    Address {
        /// What was given.
        text: String,
    },
    /// Somebody has it: another socket is bound to the port, or serves the path.
    #[error(
        "cannot listen on {address}: the address is in use; is another agent running, or does a \
         socket unit hold it?"
    )]
    InUse {
        /// What was asked for.
        address: Address,
    },
    /// Something else than a socket lies at the path, and may be precious.
    #[error("cannot listen on {address}: a file that is no socket is in the way; remove it")]
    NotASocket {
        /// What was asked for.
        address: Address,
    },
    /// The kernel refused.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// What was asked for.
        address: Address,
        /// Its reason.
        source: io::Error,
    },
    /// The limit of open files is near; what is left is for connections and files.
    #[error(
        "cannot listen on {address}: too few file descriptors are left; raise the limit of open \
         files (ulimit -n, LimitNOFILE=)"
    )]
    Descriptors {
        /// What was asked for.
        address: Address,
    },
    /// A socket that was handed over is not of a kind that can be listened to.
    #[error("cannot take over the socket: {reason}; hand over a bound UDP or unix datagram socket")]
    Adopt {
        /// What is wrong with it.
        reason: String,
    },
    /// The thread that speaks to the service manager could not be started.
    #[error("cannot start the thread that speaks to the service manager: {source}")]
    Store {
        /// The system's reason.
        source: io::Error,
    },
    /// A worker's own descriptors could not be made.
    #[error("cannot set up a worker: {source}; is the limit of open files (ulimit -n) reached?")]
    Worker {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The receivers are gone.
    #[error("the workers have stopped")]
    Stopped,
}
