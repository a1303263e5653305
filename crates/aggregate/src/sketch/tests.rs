use super::*;
use crate::plain;

/// What a quantile may be off by at scale 6: half a bucket, 2^(2^-7).
const ERROR: f64 = 0.005_43;

/// Numbers in (0, 1), the same at every run (splitmix64).
fn randoms(mut seed: u64) -> impl Iterator<Item = f64> {
    std::iter::repeat_with(move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64 + f64::EPSILON / 4.0
    })
}

type Seeded = fn(u64) -> Vec<f64>;

fn normals(seed: u64) -> impl Iterator<Item = f64> {
    let angles = randoms(seed).map(|random| (random * std::f64::consts::TAU).cos());
    angles.zip(randoms(!seed)).map(|(cos, random)| cos * (-2.0 * random.ln()).sqrt())
}

fn quantiles() -> Quantiles {
    Quantiles::new(vec![0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999])
}

fn sketch(values: &[(f64, f64)]) -> (Sketch, Notes) {
    let mut sketch = Sketch::new();
    let mut notes = Notes::NONE;
    for (value, weight) in values {
        notes = notes.union(sketch.add(*value, *weight, true));
    }
    (sketch, notes)
}

fn unweighted(values: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    values.map(|value| (value, 1.0)).collect()
}

fn is_within(one: f64, other: f64, error: f64) -> bool {
    (one - other).abs() <= error * one.abs().max(other.abs())
}

#[track_caller]
#[allow(clippy::float_cmp)] // extremes are told as they came
fn assert_like_exact(summary: &Summary, values: &[(f64, f64)], error: f64, what: &str) {
    let exact = plain::summary(values.to_vec(), &quantiles());
    assert_eq!((summary.min, summary.max), (exact.min, exact.max), "{what}");
    assert!(is_within(summary.count, exact.count, 1e-12), "{what}: {summary:?}");
    let size: f64 = values.iter().map(|(value, weight)| (value * weight).abs()).sum();
    assert!((summary.sum - exact.sum).abs() <= 1e-12 * size, "{what}: {summary:?}, not {exact:?}");
    let size = size / exact.count;
    assert!((summary.mean - exact.mean).abs() <= 1e-12 * size, "{what}: {summary:?}");
    let off = (summary.stddev - exact.stddev).abs();
    assert!(off <= 1e-9 * exact.stddev.max(1e-3 * size), "{what}: {summary:?}, not {exact:?}");
    for (told, exact) in summary.quantiles.iter().zip(&exact.quantiles) {
        assert!(is_within(*told, *exact, error), "{what}: {told}, not {exact}");
    }
}

#[test]
fn at_scale_6_quantiles_are_within_0_55_percent_of_the_exact_ones() {
    let distributions: [(&str, Seeded); 9] = [
        ("uniform", |seed| randoms(seed).take(5_000).map(|x| x * 1000.0).collect()),
        ("lognormal", |seed| normals(seed).take(5_000).map(|x| (2.0 * x).exp()).collect()),
        ("heavy tail", |seed| randoms(seed).take(5_000).map(|x| x.powf(-1.5)).collect()),
        ("normal", |seed| normals(seed).take(5_000).map(|x| 1e6 + 100.0 * x).collect()),
        ("negative", |seed| randoms(seed).take(5_000).map(|x| -x * 50.0).collect()),
        ("mixed", |seed| normals(seed).take(5_000).map(|x| (x * 3.0).round()).collect()),
        ("constant", |_| vec![17.3; 100]),
        ("two values", |seed| {
            randoms(seed).take(1_000).map(|x| if x < 0.5 { 0.07 } else { 3e5 }).collect()
        }),
        ("powers of two", |_| (-16..16).map(|power| f64::from(power).exp2()).collect()),
    ];
    for (name, values) in distributions {
        for seed in 1..=5 {
            let values = unweighted(values(seed).into_iter());
            let (sketch, notes) = sketch(&values);
            assert_eq!((sketch.coarser, notes), (0, Notes::NONE), "{name}");
            assert_like_exact(&sketch.summary(&quantiles()), &values, ERROR, name);
        }
    }
}

