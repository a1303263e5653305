// 2^14 registers: a standard error of 1.04 / 2^7 = 0.81 %.
const PRECISION: u32 = 14;
const REGISTERS: usize = 1 << PRECISION;
// A hash has this many bits beside those that choose its register.
const REST: u32 = u64::BITS - PRECISION;

/// HyperLogLog with the improved raw estimator of O. Ertl, "New cardinality estimation algorithms
/// for HyperLogLog sketches" (2017), algorithm 6: without bias over the whole range, without tables.
#[derive(Clone, Debug)]
pub(super) struct HyperLogLog(Box<[u8]>);

impl Default for HyperLogLog {
    fn default() -> Self {
        Self(vec![0; REGISTERS].into())
    }
}

impl HyperLogLog {
    pub(super) const BYTES: usize = REGISTERS;

    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The first 14 bits choose the register, which keeps the greatest rank, from 1, of the first
    /// set bit among the rest.
    pub(super) fn add(&mut self, hash: u64) {
        let rank = ((hash << PRECISION).leading_zeros().min(REST) + 1) as u8;
        let register = &mut self.0[(hash >> REST) as usize];
        *register = rank.max(*register);
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        for (register, theirs) in self.0.iter_mut().zip(&other.0) {
            *register = (*theirs).max(*register);
        }
    }

    pub(super) fn estimate(&self) -> u64 {
        let mut with_rank = [0u32; REST as usize + 2];
        for rank in &self.0 {
            with_rank[usize::from(*rank)] += 1;
        }
        let all = REGISTERS as f64;
        let share = |rank: usize| f64::from(with_rank[rank]) / all;
        let mut z = all * tau(1.0 - share(REST as usize + 1));
        for count in with_rank[1..=REST as usize].iter().rev() {
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
