mod bucket;
mod window;

#[cfg(test)]
mod tests;

use metric::{Note, Notes, Quantiles, Summary};

use crate::number::hold;
use window::Window;

/// A summary of weighted values in bounded space: a base-2 exponential histogram.
///
/// Bucket i at scale s holds the magnitudes in (b^i, b^(i+1)], where b = 2^(2^-s). Negative values
/// have buckets of their own, zero has one. A bucket's values are all taken for its geometric
/// middle, so that a quantile is off by a factor of at most 2^(2^-(s+1)): at scale 6, where every
/// sketch starts, that is 0.55 %. When the magnitudes of one sign span more than 2^32, the scale is
/// halved by merging pairs of buckets, as often as it takes; each time doubles the error.
///
/// Two sketches merge into the one that all their values would have made.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    count: f64,
    sum: f64,
    min: f64,
    max: f64,
    // Mean and sum of squared deviations by Welford's method; not finite where squares overflow.
    mean: f64,
    squares: f64,
    zero: f64,
    positive: Window,
    negative: Option<Box<Window>>,
    // The scale is 6 less this.
    coarser: u8,
    adds: u32,
}

/// The buckets of one sign: those of a span of 2^32 at scale 6, wherever it begins, and what
/// rounding their window to whole steps takes.
const MOST_BUCKETS: usize = 2048 + 2 * window::STEP;

/// What two windows take that cannot become smaller, at the coarsest scale.
const LEAST_BYTES: usize = size_of::<Sketch>() + 2 * window::LEAST * size_of::<f64>();

/// Below this a sum of squares has lost digits to underflow.
const SOUND_SQUARES: f64 = 1e-290;

/// What a product of two floats may be off by, and more than enough for a sum of weights: a
/// cumulative weight that falls short of its share by no more has reached it.
const SHARE_TOLERANCE: f64 = 1e-12;

