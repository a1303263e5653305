//! `weir parse`: how lines are read, on paper.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgAction, Args, ValueEnum};
use metric::{GaugeSign, ReadAs, Reason, Sample, Tag, Values};
use serde::{Serialize, Serializer};
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
    let mut out = BufWriter::new(stdout().lock());
    let printed = match &options.file {
        Some(path) if path.as_os_str() != "-" => File::open(path)
            .map_err(Failure::Read)
            .and_then(|file| print(BufReader::new(file), options, &mut out)),
        _ => print(stdin().lock(), options, &mut out),
    };
    match printed.and_then(|all_kept| out.flush().map_err(Failure::Write).map(|()| all_kept)) {
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
fn print(from: impl BufRead, options: &Options, out: &mut impl Write) -> Result<bool, Failure> {
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
        let printed = match line {
            StreamLine::Whole(line) => Printed::of(number, &statsd::read(line, read_as, now)),
            StreamLine::TooLong(line) => Printed::too_long(number, line),
        };
        all_kept &= printed.rejects.is_empty();
        serde_json::to_writer(&mut *out, &printed).map_err(|error| Failure::Write(error.into()))?;
        out.write_all(b"\n").map_err(Failure::Write)?;
    }
    Ok(all_kept)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as i64
}

#[derive(Serialize)]
struct Printed {
    line: u64,
    samples: Vec<PrintedSample>,
    rejects: Vec<PrintedReject>,
    notes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<PrintedEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<PrintedCheck>,
}

#[derive(Serialize)]
struct PrintedSample {
    name: String,
    kind: &'static str,
    values: PrintedValues,
    relative: bool,
    rate: f64,
    tags: PrintedTags,
    timestamp: Option<i64>,
    container_id: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PrintedValues {
    Numbers(Vec<f64>),
    Member([String; 1]),
}

#[derive(Serialize)]
struct PrintedReject {
    reason: &'static str,
    text: String,
}

#[derive(Serialize)]
struct PrintedEvent {
    title: String,
    text: String,
    tags: PrintedTags,
}

#[derive(Serialize)]
struct PrintedCheck {
    name: String,
    status: u8,
    tags: PrintedTags,
}

/// Pairs of key and value.
struct PrintedTags(Vec<[String; 2]>);

impl Serialize for PrintedTags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl PrintedTags {
    fn of(tags: &[Tag<'_>]) -> Self {
        let pair = |tag: &Tag<'_>| [tag.key.clone().into_owned(), tag.value.clone().into_owned()];
        Self(tags.iter().map(pair).collect())
    }
}

impl Printed {
    fn of(line: u64, reading: &Reading<'_>) -> Self {
        Self {
            line,
            samples: reading.samples().map(|sample| PrintedSample::of(&sample)).collect(),
            rejects: reading
                .rejects()
                .iter()
                .map(|reject| PrintedReject::of(reject.reason, reject.text))
                .collect(),
            notes: reading.notes().iter().map(metric::Note::name).collect(),
            event: reading.event().map(|event| PrintedEvent {
                title: event.title.clone().into_owned(),
                text: event.text.clone().into_owned(),
                tags: PrintedTags::of(&event.tags),
            }),
            check: reading.check().map(|check| PrintedCheck {
                name: check.name.clone().into_owned(),
                status: check.status,
                tags: PrintedTags::of(&check.tags),
            }),
        }
    }

    fn too_long(line: u64, text: &[u8]) -> Self {
        let rejects = vec![PrintedReject::of(Reason::TooLong, text)];
        Self { line, samples: vec![], rejects, notes: vec![], event: None, check: None }
    }
}

impl PrintedSample {
    fn of(sample: &Sample<'_>) -> Self {
        Self {
            name: sample.name.to_owned(),
            kind: sample.kind.name(),
            values: match sample.values {
                Values::Numbers(numbers) => PrintedValues::Numbers(numbers.to_vec()),
                Values::Member(member) => PrintedValues::Member([member.to_owned()]),
            },
            relative: sample.relative,
            rate: sample.rate,
            tags: PrintedTags::of(sample.tags),
            timestamp: sample.timestamp,
            container_id: sample.container_id.map(ToOwned::to_owned),
        }
    }
}

impl PrintedReject {
    fn of(reason: Reason, text: &[u8]) -> Self {
        Self { reason: reason.name(), text: shown(text).into_owned() }
    }
}
