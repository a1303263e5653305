use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// So many clashes are shown; there may be more.
const MOST_EXAMPLES: usize = 10;

/// How the answers for Prometheus fare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrometheusStatus {
    /// Scrapes that were answered, or are being.
    pub scrapes: u64,
    /// Scrapes that were turned away, because too many were under way or the status was not told.
    pub busy: u64,
    /// Samples of the last one, without weir's own.
    pub samples: u64,
    /// What was left out of it.
    pub refused: Refusals,
}

/// What a scrape left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// Samples of metrics whose name in Prometheus has another type already.
    pub type_clashes: u64,
    /// Samples of series that have name and labels of another.
    pub collisions: u64,
    /// Samples that have the name of one of weir's own metrics.
    pub reserved: u64,
    /// Labels that have the name of another of their series.
    pub labels: u64,
    /// Some of the samples; at most ten.
    pub examples: Vec<Clash>,
}

/// A metric that was left out for the sake of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// The name that both have in Prometheus.
    pub name: String,
    /// The one that is shown, as `counter page.views`.
    pub kept: String,
    /// The one that is not.
    pub refused: String,
}

impl Refusals {
    /// Keeps an example, if there is room for one.
    pub(super) fn show(&mut self, clash: impl FnOnce() -> Clash) {
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push(clash());
        }
    }
}

/// The writing side of a [`PrometheusStatus`].
#[derive(Debug, Default)]
pub(super) struct Account(Mutex<PrometheusStatus>);

impl Account {
    pub(super) fn read(&self) -> PrometheusStatus {
        self.with(|status| status.clone())
    }

    pub(super) fn turned_away(&self) {
        self.with(|status| status.busy += 1);
    }

    pub(super) fn scraped(&self, samples: u64, refused: Refusals) {
        self.with(|status| {
            status.scrapes += 1;
            status.samples = samples;
            status.refused = refused;
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut PrometheusStatus) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
