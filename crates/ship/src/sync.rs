use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere leaves plain numbers and queues that are still good to use.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that nobody can foresee; good for sync markers and jitter, not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}
