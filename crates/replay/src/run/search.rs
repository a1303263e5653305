use std::time::Duration;

use serde::Serialize;

use super::Plan;
use super::monitor::{self, Outcome};
use super::session::Session;
use crate::cli::Options;
use crate::error::ReplayError;
use crate::pace::{Pace, Profile};
use crate::sender::Length;

/// How long a rate is tried where nobody says.
const PROBE: Duration = Duration::from_secs(5);

/// A search that needs more has met something that changes under its hands.
const MOST_PROBES: usize = 20;

/// The highest rate at which less than so much is lost, found several times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Search {
    /// The share of datagrams that may be lost.
    pub(crate) limit: f64,
    pub(crate) probe_seconds: f64,
    pub(crate) rounds: Vec<Round>,
    /// Of the rounds' highest rates, in lines a second.
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// One search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Round {
    /// In lines a second, as they were sent.
    pub(crate) highest: f64,
    /// Nothing was lost that was sent as fast as this machine can: the agent may take more.
    pub(crate) is_senders_limit: bool,
    pub(crate) probes: Vec<Probe>,
}

/// A rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Probe {
    /// In lines a second; `None`: flat out.
    pub(crate) asked: Option<f64>,
    pub(crate) lines_per_second: f64,
    pub(crate) datagrams_per_second: f64,
    pub(crate) loss: f64,
    pub(crate) cpu_seconds_per_million_lines: Option<f64>,
    pub(crate) cpu_share: Option<f64>,
    pub(crate) memory: Option<u64>,
}

/// Bisects, several times.
pub(super) async fn search(
    options: &Options,
    session: &mut Session,
    limit: f64,
) -> Result<Search, ReplayError> {
    let probe = options.duration.unwrap_or(PROBE);
    let mut rounds = Vec::new();
    for _ in 0..options.search_rounds.max(1) {
        rounds.push(round(options, session, limit, probe).await?);
    }
    let mut highest: Vec<f64> = rounds.iter().map(|round| round.highest).collect();
    highest.sort_by(f64::total_cmp);
    Ok(Search {
        limit,
        probe_seconds: probe.as_secs_f64(),
        median: median(&highest),
        least: highest[0],
        most: highest[highest.len() - 1],
        rounds,
    })
}

async fn round(
    options: &Options,
    session: &mut Session,
    limit: f64,
    length: Duration,
) -> Result<Round, ReplayError> {
    let first = try_rate(options, session, None, length).await?;
    let mut bounds = Bounds::after(&first, limit);
    let mut probes = vec![first];
    while let Some(rate) = bounds.next(options.search_precision)
        && probes.len() < MOST_PROBES
    {
        let probe = try_rate(options, session, Some(rate), length).await?;
        bounds.narrow(&probe, limit);
        probes.push(probe);
    }
    Ok(Round { highest: bounds.good, is_senders_limit: bounds.is_senders_limit, probes })
}

async fn try_rate(
    options: &Options,
    session: &mut Session,
    rate: Option<f64>,
    time: Duration,
) -> Result<Probe, ReplayError> {
    let pace = match rate {
        Some(rate) => Pace::Profile(Profile::steady(rate, crate::pace::Unit::Lines)),
        None => Pace::FlatOut,
    };
    let plan = Plan { pace, length: Length { datagrams: None, time: Some(time) } };
    let outcome = monitor::send(options, session, plan).await?;
    let loss = outcome.loss.ok_or(ReplayError::NoLosses)?.share;
    let outcome = outcome.through(time)?;
    let Outcome { sent, cost, .. } = outcome;
    let seconds = sent.elapsed.as_secs_f64();
    Ok(Probe {
        asked: rate,
        lines_per_second: session.corpus.lines_of(sent.datagrams) as f64 / seconds,
        datagrams_per_second: sent.datagrams as f64 / seconds,
        loss,
        cpu_seconds_per_million_lines: cost.as_ref().map(|cost| cost.cpu_seconds_per_million_lines),
        cpu_share: cost.as_ref().map(|cost| cost.cpu_share),
        memory: cost.map(|cost| cost.memory_most),
    })
}

/// Between a rate that was good and one that was not.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    good: f64,
    bad: f64,
    /// What is tried first.
    guess: Option<f64>,
    /// The last rate was not kept up, though nothing was lost.
    was_late: bool,
    /// More than the good one could not be sent.
    is_senders_limit: bool,
}