#[test]
fn a_span_of_2_to_the_32_keeps_scale_6_wherever_it_begins() {
    for seed in 1..=200 {
        let powers = randoms(seed).map(|random| random * 32.0);
        let first = randoms(seed).next().unwrap() * 1_000.0 - 500.0;
        let span = [0.0, 32.0].into_iter().chain(powers.take(100));
        let values = unweighted(span.map(|power| (first + power).exp2()));
        let (sketch, notes) = sketch(&values);
        assert_eq!((sketch.coarser, notes), (0, Notes::NONE), "2^{first}");
    }
}

#[test]
fn a_wider_span_is_coarser_by_as_much_as_is_noted_and_stated() {
    for (powers, coarser) in [(40u16, 1), (60, 1), (100, 2), (250, 3), (500, 4), (1_000, 5)] {
        let values = randoms(powers.into()).map(|random| {
            let power = (random - 0.5) * f64::from(powers);
            if power.fract().abs() < 0.2 { -power.exp2() } else { power.exp2() }
        });
        let ends = [-1.0, 1.0].map(|side| (side * f64::from(powers) / 2.0).exp2());
        let values = unweighted(ends.into_iter().chain(values.take(3_000)));
        let (sketch, notes) = sketch(&values);
        assert!(notes.contains(Note::CoarseSketch), "{powers}");
        assert_eq!(sketch.coarser, coarser, "{powers}");
        // Half a bucket at scale 6 - coarser.
        let error = (f64::from(1 << coarser) / 128.0).exp2() - 1.0;
        let exact = plain::summary(values, &quantiles());
        for (told, exact) in sketch.summary(&quantiles()).quantiles.iter().zip(&exact.quantiles) {
            assert!((told - exact).abs() <= error * exact.abs(), "{powers}: {told}, not {exact}");
        }
    }
}

#[test]
fn without_room_the_buckets_become_coarser_and_not_more() {
    let values = unweighted(randoms(3).take(1_000).map(|random| (random * 30.0).exp2()));
    let mut sketch = Sketch::new();
    let mut notes = Notes::NONE;
    for (value, weight) in &values {
        notes = notes.union(sketch.add(*value, *weight, false));
    }
    assert!(notes.contains(Note::CoarseSketch));
    assert!(sketch.positive.len() <= window::LEAST);
    let error = (f64::from(1u32 << sketch.coarser) / 128.0).exp2() - 1.0;
    assert_like_exact(&sketch.summary(&quantiles()), &values, error, "no room");
}

#[test]
fn nothing_is_infinite_or_nan_whatever_the_values() {
    let least = f64::from_bits(1);
    let cases: [&[f64]; 9] = [
        &[1e-300, 1e300],
        &[f64::MAX, f64::MAX, f64::MAX],
        &[f64::MAX, -f64::MAX],
        &[-f64::MAX, f64::MAX, 0.0, 1.0, -1.0],
        &[least, least, least * 3.0],
        &[-least, f64::MIN_POSITIVE, 0.0],
        &[1e-200, 3e-200, 5e-200],
        &[0.0, -0.0],
        &[f64::MAX, least, -least, -f64::MAX, 1e-160, 1e160],
    ];
    for values in cases {
        for weight in [1.0, 1.0 / 0.3, 1e9] {
            let weighted: Vec<_> = values.iter().map(|value| (*value, weight)).collect();
            let (mut one, _) = sketch(&weighted);
            for room in [true, false] {
                let summary = one.summary(&quantiles());
                let Summary { count, sum, min, max, mean, stddev, quantiles } = &summary;
                let all = [count, sum, min, max, mean, stddev].into_iter().chain(quantiles);
                assert!(all.copied().all(f64::is_finite), "{values:?} by {weight}: {summary:?}");
                assert!(*stddev >= 0.0 && quantiles.is_sorted(), "{values:?}: {summary:?}");
                assert!(quantiles.iter().all(|value| min <= value && value <= max));
                for value in values {
                    one.add(*value, weight, room);
                }
                one.absorb(&one.clone());
            }
        }
        let (few, _) = summary_of_few(&mut values.to_vec(), &quantiles());
        let all = [few.sum, few.mean, few.stddev];
        assert!(all.into_iter().all(f64::is_finite), "{few:?}");
    }
}

