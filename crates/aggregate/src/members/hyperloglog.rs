/// HyperLogLog with the improved raw estimator of O. Ertl, "New cardinality estimation algorithms
/// for HyperLogLog sketches" (2017), algorithm 6: without bias over the whole range, without tables.
///
/// Of 2^p registers, a byte each, the standard error is 1.04 / 2^(p/2).
#[derive(Clone, Debug)]
pub(super) struct HyperLogLog {
    precision: u32,
    registers: Box<[u8]>,
}

/// So many registers: a standard error of 1.04 / 2^7 = 0.81 %.
pub(super) const FINEST: u32 = 14;
// 64 registers, 13 %.
const COARSEST: u32 = 6;

// A hash has this many bits beside those that choose its register, at the most.
const LONGEST_REST: usize = (u64::BITS - COARSEST) as usize;

/// The finest whose registers take no more than so many bytes, or the coarsest.
pub(super) fn precision_within(bytes: usize) -> u32 {
    bytes.max(1).ilog2().clamp(COARSEST, FINEST)
}

impl HyperLogLog {
    /// Of nothing; `precision` is one of 6 to 14.
    pub(super) fn new(precision: u32) -> Self {
        Self { precision, registers: vec![0; 1 << precision].into() }
    }

    pub(super) fn precision(&self) -> u32 {
        self.precision
    }

    pub(super) fn bytes(&self) -> usize {
        self.registers.len()
    }

    pub(super) fn clear(&mut self) {
        self.registers.fill(0);
    }

    // The bits of a hash beside those that choose its register.
    fn rest(&self) -> u32 {
        u64::BITS - self.precision
    }

    /// The first bits choose the register, which keeps the greatest rank, from 1, of the first set
    /// bit among the rest.
    pub(super) fn add(&mut self, hash: u64) {
        let rest = self.rest();
        let rank = ((hash << self.precision).leading_zeros().min(rest) + 1) as u8;
        let register = &mut self.registers[(hash >> rest) as usize];
        *register = rank.max(*register);
    }

    /// Adds all that another holds; becomes as coarse as that if it is coarser.
    pub(super) fn absorb(&mut self, other: &Self) {
        if other.precision < self.precision {
            *self = self.folded(other.precision);
        }
        let folded;
        let other = if self.precision < other.precision {
            folded = other.folded(self.precision);
            &folded
        } else {
            other
        };
        for (register, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *register = (*theirs).max(*register);
        }
    }

    // What it would be if it had been of this lower precision from the beginning: the last bits that
    // chose a register become the first of the rest.
    fn folded(&self, precision: u32) -> Self {
        let mut folded = Self::new(precision);
        let bits = self.precision - folded.precision;
        for (number, rank) in self.registers.iter().enumerate().filter(|(_, rank)| **rank > 0) {
            let moved = number & ((1 << bits) - 1);
            let rank = match moved.checked_ilog2() {
                Some(highest) => (bits - highest) as u8,
                None => rank + bits as u8,
            };
            let register = &mut folded.registers[number >> bits];
            *register = rank.max(*register);
        }
        folded
    }

    pub(super) fn estimate(&self) -> u64 {
        let rest = self.rest() as usize;
        let mut with_rank = [0u32; LONGEST_REST + 2];
        for rank in &self.registers {
            with_rank[usize::from(*rank)] += 1;
        }
        let all = self.registers.len() as f64;
        let share = |rank: usize| f64::from(with_rank[rank]) / all;
        let mut z = all * tau(1.0 - share(rest + 1));
        for count in with_rank[1..=rest].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += all * sigma(share(0));
        (all * all / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    let (mut y, mut z) = (1.0, x);
    while x < 1.0 {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
    f64::INFINITY
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}
