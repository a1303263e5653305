use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use metric::{Dimensions, Kind, SeriesKey};

use super::{Evidence, Range};
use crate::account::{Expected, Key, Span, Total};
use crate::agent::status::Account;
use crate::shipped::{Form, Numbers, Spelling, Stat};

/// What is rounded away where numbers are added in another order, of their magnitude.
const ROUNDING: f64 = 1e-9;

/// Sets are exact up to so many members, and estimates beyond.
const EXACT_MEMBERS: f64 = 1024.0;

/// Five standard errors of such an estimate.
const ESTIMATE: f64 = 0.04;

/// What was found of one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// As it must be; up to so many of its samples may be lacking without a trace.
    Right {
        may_lack: u64,
    },
    /// So many of its samples are lacking.
    Short {
        lost: Range,
        text: String,
    },
    /// It cannot have come of what was sent.
    Wrong {
        text: String,
    },
    Unchecked,
}

impl Finding {
    /// How many of its samples did not come out.
    pub(super) fn lost(&self, samples: u64) -> Range {
        match self {
            Self::Right { may_lack } => Range::new(0, *may_lack),
            Self::Short { lost, .. } => *lost,
            Self::Wrong { .. } | Self::Unchecked => Range::new(0, samples),
        }
    }

    /// What is to be said of it.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Short { text, .. } | Self::Wrong { text } => Some(text),
            Self::Right { .. } | Self::Unchecked => None,
        }
    }
}

/// What was shipped, by spellings without what is not the client's.
pub(super) struct Found<'a> {
    evidence: &'a Evidence<'a>,
    form: Form,
    numbers: HashMap<Box<[u8]>, Numbers>,
    levels: HashMap<Box<[u8]>, f64>,
    /// How many series that were sent are spelled so.
    spelled: HashMap<Box<[u8]>, u32>,
    /// The keys of the tags that are not the client's, by container.
    source_tags: HashMap<&'a str, &'a [String]>,
    /// Gauges that have points in time beside their level.
    timed: HashSet<(usize, &'a SeriesKey)>,
}

impl<'a> Found<'a> {
    pub(super) fn in_what_was_shipped(evidence: &'a Evidence<'a>) -> Self {
        let seen = evidence.seen;
        let marks = seen.marks.values();
        let source_tags: HashMap<&str, &[String]> =
            marks.map(|mark| (mark.container.as_str(), &mark.source_tags[..])).collect();
        let strip = |spelled: &[u8]| {
            let container = Spelling::container(spelled);
            Spelling::without(spelled, source_tags.get(container.as_str()).unwrap_or(&&[][..]))
        };
        let mut numbers: HashMap<Box<[u8]>, Numbers> = HashMap::with_capacity(seen.numbers.len());
        for (spelled, more) in &seen.numbers {
            numbers.entry(strip(spelled)).and_modify(|known| known.join(*more)).or_insert(*more);
        }
        let levels = seen.levels.iter();
        let levels = levels.map(|(spelled, it)| (strip(spelled), *it)).collect();
        let form = seen.form.unwrap_or(Form::Points);
        let mut found = Self {
            evidence,
            form,
            numbers,
            levels,
            spelled: HashMap::new(),
            source_tags,
            timed: evidence
                .expected
                .series
                .keys()
                .filter(|key| key.time.is_some())
                .map(|key| (key.origin, &key.series))
                .collect(),
        };
        for key in evidence.expected.series.keys() {
            for (_, spelled) in found.spellings(key) {
                *found.spelled.entry(spelled).or_default() += 1;
            }
        }
        found
    }

    /// How many statistics belong to no series that was sent.
    pub(super) fn others(&self) -> u64 {
        let is_known = |spelled: &[u8]| {
            if self.spelled.contains_key(spelled) {
                return true;
            }
            // Of a list's other statistics the name alone tells whose they are.
            self.form == Form::Lists && {
                let name = Spelling::name(spelled);
                name.rsplit_once('.').is_some_and(|(_, stat)| {
                    let quantile = stat.strip_prefix('p');
                    matches!(stat, "mean" | "stddev")
                        || quantile.is_some_and(|it| it.bytes().all(|b| b.is_ascii_digit()))
                })
            }
        };
        let were_there = |spelled: &[u8]| self.levels.contains_key(spelled);
        let keys = self.numbers.keys();
        keys.filter(|spelled| !is_known(spelled) && !were_there(spelled)).count() as u64
    }

