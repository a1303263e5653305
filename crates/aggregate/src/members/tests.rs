use super::*;

#[test]
fn xxh64_gives_the_specified_hashes() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    for (bytes, hash) in [
        (&b""[..], 0xef46_db37_51d8_e999),
        (b"a", 0xd24e_c4f1_a98c_6e5b),
        (b"abc", 0x44bc_2cf5_ad77_0999),
        (b"user-42", 0x397e_9d3a_76af_7c81),
        (b"0123456789abcdef0123456789abcdef", 0x642a_9495_8e71_e6c5),
        (b"weir measures what passes over it, all of it, always", 0x9eb8_22d9_4727_4997),
        (&all_bytes, 0x1fac_be84_06cd_904b),
    ] {
        assert_eq!(xxh64(bytes), hash, "{bytes:?}");
    }
}

fn numbered(range: std::ops::Range<u32>) -> Members {
    let mut members = Members::default();
    range.for_each(|n| {
        members.add(hash(&format!("user-{n}")), true);
    });
    members
}

#[test]
fn up_to_1024_members_are_counted_exactly_however_often_they_come() {
    let mut members = numbered(0..1024);
    members.absorb(&numbered(0..1024));
    assert_eq!(members.count(), 1024);
}

#[test]
fn estimates_are_within_four_standard_errors_over_the_whole_range() {
    for count in [1025, 5_000, 20_000, 41_000, 60_000, 100_000, 300_000, 1_000_000] {
        let estimate = numbered(0..count).count() as f64;
        let error = estimate / f64::from(count) - 1.0;
        assert!(error.abs() < 4.0 * 0.00813, "{count}: {error}");
    }
}

#[test]
fn the_standard_error_is_what_is_stated() {
    let squares = (0..100u32).map(|n| {
        let error = numbered(n * 50_000..(n + 1) * 50_000).count() as f64 / 50_000.0 - 1.0;
        error * error
    });
    let error = (squares.sum::<f64>() / 100.0).sqrt();
    assert!((0.006..0.0105).contains(&error), "{error}");
}

#[test]
fn a_merged_set_is_the_set_of_both() {
    for (a, b) in [(0..10, 5..20), (0..900, 600..1500), (0..5000, 100..200), (7..9, 0..4000)] {
        let all = numbered(a.start.min(b.start)..a.end.max(b.end)).count();
        let (mut one, mut other) = (numbered(a.clone()), numbered(b.clone()));
        one.absorb(&other);
        other.absorb(&numbered(a));
        assert_eq!(one.count(), all);
        assert_eq!(other.count(), all);
    }
}

#[test]
fn without_room_a_set_is_estimated_at_once_in_the_memory_that_it_has() {
    for (exact, bytes) in [(0, 64), (7, 64), (20, 128), (100, 512), (1000, 4096), (1024, 8192)] {
        let mut members = numbered(0..exact);
        let held = members.bytes().max(size_of::<Members>() + 64);
        for n in 0..exact {
            assert!(!members.add(hash(&format!("user-{n}")), false), "it was there");
        }
        let mut coarser = 0;
        for n in exact..20_000 {
            coarser += u32::from(members.add(hash(&format!("user-{n}")), false));
            assert!(members.bytes() <= held, "{exact}");
        }
        assert_eq!(coarser, 1, "it becomes so once");
        assert_eq!(members.bytes(), size_of::<Members>() + bytes);
        let error = members.count() as f64 / 20_000.0 - 1.0;
        assert!(error.abs() < 4.0 * 1.04 / (bytes as f64).sqrt(), "{exact}: {error}");
    }
}

#[test]
fn sets_of_any_precision_merge_into_the_one_that_all_their_members_would_have_made() {
    // The first so many of a range with room, the rest without.
    let of = |exact: u32, range: &std::ops::Range<u32>| {
        let mut members = numbered(range.start..range.start + exact);
        range.clone().for_each(|n| {
            members.add(hash(&format!("user-{n}")), false);
        });
        members
    };
    for ([exact, other_exact], range, other_range, precision) in [
        ([8, 7000], 0..3000, 2000..9000, 6),
        ([8, 500], 0..3000, 2000..2500, 6),
        ([8, 900], 0..3000, 2000..9000, 6),
        ([70, 8], 0..3000, 9000..9100, 6),
        ([600, 300], 0..3000, 9000..9400, 11),
    ] {
        let (mut one, mut other) = (of(exact, &range), of(other_exact, &other_range));
        let before = one.clone();
        one.absorb(&other);
        other.absorb(&before);
        let mut whole = HyperLogLog::new(precision);
        range.chain(other_range).for_each(|n| whole.add(hash(&format!("user-{n}"))));
        for merged in [one, other] {
            assert_eq!(merged.registers.as_ref().unwrap().precision(), precision);
            assert_eq!(merged.count(), whole.estimate());
        }
    }
}

#[test]
fn a_cleared_set_holds_nothing_of_what_it_held() {
    for count in [500, 5000] {
        let mut members = numbered(0..count);
        members.clear();
        assert!(members.is_empty());
        assert_eq!(members.count(), 0);
        members.absorb(&numbered(0..900));
        (0..3000).for_each(|n| {
            members.add(hash(&format!("user-{n}")), true);
        });
        assert_eq!(members.count(), numbered(0..3000).count());
    }
}
