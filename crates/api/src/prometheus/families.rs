//! Which series stand together in a scrape: the text format wants all samples of a name in one
//! place, under one type.

mod groups;
mod settle;
mod shape;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use metric::{Kind, SeriesKey};

use super::account::Refusals;
use super::labels::Identity;
use super::names;
use super::text::{self, Text};
use crate::{Held, Latest, Newest, Place, PrometheusConfig, Seen};
use groups::{Group, Groups};
use shape::{Shape, Statistic};

/// The quantile that is shown of a summary.
const QUANTILE: (f64, &str) = (0.99, "0.99");

/// So many samples at most are written at once.
const PIECE: usize = 64;

/// All that one scrape shows but weir's own: a copy of the newest values, in the order in which
/// they are written. The texts stay where they are; only the sanitised names are copied.
///
/// Of two that cannot both be shown the one stays whose series came first; so a newcomer does not
/// take the place of what was there.
#[derive(Debug, Default)]
pub(super) struct Families {
    sources: Vec<Source>,
    /// By group, source and key.
    series: Vec<Series>,
    /// By name and shape.
    groups: Vec<Group>,
    /// What is written together with a claim, because it has the same name and type.
    joined: HashMap<Claim, Vec<Claim>, RandomState>,
    /// Claims that were refused, or are written elsewhere.
    not_there: HashSet<Claim, RandomState>,
    samples: u64,
}

#[derive(Debug)]
struct Source {
    identity: Identity,
    held: Arc<Held>,
    /// It had ended before its series were read.
    had_ended: bool,
    /// The place of [`QUANTILE`] among its quantiles.
    quantile: Option<usize>,
}

#[derive(Debug)]
struct Series {
    key: SeriesKey,
    newest: Newest,
    /// Greater than that of every series that came before it.
    number: u64,
    source: u32,
    group: u32,
}

const _: () = assert!(size_of::<Series>() == 40);

/// The claim of a group's statistic to a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Claim {
    group: u32,
    statistic: u8,
}

/// How far the writing has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    claim: Claim,
    /// 0 is the claim itself, then come those that joined it.
    member: usize,
    /// Within the member's group.
    series: usize,
    /// The family's head is written.
    is_begun: bool,
    // Used again and again.
    name: String,
    labels: Vec<u8>,
}

impl Families {
    /// Copies what was seen within the expiry, and puts it in order.
    pub(super) fn of(latest: &Latest, config: &PrometheusConfig, refusals: &mut Refusals) -> Self {
        let mut families = Self::default();
        families.copy(latest, config);
        families.series.sort_unstable_by(|a, b| {
            let order = (a.group, a.source).cmp(&(b.group, b.source));
            order.then_with(|| a.key.cmp(&b.key))
        });
        families.leave_out_collisions(refusals);
        let mut end = 0;
        for alike in families.series.chunk_by(|a, b| a.group == b.group) {
            families.groups[alike[0].group as usize].series = end..end + alike.len();
            end += alike.len();
        }
        families.settle_claims(refusals);
        families
    }

    /// How many samples it shows.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// It was written whole: of what had ended, for the last time.
    pub(super) fn were_told(&self) {
        self.sources.iter().filter(|source| source.had_ended).for_each(|it| it.held.tell_last());
    }

    /// Writes the next few samples, often none; false when there are no more.
    pub(super) fn write_some(&self, progress: &mut Progress, text: &mut Text) -> bool {
        let Claim { group, statistic } = progress.claim;
        let Some(Group { shape, .. }) = self.groups.get(group as usize) else { return false };
        if usize::from(statistic) == shape.statistics().len() {
            progress.claim = Claim { group: group + 1, statistic: 0 };
        } else if let Some(member) = self.member(progress) {
            self.write_member(member, progress, text);
        } else {
            progress.claim = Claim { group, statistic: statistic + 1 };
            (progress.member, progress.is_begun) = (0, false);
        }
        true
    }

