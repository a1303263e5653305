/// `SplitMix64`: the same numbers on every machine and for ever, which no library promises.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// True with this share.
    pub(super) fn is(&mut self, share: f64) -> bool {
        // Not drawn where it cannot matter, so that a scenario without does not depend on it.
        share > 0.0 && (self.next() >> 11) as f64 / (1_u64 << 53) as f64 <= share
    }

    /// Any order, each alike.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Places from 0 on, the n-th in proportion to 1 / (n + 1) to a power.
#[derive(Debug)]
pub(super) struct Zipf {
    /// The share of all places up to each, of 2^32.
    up_to: Vec<u32>,
}

impl Zipf {
    pub(super) fn new(places: usize, power: f64) -> Self {
        let weight = |place: usize| ((place + 1) as f64).powf(-power);
        let total: f64 = (0..places).map(weight).sum();
        let mut sum = 0.0;
        let up_to = (0..places)
            .map(|place| {
                sum += weight(place);
                // Rounded far more coarsely than two machines' powers may differ.
                (sum / total * f64::from(u32::MAX)) as u32
            })
            .collect();
        Self { up_to }
    }

    pub(super) fn choose(&self, random: &mut Random) -> usize {
        let drawn = (random.next() >> 32) as u32;
        self.up_to.partition_point(|up_to| *up_to < drawn).min(self.up_to.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_algorithm() {
        let mut random = Random::new(1_234_567);
        let numbers = [(); 3].map(|()| random.next());
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, published);
    }

    #[test]
    fn shares_and_ranges_are_kept() {
        let mut random = Random::new(1);
        let hits = (0..100_000).filter(|_| random.is(0.1)).count();
        assert!((9_700..10_300).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| random.below(7) < 7 && !random.is(0.0) && random.is(1.0)));
        let mut items: Vec<u32> = (0..100).collect();
        random.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn by_zipf_the_first_is_chosen_twice_as_often_as_the_second() {
        let (mut random, zipf) = (Random::new(2), Zipf::new(1000, 1.0));
        let mut counts = [0_u32; 1000];
        for _ in 0..100_000 {
            counts[zipf.choose(&mut random)] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(counts[900] < counts[9], "{counts:?}");
    }
}
