use std::array;
use std::sync::LazyLock;

/// The buckets at scale 6 of one octave: from a power of two to the next.
const OCTAVE: i32 = 64;

const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const FRACTION: u64 = (1 << FRACTION_BITS) - 1;

/// The fractions of 2^0, 2^(1/64), ... 2^(63/64): the lower ends of an octave's buckets.
static LOWER_ENDS: LazyLock<[u64; OCTAVE as usize]> = LazyLock::new(|| {
    array::from_fn(|place| (place as f64 / f64::from(OCTAVE)).exp2().to_bits() & FRACTION)
});

/// The bucket at scale 6 of a positive number; a power of two is the upper end of its bucket.
///
/// The exponent gives the octave, and where the fraction stands among the lower ends gives the bucket
/// in it: no logarithm is needed, and every computer gives the same answer.
// Hot path: runs once per value that is summarised.
#[inline]
pub(super) fn of(magnitude: f64) -> i32 {
    if magnitude < f64::MIN_POSITIVE {
        let octaves = 64;
        return of(magnitude * f64::from(octaves).exp2()) - octaves * OCTAVE;
    }
    let bits = magnitude.to_bits();
    let octave = (bits >> FRACTION_BITS) as i32 - (f64::MAX_EXP - 1);
    let fraction = bits & FRACTION;
    octave * OCTAVE + LOWER_ENDS.partition_point(|end| *end < fraction) as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_where_the_logarithm_has_it() {
        let tiny = (0..52).map(|shift| f64::from_bits(1 << shift));
        let spread = (-1022..1024).map(f64::from).flat_map(|power| {
            (0..64).map(move |part| (power + (f64::from(part) + 0.5) / 64.0).exp2())
        });
        for magnitude in tiny.chain(spread).filter(|it| it.is_finite()) {
            let expected = (magnitude.log2() * 64.0).ceil() as i32 - 1;
            assert_eq!(of(magnitude), expected, "{magnitude:e}");
        }
    }

    #[test]
    fn a_power_of_two_is_the_upper_end_of_its_bucket() {
        for power in -1074..1024 {
            let magnitude = f64::from(power).exp2();
            assert_eq!(of(magnitude), power * 64 - 1);
            // The smallest are too far from each other for that.
            if power > -1040 {
                assert_eq!(of(magnitude.next_up()), power * 64, "{power}");
            }
        }
        assert_eq!(of(f64::MAX), 1024 * 64 - 1);
    }
}
