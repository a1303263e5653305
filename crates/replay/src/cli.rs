//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::agent::http::Endpoint;
use crate::pace::Unit;
use crate::shipped::Place;
use crate::text::{parse_bytes, parse_count, parse_share};
use crate::{floor, record};

const EXAMPLES: &str = "\
Examples:
  weir-replay lines.txt --rate 1k                      a line a datagram, to 127.0.0.1:8125
  weir-replay capture.pcap --port 8125                 as it was captured, at its own pace
  weir-replay capture.pcapng --speed 10x --register    each captured port a container of its own
  weir-replay benches/scenarios/w3.toml --flat-out --duration 10s
  weir-replay benches/scenarios/w1.toml --ramp 10k..500k --duration 1m --html ramp.html
  weir-replay benches/scenarios/mixed-flood.toml --register --shipped weir-data/points --verify
        sends it all, reads what weir wrote, and says whether everything is accounted for
  weir-replay benches/scenarios/w1.toml --search 0.1% --segments --pin 0 --spawn-pin 1 \\
        --spawn 'weir --data-dir /tmp/weir --http 127.0.0.1:8126'
        the highest rate at which less than 0.1 % is lost
  weir-replay record --port 8125 bug.pcap              writes what arrives, for a bug report

What is sent is known exactly, so --verify is exact: what arrived, what was refused and why, what
the kernel dropped. Use an agent that nobody else sends to.

Exit status: 0 done (and verified), 1 something is unexplained, 2 it could not be carried out, or
wrong usage.";

/// Sends StatsD datagrams at a stated pace, and accounts for what came of them.
#[derive(Debug, Parser)]
#[command(
    name = "weir-replay",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) send: Option<Options>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the datagrams that arrive at a port to a pcap file, until interrupted.
    Record(record::Options),
    /// Receive datagrams and do nothing with them: what a bare recvmmsg loop costs on this machine.
    Floor(floor::Options),
}

/// What is sent, where, how fast, and what is looked at.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("pace").args(["speed", "rate", "ramp", "flat_out"]))]
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)] // help, not Markdown; flags are bools
pub(crate) struct Options {
    /// A capture (pcap, pcapng), a scenario (.toml), or lines of text; - is lines from standard
    /// input
    #[arg(value_name = "FILE|-")]
    pub(crate) input: PathBuf,

    /// Of a capture: only datagrams to this port; may be repeated [default: all]
    #[arg(long, value_name = "PORT", help_heading = "In")]
    pub(crate) port: Vec<u16>,
    /// Of text: the most lines of a datagram
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "In")]
    pub(crate) lines: usize,
    /// Of text: the most bytes of a datagram of several lines
    #[arg(long, value_name = "N", default_value_t = 1432, help_heading = "In")]
    pub(crate) bytes: usize,
    /// The most memory for datagrams; all are held before the first is sent
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes, help_heading = "In")]
    pub(crate) memory: usize,

    /// Where to send: HOST:PORT; repeated, the containers or captured ports are spread over them
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8125", help_heading = "Out")]
    pub(crate) to: Vec<String>,
    /// Register a container with the agent for each container of the scenario, or captured port;
    /// send to the ports that it gives, and delete the containers afterwards
    #[arg(long, conflicts_with = "to", help_heading = "Out")]
    pub(crate) register: bool,
    /// Where containers are registered: HOST:PORT or unix:PATH [default: as --status]
    #[arg(long, value_name = "ENDPOINT", requires = "register", help_heading = "Out")]
    pub(crate) api: Option<Endpoint>,
    /// Hand datagrams of one length to the kernel together (UDP_SEGMENT): far cheaper to send;
    /// they arrive one by one all the same
    #[arg(long, help_heading = "Out")]
    pub(crate) segments: bool,

    /// So many times faster than captured, or than the scenario says: 2x
    #[arg(long, value_name = "N", value_parser = parse_speed, help_heading = "Pace")]
    pub(crate) speed: Option<f64>,
    /// So many lines a second: 50000, 50k, 1.5M
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = "Pace")]
    pub(crate) rate: Option<f64>,
    /// From one rate to another over --duration: 10k..500k
    #[arg(long, value_name = "N..N", value_parser = parse_ramp, requires = "duration", help_heading = "Pace")]
    pub(crate) ramp: Option<(f64, f64)>,
    /// As fast as this machine can
    #[arg(long, help_heading = "Pace")]
    pub(crate) flat_out: bool,
    /// What --rate and --ramp count a second
    #[arg(long, value_enum, default_value_t = Unit::Lines, help_heading = "Pace")]
    pub(crate) unit: Unit,
    /// Send for so long, from the first again after the last [default: once through]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Pace")]
    pub(crate) duration: Option<Duration>,
    /// Send everything so often
    #[arg(long, value_name = "N", conflicts_with = "duration", help_heading = "Pace")]
    pub(crate) passes: Option<u64>,
    /// Send for so long before, at the same pace: what is told is then of an agent that knows its
    /// series
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "verify", help_heading = "Pace")]
    pub(crate) warm_up: Option<Duration>,

    /// Where /status.json is: HOST:PORT, unix:PATH or none [default: 127.0.0.1:8126, if
    /// it has a listener where is sent to]
    #[arg(long, value_name = "ENDPOINT", value_parser = parse_status, help_heading = "The agent")]
    pub(crate) status: Option<StatusAt>,
    /// Start the agent with this command line, as a shell reads it, and stop it afterwards; one program,
    /// env NAME=VALUE before it for its environment
    #[arg(long, value_name = "COMMAND", help_heading = "The agent")]
    pub(crate) spawn: Option<String>,
    /// Keep the started agent on these processors: 1 or 0,1
    #[arg(
        long,
        value_name = "CPUS",
        value_delimiter = ',',
        requires = "spawn",
        help_heading = "The agent"
    )]
    pub(crate) spawn_pin: Vec<usize>,
    /// The agent's process, for processor time and memory [default: the started one]
    #[arg(long, value_name = "PID", conflicts_with = "spawn", help_heading = "The agent")]
    pub(crate) pid: Option<i32>,
    /// Keep weir-replay on these processors: 0 or 0,1
    #[arg(long, value_name = "CPUS", value_delimiter = ',', help_heading = "The agent")]
    pub(crate) pin: Vec<usize>,

    /// Where the agent ships its points: the DIR of an output file:DIR, or tcp://ADDR:PORT to be
    /// the collector of an output avro+tcp://ADDR:PORT
    #[arg(long, value_name = "PLACE", help_heading = "Account")]
    pub(crate) shipped: Option<Place>,
    /// Hold what was shipped against what was sent; anything unexplained is exit status 1
    #[arg(long, requires = "shipped", conflicts_with = "search", help_heading = "Account")]
    pub(crate) verify: bool,
    /// How long to wait for what was sent to come out: some flush intervals
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration, help_heading = "Account")]
    pub(crate) patience: Duration,
    /// As the listener's setting, to know what must come out
    #[arg(long, value_enum, default_value_t = GaugeSign::Auto, help_heading = "Account")]
    pub(crate) gauge_sign: GaugeSign,
    /// As the listener's setting
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, help_heading = "Account")]
    pub(crate) name_tags: bool,

    /// Find the highest rate at which less than this share of the datagrams is lost: 0.1%
    #[arg(long, value_name = "LOSS", value_parser = parse_share, conflicts_with_all = ["pace", "passes"], help_heading = "Search")]
    pub(crate) search: Option<f64>,
    /// Search so often; the median and the spread are told
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        requires = "search",
        help_heading = "Search"
    )]
    pub(crate) search_rounds: usize,
    /// Search until the rate is known so well; each rate is tried for --duration (5 s)
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = parse_share, requires = "search", help_heading = "Search")]
    pub(crate) search_precision: f64,

    /// Write a report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
    /// Write a report as one HTML page with plots, which needs nothing else to be looked at
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,
    /// No progress bar, on a terminal either
    #[arg(long, short, help_heading = "Report")]
    pub(crate) quiet: bool,
}

