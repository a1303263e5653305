//! Known series cost no allocation, a swap costs none either, and memory is given back.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use aggregate::{
    Flush, FlushConfig, Interval, Limits, Measure, Recalled, Remember, Shard, ShardConfig,
    SourceIndex,
};
use metric::{Kind, Notes, Origin, ReadAs, Sample, Source, Spelling, Values};

/// The system's allocator, which counts how often this thread called it, and the bytes that it has.
struct Counting;

thread_local! {
    // Neither lazy nor dropped: to count takes no memory itself.
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(more: usize, less: usize) {
    CALLS.set(CALLS.get() + 1);
    BYTES.set(BYTES.get().wrapping_add(more).wrapping_sub(less));
}

// SAFETY: every call is handed on to the system's allocator as it came, so what that one guarantees
// to its callers is guaranteed here, and what it asks of them they were asked for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.dealloc(at, layout) }
    }
}

/// How often this thread asks for memory or gives it back while it does this.
fn calls(what: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    what();
    CALLS.get() - before
}

const SECOND: Duration = Duration::from_secs(1);

fn source() -> Arc<Source> {
    Source::new(Origin::Listener { listener: "udp://h:1".into() }, ReadAs::default())
}

fn shard() -> (Shard, SourceIndex) {
    let mut shard = Shard::new(ShardConfig::default());
    let source = shard.open_source(source(), Limits::NONE);
    (shard, source)
}

fn flush() -> Flush {
    Flush::new(FlushConfig {
        gauge_expiry: SECOND,
        series_expiry: SECOND,
        total_expiry: SECOND,
        ..FlushConfig::default()
    })
}

fn spelling(name: &str, kind: Kind) -> Spelling<'_> {
    Spelling { name: name.as_bytes(), kind, meter: false, sections: [b"", b""] }
}

fn record(shard: &mut Shard, source: SourceIndex, name: &str, kind: Kind) {
    let values = match kind {
        Kind::Set => Values::Member("member"),
        Kind::Counter | Kind::Gauge | Kind::Timer | Kind::Histogram | Kind::Distribution => {
            Values::Numbers(&[2.0])
        }
    };
    let sample = Sample {
        name,
        kind,
        values,
        relative: false,
        rate: 1.0,
        tags: &[],
        timestamp: None,
        container_id: None,
    };
    let remember = Remember { via: source, spelling: spelling(name, kind), notes: Notes::NONE };
    shard.record(source, &sample, Some(&remember));
}

fn recall(shard: &Shard, source: SourceIndex, name: &str, kind: Kind) -> Recalled {
    shard.recall(source, &spelling(name, kind)).unwrap()
}

#[test]
fn adding_to_known_series_does_not_allocate() {
    for kind in Kind::ALL {
        let (mut shard, source) = shard();
        let mut flush = flush();
        let names: Vec<_> = (0..500).map(|n| format!("{}.{n}", kind.name())).collect();
        let members: Vec<_> = (0..40).map(|n| format!("member-{n}")).collect();
        let measures = |nth: usize| match kind {
            Kind::Set => Measure::Member(&members[nth]),
            Kind::Counter | Kind::Gauge | Kind::Timer | Kind::Histogram | Kind::Distribution => {
                let value = 100.0 + nth as f64;
                Measure::Number { value, rate: 1.0, relative: nth % 3 == 1 }
            }
        };
        let add_all = |shard: &mut Shard| {
            for nth in 0..members.len() {
                for name in &names {
                    let known = recall(shard, source, name, kind);
                    shard.add(known, measures(nth));
                }
            }
        };
        for name in &names {
            record(&mut shard, source, name, kind);
        }
        // Two intervals take turns, and both have been in use.
        let mut interval = Interval::default();
        for round in 1..4 {
            add_all(&mut shard);
            let ended = shard.swap(std::mem::take(&mut interval));
            let merged = flush.merge(vec![ended], SECOND * round / 4, &mut |_, _| {});
            interval = merged.intervals.into_iter().next().unwrap();
        }
        assert_eq!(calls(|| add_all(&mut shard)), 0, "{}", kind.name());
    }
}

