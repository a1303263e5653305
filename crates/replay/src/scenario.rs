//! Traffic that is made up: a TOML file says how, a seed makes it the same bytes every time.

mod random;
mod render;
mod series;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use metric::Kind;
use serde::Deserialize;

use crate::corpus::{Corpus, Packing};
use crate::error::ReplayError;

/// A made-up node's traffic. `benches/README.md` tells the keys with an example.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it stands for, in a sentence.
    pub(crate) about: String,
    /// Another seed is other bytes of the same sort.
    #[serde(default)]
    seed: u64,
    /// How many series there are, of all containers together.
    series: usize,
    /// How many containers they are spread over, evenly; each is a lane.
    #[serde(default = "one")]
    pub(crate) containers: usize,
    /// The shares of the kinds, by the letters of a line: `{ c = 50, ms = 20 }`.
    kinds: BTreeMap<String, u32>,
    /// Tags of each series.
    #[serde(default)]
    tags: usize,
    /// Which series the next line is of.
    #[serde(default)]
    choice: Choice,
    /// Lines in a pass. Default: as many as there are series, and no fewer than 100,000 where they
    /// are chosen by chance.
    lines: Option<usize>,
    /// Bytes of a line without its line feed: names are made as long as it takes.
    line_bytes: Option<LineBytes>,
    /// How lines are put into datagrams.
    #[serde(default)]
    datagram: DatagramLimits,
    /// Series that are sampled.
    #[serde(default)]
    rates: Vec<Sampled>,
    /// The share of gauges' lines that are changes, `+1.5`.
    #[serde(default)]
    changes: f64,
    /// How many members the sets of all containers choose from.
    #[serde(default = "hundred")]
    set_members: u32,
    /// The share of lines that are bad, each in one of several ways.
    #[serde(default)]
    malformed: f64,
    /// How it is sent if the command line does not say.
    pub(crate) pace: Option<ScenarioPace>,
}

/// Which series the next line is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    /// Each series once in a pass, shuffled.
    #[default]
    Each,
    /// Any, all alike.
    Even,
    /// Few often, most seldom: the n-th is chosen in proportion to 1 / n to this power.
    Zipf(f64),
}

/// How long lines are.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum LineBytes {
    /// All alike.
    Exactly(usize),
    /// From and to, even.
    Between([usize; 2]),
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DatagramLimits {
    lines: usize,
    bytes: usize,
}

impl Default for DatagramLimits {
    // What fits an Ethernet frame, as clients that pack lines have it.
    fn default() -> Self {
        Self { lines: usize::MAX, bytes: 1432 }
    }
}

/// So many of a kind's series are sampled at this rate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sampled {
    kind: String,
    share: f64,
    rate: f64,
}

/// The pace that a scenario comes with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScenarioPace {
    /// From so long after the beginning on, so many datagrams a second; straight lines between.
    profile: Vec<(String, f64)>,
}

impl Scenario {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ReplayError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ReplayError::Input { input: path.to_owned(), source })?;
        let invalid = |problem| ReplayError::Scenario { path: path.to_owned(), problem };
        let scenario: Self = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        scenario.check().map_err(invalid)?;
        Ok(scenario)
    }

    /// The datagrams of one pass.
    pub(crate) fn render(&self, corpus: Corpus) -> Result<Corpus, ReplayError> {
        render::render(self, corpus)
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=50_000_000).contains(&self.series) {
            return Err("series: expected 1 to 50,000,000".to_owned());
        }
        if self.containers == 0 || self.containers > self.series {
            return Err("containers: expected 1 to as many as there are series".to_owned());
        }
        self.kinds()?;
        if self.tags > 20 {
            return Err("tags: expected at most 20".to_owned());
        }
        if let Some((from, to)) = self.line_bytes() {
            let least = series::least_bytes(self.tags, self.series);
            if from < least || to < from || to > 1000 {
                return Err(format!("line_bytes: expected {least} to 1000 with so many tags"));
            }
        }
        if self.datagram.lines == 0 {
            return Err("datagram.lines: expected at least 1".to_owned());
        }
        if self.set_members == 0 {
            return Err("set_members: expected at least 1".to_owned());
        }
        for (name, share) in [("changes", self.changes), ("malformed", self.malformed)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{name}: expected a share from 0 to 1"));
            }
        }
        for sampled in &self.rates {
            let known = kind(&sampled.kind)
                .is_some_and(|kind| kind == Kind::Counter || kind.is_summarised());
            let good = (0.0..=1.0).contains(&sampled.share) && (1e-9..=1.0).contains(&sampled.rate);
            if !known || !good {
                return Err("rates: expected { kind, share, rate } with a kind that has rates, \
                            a share from 0 to 1 and a rate above 0, at most 1"
                    .to_owned());
            }
        }
        if let Choice::Zipf(power) = self.choice
            && !(power > 0.0 && power <= 10.0)
        {
            return Err("choice: expected a power above 0, at most 10".to_owned());
        }
        if let Some(pace) = &self.pace {
            pace.points()?;
        }
        Ok(())
    }

    /// The kinds with their shares, in the kinds' own order.
    fn kinds(&self) -> Result<Vec<(Kind, u32)>, String> {
        let mut kinds = Vec::new();
        for (code, share) in &self.kinds {
            let kind = kind(code)
                .ok_or_else(|| format!("kinds: {code:?} is none of c, g, ms, h, d, s"))?;
            kinds.push((kind, *share));
        }
        kinds.sort_unstable();
        let total: u64 = kinds.iter().map(|(_, share)| u64::from(*share)).sum();
        if !(1..=10_000).contains(&total) {
            return Err("kinds: expected shares whose sum is 1 to 10,000".to_owned());
        }
        Ok(kinds)
    }

    fn line_bytes(&self) -> Option<(usize, usize)> {
        self.line_bytes.map(|bytes| match bytes {
            LineBytes::Exactly(bytes) => (bytes, bytes),
            LineBytes::Between([from, to]) => (from, to),
        })
    }

    fn packing(&self) -> Packing {
        Packing { lines: self.datagram.lines, bytes: self.datagram.bytes }
    }

    fn lines(&self) -> usize {
        self.lines.unwrap_or(match self.choice {
            Choice::Each => self.series,
            Choice::Even | Choice::Zipf(_) => self.series.max(100_000),
        })
    }
}

impl ScenarioPace {
    /// The profile's points: how long after the beginning, datagrams a second.
    pub(crate) fn points(&self) -> Result<Vec<(Duration, f64)>, String> {
        let mut points = Vec::new();
        for (after, rate) in &self.profile {
            let after = humantime::parse_duration(after)
                .map_err(|error| format!("pace.profile: {after:?}: {error}; write \"6h\""))?;
            if !(0.0..=1e9).contains(rate) {
                return Err("pace.profile: expected a rate from 0 to 1e9".to_owned());
            }
            points.push((after, *rate));
        }
        let begins = points.first().is_some_and(|(after, _)| after.is_zero());
        if !begins || points.len() < 2 || !points.is_sorted_by(|one, next| one.0 < next.0) {
            return Err("pace.profile: expected points [\"0s\", rate], ..., in order".to_owned());
        }
        Ok(points)
    }
}

fn kind(code: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.code() == code)
}

fn one() -> usize {
    1
}

fn hundred() -> u32 {
    100
}

#[cfg(test)]
mod tests;
