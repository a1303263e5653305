//! On which terms a source is served: what it may take, and what is dropped of it.
//!
//! They are the operator's, and what a container's task sets of them by its labels. Workers look
//! them up when a source opens, and again when something became known of its task or the operator
//! has others.

mod bucket;
mod rules;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use enrich::{Contexts, Settings};
use metric::Source;

use crate::config::{Limits, TagRule};
pub(crate) use bucket::Bucket;
pub(crate) use rules::{Judged, Rules};

/// Where the terms of all sources are found. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub(crate) struct Terms(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    // Exchanged whole.
    general: Mutex<Arc<General>>,
    contexts: Contexts,
    ignored: AtomicU64,
}

/// What the operator sets for all.
#[derive(Debug)]
struct General {
    edition: u64,
    limits: Limits,
    rules: Vec<Arc<TagRule>>,
}

/// What a source's terms were made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grounds {
    edition: u64,
    settings: Option<Arc<Settings>>,
}

impl Grounds {
    /// Whether these are the same, so that the terms are.
    pub(crate) fn are(&self, other: &Self) -> bool {
        let same_settings = match (&self.settings, &other.settings) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_settings && self.edition == other.edition
    }
}

/// The terms of one source.
#[derive(Debug)]
pub(crate) struct SourceTerms {
    /// What it may take of a shard.
    pub(crate) limits: aggregate::Limits,
    /// Its share of bytes, full; none of a listener.
    pub(crate) bucket: Option<Bucket>,
    /// What is dropped of it.
    pub(crate) rules: Rules,
    /// Settings of its task that cannot be taken, and why.
    pub(crate) ignored: Vec<String>,
}

impl Terms {
    /// The operator's, with tasks as these contexts tell them.
    pub(crate) fn new(limits: &Limits, rules: &[TagRule], contexts: Contexts) -> Self {
        Self(Arc::new(Shared {
            general: Mutex::new(Arc::new(General::new(0, limits, rules))),
            contexts,
            ignored: AtomicU64::new(0),
        }))
    }

    /// From now on the operator has these.
    pub(crate) fn change(&self, limits: &Limits, rules: &[TagRule]) {
        let mut general = self.0.general.lock().unwrap_or_else(PoisonError::into_inner);
        *general = Arc::new(General::new(general.edition + 1, limits, rules));
    }

    fn general(&self) -> Arc<General> {
        self.0.general.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known of the task of a source now.
    pub(crate) fn settings(&self, source: &Source) -> Option<Arc<Settings>> {
        self.0.contexts.settings(source)
    }

    /// What the terms of a source would be made of now.
    pub(crate) fn grounds(&self, source: &Source) -> Grounds {
        Grounds { edition: self.general().edition, settings: self.settings(source) }
    }

    /// The terms of a source on these grounds, or on newer ones of the operator's.
    pub(crate) fn of(&self, source: &Source, grounds: &Grounds) -> SourceTerms {
        let (general, settings) = (self.general(), grounds.settings.as_deref());
        let task_name = settings.map_or("", |settings| &settings.task_name);
        let rules = Rules::of_task(&general.rules, task_name);
        if source.container_id().is_none() {
            let limits = aggregate::Limits::NONE;
            return SourceTerms { limits, bucket: None, rules, ignored: Vec::new() };
        }
        let (limits, ignored) = general.limits(settings);
        SourceTerms {
            bucket: Some(Bucket::full(limits.bytes_per_second, limits.burst_bytes)),
            limits: aggregate::Limits {
                series: limits.series,
                interval_bytes: limits.interval_bytes,
                spellings: limits.series.saturating_mul(2),
            },
            rules,
            ignored,
        }
    }

    /// How many series a source may have; none is the limit of a listener.
    pub(crate) fn series_limit(&self, source: &Source) -> Option<usize> {
        let settings = self.settings(source);
        source.container_id().map(|_| self.general().limits(settings.as_deref()).0.series)
    }

    /// How many series all sources may have together.
    pub(crate) fn total_series(&self) -> usize {
        self.general().limits.total_series
    }

    /// Counts settings that could not be taken.
    pub(crate) fn count_ignored(&self, settings: usize) {
        self.0.ignored.fetch_add(settings as u64, Ordering::Relaxed);
    }

    /// How many settings could not be taken so far.
    pub(crate) fn ignored(&self) -> u64 {
        self.0.ignored.load(Ordering::Relaxed)
    }
}

impl General {
    fn new(edition: u64, limits: &Limits, rules: &[TagRule]) -> Self {
        let rules = rules.iter().filter(|rule| rule.is_of_use()).cloned().map(Arc::new).collect();
        Self { edition, limits: limits.clone(), rules }
    }