/// Where the agent's account is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatusAt {
    Nowhere,
    At(Endpoint),
}

/// [`metric::GaugeSign`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum GaugeSign {
    Auto,
    Delta,
    Absolute,
}

impl From<GaugeSign> for metric::GaugeSign {
    fn from(sign: GaugeSign) -> Self {
        match sign {
            GaugeSign::Auto => Self::Auto,
            GaugeSign::Delta => Self::Delta,
            GaugeSign::Absolute => Self::Absolute,
        }
    }
}

/// Durations as people write them.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration ({error}); write 10s, 250ms, 5m or 1h"))
}

fn parse_status(text: &str) -> Result<StatusAt, String> {
    if text == "none" { Ok(StatusAt::Nowhere) } else { text.parse().map(StatusAt::At) }
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed = parse_count(text.strip_suffix('x').unwrap_or(text)).ok();
    // Slower, and a long capture would take longer than a clock can tell.
    speed.filter(|speed| (1e-6..=1e6).contains(speed)).ok_or_else(|| {
        format!("{text:?} is no speed from 0.000001x to 1,000,000x; write 2x or 0.5x")
    })
}

fn parse_ramp(text: &str) -> Result<(f64, f64), String> {
    let (from, to) = text.split_once("..").ok_or("write two rates, 10k..500k")?;
    Ok((parse_count(from)?, parse_count(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn options(line: &str) -> Options {
        let words = std::iter::once("weir-replay").chain(line.split(' '));
        Cli::try_parse_from(words).unwrap().send.unwrap()
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_pace_is_said_once() {
        assert_eq!(options("a.txt --rate 50k").rate, Some(50_000.0));
        assert_eq!(options("a.pcap --speed 2x").speed, Some(2.0));
        assert_eq!(options("a.txt --ramp 1k..2k --duration 5s").ramp, Some((1e3, 2e3)));
        for line in [
            "a --rate 1 --flat-out",
            "a --speed 1 --rate 1",
            "a --ramp 1k..2k",
            "a --search 0.1% --rate 1",
            "a --verify",
            "a --register --to 127.0.0.1:1",
            "a --warm-up 5s --shipped tcp://127.0.0.1:1 --verify",
            "a --rate 0",
            "a --ramp 5 --duration 1s",
            "",
            "a b",
        ] {
            let words =
                std::iter::once("weir-replay").chain(line.split(' ').filter(|w| !w.is_empty()));
            assert!(Cli::try_parse_from(words).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_command_needs_no_input() {
        let words = ["weir-replay", "floor", "--port", "1"];
        assert!(matches!(Cli::try_parse_from(words).unwrap().command, Some(Command::Floor(_))));
    }
}
