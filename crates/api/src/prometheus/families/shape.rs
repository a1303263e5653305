use metric::Kind;

use crate::prometheus::text::Type;
use crate::{Newest, RunningSummary};

/// What is told of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Shape {
    Counter,
    Gauge,
    Set,
    Summary,
    /// Not told by a client but measured: some are levels and some are totals, and nobody says
    /// which.
    Measured,
}

/// One number of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    Value,
    Quantile,
    Count,
    Sum,
    Lower,
    Upper,
    Mean,
    Stddev,
}

impl Shape {
    pub(super) const ALL: [Self; 5] =
        [Self::Counter, Self::Gauge, Self::Set, Self::Summary, Self::Measured];

    pub(super) fn of(kind: Kind, is_measured: bool) -> Self {
        match kind {
            _ if is_measured => Self::Measured,
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Set => Self::Set,
            Kind::Timer | Kind::Histogram | Kind::Distribution => Self::Summary,
        }
    }

    /// As on DC/OS, where the numbers of a summary are untyped, too.
    pub(super) fn family_type(self) -> Type {
        match self {
            Self::Counter => Type::Counter,
            Self::Gauge => Type::Gauge,
            Self::Set | Self::Summary | Self::Measured => Type::Untyped,
        }
    }

    /// What it tells, each under a name of its own.
    pub(super) fn statistics(self) -> &'static [Statistic] {
        match self {
            Self::Counter | Self::Gauge | Self::Set | Self::Measured => &[Statistic::Value],
            Self::Summary => &[
                Statistic::Quantile,
                Statistic::Count,
                Statistic::Sum,
                Statistic::Lower,
                Statistic::Upper,
                Statistic::Mean,
                Statistic::Stddev,
            ],
        }
    }
}

impl Statistic {
    /// What follows the metric's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Value | Self::Quantile => "",
            Self::Count => "_count",
            Self::Sum => "_sum",
            Self::Lower => "_lower",
            Self::Upper => "_upper",
            Self::Mean => "_mean",
            Self::Stddev => "_stddev",
        }
    }

    /// The number; `quantile` is the place of the one that is shown.
    pub(super) fn value(self, newest: &Newest, quantile: Option<usize>) -> Option<f64> {
        match newest {
            Newest::Number(number) => Some(*number),
            Newest::Summary(summary) => self.of_summary(summary, quantile),
        }
    }

    fn of_summary(self, summary: &RunningSummary, quantile: Option<usize>) -> Option<f64> {
        match self {
            Self::Value => None,
            Self::Quantile => summary.quantiles().get(quantile?).copied(),
            Self::Count => Some(summary.count()),
            Self::Sum => Some(summary.sum()),
            Self::Lower => Some(summary.min()),
            Self::Upper => Some(summary.max()),
            Self::Mean => Some(summary.mean()),
            Self::Stddev => Some(summary.stddev()),
        }
    }
}
