mod hyperloglog;
mod xxh64;

#[cfg(test)]
mod tests;

use hyperloglog::{FINEST, HyperLogLog};
pub(crate) use xxh64::xxh64;

/// Up to this many members of a set are counted exactly.
const MOST_EXACT: usize = 1024;

/// The distinct members of a set, known by their 64-bit hashes: [`hash`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    // Sorted; empty once they are estimated.
    exact: Vec<u64>,
    estimated: bool,
    // Kept for the next interval where this one estimates.
    registers: Option<HyperLogLog>,
    adds: u32,
}

/// A member's hash: XXH64 with seed 0, the same on every node, so that sets merge.
pub(crate) fn hash(member: &str) -> u64 {
    xxh64(member.as_bytes())
}

impl Members {
    pub(crate) fn is_empty(&self) -> bool {
        self.adds == 0
    }

    /// How many times something was added.
    pub(crate) fn adds(&self) -> u32 {
        self.adds
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let members = match &self.registers {
            Some(registers) if self.estimated => registers.bytes(),
            _ => size_of_val(&*self.exact),
        };
        size_of::<Self>() + members
    }

    /// Forgets all members and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.exact.clear();
        let is_worth_it =
            |registers: &HyperLogLog| self.estimated && registers.precision() == FINEST;
        self.registers = self.registers.take().filter(is_worth_it);
        self.estimated = false;
        self.adds = 0;
    }

    /// Adds a member by its hash. Without `room` it takes no more memory for it, and if it cannot
    /// go on exactly so, it is estimated as well as that memory allows: whether this was so.
    // Hot path: runs once per member.
    pub(crate) fn add(&mut self, hash: u64, room: bool) -> bool {
        self.adds = self.adds.saturating_add(1);
        if self.estimated {
            self.estimate(FINEST).add(hash);
        } else if let Err(place) = self.exact.binary_search(&hash) {
            if room && self.exact.len() < MOST_EXACT {
                self.exact.insert(place, hash);
            } else {
                let held = hyperloglog::precision_within(size_of_val(&*self.exact));
                self.estimate(if room { FINEST } else { held }).add(hash);
                return !room;
            }
        }
        false
    }

    // From now on the members are estimated, of this precision unless they already are.
    fn estimate(&mut self, precision: u32) -> &mut HyperLogLog {
        if !self.estimated {
            self.estimated = true;
            let kept = self.registers.take().filter(|kept| kept.precision() == precision);
            let mut registers = kept.unwrap_or_else(|| HyperLogLog::new(precision));
            registers.clear();
            for hash in self.exact.drain(..) {
                registers.add(hash);
            }
            if precision < FINEST {
                self.exact = Vec::new();
            }
            self.registers = Some(registers);
        }
        self.registers.get_or_insert_with(|| HyperLogLog::new(precision))
    }

    /// Adds all that another holds.
    pub(crate) fn absorb(&mut self, other: &Self) {
        match &other.registers {
            Some(theirs) if other.estimated => self.estimate(theirs.precision()).absorb(theirs),
            _ => other.exact.iter().for_each(|hash| {
                self.add(*hash, true);
            }),
        }
        self.adds = self.adds.saturating_add(other.adds);
    }

    /// How many distinct members there are, as long as that is known exactly.
    pub(crate) fn count_if_exact(&self) -> Option<u64> {
        (!self.estimated).then_some(self.exact.len() as u64)
    }

    /// How many distinct members there are; above 1,024 an estimate with a standard error of 0.8 %,
    /// or a larger one if there was no room.
    pub(crate) fn count(&self) -> u64 {
        match &self.registers {
            Some(registers) if self.estimated => registers.estimate(),
            _ => self.exact.len() as u64,
        }
    }
}
