use std::fmt::Write as _;

use metric::Kind;

use super::random::Random;
use super::{Sampled, Scenario};

/// What the lines of one series have in common.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) kind: Kind,
    /// Up to the value, its `:` included.
    pub(super) head: String,
    /// From the `|` behind the value on.
    pub(super) tail: String,
}

/// What names are filled up with, from the left.
const FILLER: &str = "service.frontend.requests.by.route.and.outcome.";

/// Keys and values of tags, in the order of their keys; `#` is a number of the series.
const TAGS: [(&str, &str); 8] = [
    ("az", "eu-#"),
    ("env", "prod#"),
    ("host", "node-##"),
    ("route", "r##"),
    ("team", "t##"),
    ("tier", "web#"),
    ("unit", "u##"),
    ("ver", "1.#"),
];

/// The series of a scenario, made one by one.
pub(super) struct Maker<'a> {
    scenario: &'a Scenario,
    /// A kind for each share, shuffled.
    wheel: Vec<Kind>,
    /// How many series of each kind were made.
    made: [usize; Kind::ALL.len()],
    random: Random,
    digits: usize,
}

impl<'a> Maker<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        let mut random = Random::new(scenario.seed ^ 0x005e_71e5);
        let kinds = scenario.kinds().unwrap_or_default();
        let mut wheel: Vec<Kind> = kinds
            .iter()
            .flat_map(|(kind, share)| std::iter::repeat_n(*kind, *share as usize))
            .collect();
        random.shuffle(&mut wheel);
        Self {
            scenario,
            wheel,
            made: [0; Kind::ALL.len()],
            random,
            digits: digits(scenario.series),
        }
    }

    /// The series of this number; they are made in their order.
    pub(super) fn make(&mut self, number: usize) -> Series {
        let kind = self.wheel[number % self.wheel.len()];
        let made = &mut self.made[kind as usize];
        let nth = *made;
        *made += 1;
        let mut tail = format!("|{}", kind.code());
        if let Some(sampled) = self.sampled(kind, nth) {
            let _ = write!(tail, "|@{}", sampled.rate);
        }
        write_tags(self.scenario.tags, number, &mut tail);
        let bytes = self
            .scenario
            .line_bytes()
            .map(|(from, to)| from + self.random.below((to - from) as u64 + 1) as usize);
        let taken = self.digits + 1 + value_bytes(kind) + tail.len();
        let fill = bytes.map_or(FILLER.len(), |bytes| bytes.saturating_sub(taken));
        let mut head: String = FILLER.chars().cycle().take(fill).collect();
        let _ = write!(head, "{number:0width$}:", width = self.digits);
        Series { kind, head, tail }
    }

    /// The rate of the n-th series of a kind: spread evenly, the same share of any stretch.
    fn sampled(&self, kind: Kind, nth: usize) -> Option<&'a Sampled> {
        let of_kind = self.scenario.rates.iter().filter(|sampled| sampled.kind == kind.code());
        // Scattered, or neighbours would be sampled together.
        let place = (nth * 377 % 1000) as f64 / 1000.0;
        let mut from = 0.0;
        for sampled in of_kind {
            if (from..from + sampled.share).contains(&place) {
                return Some(sampled);
            }
            from += sampled.share;
        }
        None
    }
}

/// How long each value of a kind is, so that lines are as long as they should be.
fn value_bytes(kind: Kind) -> usize {
    if kind == Kind::Counter { 1 } else { 4 }
}

/// Appends a value of this kind, as long as [`value_bytes`] says.
pub(super) fn write_value(scenario: &Scenario, kind: Kind, random: &mut Random, to: &mut Vec<u8>) {
    use std::io::Write as _;
    let written = match kind {
        Kind::Counter => write!(to, "{}", 1 + random.below(9)),
        Kind::Set => {
            let member = random.below(u64::from(scenario.set_members));
            write!(to, "{member:04x}")
        }
        Kind::Gauge if random.is(scenario.changes) => {
            write!(to, "+{}.{}", random.below(10), random.below(10))
        }
        Kind::Gauge | Kind::Timer | Kind::Histogram | Kind::Distribution => {
            write!(to, "{:02}.{}", random.below(100), random.below(10))
        }
    };
    debug_assert!(written.is_ok(), "a Vec takes all");
}

/// The shortest line that a series with so many tags may have.
pub(super) fn least_bytes(tags: usize, series: usize) -> usize {
    let mut tail = "|ms|@0.001".to_owned();
    write_tags(tags, 0, &mut tail);
    1 + digits(series) + 1 + value_bytes(Kind::Set) + tail.len()
}

fn digits(series: usize) -> usize {
    (series - 1).max(1).ilog10() as usize + 1
}

fn write_tags(tags: usize, number: usize, to: &mut String) {
    for tag in 0..tags {
        to.push_str(if tag == 0 { "|#" } else { "," });
        let (key, value) = TAGS[tag % TAGS.len()];
        to.push_str(key);
        if tag >= TAGS.len() {
            let _ = write!(to, "{tag:02}");
        }
        to.push(':');
        // Each tag varies at its own pace, as few values as its digits allow.
        let mut varying = number / (tag + 1) + tag;
        for c in value.chars() {
            if c == '#' {
                let _ = write!(to, "{}", varying % 10);
                varying /= 10;
            } else {
                to.push(c);
            }
        }
    }
}
