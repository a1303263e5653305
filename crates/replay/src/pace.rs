//! When a datagram is due.

use std::fmt;
use std::time::Duration;

use crate::text;

/// How fast datagrams are sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pace {
    /// As fast as this machine can.
    FlatOut,
    /// As they were captured, so many times faster.
    Captured { speed: f64 },
    /// By a rate that changes along straight lines between these points, and stays after the last.
    Profile(Profile),
}

/// A rate over time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    unit: Unit,
    /// The first is at 0.
    points: Vec<(Duration, f64)>,
    /// A second of the profile is sent in 1 / speed seconds.
    speed: f64,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Unit {
    /// Lines a second.
    Lines,
    /// Datagrams a second.
    Datagrams,
}

impl Profile {
    /// Always the same rate.
    pub(crate) fn steady(rate: f64, unit: Unit) -> Self {
        Self { unit, points: vec![(Duration::ZERO, rate)], speed: 1.0 }
    }

    /// From one rate to another in so long.
    pub(crate) fn ramp((from, to): (f64, f64), over: Duration, unit: Unit) -> Self {
        Self { unit, points: vec![(Duration::ZERO, from), (over, to)], speed: 1.0 }
    }

    /// Through these points, the first of which is at 0.
    pub(crate) fn through(points: Vec<(Duration, f64)>, speed: f64) -> Self {
        Self { unit: Unit::Datagrams, points, speed }
    }

    /// What the rate counts.
    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    /// When its last point is reached; `None` if it is steady.
    pub(crate) fn ends(&self) -> Option<Duration> {
        let last = self.points.last().map_or(Duration::ZERO, |(at, _)| *at);
        (!last.is_zero()).then(|| last.div_f64(self.speed))
    }

    /// How much is due, from the beginning until so long after it.
    pub(crate) fn due(&self, elapsed: Duration) -> f64 {
        let elapsed = elapsed.as_secs_f64() * self.speed;
        let mut sum = 0.0;
        for pair in self.points.windows(2) {
            let [(from, start), (to, end)] = pair else { continue };
            let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
            let part = (elapsed - from).clamp(0.0, to - from);
            let reached = start + (end - start) * part / (to - from);
            sum += f64::midpoint(*start, reached) * part;
        }
        let (last, rate) =
            self.points.last().map_or((0.0, 0.0), |(at, rate)| (at.as_secs_f64(), *rate));
        sum + rate * (elapsed - last).max(0.0)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlatOut => f.write_str("flat out"),
            Self::Captured { speed } => write!(f, "as captured, {speed}x"),
            Self::Profile(profile) => {
                let unit = match profile.unit {
                    Unit::Lines => "lines/s",
                    Unit::Datagrams => "datagrams/s",
                };
                match (&profile.points[..], profile.points.last()) {
                    ([(_, rate)], _) => write!(f, "{} {unit}", number(*rate)),
                    ([(_, from), (_, to)], Some((over, _))) => {
                        let (from, to) = (number(*from), number(*to));
                        write!(f, "{from} to {to} {unit} in {}", humantime::format_duration(*over))
                    }
                    _ => write!(f, "a profile of {unit}, {}x", profile.speed),
                }
            }
        }
    }
}

/// A rate as it was asked for.
fn number(rate: f64) -> String {
    if rate.fract() == 0.0 { text::count(rate as u64) } else { rate.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_due_is_the_area_under_the_rate() {
        let steady = Profile::steady(100.0, Unit::Lines);
        assert_eq!((steady.due(seconds(3)), steady.ends()), (300.0, None));
        let ramp = Profile::ramp((0.0, 100.0), seconds(10), Unit::Lines);
        let due = [0, 5, 10, 12].map(|at| ramp.due(seconds(at)));
        assert_eq!(due, [0.0, 125.0, 500.0, 700.0]);
        assert_eq!(ramp.ends(), Some(seconds(10)));
        let points = vec![(seconds(0), 10.0), (seconds(10), 10.0), (seconds(20), 30.0)];
        let profile = Profile::through(points, 2.0);
        assert_eq!(profile.due(seconds(5)), 100.0);
        assert_eq!(profile.due(seconds(10)), 300.0);
        assert_eq!(profile.ends(), Some(seconds(10)));
    }

    #[test]
    fn a_pace_says_what_it_is() {
        let ramp = Profile::ramp((0.0, 100.0), seconds(10), Unit::Lines);
        for (pace, text) in [
            (Pace::FlatOut, "flat out"),
            (Pace::Captured { speed: 2.0 }, "as captured, 2x"),
            (Pace::Profile(Profile::steady(5e4, Unit::Datagrams)), "50,000 datagrams/s"),
            (Pace::Profile(Profile::steady(0.5, Unit::Lines)), "0.5 lines/s"),
            (Pace::Profile(ramp), "0 to 100 lines/s in 10s"),
        ] {
            assert_eq!(pace.to_string(), text);
        }
    }
}
