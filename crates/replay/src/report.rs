//! What a run found: for people, for programs, and as a page to look at.

mod html;
mod plot;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::cli::Options;
use crate::corpus::Passed;
use crate::error::ReplayError;
use crate::run::{Cost, Loss, Moment, Outcome, Plan, Search, Session};
use crate::shipped::Flushed;
use crate::text::{bytes, count, percent, rate, seconds};
use crate::verify::Verdict;

/// Everything that is known of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The version of this form.
    version: u32,
    program: String,
    /// What was run, word by word.
    command: Vec<String>,
    /// When, in unix milliseconds.
    at: u64,
    machine: Machine,
    input: InputReport,
    targets: Vec<String>,
    pace: String,
    segments: bool,
    pub(crate) sent: Option<SentReport>,
    pub(crate) loss: Option<Loss>,
    pub(crate) cost: Option<Cost>,
    pub(crate) moments: Vec<Moment>,
    /// By the end of their interval, in unix milliseconds.
    #[serde(serialize_with = "flushes")]
    pub(crate) flushes: BTreeMap<i64, Flushed>,
    pub(crate) search: Option<Search>,
    pub(crate) verdict: Option<Verdict>,
}

/// Of a thread that took less of an agent's processor time nothing is said.
const LEAST_SHARE: f64 = 0.01;

/// Where it ran.
#[derive(Clone, Debug, Default, Serialize)]
struct Machine {
    kernel: String,
    processor: String,
    processors: usize,
    rmem_max: Option<u64>,
}

/// What was there to be sent.
#[derive(Clone, Debug, Default, Serialize)]
struct InputReport {
    name: String,
    about: Option<String>,
    datagrams: u64,
    lines: u64,
    bytes: u64,
    /// Containers, or captured ports.
    lanes: usize,
    passed: Passed,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct SentReport {
    datagrams: u64,
    lines: u64,
    seconds: f64,
    datagrams_per_second: f64,
    lines_per_second: f64,
    /// How often the kernel would not take the next one.
    cut_short: u64,
    /// The share of the pace that could be kept up.
    kept: f64,
}

impl Report {
    /// Of a run that is about to begin.
    pub(crate) fn begin(options: &Options, session: &Session, plan: &Plan) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let corpus = &session.corpus;
        let pace = match options.search {
            Some(limit) => {
                format!("searched for the highest with less than {} lost", percent(limit))
            }
            None => plan.pace.to_string(),
        };
        Self {
            version: 1,
            program: format!("weir-replay {}", env!("CARGO_PKG_VERSION")),
            command: std::env::args().collect(),
            at: now.as_millis() as u64,
            machine: Machine::this(),
            input: InputReport {
                name: options.input.display().to_string(),
                about: session.about.clone(),
                datagrams: corpus.datagrams().len() as u64,
                lines: corpus.lines(),
                bytes: corpus.bytes(),
                lanes: corpus.lanes(),
                passed: session.passed,
            },
            targets: session.wire.targets().iter().map(ToString::to_string).collect(),
            pace,
            segments: options.segments,
            ..Self::default()
        }
    }

    /// Adds what came of sending.
    pub(crate) fn take(&mut self, outcome: Outcome, session: &Session) {
        let sent = outcome.sent;
        let lines = session.corpus.lines_of(sent.datagrams);
        let seconds = sent.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        self.sent = Some(SentReport {
            datagrams: sent.datagrams,
            lines,
            seconds,
            datagrams_per_second: sent.datagrams as f64 / seconds,
            lines_per_second: lines as f64 / seconds,
            cut_short: sent.cut_short,
            kept: sent.kept,
        });
        self.moments = outcome.moments;
        self.loss = outcome.loss;
        self.cost = outcome.cost;
    }

    /// Writes the files that were asked for.
    pub(crate) fn write(
        &self,
        json: Option<&Path>,
        html: Option<&Path>,
    ) -> Result<(), ReplayError> {
        let write = |path: &Path, text: String| {
            fs::write(path, text)
                .map_err(|source| ReplayError::Output { path: path.to_owned(), source })
        };
        if let Some(path) = json {
            let text = serde_json::to_string_pretty(self).map_err(|error| ReplayError::Output {
                path: path.to_owned(),
                source: error.into(),
            })?;
            write(path, text + "\n")?;
        }
        if let Some(path) = html {
            write(path, html::page(self))?;
        }
        Ok(())
    }

