//! Holds what came out against what was sent, and says what nobody has explained.

mod series;
mod text;

use std::collections::BTreeMap;

use metric::Kind;
use serde::Serialize;

use crate::account::Account;
use crate::agent::status;
use crate::shipped::Seen;
use series::{Finding, Found};

/// The reason that is the operator's rule and not in the line: it explains what is lacking.
const BY_RULE: &str = "dropped_by_rule";

/// So many series that are not right are told one by one.
const TOLD: usize = 10;

/// What is compared.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) expected: &'a Account,
    pub(crate) seen: &'a Seen,
    /// The container of each origin; empty for shared listeners.
    pub(crate) origins: &'a [String],
    /// Several shared listeners: whose a gauge's value is cannot be told.
    pub(crate) is_mixed: bool,
    /// Datagrams of one sample each that were sent to see the end; not in `expected`.
    pub(crate) marks: u64,
    /// What the agent says that it received since before the run.
    pub(crate) status: Option<&'a status::Account>,
    /// Datagrams that the kernel dropped, where there is no status.
    pub(crate) kernel_dropped: Option<u64>,
    /// Points that outputs dropped since before the run.
    pub(crate) points_dropped: u64,
    /// How often the kernel would not take the next datagram.
    pub(crate) cut_short: u64,
}

/// How much of what was sent is accounted for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// Each is a sentence. None: all is explained.
    pub(crate) unexplained: Vec<String>,
    pub(crate) datagrams: Datagrams,
    /// A line for each kind, then one for each reason to refuse.
    pub(crate) classes: Vec<Class>,
    pub(crate) series: SeriesCounts,
    pub(crate) samples: Samples,
    pub(crate) points: Points,
    /// Some of the series that are not right.
    pub(crate) examples: Vec<String>,
}

/// What became of the datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Datagrams {
    pub(crate) sent: u64,
    /// By the agent's own account; `None` without its status.
    pub(crate) received: Option<u64>,
    pub(crate) kernel_dropped: Option<u64>,
    pub(crate) closed_unread: u64,
    pub(crate) truncated: u64,
}

/// What became of the samples, of all classes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Samples {
    pub(crate) sent: u64,
    pub(crate) received: Option<u64>,
    pub(crate) aggregated: Option<u64>,
    pub(crate) refused: Option<u64>,
    pub(crate) throttled: u64,
    pub(crate) over_series_limit: u64,
    pub(crate) dropped_by_rule: u64,
    /// In datagrams that never reached the agent, as far as is known.
    pub(crate) dropped: Range,
    /// Neither came out nor is explained.
    pub(crate) unexplained: u64,
}

/// The most samples that so many points can have held, by what each series lacks: a point is of one
/// series, and of any number of its samples.
fn held_by_points(mut lacking: Vec<u64>, points: u64) -> u64 {
    lacking.sort_unstable_by(|one, other| other.cmp(one));
    lacking.iter().take(usize::try_from(points).unwrap_or(usize::MAX)).sum()
}

/// A kind, or a reason to refuse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) series: u64,
    pub(crate) sent: u64,
    /// Came out in a series.
    pub(crate) arrived: Range,
    /// Were refused for this reason.
    pub(crate) refused: u64,
    /// Did not come out.
    pub(crate) lost: Range,
    pub(crate) unexplained: u64,
}

/// How many series are as they must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SeriesCounts {
    pub(crate) sent: u64,
    /// Total what was sent.
    pub(crate) right: u64,
    /// Lack something.
    pub(crate) short: u64,
    /// Total what was never sent.
    pub(crate) wrong: u64,
    /// Cannot be told apart from others in what was shipped.
    pub(crate) unchecked: u64,
    /// Statistics that were shipped and are of no series that was sent.
    pub(crate) others: u64,
}

/// The points themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Points {
    pub(crate) read: u64,
    pub(crate) missing: u64,
    pub(crate) repeated: u64,
    /// By the outputs' own account.
    pub(crate) dropped: u64,
}

/// From and to; what is not known exactly is at least known to lie between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Range {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Range {
    pub(crate) fn new(least: u64, most: u64) -> Self {
        Self { least, most: most.max(least) }
    }

    fn exactly(count: u64) -> Self {
        Self { least: count, most: count }
    }

    fn add(&mut self, other: Self) {
        self.least += other.least;
        self.most += other.most;
    }

    /// What is left of so many.
    fn of(self, all: u64) -> Self {
        Self { least: all.saturating_sub(self.most), most: all.saturating_sub(self.least) }
    }
}