impl Sketch {
    /// The sketch of nothing.
    pub(crate) fn new() -> Self {
        Self {
            count: 0.0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
            zero: 0.0,
            positive: Window::default(),
            negative: None,
            coarser: 0,
            adds: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.adds == 0
    }

    /// How many times something was added.
    pub(crate) fn adds(&self) -> u32 {
        self.adds
    }

    /// The memory that its buckets take.
    pub(crate) fn bytes(&self) -> usize {
        let negative = self.negative.as_ref().map_or(0, |window| window.bytes());
        size_of::<Self>() + self.positive.bytes() + negative
    }

    /// Forgets all values and keeps the memory.
    pub(crate) fn clear(&mut self) {
        let mut positive = std::mem::take(&mut self.positive);
        positive.clear();
        let mut negative = self.negative.take();
        if let Some(negative) = &mut negative {
            negative.clear();
        }
        *self = Self { positive, negative, ..Self::new() };
    }

    /// Adds a finite value that stands for `weight` events. Without `room` its buckets take no more
    /// memory: it becomes coarser instead.
    pub(crate) fn add(&mut self, value: f64, weight: f64, room: bool) -> Notes {
        let mut notes = Notes::NONE;
        let held = self.bytes();
        self.adds = self.adds.saturating_add(1);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum = hold(self.sum + value * weight, &mut notes);
        self.count = hold(self.count + weight, &mut notes);
        let off = value - self.mean;
        self.mean += off * (weight / self.count);
        self.squares += weight * off * (value - self.mean);
        if value == 0.0 {
            self.zero += weight;
        } else {
            self.add_to_bucket(value < 0.0, bucket::of(value.abs()), weight, room, &mut notes);
            // A bucket that holds more than a byte tells makes all of its window's wider.
            while !room && self.bytes() > held.max(LEAST_BYTES) {
                self.coarsen();
                notes.insert(Note::CoarseSketch);
            }
        }
        notes
    }

    /// Adds all that another holds.
    pub(crate) fn absorb(&mut self, other: &Self) -> Notes {
        let mut notes = Notes::NONE;
        if other.is_empty() {
            return notes;
        }
        self.adds = self.adds.saturating_add(other.adds);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum = hold(self.sum + other.sum, &mut notes);
        let before = self.count;
        self.count = hold(before + other.count, &mut notes);
        let off = other.mean - self.mean;
        self.mean += off * (other.count / self.count);
        self.squares += other.squares + off * off * (before * (other.count / self.count));
        self.zero += other.zero;
        while self.coarser < other.coarser {
            self.coarsen();
        }
        for (is_negative, index, weight) in other.buckets() {
            // The lower end of a coarse bucket stands for it at scale 6 and finds its heir at any
            // coarser scale.
            self.add_to_bucket(is_negative, index << other.coarser, weight, true, &mut notes);
        }
        notes
    }

    fn add_to_bucket(
        &mut self,
        is_negative: bool,
        index: i32,
        weight: f64,
        room: bool,
        notes: &mut Notes,
    ) {
        loop {
            let window = match &mut self.negative {
                Some(negative) if is_negative => negative,
                None if is_negative => self.negative.insert(Box::default()),
                _ => &mut self.positive,
            };
            let most = if room { MOST_BUCKETS } else { window.len().max(window::LEAST) };
            // Ends: at the coarsest all indices are -1 or 0, and those fit in the least window.
            if window.add(index >> self.coarser, weight, most) {
                return;
            }
            self.coarsen();
            notes.insert(Note::CoarseSketch);
        }
    }

    fn coarsen(&mut self) {
        self.coarser += 1;
        self.positive.coarsen();
        if let Some(negative) = &mut self.negative {
            negative.coarsen();
        }
    }

    /// Its buckets with their sign, index and weight, from the lowest value to the highest, but for
    /// that of zero.
    fn buckets(&self) -> impl Iterator<Item = (bool, i32, f64)> {
        let negative = self.negative.iter().flat_map(|window| window.buckets().rev());
        let negative = negative.map(|(index, weight)| (true, index, weight));
        negative.chain(self.positive.buckets().map(|(index, weight)| (false, index, weight)))
    }

    /// The values that its buckets stand for with their weights, ascending.
    fn values(&self) -> impl Iterator<Item = (f64, f64)> {
        let scale = f64::from(1u32 << self.coarser) / 64.0;
        let mut zero = Some((0.0, self.zero)).filter(|_| self.zero > 0.0);
        let mut buckets = self.buckets().peekable();
        std::iter::from_fn(move || {
            if buckets.peek().is_none_or(|(is_negative, ..)| !is_negative)
                && let Some(zero) = zero.take()
            {
                return Some(zero);
            }
            let (is_negative, index, weight) = buckets.next()?;
            let magnitude = ((f64::from(index) + 0.5) * scale).exp2();
            let value = if is_negative { -magnitude } else { magnitude };
            Some((value.clamp(self.min, self.max), weight))
        })
    }

    /// What there is to tell of a sketch that is not empty.
    pub(crate) fn summary(&self, quantiles: &Quantiles) -> Summary {
        let squares_are_sound = self.squares.is_finite()
            && (self.squares >= SOUND_SQUARES * self.count || self.max <= self.min);
        let stddev = if squares_are_sound {
            (self.squares.max(0.0) / self.count).sqrt()
        } else {
            scaled_stddev(self.values(), self.count)
        };
        Summary {
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
            mean: self.sum / self.count,
            stddev,
            quantiles: at_quantiles(self.values(), self.count, self.max, quantiles),
        }
    }
}

/// What there is to tell of a few values, each of weight 1: at least one. Exact; sorts them.
pub(crate) fn summary_of_few(values: &mut [f64], quantiles: &Quantiles) -> (Summary, Notes) {
    let mut notes = Notes::NONE;
    values.sort_unstable_by(f64::total_cmp);
    let count = values.len() as f64;
    let sum = values.iter().fold(0.0, |sum, value| hold(sum + value, &mut notes));
    let weighted = || values.iter().map(|value| (*value, 1.0));
    let max = values[values.len() - 1];
    let summary = Summary {
        count,
        sum,
        min: values[0],
        max,
        mean: sum / count,
        stddev: scaled_stddev(weighted(), count),
        quantiles: at_quantiles(weighted(), count, max, quantiles),
    };
    (summary, notes)
}

/// The population's standard deviation, by two passes over values that are scaled so that neither
/// the largest nor the smallest floats' squares leave the range.
fn scaled_stddev(values: impl Iterator<Item = (f64, f64)>, count: f64) -> f64 {
    let values: Vec<_> = values.collect();
    let largest = values.iter().fold(0.0f64, |largest, (value, _)| largest.max(value.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let share = |weight: f64| weight / count;
    let mean: f64 = values.iter().map(|(value, weight)| value / largest * share(*weight)).sum();
    let variance: f64 = values
        .iter()
        .map(|(value, weight)| (value / largest - mean).powi(2) * share(*weight))
        .sum();
    (variance.sqrt() * largest).min(f64::MAX)
}

/// For each quantile the smallest of the ascending values whose cumulative weight reaches that
/// share of the total.
fn at_quantiles(
    values: impl Iterator<Item = (f64, f64)>,
    total: f64,
    max: f64,
    quantiles: &Quantiles,
) -> Box<[f64]> {
    let mut found = Vec::with_capacity(quantiles.values().len());
    let mut cumulative = 0.0;
    for (value, weight) in values {
        cumulative += weight;
        while let Some(quantile) = quantiles.values().get(found.len())
            && cumulative >= quantile * total * (1.0 - SHARE_TOLERANCE)
        {
            found.push(value);
        }
    }
    found.resize(quantiles.values().len(), max);
    found.into()
}