    /// Whose a series is, for people.
    pub(super) fn prefix(&self, key: &Key) -> String {
        match self.container(key) {
            "" => String::new(),
            container => format!("{container} "),
        }
    }

    pub(super) fn look_at(&self, key: &Key, expected: &Expected) -> Finding {
        let spellings = self.spellings(key);
        let is_ambiguous =
            spellings.iter().any(|(_, it)| self.spelled.get(it).is_some_and(|n| *n > 1));
        let is_gauge = matches!(expected.total, Total::Gauge { .. });
        if is_ambiguous
            || (is_gauge && self.evidence.is_mixed)
            || (self.evidence.status.is_some_and(Account::is_coarse)
                && matches!(expected.total, Total::Set { .. }))
            // Without the length of its interval a point in time looks like any other.
            || (self.form == Form::Lists && self.timed.contains(&(key.origin, &key.series)))
        {
            return Finding::Unchecked;
        }
        let numbers: Vec<_> = spellings
            .iter()
            .filter_map(|(stat, it)| self.numbers.get(it).map(|numbers| (*stat, *numbers)))
            .collect();
        if numbers.is_empty() {
            let lost = Range::exactly(expected.samples);
            return Finding::Short { lost, text: "nothing of it came out".to_owned() };
        }
        let get = |stat: Stat| numbers.iter().find(|(it, _)| *it == stat).map(|(_, it)| *it);
        let samples = expected.samples;
        match &expected.total {
            Total::Counter { sum, magnitude, step } => match get(Stat::Sum) {
                Some(seen) => amount("sum", *sum, seen.sum, *magnitude, (*step, samples)),
                None => wrong("it has no sum"),
            },
            Total::Gauge { set, change, has_changes, levels } => {
                let Some(seen) = get(Stat::Value) else { return wrong("it has no value") };
                let before = spellings.first().and_then(|(_, it)| self.levels.get(it));
                let level = set.unwrap_or(before.copied().unwrap_or(0.0)) + change;
                let near = ROUNDING * (level.abs() + change.abs() + 1.0);
                let text = || format!("is {}, should be {level}", seen.last);
                if (seen.last - level).abs() <= near {
                    Finding::Right { may_lack: samples - 1 }
                } else if *has_changes || levels.holds(seen.last) {
                    Finding::Short { lost: Range::new(1, samples), text: text() }
                } else {
                    Finding::Wrong { text: text() }
                }
            }
            Total::Summary { weight, sum, magnitude, values, step } => {
                let all = [Stat::Count, Stat::Sum, Stat::Min, Stat::Max].map(get);
                let [Some(count), Some(seen), Some(min), Some(max)] = all else {
                    return wrong("it lacks a statistic");
                };
                if min.least < values.least || max.most > values.most {
                    return Finding::Wrong {
                        text: format!(
                            "reaches from {} to {}, should from {} to {}",
                            min.least, max.most, values.least, values.most
                        ),
                    };
                }
                let finding = amount("count", *weight, count.sum, *weight, (*step, samples));
                let near = ROUNDING * (magnitude + 1.0);
                let is_whole = matches!(finding, Finding::Right { .. });
                let same = (seen.sum - sum).abs() <= near
                    && min.least == values.least
                    && max.most == values.most;
                if is_whole && !same {
                    return Finding::Wrong {
                        text: format!(
                            "sum {} of {} to {}, should be {sum} of {} to {}",
                            seen.sum, min.least, max.most, values.least, values.most
                        ),
                    };
                }
                finding
            }
            Total::Set { members } => match get(Stat::Count) {
                Some(seen) => set(members.len() as f64, seen, samples),
                None => wrong("it has no count"),
            },
        }
    }

    fn container(&self, key: &Key) -> &str {
        self.evidence.origins.get(key.origin).map_or("", String::as_str)
    }

