//! `weir parse`: how lines are read, on paper.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgAction, Args, ValueEnum};
use metric::{GaugeSign, Note, ReadAs, Reason, Sample, Tag, Values};
use serde::Serialize;
use statsd::{Reading, StreamLine, StreamLines, shown};

/// Exit status: 0 if nothing was rejected, 1 if anything was, 2 if the input could not be read.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the lines are; `-` or nothing for standard input
    file: Option<PathBuf>,
    /// The clock that `T` sections are held against, in unix seconds [default: the time]
    #[arg(long, value_name = "UNIX_SECONDS", allow_negative_numbers = true)]
    now: Option<i64>,
    /// What a gauge's leading sign means, as the listener's setting
    #[arg(long, value_enum, default_value_t = Sign::Auto)]
    gauge_sign: Sign,
    /// Whether tags are looked for in names, as the listener's setting
    #[arg(long, action = ArgAction::Set, value_name = "BOOL", default_value_t = true)]
    name_tags: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sign {
    Auto,
    Delta,
    Absolute,
}

/// Prints one JSON object a line.
pub(crate) fn run(options: &Options) -> ExitCode {
    let printed = match &options.file {
        Some(path) if path.as_os_str() != "-" => File::open(path)
            .map_err(Failure::Read)
            .and_then(|file| print(BufReader::new(file), options, BufWriter::new(stdout()))),
        // Standard output is written line by line: whoever types wants to see what came of it.
        _ => print(stdin().lock(), options, stdout().lock()),
    };
    match printed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read our output has seen enough.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Write(error)) => fail(&format!("cannot write: {error}")),
        Err(Failure::Read(error)) => {
            let name = options.file.as_ref().map_or("-".into(), |file| file.display().to_string());
            fail(&format!("cannot read {name}: {error}"))
        }
    }
}

enum Failure {
    Read(io::Error),
    Write(io::Error),
}

fn fail(error: &str) -> ExitCode {
    let _ = writeln!(stderr().lock(), "weir: {error}");
    ExitCode::from(2)
}

// Whether nothing was rejected.
fn print(from: impl BufRead, options: &Options, mut out: impl Write) -> Result<bool, Failure> {
    let gauge_sign = match options.gauge_sign {
        Sign::Auto => GaugeSign::Auto,
        Sign::Delta => GaugeSign::Delta,
        Sign::Absolute => GaugeSign::Absolute,
    };
    let read_as = ReadAs { gauge_sign, name_tags: options.name_tags, trust_container: false };
    let mut all_kept = true;
    let mut lines = StreamLines::new(from);
    while let Some((number, line)) = lines.next_line().map_err(Failure::Read)? {
        let now = options.now.unwrap_or_else(now);
        let reading;
        let printed = match line {
            StreamLine::Whole(line) => {
                reading = statsd::read(line, read_as, now);
                Printed::of(number, &reading)
            }
            StreamLine::TooLong(line) => Printed::too_long(number, line),
        };
        all_kept &= printed.rejects.is_empty();
        serde_json::to_writer(&mut out, &printed).map_err(|error| Failure::Write(error.into()))?;
        out.write_all(b"\n").map_err(Failure::Write)?;
    }
    out.flush().map_err(Failure::Write)?;
    Ok(all_kept)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as i64
}

#[derive(Serialize)]
struct Printed<'a> {
    line: u64,
    samples: Vec<PrintedSample<'a>>,
    rejects: Vec<PrintedReject<'a>>,
    notes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<PrintedEvent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<PrintedCheck<'a>>,
}

#[derive(Serialize)]
struct PrintedSample<'a> {
    name: &'a str,
    kind: &'static str,
    values: PrintedValues<'a>,
    relative: bool,
    rate: f64,
    tags: PrintedTags<'a>,
    timestamp: Option<i64>,
    container_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PrintedValues<'a> {
    Numbers(&'a [f64]),
    Member([&'a str; 1]),
}

#[derive(Serialize)]
struct PrintedReject<'a> {
    reason: &'static str,
    text: Cow<'a, str>,
}

#[derive(Serialize)]
struct PrintedEvent<'a> {
    title: &'a str,
    text: &'a str,
    tags: PrintedTags<'a>,
}

#[derive(Serialize)]
struct PrintedCheck<'a> {
    name: &'a str,
    status: u8,
    tags: PrintedTags<'a>,
}

/// Pairs of key and value.
type PrintedTags<'a> = Vec<[&'a str; 2]>;

fn printed_tags<'a>(tags: &'a [Tag<'_>]) -> PrintedTags<'a> {
    tags.iter().map(|tag| [tag.key.as_ref(), tag.value.as_ref()]).collect()
}

impl<'a> Printed<'a> {
    fn of(line: u64, reading: &'a Reading<'_>) -> Self {
        let rejects = reading.rejects().iter();
        Self {
            line,
            samples: reading.samples().map(PrintedSample::of).collect(),
            rejects: rejects.map(|reject| PrintedReject::of(reject.reason, reject.text)).collect(),
            notes: reading.notes().iter().map(Note::name).collect(),
            event: reading.event().map(|event| PrintedEvent {
                title: &event.title,
                text: &event.text,
                tags: printed_tags(&event.tags),
            }),
            check: reading.check().map(|check| PrintedCheck {
                name: &check.name,
                status: check.status,
                tags: printed_tags(&check.tags),
            }),
        }
    }

    fn too_long(line: u64, text: &'a [u8]) -> Self {
        let rejects = vec![PrintedReject::of(Reason::TooLong, text)];
        Self { line, samples: vec![], rejects, notes: vec![], event: None, check: None }
    }
}

impl<'a> PrintedSample<'a> {
    fn of(sample: Sample<'a>) -> Self {
        Self {
            name: sample.name,
            kind: sample.kind.name(),
            values: match sample.values {
                Values::Numbers(numbers) => PrintedValues::Numbers(numbers),
                Values::Member(member) => PrintedValues::Member([member]),
            },
            relative: sample.relative,
            rate: sample.rate,
            tags: printed_tags(sample.tags),
            timestamp: sample.timestamp,
            container_id: sample.container_id,
        }
    }
}

impl<'a> PrintedReject<'a> {
    fn of(reason: Reason, text: &'a [u8]) -> Self {
        Self { reason: reason.name(), text: shown(text) }
    }
}
