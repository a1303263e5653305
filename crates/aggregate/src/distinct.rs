use crate::members::{self, Members};

/// Counts the distinct ones among texts, in at most 1 KiB: exactly up to 128, then with a standard
/// error of 3.3 %.
#[derive(Clone, Debug, Default)]
pub struct Distinct(Members);

// Their hashes take as much as the registers that take their place.
const MOST_EXACT: u64 = 128;

impl Distinct {
    /// Takes one more in.
    pub fn add(&mut self, text: &str) {
        let room = self.0.count_if_exact().is_some_and(|count| count < MOST_EXACT);
        self.0.add(members::hash(text), room);
    }

    /// How many distinct ones there were.
    pub fn count(&self) -> u64 {
        self.0.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_counted_exactly_and_many_within_four_standard_errors_and_a_kibibyte() {
        for count in [0, 1, 128, 129, 1_000, 50_000] {
            let mut distinct = Distinct::default();
            (0..count).chain(0..count).for_each(|n| distinct.add(&format!("v{n}")));
            let error = (distinct.count() as f64 - f64::from(count)).abs();
            let allowed = if count <= 128 { 0.0 } else { 4.0 * 0.033 * f64::from(count) };
            assert!(error <= allowed, "{count}: {}", distinct.count());
            assert!(distinct.0.bytes() <= size_of::<Members>() + 1024, "{count}");
        }
    }
}
