use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// One at a time for each id, in the order of asking. Only ids in use take room.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Arc<str>, Lock>>);

/// The right to change one container, until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    id: Arc<str>,
    lock: Option<Lock>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn take(&self, id: &Arc<str>) -> Turn<'_> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(Arc::clone(id)).or_default())
        };
        // The turn exists before it is granted, so that giving up the wait cleans up, too.
        let id = Arc::clone(id);
        let mut turn = Turn { turns: self, id, lock: Some(Arc::clone(&lock)), guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Handles are made and, here, dropped under the map's lock. So if only the map's is left
        // beside this one, nobody else has or wants the turn.
        if self.lock.take().is_some_and(|lock| Arc::strong_count(&lock) == 2) {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_waited_for_and_leaves_nothing_behind() {
        let turns = Arc::new(Turns::default());
        let id: Arc<str> = "a".into();
        let first = turns.take(&id).await;
        let other = turns.take(&"b".into()).await;
        assert_eq!(turns.len(), 2);
        drop(other);

        let mut given_up = Box::pin(turns.take(&id));
        let mut waiting = Box::pin(turns.take(&id));
        for wait in [&mut given_up, &mut waiting] {
            assert!(futures(wait).await.is_none());
        }
        drop(first);
        drop(given_up);
        assert_eq!(turns.len(), 1);
        drop(waiting.await);
        assert_eq!(turns.len(), 0);
    }

    // One look at a future.
    async fn futures<'a>(turn: &mut (impl Future<Output = Turn<'a>> + Unpin)) -> Option<Turn<'a>> {
        tokio::select! {
            biased;
            turn = turn => Some(turn),
            () = std::future::ready(()) => None,
        }
    }
}
