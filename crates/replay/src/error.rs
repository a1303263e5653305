use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a run could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("cannot read {}: {source}", input.display())]
    Input { input: PathBuf, source: io::Error },
    #[error("{}, line {line}: longer than a datagram can be (65,507 bytes)", input.display())]
    LongLine { input: PathBuf, line: u64 },
    #[error("{}: {problem}", path.display())]
    Scenario { path: PathBuf, problem: String },
    #[error("{} is a damaged capture: {problem}", input.display())]
    Capture { input: PathBuf, problem: String },
    #[error("{} has no datagram to send; passed over: {passed}", input.display())]
    Empty { input: PathBuf, passed: String },
    #[error("a datagram of {bytes} bytes cannot be sent; UDP carries at most 65,507")]
    TooLong { bytes: usize },
    #[error(
        "the datagrams take more than {limit} bytes of memory; raise --memory or cut the input"
    )]
    TooMuch { limit: usize },
    #[error("{input} has no times to go by; say --rate, --ramp or --flat-out")]
    NoTimes { input: String },
    #[error("cannot open a socket to {to}: {source}")]
    Socket { to: SocketAddr, source: io::Error },
    #[error("cannot send: {source}; with --segments, send without it")]
    Send { source: io::Error },
    #[error("cannot start a thread: {source}")]
    Thread { source: io::Error },
    #[error("{target:?} is no target; write HOST:PORT or udp://HOST:PORT")]
    Target { target: String },
    #[error("cannot run on processors {processors:?}: {source}")]
    Pin { processors: Vec<usize>, source: io::Error },
    #[error("cannot start {command:?}: {source}")]
    Spawn { command: String, source: io::Error },
    #[error("the agent ended before it was ready: {how}; see what it wrote above")]
    Died { how: String },
    #[error(
        "the agent was not ready within {seconds} s; give --status as it serves it, or look at its log"
    )]
    NotReady { seconds: u64 },
    #[error("{endpoint}: {problem}")]
    Http { endpoint: String, problem: String },
    #[error("{endpoint} answered {status} to {request}: {body}")]
    Answer { endpoint: String, request: String, status: u16, body: String },
    #[error("the agent has no port for {container}: it answered 204; see its [containers]")]
    NoPort { container: String },
    #[error("cannot read what was shipped to {place}: {problem}")]
    Shipped { place: String, problem: String },
    #[error("{0}")]
    Unverifiable(String),
    #[error(
        "neither /status.json nor, for a port of this machine, /proc/net/udp says what was lost; give --status"
    )]
    NoLosses,
    #[error("cannot write {}: {source}", path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("cannot listen on {at}: {source}")]
    Listen { at: SocketAddr, source: io::Error },
    #[error("interrupted")]
    Interrupted,
}
