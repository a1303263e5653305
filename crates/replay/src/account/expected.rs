use std::collections::HashSet;

use metric::Kind;

/// What one series must total.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    /// How many samples it had.
    pub(crate) samples: u64,
    pub(crate) total: Total,
}

/// By kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Total {
    Counter {
        sum: f64,
        /// The sum of the amounts without their signs: what rounding is measured by.
        magnitude: f64,
        /// What one sample adds.
        step: Span,
    },
    Gauge {
        /// The last level that was set.
        set: Option<f64>,
        /// The changes since then.
        change: f64,
        has_changes: bool,
        /// The levels that were set.
        levels: Span,
    },
    Summary {
        weight: f64,
        sum: f64,
        /// As of a counter.
        magnitude: f64,
        values: Span,
        /// What one sample weighs.
        step: Span,
    },
    Set {
        members: HashSet<Box<str>>,
    },
}

/// From the least to the greatest of some numbers; of none it is empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Span {
    const EMPTY: Self = Self { least: f64::INFINITY, most: f64::NEG_INFINITY };

    fn add(&mut self, value: f64) {
        self.join(Self { least: value, most: value });
    }

    fn join(&mut self, other: Self) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    /// Whether a number lies in it, or as near as makes no difference.
    pub(crate) fn holds(self, value: f64) -> bool {
        let near = 1e-9 * value.abs();
        value >= self.least - near && value <= self.most + near
    }
}

impl Expected {
    /// Of a series that was not sent yet.
    pub(crate) fn nothing(kind: Kind) -> Self {
        let total = match kind {
            Kind::Counter => Total::Counter { sum: 0.0, magnitude: 0.0, step: Span::EMPTY },
            Kind::Gauge => {
                Total::Gauge { set: None, change: 0.0, has_changes: false, levels: Span::EMPTY }
            }
            Kind::Timer | Kind::Histogram | Kind::Distribution => Total::Summary {
                weight: 0.0,
                sum: 0.0,
                magnitude: 0.0,
                values: Span::EMPTY,
                step: Span::EMPTY,
            },
            Kind::Set => Total::Set { members: HashSet::new() },
        };
        Self { samples: 0, total }
    }

    /// Takes a number.
    pub(super) fn add(&mut self, value: f64, rate: f64, is_change: bool) {
        self.samples += 1;
        match &mut self.total {
            Total::Counter { sum, magnitude, step } => {
                let amount = value / rate;
                *sum += amount;
                *magnitude += amount.abs();
                step.add(amount);
            }
            Total::Gauge { change, has_changes, .. } if is_change => {
                *change += value;
                *has_changes = true;
            }
            Total::Gauge { set, change, levels, .. } => {
                (*set, *change) = (Some(value), 0.0);
                levels.add(value);
            }
            Total::Summary { weight, sum, magnitude, values, step } => {
                let weighs = 1.0 / rate;
                *weight += weighs;
                *sum += value * weighs;
                *magnitude += (value * weighs).abs();
                values.add(value);
                step.add(weighs);
            }
            Total::Set { .. } => {}
        }
    }

    /// Takes a member.
    pub(super) fn add_member(&mut self, member: &str) {
        self.samples += 1;
        if let Total::Set { members } = &mut self.total
            && !members.contains(member)
        {
            members.insert(member.into());
        }
    }

    /// What it is after the same was sent so often, at least once.
    pub(super) fn repeat(&mut self, times: u64) {
        self.samples *= times;
        let times = times as f64;
        match &mut self.total {
            Total::Counter { sum, magnitude, .. } => {
                *sum *= times;
                *magnitude *= times;
            }
            // Where a level is set, only what the last time did after it remains.
            Total::Gauge { set, change, .. } => {
                if set.is_none() {
                    *change *= times;
                }
            }
            Total::Summary { weight, sum, magnitude, .. } => {
                *weight *= times;
                *sum *= times;
                *magnitude *= times;
            }
            Total::Set { .. } => {}
        }
    }

    /// What it is after `later` was sent too, which is of the same kind.
    pub(super) fn then(&mut self, later: Self) {
        self.samples += later.samples;
        match (&mut self.total, later.total) {
            (
                Total::Counter { sum, magnitude, step },
                Total::Counter { sum: more, magnitude: further, step: other },
            ) => {
                *sum += more;
                *magnitude += further;
                step.join(other);
            }
            (
                Total::Gauge { set, change, has_changes, levels },
                Total::Gauge { set: next, change: changes, has_changes: more, levels: others },
            ) => {
                match next {
                    Some(_) => (*set, *change) = (next, changes),
                    None => *change += changes,
                }
                *has_changes |= more;
                levels.join(others);
            }
            (
                Total::Summary { weight, sum, magnitude, values, step },
                Total::Summary {
                    weight: weighs,
                    sum: more,
                    magnitude: further,
                    values: others,
                    step: other,
                },
            ) => {
                *weight += weighs;
                *sum += more;
                *magnitude += further;
                values.join(others);
                step.join(other);
            }
            (Total::Set { members }, Total::Set { members: more }) => members.extend(more),
            (
                Total::Counter { .. }
                | Total::Gauge { .. }
                | Total::Summary { .. }
                | Total::Set { .. },
                _,
            ) => debug_assert!(false, "the kind is part of the key"),
        }
    }
}