#[test]
fn recording_known_series_in_full_does_not_allocate() {
    let (mut shard, source) = shard();
    for kind in [Kind::Counter, Kind::Gauge] {
        record(&mut shard, source, "known", kind);
        assert_eq!(calls(|| record(&mut shard, source, "known", kind)), 0, "{}", kind.name());
    }
}

#[test]
fn a_swap_takes_no_memory_whatever_the_number_of_series() {
    for series in [1, 50_000] {
        let (mut shard, source) = shard();
        let mut flush = flush();
        (0..series).for_each(|n| record(&mut shard, source, &format!("n{n}"), Kind::Counter));
        let first = shard.swap(Interval::default());
        let mut empty = flush.merge(vec![first], SECOND, &mut |_, _| {}).intervals;
        (0..series).for_each(|n| record(&mut shard, source, &format!("n{n}"), Kind::Counter));
        let mut ended = None;
        assert_eq!(calls(|| ended = Some(shard.swap(empty.pop().unwrap()))), 0, "{series}");
        let mut told = 0;
        flush.merge(vec![ended.unwrap()], SECOND, &mut |_, datapoints| told += datapoints.len());
        assert_eq!(told, series);
    }
}

#[test]
fn memory_is_given_back_after_a_peak() {
    let (mut shard, source) = shard();
    let mut flush = flush();
    let mut given_back = Vec::new();
    let mut now = SECOND;
    let mut round = |shard: &mut Shard| {
        let ended = shard.swap(given_back.pop().unwrap_or_default());
        given_back = flush.merge(vec![ended], now, &mut |_, _| {}).intervals;
        while shard.tidy() {}
        now += SECOND;
    };
    record(&mut shard, source, "stays", Kind::Counter);
    round(&mut shard);
    let before = BYTES.get();
    for kind in Kind::ALL {
        (0..5_000).for_each(|n| record(&mut shard, source, &format!("n{n}"), kind));
    }
    round(&mut shard);
    let peak = BYTES.get() - before;
    for _ in 0..6 {
        record(&mut shard, source, "stays", Kind::Counter);
        round(&mut shard);
    }
    let left = BYTES.get().saturating_sub(before);
    assert!(left < peak / 10, "{left} bytes are left of {peak}");
    assert_eq!(shard.accounts().map(|(_, _, series)| series).sum::<usize>(), 1);
}

#[test]
fn sources_that_come_and_go_leave_no_memory_behind() {
    let mut shard = Shard::new(ShardConfig::default());
    let mut flush = flush();
    let mut given_back = Vec::new();
    let mut bytes = Vec::with_capacity(300);
    let mut open: Vec<SourceIndex> = Vec::new();
    for round in 0..300u32 {
        let now = SECOND * round;
        // Some live through a flush and some do not.
        open.extend((0..10).map(|_| shard.open_source(source(), Limits::NONE)));
        for (nth, index) in open.iter().enumerate() {
            (0..40).for_each(|m| record(&mut shard, *index, &format!("n{nth}.{m}"), Kind::Gauge));
        }
        for index in open.drain(..open.len() * 2 / 3) {
            let part = shard.close_source(index).unwrap();
            assert_eq!(flush.end(part, now).datapoints.len(), 40);
        }
        let ended = shard.swap(given_back.pop().unwrap_or_default());
        given_back = flush.merge(vec![ended], now, &mut |_, _| {}).intervals;
        while shard.tidy() {}
        bytes.push(BYTES.get());
    }
    let most = |rounds: &[usize]| *rounds.iter().max().unwrap();
    let (early, late) = (most(&bytes[50..100]), most(&bytes[250..]));
    assert!(late <= early + early / 20, "{late} bytes at last, {early} at first");
}
