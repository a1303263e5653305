use std::ops::Add;

/// A window begins and ends at multiples of this many buckets, so that it rarely has to grow.
pub(super) const STEP: usize = 16;

/// No window is asked to be smaller: at the coarsest scale a bucket on each side of 1 is left.
pub(super) const LEAST: usize = 2 * STEP;

/// Adjoining buckets with their weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    // The index of the first bucket; a multiple of `STEP` while there are buckets.
    first: i32,
    weights: Weights,
}

// Most buckets of most series hold a few whole events: then a byte each is enough.
#[derive(Clone, Debug)]
enum Weights {
    Narrow(Vec<u8>),
    Wide(Vec<f64>),
}

impl Default for Weights {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Window {
    /// How many buckets it has, empty ones included.
    pub(super) fn len(&self) -> usize {
        match &self.weights {
            Weights::Narrow(weights) => weights.len(),
            Weights::Wide(weights) => weights.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Narrow(weights) => weights.len(),
            Weights::Wide(weights) => weights.len() * size_of::<f64>(),
        }
    }

    /// Forgets all weights and keeps the memory.
    pub(super) fn clear(&mut self) {
        match &mut self.weights {
            Weights::Narrow(weights) => weights.clear(),
            Weights::Wide(weights) => weights.clear(),
        }
    }

    /// Adds to a bucket, unless it would take more than `most` buckets to reach it.
    // Hot path: runs once per value.
    pub(super) fn add(&mut self, index: i32, weight: f64, most: usize) -> bool {
        let place = i64::from(index) - i64::from(self.first);
        if place < 0 || place >= self.len() as i64 {
            return self.grow_to(index, most) && self.add(index, weight, most);
        }
        self.add_at(place as usize, weight);
        true
    }

    fn add_at(&mut self, place: usize, weight: f64) {
        match &mut self.weights {
            Weights::Wide(weights) => weights[place] += weight,
            Weights::Narrow(weights) if weight == 1.0 && weights[place] < u8::MAX => {
                weights[place] += 1;
            }
            Weights::Narrow(weights) => {
                let sum = f64::from(weights[place]) + weight;
                if sum.fract() == 0.0 && sum <= f64::from(u8::MAX) {
                    weights[place] = sum as u8;
                } else {
                    let mut wide: Vec<f64> = weights.iter().copied().map(f64::from).collect();
                    wide[place] = sum;
                    self.weights = Weights::Wide(wide);
                }
            }
        }
    }

    fn grow_to(&mut self, index: i32, most: usize) -> bool {
        let step = STEP as i32;
        let floor = index.div_euclid(step) * step;
        let (first, len) = match self.len() {
            0 => (floor, STEP),
            len => {
                let end = (self.first + len as i32).max(floor + step);
                let first = self.first.min(floor);
                (first, (end - first) as usize)
            }
        };
        if len > most {
            return false;
        }
        let in_front = if self.len() == 0 { 0 } else { (self.first - first) as usize };
        match &mut self.weights {
            Weights::Narrow(weights) => extend(weights, in_front, len),
            Weights::Wide(weights) => extend(weights, in_front, len),
        }
        self.first = first;
        true
    }

    /// Merges pairs of buckets, 2i and 2i + 1 into i.
    pub(super) fn coarsen(&mut self) {
        // `first` is even, so that pairs begin at even places.
        let first = self.first / 2;
        let step = STEP as i32;
        self.first = first.div_euclid(step) * step;
        let in_front = (first - self.first) as usize;
        let len = (in_front + self.len() / 2).next_multiple_of(STEP);
        if let Weights::Narrow(weights) = &self.weights
            && weights.chunks_exact(2).any(|pair| pair[0].checked_add(pair[1]).is_none())
        {
            self.weights = Weights::Wide(weights.iter().copied().map(f64::from).collect());
        }
        match &mut self.weights {
            Weights::Narrow(weights) => halve(weights, in_front, len),
            Weights::Wide(weights) => halve(weights, in_front, len),
        }
    }

    /// Its buckets with weight, ascending.
    pub(super) fn buckets(&self) -> impl DoubleEndedIterator<Item = (i32, f64)> {
        (0..self.len()).filter_map(|place| {
            let weight = match &self.weights {
                Weights::Narrow(weights) => f64::from(weights[place]),
                Weights::Wide(weights) => weights[place],
            };
            (weight > 0.0).then_some((self.first + place as i32, weight))
        })
    }
}

fn halve<T: Copy + Default + Add<Output = T>>(weights: &mut Vec<T>, in_front: usize, len: usize) {
    let halved = weights.len() / 2;
    for place in 0..halved {
        weights[place] = weights[2 * place] + weights[2 * place + 1];
    }
    weights.truncate(halved);
    // It was made coarser to save memory, or will not grow to what it was.
    weights.shrink_to_fit();
    if halved > 0 {
        extend(weights, in_front, len);
    }
}

fn extend<T: Copy + Default>(weights: &mut Vec<T>, in_front: usize, len: usize) {
    let old = weights.len();
    weights.resize(len, T::default());
    weights.copy_within(..old, in_front);
    weights[..in_front].fill(T::default());
}