    fn limits(&self, settings: Option<&Settings>) -> (Limits, Vec<String>) {
        let mut limits = self.limits.clone();
        let mut ignored = Vec::new();
        for (key, value) in settings.into_iter().flat_map(|settings| &settings.labels) {
            if let Err(why) = limits.set(key, value) {
                ignored.push(format!("DCOS_METRICS_WEIR_{key}={value}: {why}"));
            }
        }
        (limits, ignored)
    }
}

#[cfg(test)]
impl Grounds {
    /// As they are where this is known of a task.
    pub(crate) fn of(settings: Option<Settings>) -> Self {
        Self { settings: settings.map(Arc::new), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metric::{Origin, ReadAs};

    use super::*;

    #[test]
    fn a_container_has_the_operators_terms_but_for_what_its_task_sets() {
        let (contexts, _poller, _retired) = Contexts::new(enrich::Config::default()).unwrap();
        let rule = |task_name: &str, drop| TagRule {
            task_name: task_name.into(),
            drop,
            ..TagRule::default()
        };
        let rules = [rule("cart*", true), rule("*", false)];
        let terms = Terms::new(&Limits::default(), &rules, contexts);
        let of = |origin, settings: Option<&Settings>| {
            let grounds = Grounds::of(settings.cloned());
            terms.of(&Source::new(origin, ReadAs::default()), &grounds)
        };
        let container = Origin::Container { container_id: "c".into() };

        let usual = of(container.clone(), None);
        assert_eq!(usual.limits, aggregate::Limits::default());
        assert!(usual.rules.is_empty(), "what does nothing is no rule");

        let labels = [("SERIES", "7"), ("BURST_BYTES", "much"), ("SERIE", "1")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = Settings { task_name: "cart.1".into(), labels: BTreeMap::from(labels) };
        let own = of(container, Some(&settings));
        let expected = aggregate::Limits { series: 7, spellings: 14, ..usual.limits };
        assert_eq!(own.limits, expected);
        assert!(!own.rules.is_empty());
        let [first, second] = &own.ignored[..] else { panic!("{:?}", own.ignored) };
        assert!(first.starts_with("DCOS_METRICS_WEIR_BURST_BYTES=much: expected"), "{first}");
        assert!(second.starts_with("DCOS_METRICS_WEIR_SERIE=1: there is no such"), "{second}");

        let listener = of(Origin::Listener { listener: "l".into() }, None);
        assert_eq!(listener.limits, aggregate::Limits::NONE);
        assert!(listener.bucket.is_none());
        let claimed = Origin::Claimed { listener: "l".into(), container_id: "c".into() };
        assert_eq!(of(claimed, None).limits, usual.limits);
    }

    #[test]
    fn the_operators_other_terms_are_other_grounds() {
        let (contexts, _poller, _retired) = Contexts::new(enrich::Config::default()).unwrap();
        let terms = Terms::new(&Limits::default(), &[], contexts);
        let container = Origin::Container { container_id: "c".into() };
        let container = Source::new(container, ReadAs::default());
        let (limits, rule) = (
            Limits { series: 7, total_series: 9, ..Limits::default() },
            TagRule { drop: true, ..TagRule::default() },
        );
        let before = terms.grounds(&container);
        assert!(before.are(&terms.grounds(&container)));
        terms.change(&limits, &[rule]);
        let now = terms.grounds(&container);
        assert!(!before.are(&now) && now.are(&terms.grounds(&container)));
        let own = terms.of(&container, &now);
        assert_eq!((own.limits.series, own.rules.is_empty()), (7, false));
        assert_eq!((terms.series_limit(&container), terms.total_series()), (Some(7), 9));
    }
}