    /// The sentences that stand before the verdict, each with what it is about.
    fn sentences(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        if self.input.passed != Passed::default() {
            all.push(("passed over", self.input.passed.to_string()));
        }
        if let Some(sent) = &self.sent {
            all.push((
                "sent",
                format!(
                    "{} datagrams, {} lines in {}: {}, {} of lines",
                    count(sent.datagrams),
                    count(sent.lines),
                    self::seconds(Duration::from_secs_f64(sent.seconds)),
                    rate(sent.datagrams_per_second),
                    rate(sent.lines_per_second),
                ),
            ));
            if sent.kept < 0.98 {
                let text = format!("only {} of it could be kept up from here", percent(sent.kept));
                all.push(("pace", text));
            }
            if sent.cut_short > 0 {
                let times = count(sent.cut_short);
                let text = format!("{times} times by the kernel: does anybody listen there?");
                all.push(("cut short", text));
            }
        }
        match (&self.loss, &self.search) {
            (Some(loss), _) => {
                let (datagrams, share) = (count(loss.datagrams), percent(loss.share));
                all.push(("lost", format!("{datagrams} datagrams, {share}")));
            }
            (None, None) => all.push((
                "lost",
                "unknown: the agent serves no status, and the kernel's count is not at hand".into(),
            )),
            (None, Some(_)) => {}
        }
        if let Some(cost) = &self.cost {
            all.push((
                "agent",
                format!(
                    "{:.2} CPU s, {:.2} a million lines, {} of a core; {} of memory before, {} at \
                     most, {} after",
                    cost.cpu_seconds,
                    cost.cpu_seconds_per_million_lines,
                    percent(cost.cpu_share),
                    bytes(cost.memory_before),
                    bytes(cost.memory_most),
                    bytes(cost.memory_after),
                ),
            ));
            all.extend(of_threads(cost).map(|shares| ("of that", shares)));
        }
        if let Some(slowest) = self.flushes.values().max_by_key(|flush| flush.latency) {
            let points: Option<u64> = self.flushes.values().map(|flush| flush.points).sum();
            let points = points.map(|points| format!(", {} points", count(points)));
            all.push((
                "flushes",
                format!(
                    "{}{}, the slowest out after {}",
                    count(self.flushes.len() as u64),
                    points.unwrap_or_default(),
                    self::seconds(slowest.latency)
                ),
            ));
        }
        if let Some(search) = &self.search {
            all.extend(self.search_sentences(search));
        }
        all
    }

    fn search_sentences(&self, search: &Search) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        for round in &search.rounds {
            let limit = if round.is_senders_limit { ", as fast as it could be sent" } else { "" };
            let highest = rate(round.highest);
            let probes = round.probes.len();
            all.push(("round", format!("{highest} of lines in {probes} probes{limit}")));
        }
        let a_datagram = self.input.lines as f64 / self.input.datagrams.max(1) as f64;
        all.push((
            "highest",
            format!(
                "{} of lines ({} of datagrams) with less than {} lost: the median of {}, from {} \
                 to {}",
                rate(search.median),
                rate(search.median / a_datagram),
                percent(search.limit),
                search.rounds.len(),
                rate(search.least),
                rate(search.most),
            ),
        ));
        all
    }
}

/// What each thread took of the agent's processor time, the busiest first.
fn of_threads(cost: &Cost) -> Option<String> {
    let share = |(name, cpu): (&String, &f64)| (cpu / cost.cpu_seconds, name.clone());
    let mut shares: Vec<(f64, String)> = cost.threads.iter().map(share).collect();
    shares.retain(|(share, _)| *share >= LEAST_SHARE);
    shares.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let texts = shares.iter().map(|(share, name)| format!("{name} {}", percent(*share)));
    (!shares.is_empty()).then(|| texts.collect::<Vec<_>>().join(", "))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, sentence) in self.sentences() {
            writeln!(f, "{what}: {sentence}")?;
        }
        self.verdict.iter().try_for_each(|verdict| write!(f, "\n{verdict}"))
    }
}

impl Machine {
    fn this() -> Self {
        let uname = rustix::system::uname();
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let named = |line: &str| {
            Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned())
        };
        let rmem_max = fs::read_to_string("/proc/sys/net/core/rmem_max").ok();
        Self {
            kernel: uname.release().to_string_lossy().into_owned(),
            processor: info.lines().find_map(named).unwrap_or_default(),
            processors: info.lines().filter(|line| line.starts_with("processor")).count(),
            rmem_max: rmem_max.and_then(|text| text.trim().parse().ok()),
        }
    }
}

/// A flush, as it is written.
#[derive(Serialize)]
struct FlushReport {
    end_ms: i64,
    /// `null` where only times were looked at.
    points: Option<u64>,
    latency_ms: u64,
}

fn flushes<S: Serializer>(of: &BTreeMap<i64, Flushed>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(of.iter().map(|(end_ms, flush)| FlushReport {
        end_ms: *end_ms,
        points: flush.points,
        latency_ms: flush.latency.as_millis() as u64,
    }))
}

#[cfg(test)]
mod tests;
