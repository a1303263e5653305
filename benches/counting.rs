//! The system's allocator, which counts.
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts how often this thread asked for memory, and for how much.
pub(crate) struct Counting;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allocated {
    pub(crate) times: u64,
    pub(crate) bytes: u64,
}

/// Nothing.
pub(crate) const NOTHING: Allocated = Allocated { times: 0, bytes: 0 };

thread_local! {
    // Neither lazy nor dropped: to count takes no memory itself.
    static ALLOCATED: Cell<Allocated> = const { Cell::new(NOTHING) };
    static GIVEN_BACK: Cell<u64> = const { Cell::new(0) };
}

/// What this thread asks for while it does this.
pub(crate) fn allocated(what: impl FnOnce()) -> Allocated {
    let before = ALLOCATED.get();
    what();
    let after = ALLOCATED.get();
    Allocated { times: after.times - before.times, bytes: after.bytes - before.bytes }
}

/// The bytes that this thread has more than before when it has done this; negative if it has fewer.
pub(crate) fn held(what: impl FnOnce()) -> i64 {
    let before = GIVEN_BACK.get();
    let Allocated { bytes, .. } = allocated(what);
    bytes as i64 - (GIVEN_BACK.get() - before) as i64
}

fn give_back(bytes: usize) {
    GIVEN_BACK.set(GIVEN_BACK.get() + bytes as u64);
}

fn count(bytes: usize) {
    let Allocated { times, bytes: before } = ALLOCATED.get();
    ALLOCATED.set(Allocated { times: times + 1, bytes: before + bytes as u64 });
}

// SAFETY: every call is handed on to the system's allocator as it came, so what that one guarantees
// to its callers is guaranteed here, and what it asks of them they were asked for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        give_back(layout.size().saturating_sub(size));
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: `at` came from `System` with this layout, as everything does that is given out here.
        unsafe { System.dealloc(at, layout) }
    }
}
