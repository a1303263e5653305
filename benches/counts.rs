//! What can be counted rather than timed, and so is the same on a busy machine: how many
//! instructions, allocations and bytes of memory each stage's work takes.
//!
//! Instructions are counted by valgrind's callgrind, which runs this program again for each case and
//! looks only at what is inside `measured_work`. Without valgrind there is no such column, and a
//! line says so.

#[allow(dead_code)] // what is held is asked by tests only
mod counting;

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Output, Stdio};

use benches::{Intake, least, measure, traffic};
use counting::{Allocated, Counting, allocated};
use metric::{Batch, Kind, ReadAs};
use ship::{Codec, Destination, OutputConfig, Schema};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// As in the benches that are timed.
const SERIES: usize = 10_000;

/// The counts of the last run, to tell what changed since.
const LAST: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/counts.tsv");

/// What callgrind looks for, in the names of this program's functions.
const COUNTED: &str = "--toggle-collect=*measured_work*";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Something that is counted, once it is prepared.
struct Case {
    name: String,
    /// How many lines, series or points it is for.
    elements: usize,
    prepare: Box<dyn Fn() -> Work>,
}

/// Lines of so many series.
type Lines = fn(usize) -> Vec<Vec<u8>>;

/// What it keeps is dropped later, uncounted.
type Work = Box<dyn FnMut()>;

impl Case {
    fn new(name: impl Into<String>, elements: usize, prepare: impl Fn() -> Work + 'static) -> Self {
        Self { name: name.into(), elements, prepare: Box::new(prepare) }
    }

    fn run(&self) -> Allocated {
        let mut work = (self.prepare)();
        allocated(|| measured_work(&mut *work))
    }
}

#[inline(never)]
fn measured_work(work: &mut dyn FnMut()) {
    work();
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "counts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name] = &arguments[..]
        && flag == "--case"
    {
        let cases = cases();
        let case = cases.iter().find(|case| case.name == *name).ok_or("no such case")?;
        let Allocated { times, bytes } = case.run();
        return say(&format!("{times} {bytes}"));
    }
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with("--")).collect();
    let is_wanted = |case: &&Case| {
        filters.is_empty() || filters.iter().any(|filter| case.name.contains(*filter))
    };
    let cases = cases();
    if arguments.iter().any(|it| it == "--test") {
        let run: Vec<Allocated> = cases.iter().filter(is_wanted).map(Case::run).collect();
        return say(&format!("counts: {} cases run", run.len()));
    }
    count(cases.iter().filter(is_wanted))
}

/// Counts and tells.
fn count<'a>(cases: impl Iterator<Item = &'a Case>) -> Result<()> {
    let has_valgrind = has_valgrind();
    let mut last = read_last();
    let mut is_first = true;
    for case in cases {
        if std::mem::take(&mut is_first) {
            if !has_valgrind {
                say(
                    "valgrind is not installed: instructions are not counted (apt-get install valgrind)",
                )?;
            }
            say(&row(["of an element:", "instructions", "since last", "allocations", "bytes"]))?;
        }
        let of_one = |count: u64| count as f64 / case.elements as f64;
        let (allocated, instructions) = if has_valgrind {
            let (allocated, instructions) = under_valgrind(&case.name)?;
            (allocated, Some(instructions))
        } else {
            (case.run(), None)
        };
        let before = match instructions {
            Some(now) => last.insert(case.name.clone(), now),
            None => None,
        };
        let change = instructions.zip(before).map(|(now, before)| now as f64 / before as f64 - 1.0);
        say(&row([
            &case.name,
            &instructions.map(|count| format!("{:.1}", of_one(count))).unwrap_or_default(),
            &change.map(|change| format!("{:+.1} %", 100.0 * change)).unwrap_or_default(),
            &format!("{:.2}", of_one(allocated.times)),
            &format!("{:.1}", of_one(allocated.bytes)),
        ]))?;
    }
    let lines = last.iter().map(|(name, count)| format!("{name}\t{count}\n"));
    Ok(fs::write(LAST, lines.collect::<String>())?)
}

fn row([name, cells @ ..]: [&str; 5]) -> String {
    let cells = cells.map(|cell| format!("{cell:>13}"));
    format!("{name:<34}{}", cells.concat())
}