impl Verdict {
    /// Judges.
    pub(crate) fn of(evidence: &Evidence<'_>) -> Self {
        let mut verdict = Self::default();
        verdict.judge_datagrams(evidence);
        verdict.judge_refused(evidence);
        let short = verdict.judge_series(evidence);
        verdict.judge_losses(evidence, short);
        verdict.judge_points(evidence);
        verdict
    }

    /// Whether nothing is left to explain.
    pub(crate) fn is_good(&self) -> bool {
        self.unexplained.is_empty()
    }

    fn say(&mut self, sentence: String) {
        self.unexplained.push(sentence);
    }

    fn judge_datagrams(&mut self, evidence: &Evidence<'_>) {
        let sent = evidence.expected.datagrams + evidence.marks;
        self.datagrams = Datagrams {
            sent,
            received: evidence.status.map(|status| status.received.datagrams),
            kernel_dropped: evidence
                .status
                .map(|status| status.kernel_dropped)
                .or(evidence.kernel_dropped),
            closed_unread: evidence.status.map_or(0, |status| status.closed_unread),
            truncated: evidence.status.map_or(0, |status| status.truncated),
        };
        let Some(status) = evidence.status else { return };
        let known = status.received.datagrams + status.kernel_dropped + status.closed_unread;
        if known > sent {
            self.say(format!(
                "{} datagrams more than were sent reached the agent: does anybody else send to it?",
                known - sent
            ));
        } else if known < sent {
            let nobody = if evidence.cut_short > 0 { "; does anybody listen?" } else { "" };
            self.say(format!(
                "{} datagrams neither reached the agent nor were dropped by its kernel{nobody}",
                sent - known
            ));
        }
        if !status.adds_up() {
            self.say("the agent's own account does not add up".to_owned());
        }
    }

    fn judge_refused(&mut self, evidence: &Evidence<'_>) {
        let expected = &evidence.expected.refused;
        let none = BTreeMap::new();
        let actual = evidence.status.map_or(&none, |status| &status.rejected);
        let mut reasons: Vec<&str> = expected.keys().copied().collect();
        let unexpected = actual.iter().filter(|(_, count)| **count > 0).map(|(reason, _)| reason);
        reasons.extend(unexpected.map(String::as_str));
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons.into_iter().filter(|reason| *reason != BY_RULE) {
            let sent = expected.get(reason).copied().unwrap_or(0);
            let refused = match evidence.status {
                Some(_) => actual.get(reason).copied().unwrap_or(0),
                // Nobody tells; that they did not come out shows in the series.
                None => sent,
            };
            if refused > sent {
                self.say(format!(
                    "{} samples were refused as {reason} that should not have been",
                    refused - sent
                ));
            }
            self.classes.push(Class {
                name: reason.to_owned(),
                sent,
                refused,
                lost: Range::exactly(sent.saturating_sub(refused)),
                unexplained: refused.saturating_sub(sent),
                ..Class::default()
            });
        }
    }

    /// Returns what each series lacks at least.
    fn judge_series(&mut self, evidence: &Evidence<'_>) -> Vec<u64> {
        let mut short = Vec::new();
        let mut kinds: BTreeMap<Kind, Class> = BTreeMap::new();
        let found = Found::in_what_was_shipped(evidence);
        for (key, expected) in &evidence.expected.series {
            let kind = key.series.kind();
            let class = kinds.entry(kind).or_default();
            class.series += 1;
            class.sent += expected.samples;
            let finding = found.look_at(key, expected);
            match &finding {
                Finding::Right { .. } => self.series.right += 1,
                Finding::Short { .. } => self.series.short += 1,
                Finding::Wrong { .. } => {
                    self.series.wrong += 1;
                    class.unexplained += 1;
                }
                Finding::Unchecked => self.series.unchecked += 1,
            }
            let lost = finding.lost(expected.samples);
            class.lost.add(lost);
            short.extend(Some(lost.least).filter(|least| *least > 0));
            if let Some(text) = finding.text()
                && self.examples.len() < TOLD
            {
                self.examples.push(format!("{}{:?}: {text}", found.prefix(key), key.series));
            }
        }
        self.series.sent = evidence.expected.series.len() as u64;
        self.series.others = found.others();
        if self.series.wrong > 0 {
            self.say(format!("{} series total what was never sent", self.series.wrong));
        }
        let kinds = kinds.into_iter().map(|(kind, class)| Class {
            name: kind.name().to_owned(),
            arrived: class.lost.of(class.sent),
            ..class
        });
        self.classes.splice(0..0, kinds);
        short
    }