impl Bounds {
    /// After it was sent as fast as can be: what arrived then is a fair guess.
    fn after(flat_out: &Probe, limit: f64) -> Self {
        let rate = flat_out.lines_per_second;
        if flat_out.loss < limit {
            return Self { is_senders_limit: true, ..Self::between(rate, rate, None) };
        }
        Self::between(0.0, rate, Some(rate * (1.0 - flat_out.loss)))
    }

    fn between(good: f64, bad: f64, guess: Option<f64>) -> Self {
        Self { good, bad, guess, was_late: false, is_senders_limit: false }
    }

    /// The rate to try; `None` if the bounds are as near as they should be.
    fn next(&mut self, precision: f64) -> Option<f64> {
        if self.bad - self.good <= precision * self.bad {
            return None;
        }
        // Far apart, the middle is that of their orders of magnitude.
        let middle = if self.good > 0.0 && self.bad > 4.0 * self.good {
            (self.good * self.bad).sqrt()
        } else {
            f64::midpoint(self.good, self.bad)
        };
        Some(self.guess.take().filter(|it| *it > self.good && *it < self.bad).unwrap_or(middle))
    }

    fn narrow(&mut self, probe: &Probe, limit: f64) {
        let Some(asked) = probe.asked else { return };
        // What was sent counts, and it may be less than was asked for.
        let sent = probe.lines_per_second.min(asked);
        if probe.loss < limit {
            self.good = self.good.max(sent);
            let is_late = sent < asked * 0.98;
            // Once it may have been a moment in which somebody else had the processor. Twice, it would
            // be asked for again and again.
            if is_late && self.was_late {
                self.bad = self.good;
                self.is_senders_limit = true;
            } else if is_late {
                self.guess = Some(asked);
            }
            self.was_late = is_late;
        } else {
            self.was_late = false;
            self.bad = self.bad.min(asked);
            self.good = self.good.min(self.bad);
        }
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that loses whatever is above its limit, and a sender with a limit too.
    fn probe(asked: Option<f64>, takes: f64, sender: f64) -> Probe {
        let rate = asked.unwrap_or(f64::MAX).min(sender);
        Probe {
            asked,
            lines_per_second: rate,
            datagrams_per_second: rate,
            loss: ((rate - takes) / rate).max(0.0),
            cpu_seconds_per_million_lines: None,
            cpu_share: None,
            memory: None,
        }
    }

    fn found(takes: f64, sender: f64) -> (f64, usize) {
        let mut bounds = Bounds::after(&probe(None, takes, sender), 0.001);
        let mut probes = 1;
        while let Some(rate) = bounds.next(0.01) {
            bounds.narrow(&probe(Some(rate), takes, sender), 0.001);
            probes += 1;
            assert!(probes < MOST_PROBES);
        }
        (bounds.good, probes)
    }

    #[test]
    fn the_limit_is_found_within_the_precision() {
        for takes in [50.0, 12_345.0, 900_000.0] {
            let (rate, _) = found(takes, 1e6);
            assert!((rate / takes - 1.0).abs() < 0.011, "{rate} for {takes}");
        }
    }

    #[test]
    fn a_sender_that_is_slower_than_the_agent_is_the_limit_at_once() {
        assert_eq!(found(2e6, 1e6), (1e6, 1));
    }

    #[test]
    fn a_rate_that_was_not_kept_up_once_is_tried_again() {
        let late = |asked: f64| Probe {
            lines_per_second: asked * 0.5,
            loss: 0.0,
            ..probe(Some(asked), 1e9, 1e9)
        };
        let mut bounds = Bounds::after(&probe(None, 400.0, 1000.0), 0.001);
        let asked = bounds.next(0.01).unwrap();
        bounds.narrow(&late(asked), 0.001);
        assert_eq!(bounds.next(0.01), Some(asked));
        bounds.narrow(&probe(Some(asked), 400.0, 1000.0), 0.001);
        assert!(bounds.next(0.01).is_none_or(|next| next > asked));
        assert!(!bounds.is_senders_limit);

        let mut bounds = Bounds::after(&probe(None, 400.0, 1000.0), 0.001);
        for _ in 0..2 {
            let asked = bounds.next(0.01).unwrap();
            bounds.narrow(&late(asked), 0.001);
        }
        assert_eq!(bounds.next(0.01), None);
        assert!(bounds.is_senders_limit);
    }

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!((median(&[1.0, 2.0, 9.0]), median(&[1.0, 2.0])), (2.0, 1.5));
    }
}