    fn member(&self, progress: &Progress) -> Option<Claim> {
        if progress.member == 0 {
            return Some(progress.claim).filter(|claim| !self.not_there.contains(claim));
        }
        self.joined.get(&progress.claim)?.get(progress.member - 1).copied()
    }

    fn write_member(&self, member: Claim, progress: &mut Progress, text: &mut Text) {
        let Progress { name, labels, .. } = progress;
        let (statistic, shape) = (self.statistic(member), self.group(member).shape);
        let series = &self.series(member)[progress.series..];
        self.write_name(member, name);
        for series in series.iter().take(PIECE) {
            let Some(value) = self.value(series, statistic) else { continue };
            if !progress.is_begun {
                progress.is_begun = true;
                text.family(name, shape.family_type(), &self.origin(series));
            }
            self.write_labels(series, labels);
            if statistic == Statistic::Quantile {
                text::label("quantile", QUANTILE.1, labels);
            }
            text.sample(name, labels, value);
        }
        if series.len() <= PIECE {
            (progress.member, progress.series) = (progress.member + 1, 0);
        } else {
            progress.series += PIECE;
        }
    }

    fn copy(&mut self, latest: &Latest, config: &PrometheusConfig) {
        let PrometheusConfig { expiry, host, counter_suffix, .. } = config;
        let mut groups = Groups::default();
        self.series.reserve_exact(latest.counts().series as usize);
        let mut piece = Vec::new();
        for held in latest.sources() {
            // Asked before its series are read: if it had ended by then, these are its last.
            let had_ended = held.has_ended();
            if held.was_told_last() || !held.is_live(*expiry) {
                continue;
            }
            let source = self.sources.len() as u32;
            let is_measured = held.source().is_measured();
            let (mut place, mut has_more) = (Place::default(), true);
            while has_more {
                has_more = held.read(&mut place, *expiry, &mut piece);
                for Seen { key, newest, number, .. } in piece.drain(..) {
                    let mut name = names::metric(key.name());
                    // A counter that is named so already is not named so twice.
                    if key.kind() == Kind::Counter && !name.ends_with(&**counter_suffix) {
                        name.to_mut().push_str(counter_suffix);
                    }
                    let shape = Shape::of(key.kind(), is_measured);
                    let group = groups.number(&name, shape);
                    self.series.push(Series { key, newest, number, source, group });
                }
            }
            let identity = Identity::new(held.dimensions(), is_measured, host.as_deref());
            let quantile = held.quantiles().values().iter().position(|it| *it == QUANTILE.0);
            self.sources.push(Source { identity, held, had_ended, quantile });
        }
        let (groups, places) = groups.in_order();
        self.groups = groups;
        for series in &mut self.series {
            series.group = places[series.group as usize];
        }
    }

    fn source(&self, series: &Series) -> &Source {
        &self.sources[series.source as usize]
    }

    /// What a series is to who tells it: `counter page.views`.
    fn origin(&self, series: &Series) -> String {
        match self.groups[series.group as usize].shape {
            Shape::Measured => format!("measured {}", series.key.name()),
            Shape::Counter | Shape::Gauge | Shape::Set | Shape::Summary => {
                format!("{} {}", series.key.kind(), series.key.name())
            }
        }
    }

    /// Gives how many labels were left out.
    fn write_labels(&self, series: &Series, to: &mut Vec<u8>) -> usize {
        self.source(series).identity.write(&series.key, to)
    }

    fn value(&self, series: &Series, statistic: Statistic) -> Option<f64> {
        statistic.value(&series.newest, self.source(series).quantile)
    }

    fn group(&self, claim: Claim) -> &Group {
        &self.groups[claim.group as usize]
    }

    fn series(&self, claim: Claim) -> &[Series] {
        &self.series[self.group(claim).series.clone()]
    }

    fn statistic(&self, claim: Claim) -> Statistic {
        self.group(claim).shape.statistics()[usize::from(claim.statistic)]
    }

    fn write_name(&self, claim: Claim, to: &mut String) {
        to.clear();
        to.push_str(&self.group(claim).name);
        to.push_str(self.statistic(claim).suffix());
    }
}

#[cfg(test)]
mod tests;