    /// Compares what is lacking with what is known to have been lost.
    fn judge_losses(&mut self, evidence: &Evidence<'_>, short: Vec<u64>) {
        let expected = evidence.expected;
        let sent = expected.samples + evidence.marks;
        let dropped = self.dropped(evidence, sent);
        let status = evidence.status;
        self.samples = Samples {
            sent,
            received: status.map(|it| it.received.samples),
            aggregated: status.map(|it| it.aggregated),
            refused: status.map(status::Account::rejected_in_all),
            throttled: status.map_or(0, |it| it.throttled.samples),
            over_series_limit: status.map_or(0, |it| it.over_series_limit),
            dropped_by_rule: status.and_then(|it| it.rejected.get(BY_RULE).copied()).unwrap_or(0),
            dropped,
            unexplained: 0,
        };
        let mut known = dropped;
        let samples = &self.samples;
        let refused = samples.throttled + samples.over_series_limit + samples.dropped_by_rule;
        known.add(Range::exactly(refused));
        let mut lost = Range::default();
        self.classes.iter().for_each(|class| lost.add(class.lost));
        // A mark may be among what was dropped; it is in no class.
        lost.most += evidence.marks;
        let with_points = held_by_points(short, evidence.points_dropped);
        let unexplained = lost.least.saturating_sub(known.most).saturating_sub(with_points);
        if unexplained > 0 {
            self.samples.unexplained = unexplained;
            self.say(format!(
                "{unexplained} samples did not come out, and nothing says where they were lost"
            ));
            if known.most == 0 {
                for class in &mut self.classes {
                    class.unexplained += class.lost.least;
                }
            }
        } else if lost.most < known.least {
            self.say(format!(
                "{} samples came out that are said to have been lost",
                known.least - lost.most
            ));
        } else if lost.least <= known.most {
            self.narrow_losses(lost.least, known.most);
        }
    }

    /// No class lost more than all that is known to be lost, less what the others are known to lack.
    fn narrow_losses(&mut self, lacking: u64, known: u64) {
        for class in self.classes.iter_mut().filter(|class| class.unexplained == 0) {
            let others = lacking - class.lost.least;
            let most = class.lost.most.min(known.saturating_sub(others));
            class.lost = Range::new(class.lost.least, most);
            if class.series > 0 {
                class.arrived = class.lost.of(class.sent);
            }
        }
    }

    /// What was in the datagrams that did not reach the agent.
    fn dropped(&mut self, evidence: &Evidence<'_>, sent: u64) -> Range {
        let (fewest, most) = evidence.expected.of_a_datagram.unwrap_or_default();
        // A mark is one sample.
        let fewest = if evidence.marks > 0 { fewest.min(1) } else { fewest };
        let of = |datagrams: u64| Range::new(datagrams * fewest, datagrams * most.max(1));
        let Some(status) = evidence.status else {
            return evidence.kernel_dropped.map_or(Range::default(), of);
        };
        if status.received.samples > sent {
            self.say(format!(
                "the agent read {} samples more than were sent",
                status.received.samples - sent
            ));
            return Range::default();
        }
        let dropped = sent - status.received.samples;
        let missing = self.datagrams.sent.saturating_sub(status.received.datagrams);
        let possible = of(missing);
        if dropped < possible.least || dropped > possible.most {
            self.say(format!(
                "{dropped} samples were never read, but {missing} datagrams that did not arrive \
                 hold {} to {}",
                possible.least, possible.most
            ));
        }
        Range::exactly(dropped)
    }

    fn judge_points(&mut self, evidence: &Evidence<'_>) {
        let seen = evidence.seen;
        self.points = Points {
            read: seen.points,
            missing: seen.missing,
            repeated: seen.repeated,
            dropped: evidence.points_dropped,
        };
        if seen.missing > evidence.points_dropped {
            self.say(format!(
                "{} points are missing in what was shipped, by their own numbering",
                seen.missing - evidence.points_dropped
            ));
        }
        if seen.repeated > 0 {
            self.say(format!("{} points were shipped again", seen.repeated));
        }
        if let Some(problem) = &seen.problem {
            self.say(format!("what was shipped cannot all be read: {problem}"));
        }
    }
}

#[cfg(test)]
mod tests;
