use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metric::Batch;

use crate::ledger::{Account, DropReason};
use crate::sync::lock;

/// With less patience than this, whoever waits is not to be kept waiting.
const HURRY: Duration = Duration::from_secs(3);

/// What waits to be encoded, bounded in points: the flush on one side, the encoder on the other.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    taken: Condvar,
    bound: u64,
    account: Arc<Account>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    points: u64,
    closed: bool,
    // The flush waits for room, with so much patience.
    awaited: Option<Duration>,
    // The flush waited in vain, and nothing was taken since: waiting again would only delay it.
    stuck: bool,
}

#[derive(Debug)]
pub(crate) enum Item {
    Batch(Arc<Batch>),
    EndOfFlush,
}

impl Inbox {
    pub(crate) fn new(bound: u64, account: Arc<Account>) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            taken: Condvar::new(),
            bound,
            account,
        }
    }

    /// Takes a batch in, after waiting for room up to `patience`, which is shortened by the wait.
    /// Without room the batch is dropped. A batch larger than the bound is taken by an empty inbox.
    pub(crate) fn offer(&self, batch: &Arc<Batch>, patience: &mut Duration) {
        let points = batch.len() as u64;
        self.account.offer(points);
        let mut state = lock(&self.state);
        if self.is_full(&state, points) && !state.stuck && !patience.is_zero() {
            let begun = Instant::now();
            state.awaited = Some(*patience);
            let room = self.taken.wait_timeout_while(state, *patience, |state| {
                self.is_full(state, points) && !state.closed
            });
            state = room.unwrap_or_else(PoisonError::into_inner).0;
            *patience = patience.saturating_sub(begun.elapsed());
            state.stuck = self.is_full(&state, points);
            state.awaited = None;
        }
        if state.closed {
            drop(state);
            self.account.lose(points, DropReason::Shutdown);
        } else if self.is_full(&state, points) {
            drop(state);
            self.account.lose(points, DropReason::QueueFull);
        } else {
            state.points += points;
            state.items.push_back(Item::Batch(Arc::clone(batch)));
            self.arrived.notify_one();
        }
    }

    /// Whether the flush waits for room, and soon will wait no more.
    pub(crate) fn is_hurried(&self) -> bool {
        lock(&self.state).awaited.is_some_and(|patience| patience < HURRY)
    }

    fn is_full(&self, state: &State, points: u64) -> bool {
        state.points > 0 && state.points + points > self.bound
    }

    /// The flush is over: what it brought goes out.
    pub(crate) fn end_flush(&self) {
        let mut state = lock(&self.state);
        if !state.closed && !matches!(state.items.back(), Some(Item::EndOfFlush)) {
            state.items.push_back(Item::EndOfFlush);
            self.arrived.notify_one();
        }
    }

    /// Waits for the next item; `None` when the inbox is closed and empty.
    pub(crate) fn take(&self) -> Option<Item> {
        let state = lock(&self.state);
        let waited =
            self.arrived.wait_while(state, |state| state.items.is_empty() && !state.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let item = state.items.pop_front();
        if let Some(Item::Batch(batch)) = &item {
            state.points -= batch.len() as u64;
            state.stuck = false;
            self.taken.notify_all();
        }
        item
    }

    /// Nothing more comes in; what is in can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.arrived.notify_all();
        self.taken.notify_all();
    }

    /// Closes, and forgets what is in: its points are the account's to settle.
    pub(crate) fn abandon(&self) {
        lock(&self.state).items.clear();
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tests::counters;

    fn full_inbox() -> (Arc<Account>, Inbox) {
        let account = Arc::new(Account::new("o".into(), true));
        let inbox = Inbox::new(10, Arc::clone(&account));
        inbox.offer(&counters(0, 8), &mut Duration::default());
        (account, inbox)
    }

    #[test]
    fn an_inbox_without_room_drops_the_batch() {
        let (account, inbox) = full_inbox();
        inbox.offer(&counters(8, 3), &mut Duration::default());
        inbox.offer(&counters(11, 2), &mut Duration::default());
        let ledger = account.ledger();
        assert_eq!((ledger.offered, ledger.queued), (13, 10));
        assert_eq!(ledger.dropped.get(DropReason::QueueFull), 3);
    }

    #[test]
    fn a_batch_larger_than_the_bound_is_taken_by_an_empty_inbox() {
        let account = Arc::new(Account::new("o".into(), true));
        let inbox = Inbox::new(10, Arc::clone(&account));
        inbox.offer(&counters(0, 30), &mut Duration::default());
        assert_eq!(account.ledger().dropped.total(), 0);
    }

    #[test]
    fn the_flush_waits_once_for_a_stuck_encoder_and_again_only_after_it_moved() {
        let (account, inbox) = full_inbox();
        let whole = Duration::from_millis(5);
        let mut patience = whole;
        inbox.offer(&counters(8, 8), &mut patience);
        assert_eq!(patience, Duration::ZERO);
        patience = whole;
        inbox.offer(&counters(16, 8), &mut patience);
        assert_eq!(patience, whole, "it is known to be stuck");
        assert!(matches!(inbox.take(), Some(Item::Batch(_))));
        inbox.offer(&counters(24, 8), &mut patience);
        inbox.offer(&counters(32, 8), &mut patience);
        assert_eq!(patience, Duration::ZERO);
        assert_eq!(account.ledger().dropped.get(DropReason::QueueFull), 24);
    }

    #[test]
    fn a_waiting_flush_goes_on_as_soon_as_there_is_room() {
        let (account, inbox) = full_inbox();
        std::thread::scope(|scope| {
            scope.spawn(|| inbox.offer(&counters(8, 8), &mut Duration::from_mins(1)));
            assert!(matches!(inbox.take(), Some(Item::Batch(_))));
            assert!(matches!(inbox.take(), Some(Item::Batch(_))));
        });
        assert_eq!(account.ledger().dropped.total(), 0);
    }

    #[test]
    fn an_inbox_is_hurried_while_a_flush_of_little_patience_waits() {
        for (patience, is_hurried) in [(HURRY / 2, true), (HURRY * 20, false)] {
            let (_, inbox) = full_inbox();
            assert!(!inbox.is_hurried());
            std::thread::scope(|scope| {
                scope.spawn(|| inbox.offer(&counters(8, 8), &mut patience.clone()));
                while lock(&inbox.state).awaited.is_none() {
                    std::thread::yield_now();
                }
                assert_eq!(inbox.is_hurried(), is_hurried);
                assert!(matches!(inbox.take(), Some(Item::Batch(_))));
            });
            assert!(!inbox.is_hurried());
        }
    }

    #[test]
    fn a_closed_inbox_gives_out_what_it_has_and_takes_no_more() {
        let (account, inbox) = full_inbox();
        inbox.end_flush();
        inbox.end_flush();
        inbox.close();
        inbox.offer(&counters(8, 1), &mut Duration::from_mins(1));
        assert!(matches!(inbox.take(), Some(Item::Batch(_))));
        assert!(matches!(inbox.take(), Some(Item::EndOfFlush)));
        assert!(inbox.take().is_none());
        assert_eq!(account.ledger().dropped.get(DropReason::Shutdown), 1);
    }
}