    /// How each statistic of a series is spelled in what is shipped.
    fn spellings(&self, key: &Key) -> Vec<(Stat, Box<[u8]>)> {
        let (kind, name) = (key.series.kind(), key.series.name());
        let container = self.container(key);
        let stats: &[(Stat, &str)] = match kind {
            Kind::Counter => &[(Stat::Sum, "")],
            Kind::Gauge => &[(Stat::Value, "")],
            Kind::Set => &[(Stat::Count, "")],
            Kind::Timer | Kind::Histogram | Kind::Distribution => &[
                (Stat::Count, ".count"),
                (Stat::Sum, ".sum"),
                (Stat::Min, ".lower"),
                (Stat::Max, ".upper"),
            ],
        };
        let spelling =
            Spelling { kind: Some(kind), stat: Stat::Value, container, name, time: key.time };
        let spell = |(stat, suffix): &(Stat, &str)| match self.form {
            Form::Points => {
                (*stat, Spelling { stat: *stat, ..spelling }.with(self.joined_tags(key).iter()))
            }
            Form::Lists => {
                let name = format!("{name}{suffix}");
                let of_list = Spelling { kind: None, name: &name, time: None, ..spelling };
                let tags =
                    key.series.tags().map(|(key, value)| (self.exported(container, key), value));
                (*stat, of_list.with(tags))
            }
        };
        stats.iter().map(spell).collect()
    }

    /// A map holds no key twice: values of one key are joined.
    fn joined_tags(&self, key: &Key) -> BTreeMap<String, String> {
        let container = self.container(key);
        let mut joined: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in key.series.tags() {
            let values = joined.entry(self.exported(container, key).into_owned());
            values
                .and_modify(|values| {
                    values.push(',');
                    values.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
        joined
    }

    fn exported<'k>(&self, container: &str, key: &'k str) -> Cow<'k, str> {
        let taken =
            self.source_tags.get(container).is_some_and(|tags| tags.iter().any(|it| it == key));
        if taken || Dimensions::is_identity(key) {
            Cow::Owned(format!("exported_{key}"))
        } else {
            Cow::Borrowed(key)
        }
    }
}

fn wrong(text: &str) -> Finding {
    Finding::Wrong { text: text.to_owned() }
}

/// Something that samples add to in steps.
fn amount(
    what: &str,
    expected: f64,
    seen: f64,
    magnitude: f64,
    (step, samples): (Span, u64),
) -> Finding {
    let lacking = expected - seen;
    let text = || format!("{what} {seen}, should be {expected}");
    if lacking.abs() <= ROUNDING * (magnitude + 1.0) {
        // Steps that cancel each other, or none at all, leave no trace.
        let may_lack = if step.least > 0.0 || step.most < 0.0 { 0 } else { samples };
        return Finding::Right { may_lack };
    }
    // The same with the sign that all steps have.
    let (lacking, least, most) = if step.most < 0.0 {
        (-lacking, -step.most, -step.least)
    } else {
        (lacking, step.least, step.most)
    };
    if least <= 0.0 {
        return Finding::Short { lost: Range::new(1, samples), text: text() };
    }
    if lacking < 0.0 {
        return Finding::Wrong { text: text() };
    }
    let fewest = (lacking / most * (1.0 - 1e-6)).ceil() as u64;
    let greatest = (lacking / least * (1.0 + 1e-6)).floor() as u64;
    if fewest > samples {
        return Finding::Wrong { text: text() };
    }
    Finding::Short { lost: Range::new(fewest, greatest.min(samples)), text: text() }
}

/// Distinct members, told interval by interval: of several intervals only bounds are known.
fn set(members: f64, seen: Numbers, samples: u64) -> Finding {
    let near = |count: f64| if count > EXACT_MEMBERS { count * ESTIMATE } else { 0.0 };
    let text = || format!("{} members in {} intervals, should be {members}", seen.sum, seen.count);
    if seen.most > members + near(members) {
        return Finding::Wrong { text: text() };
    }
    let lacking = members - near(members) - seen.sum;
    if lacking > 0.0 {
        let fewest = lacking.ceil() as u64;
        let most = samples.saturating_sub(seen.most as u64);
        return Finding::Short { lost: Range::new(fewest, most), text: text() };
    }
    Finding::Right { may_lack: samples.saturating_sub(seen.most as u64) }
}