#[test]
fn a_sum_beyond_the_floats_is_held_and_noted() {
    let (sketch, notes) = sketch(&[(f64::MAX, 1.0), (f64::MAX, 1.0)]);
    assert!(notes.contains(Note::Saturated));
    assert_eq!(sketch.summary(&quantiles()).sum.to_bits(), f64::MAX.to_bits());
}

#[test]
fn the_deviation_of_very_small_and_very_large_values_is_about_right() {
    for size in [1e-320, 1e-200, 1e-100, 1.0, 1e100, 1e200, 1e307] {
        let values = unweighted([1.0, 3.0].into_iter().cycle().take(100).map(|x| x * size));
        let (sketch, _) = sketch(&values);
        let stddev = sketch.summary(&quantiles()).stddev;
        assert!(is_within(stddev, size, 0.02), "{size}: {stddev}");
    }
}

#[test]
fn weights_count_as_so_many_values() {
    for weights in [[1e9, 1.0, 1.0], [1.0 / 0.3, 1.0 / 0.7, 1.0], [1e9, 1e-3, 1.0 / 0.3]] {
        let values = normals(7).map(|normal| normal * 40.0);
        let weighted = values.zip(weights.into_iter().cycle()).take(2_000);
        let values: Vec<_> = weighted.collect();
        let (sketch, _) = sketch(&values);
        assert_like_exact(&sketch.summary(&quantiles()), &values, ERROR, &format!("{weights:?}"));
    }
    let (sketch, _) = sketch(&[(1.0, 9.0), (100.0, 1.0)]);
    let told = sketch.summary(&Quantiles::new(vec![0.9, 0.91])).quantiles;
    assert!(is_within(told[0], 1.0, ERROR) && is_within(told[1], 100.0, ERROR), "{told:?}");
}

#[test]
fn a_bucket_holds_more_than_a_byte_and_parts_of_events() {
    for (times, weight) in [(255, 1.0), (256, 1.0), (100_000, 1.0), (10, 0.25), (300, 2.5)] {
        let mut values = vec![(1.5, weight); times];
        values.push((1.6, 1.0));
        let (sketch, _) = sketch(&values);
        let sum: f64 = sketch.buckets().map(|(_, _, weight)| weight).sum();
        assert!(is_within(sum, times as f64 * weight + 1.0, 1e-12), "{times} of {weight}: {sum}");
    }
}

fn parts() -> [Vec<(f64, f64)>; 4] {
    [
        unweighted(normals(1).take(300).map(|x| x * 10.0)),
        unweighted(randoms(2).take(300).map(|x| ((x - 0.5) * 90.0).exp2())),
        randoms(3).take(50).map(|x| (-x, 1.0 / 0.3)).collect(),
        vec![(0.0, 5.0), (1e-9, 1e9), (4e4, 1.0)],
    ]
}

#[track_caller]
fn assert_same(one: &Sketch, other: &Sketch) {
    assert_eq!(one.adds, other.adds);
    assert_eq!(one.coarser, other.coarser);
    let (ones, others): (Vec<_>, Vec<_>) = (one.buckets().collect(), other.buckets().collect());
    assert_eq!(ones.len(), others.len());
    for (one, other) in ones.iter().zip(&others) {
        assert_eq!((one.0, one.1), (other.0, other.1));
        assert!(is_within(one.2, other.2, 1e-12));
    }
    let (one, other) = (one.summary(&quantiles()), other.summary(&quantiles()));
    let of = |it: &Summary| [it.count, it.sum, it.min, it.max, it.mean, it.stddev];
    assert!(
        of(&one).iter().zip(of(&other)).all(|(a, b)| is_within(*a, b, 1e-9)),
        "{one:?} {other:?}"
    );
    assert_eq!(one.quantiles, other.quantiles);
}

