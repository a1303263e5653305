//! Who is shown where not all can be.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::shape::Statistic;
use super::{Claim, Families, Series};
use crate::prometheus::account::{Clash, Refusals};
use crate::prometheus::own;

impl Families {
    /// Of series with the same name and labels the oldest stays.
    pub(super) fn leave_out_collisions(&mut self, refusals: &mut Refusals) {
        let refused = self.collisions(refusals);
        for (kept, refused) in &refused {
            let (kept, refused) = (&self.series[*kept], &self.series[*refused]);
            // Of a container that was registered again the old values are shown a last time.
            if self.source(kept).had_ended {
                continue;
            }
            let group = &self.groups[refused.group as usize];
            let statistics = group.shape.statistics().iter();
            let samples = statistics.filter(|it| self.value(refused, **it).is_some()).count();
            refusals.collisions += samples as u64;
            refusals.show(|| self.clash(&group.name, self.origin(kept), refused));
        }
        let mut refused = refused.into_iter().map(|(_, refused)| refused).peekable();
        let mut place = 0;
        self.series.retain(|_| {
            place += 1;
            refused.next_if_eq(&(place - 1)).is_none()
        });
    }

    // Places of series, each with that of the one that it is refused for, in their order.
    fn collisions(&self, refusals: &mut Refusals) -> Vec<(usize, usize)> {
        let hasher = RandomState::default();
        let (mut labels, mut others) = (Vec::new(), Vec::new());
        let mut by_hash = Vec::with_capacity(self.series.len());
        for (place, series) in self.series.iter().enumerate() {
            refusals.labels += self.write_labels(series, &mut labels) as u64;
            by_hash.push((hasher.hash_one((series.group, &labels)), place));
        }
        by_hash.sort_unstable();
        let mut refused = Vec::new();
        for alike in by_hash.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            let places = || alike.iter().map(|(_, place)| *place);
            let Some(kept) = places().min_by_key(|place| self.series[*place].number) else {
                continue;
            };
            self.write_labels(&self.series[kept], &mut labels);
            for place in places().filter(|place| *place != kept) {
                self.write_labels(&self.series[place], &mut others);
                // Equal hashes are no proof.
                if labels == others && self.series[place].group == self.series[kept].group {
                    refused.push((kept, place));
                }
            }
        }
        refused.sort_unstable_by_key(|(_, refused)| *refused);
        refused
    }

    /// A name that several claim has the type of that one whose series is the oldest; the others
    /// of this type join it.
    pub(super) fn settle_claims(&mut self, refusals: &mut Refusals) {
        let hasher = RandomState::default();
        let (mut name, mut samples) = (String::new(), 0);
        let (mut claims, mut reserved) = (Vec::with_capacity(self.groups.len()), Vec::new());
        for claim in self.claims() {
            let of_it = self.samples_of(claim);
            samples += of_it;
            if of_it == 0 {
                continue;
            }
            self.write_name(claim, &mut name);
            if own::is_own(&name) {
                reserved.push(claim);
            } else {
                claims.push((hasher.hash_one(&name), claim));
            }
        }
        self.samples = samples;
        for claim in reserved {
            refusals.reserved += self.refuse(claim, "weir's own".to_owned(), refusals);
        }
        claims.sort_unstable();
        let shared = claims.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1);
        let mut shared: Vec<_> = shared.map(|alike| self.of_one_name(alike)).collect();
        shared.sort_unstable();
        for claims in shared {
            self.settle(&claims, refusals);
        }
    }

    fn claims(&self) -> impl Iterator<Item = Claim> {
        self.groups.iter().zip(0..).flat_map(|(of_group, group)| {
            let statistics = of_group.shape.statistics().len() as u8;
            (0..statistics).map(move |statistic| Claim { group, statistic })
        })
    }

    // Those that really have the name of the first: equal hashes are no proof.
    fn of_one_name(&self, alike: &[(u64, Claim)]) -> Vec<Claim> {
        let (mut name, mut other) = (String::new(), String::new());
        self.write_name(alike[0].1, &mut name);
        let mut claims: Vec<_> = alike.iter().map(|(_, claim)| *claim).collect();
        claims.retain(|claim| {
            self.write_name(*claim, &mut other);
            name == other
        });
        claims
    }

    fn settle(&mut self, claims: &[Claim], refusals: &mut Refusals) {
        let type_of = |claim: Claim| self.group(claim).shape.family_type();
        let by_age = claims.iter().min_by_key(|claim| self.oldest(**claim).number);
        let Some(winner) = by_age.copied() else { return };
        let (kept, refused): (Vec<_>, Vec<_>) =
            claims.iter().partition(|claim| type_of(**claim) == type_of(winner));
        let winner = self.origin(self.oldest(winner));
        for claim in refused {
            refusals.type_clashes += self.refuse(claim, winner.clone(), refusals);
        }
        if let [first, rest @ ..] = &*kept
            && !rest.is_empty()
        {
            self.not_there.extend(rest);
            self.joined.insert(*first, rest.to_vec());
        }
    }

    // Gives how many samples are not shown.
    fn refuse(&mut self, claim: Claim, kept: String, refusals: &mut Refusals) -> u64 {
        let samples = self.samples_of(claim);
        let mut name = String::new();
        self.write_name(claim, &mut name);
        refusals.show(|| self.clash(&name, kept, self.oldest(claim)));
        self.not_there.insert(claim);
        self.samples -= samples;
        samples
    }

    fn samples_of(&self, claim: Claim) -> u64 {
        let (series, statistic) = (self.series(claim), self.statistic(claim));
        if statistic != Statistic::Quantile {
            return series.len() as u64;
        }
        series.iter().filter(|series| self.value(series, statistic).is_some()).count() as u64
    }

    fn oldest(&self, claim: Claim) -> &Series {
        let series = self.series(claim).iter().min_by_key(|series| series.number);
        series.expect("a group has a series")
    }

    fn clash(&self, name: &str, kept: String, refused: &Series) -> Clash {
        Clash { name: name.to_owned(), kept, refused: self.origin(refused) }
    }
}