fn read_last() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(LAST).unwrap_or_default();
    let pair = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn has_valgrind() -> bool {
    let mut command = Command::new("valgrind");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a case in a program of its own, whose instructions are counted.
fn under_valgrind(case: &str) -> Result<(Allocated, u64)> {
    let own = env::current_exe()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    command.arg(COUNTED).arg(own).args(["--case", case]);
    let output = command.output()?;
    read_counts(&output).ok_or_else(|| {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("{case}: callgrind has counted nothing, {}\n{told}", output.status).into()
    })
}

fn read_counts(output: &Output) -> Option<(Allocated, u64)> {
    if !output.status.success() {
        return None;
    }
    let (stdout, stderr) =
        (str::from_utf8(&output.stdout).ok()?, str::from_utf8(&output.stderr).ok()?);
    let (times, bytes) = stdout.trim().split_once(' ')?;
    let collected = stderr.lines().find_map(|line| line.split_once("Collected : "))?.1;
    let instructions = collected.trim().parse().ok().filter(|count| *count > 0)?;
    Some((Allocated { times: times.parse().ok()?, bytes: bytes.parse().ok()? }, instructions))
}

/// All of them, by stage.
fn cases() -> Vec<Case> {
    let mut cases = parsing();
    cases.extend(aggregating());
    cases.extend(encoding());
    cases
}

fn parsing() -> Vec<Case> {
    let forms: [(&str, Lines); 3] = [
        ("untagged", traffic::untagged),
        ("three tags", |series| traffic::tagged(Kind::Counter, series)),
        ("bad", |_| traffic::bad()),
    ];
    let mut cases = Vec::new();
    for (form, lines) in forms {
        cases.push(Case::new(format!("read: {form}"), lines(SERIES).len(), move || {
            let lines = lines(SERIES);
            Box::new(move || {
                for line in &lines {
                    black_box(&statsd::read(black_box(line), ReadAs::default(), 0));
                }
            })
        }));
    }
    for (form, lines) in &forms[..2] {
        let lines = *lines;
        cases.push(Case::new(format!("least read: {form}"), SERIES, move || {
            let lines = lines(SERIES);
            Box::new(move || {
                for line in &lines {
                    black_box(&least::read(black_box(line)));
                }
            })
        }));
        cases.push(Case::new(format!("skim and measure: {form}"), SERIES, move || {
            let lines = lines(SERIES);
            Box::new(move || {
                for line in &lines {
                    let skim = statsd::skim(black_box(line));
                    black_box(skim.and_then(|skim| skim.measure(ReadAs::default(), 0)));
                }
            })
        }));
    }
    cases.push(Case::new("lines: 1,432 bytes", SERIES, || {
        let datagrams = traffic::datagrams(&traffic::mixed(SERIES));
        Box::new(move || {
            for line in datagrams.iter().flat_map(|datagram| statsd::lines(black_box(datagram))) {
                black_box(line);
            }
        })
    }));
    cases
}

fn aggregating() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in Kind::ALL {
        cases.push(Case::new(format!("recall and add: {}", kind.name()), SERIES, move || {
            let lines = traffic::tagged(kind, SERIES);
            let mut intake = Intake::used_to(&lines);
            Box::new(move || {
                for line in &lines {
                    let Some(skim) = statsd::skim(line) else { continue };
                    let Some(measured) = skim.measure(ReadAs::default(), 0) else { continue };
                    if let Some(known) = intake.shard.recall(intake.index, &skim.spelling) {
                        black_box(intake.shard.add(known, measure(&measured)));
                    }
                }
            })
        }));
    }
    let forms: [(&str, Lines); 2] =
        [("untagged", traffic::untagged), ("three tags, mixed", traffic::mixed)];
    for (form, lines) in forms {
        cases.push(Case::new(format!("known lines: {form}"), SERIES, move || {
            let lines = lines(SERIES);
            let mut intake = Intake::used_to(&lines);
            Box::new(move || assert_eq!(intake.read(black_box(&lines)), SERIES))
        }));
    }
    cases.push(Case::new("new series: three tags, mixed", SERIES, || {
        let (lines, mut intake) = (traffic::mixed(SERIES), Intake::default());
        Box::new(move || assert_eq!(intake.read(black_box(&lines)), 0))
    }));
    for series in [100, SERIES, 10 * SERIES] {
        cases.push(Case::new(format!("swap: {series} series"), 1, move || {
            let lines = traffic::mixed(series);
            let mut intake = Intake::used_to(&lines);
            intake.read(&lines);
            let mut kept = Vec::with_capacity(1);
            Box::new(move || kept.push(intake.swap()))
        }));
    }
    for kind in Kind::ALL {
        cases.push(Case::new(format!("merge: {}", kind.name()), SERIES, move || {
            let lines = traffic::tagged(kind, SERIES);
            let mut intake = Intake::used_to(&lines);
            intake.read(&lines);
            let (mut ended, mut kept) = (Some(intake.swap()), Vec::with_capacity(1));
            Box::new(move || kept.extend(ended.take().map(|ended| intake.merge(ended))))
        }));
    }
    cases.push(Case::new("expiry: flush side", SERIES, || {
        let mut intake = Intake::tired_of(&traffic::mixed(SERIES));
        let (mut ended, mut kept) = (Some(intake.swap()), Vec::with_capacity(1));
        Box::new(move || kept.extend(ended.take().map(|ended| intake.merge(ended))))
    }));
    cases.push(Case::new("expiry: worker", SERIES, || {
        let mut intake = Intake::tired_of(&traffic::mixed(SERIES));
        let ended = intake.swap();
        intake.merge(ended);
        intake.swap();
        Box::new(move || intake.tidy())
    }));
    cases
}

fn encoding() -> Vec<Case> {
    let flush = || {
        let lines = traffic::mixed(SERIES);
        let mut intake = Intake::default();
        intake.read(&lines);
        let ended = intake.swap();
        intake.merge(ended)
    };
    let points = flush().iter().map(Batch::len).sum::<usize>();
    let forms = [
        ("points, null", Schema::Points, Codec::Null),
        ("points, deflate", Schema::Points, Codec::Deflate),
        ("metric lists, null", Schema::MetricList, Codec::Null),
    ];
    let case = |(form, schema, codec)| {
        Case::new(format!("encode: {form}"), points, move || {
            let batches = flush();
            let file = Destination::File("points".into());
            let config = OutputConfig { schema, codec, ..OutputConfig::new(file) };
            let mut kept = Vec::with_capacity(1);
            Box::new(move || kept.push(ship::encode(&config, "00c0ffee00c0ffee", &batches)))
        })
    };
    forms.map(case).into()
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