#[test]
fn merged_sketches_are_the_sketch_of_all_values_in_any_order() {
    let parts = parts();
    let sketches = parts.each_ref().map(|part| sketch(part).0);
    let (all, _) = sketch(&parts.concat());
    let merged = |order: [usize; 4]| {
        let mut merged = Sketch::new();
        for place in order {
            merged.absorb(&sketches[place]);
        }
        merged
    };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        assert_same(&merged(order), &all);
    }
    let [mut one, mut two] = [sketches[0].clone(), sketches[2].clone()];
    one.absorb(&sketches[1]);
    two.absorb(&sketches[3]);
    one.absorb(&two);
    assert_same(&one, &all);
}

#[test]
fn a_cleared_sketch_holds_nothing_of_what_it_held() {
    for before in parts() {
        let (mut used, _) = sketch(&before);
        used.clear();
        assert!(used.is_empty());
        assert_eq!(used.buckets().count(), 0);
        for part in parts() {
            let mut again = used.clone();
            for (value, weight) in &part {
                again.add(*value, *weight, true);
            }
            assert_same(&again, &sketch(&part).0);
        }
    }
}

#[test]
fn its_bytes_are_bounded_whatever_comes() {
    let most = size_of::<Sketch>() + 2 * MOST_BUCKETS * size_of::<f64>();
    let mut sketch = Sketch::new();
    let values = randoms(9).zip(randoms(10)).take(20_000).map(|(x, y)| {
        let magnitude = ((x - 0.5) * 2_000.0).exp2();
        if y < 0.5 { -magnitude } else { magnitude }
    });
    for value in values {
        sketch.add(value, 1.0 / 0.3, true);
        assert!(sketch.bytes() <= most);
    }
    assert!(most < 40_000);
}

#[test]
fn a_few_values_are_told_exactly() {
    let mut values = [5.0, -1.0, 3.0, 3.0, 0.0, 8.0, 2.0];
    let (few, notes) = summary_of_few(&mut values, &Quantiles::new(vec![0.1, 0.5, 0.86, 0.999]));
    assert_eq!(notes, Notes::NONE);
    assert_eq!(few.quantiles, [-1.0, 3.0, 8.0, 8.0].into());
    let all = [few.count, few.sum, few.min, few.max];
    assert_eq!(all, [7.0, 20.0, -1.0, 8.0]);
    assert!(is_within(few.mean, 20.0 / 7.0, 1e-15));
    assert!(is_within(few.stddev, (112.0f64 / 7.0 - 400.0 / 49.0).sqrt(), 1e-14));
}

#[test]
fn without_room_a_sketch_takes_no_more_memory_however_many_events_a_bucket_holds() {
    let values = unweighted(randoms(7).take(2000).map(|random| (random * 30.0).exp2()));
    let (mut sketch, notes) = sketch(&values);
    assert_eq!(notes, Notes::NONE);
    let held = sketch.bytes();
    let mut notes = Notes::NONE;
    for (value, _) in values.iter().cycle().take(400_000) {
        notes = notes.union(sketch.add(*value, 1.0, false));
        assert!(sketch.bytes() <= held);
    }
    notes = notes.union(sketch.add(-1e300, 0.3, false));
    assert!(notes.contains(Note::CoarseSketch));
    assert!(sketch.bytes() <= held);
    assert_eq!(sketch.summary(&quantiles()).count, 402_000.3);
    // Nothing can be smaller than this.
    let mut least = Sketch::new();
    for (value, weight) in [(1e-300, 0.1), (1e300, 7.7), (-1e-300, 0.1), (-1e300, 0.1)] {
        least.add(value, weight, false);
        assert!(least.bytes() <= LEAST_BYTES);
    }
}
