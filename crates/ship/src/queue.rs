use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ledger::{Account, DropReason};
use crate::sync::lock;

/// Encoded points on their way: a block, or a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) points: u64,
}

/// The payloads that wait to be written to files, in memory, bounded in bytes: the encoder on one
/// side, a sink on the other. Full, it drops the oldest.
///
/// A sink takes a payload for one attempt, and puts it back where that failed; so what is old can
/// always go, but for the one that is being sent.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    bound: usize,
    account: Arc<Account>,
}

#[derive(Debug, Default)]
struct State {
    payloads: VecDeque<Payload>,
    bytes: usize,
    closed: bool,
    abandoned: bool,
    write_failing: bool,
}

/// What a sink that looks into the queue finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Payload(Payload),
    /// Nothing now.
    Empty,
    /// Nothing, ever.
    Closed,
}

impl Queue {
    pub(crate) fn new(bound: usize, account: Arc<Account>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), bound, account }
    }

    /// The most bytes that it holds.
    pub(crate) fn bound(&self) -> usize {
        self.bound
    }

    /// The bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.state).bytes as u64
    }

    /// Takes a payload in, and drops the oldest until it fits.
    pub(crate) fn push(&self, payload: Payload) {
        if payload.bytes.len() > self.bound {
            self.account.lose(payload.points, DropReason::Unencodable);
            return;
        }
        let mut state = lock(&self.state);
        if state.abandoned {
            return;
        }
        let mut dropped = 0;
        while state.bytes + payload.bytes.len() > self.bound {
            let Some(oldest) = state.payloads.pop_front() else { break };
            state.bytes -= oldest.bytes.len();
            dropped += oldest.points;
        }
        state.bytes += payload.bytes.len();
        state.payloads.push_back(payload);
        let reason = overflow(&state);
        drop(state);
        self.wake();
        self.account.lose(dropped, reason);
    }

    /// Takes back, as the oldest, what could not be sent; drops it if there is no room any more.
    pub(crate) fn put_back(&self, payload: Payload) {
        let mut state = lock(&self.state);
        if state.abandoned {
            return;
        }
        if state.bytes + payload.bytes.len() > self.bound {
            let reason = overflow(&state);
            drop(state);
            self.account.lose(payload.points, reason);
        } else {
            state.bytes += payload.bytes.len();
            state.payloads.push_front(payload);
        }
    }

    /// From now on an overflow is the disk's fault, or is not.
    pub(crate) fn set_write_failing(&self, failing: bool) {
        lock(&self.state).write_failing = failing;
    }

    /// The oldest payload, if there is one.
    pub(crate) fn try_take(&self) -> Next {
        let mut state = lock(&self.state);
        match state.payloads.pop_front() {
            Some(payload) => {
                state.bytes -= payload.bytes.len();
                Next::Payload(payload)
            }
            None if state.closed => Next::Closed,
            None => Next::Empty,
        }
    }

    /// Waits for the oldest payload, until `deadline` at most.
    pub(crate) fn take_before(&self, deadline: Option<Instant>) -> Next {
        let nothing = |state: &mut State| state.payloads.is_empty() && !state.closed;
        let state = lock(&self.state);
        match deadline {
            None => drop(self.changed.wait_while(state, nothing)),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                drop(self.changed.wait_timeout_while(state, left, nothing));
            }
        }
        self.try_take()
    }

    /// Nothing more comes in; what is in can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake();
    }

    /// Closes, and forgets what is in and what still comes: its points are the account's to settle.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.abandoned = true;
        state.payloads.clear();
        state.bytes = 0;
        drop(state);
        self.close();
    }

    /// Waits before the next attempt; not as long when the queue closes, for then time is short.
    /// Returns whether there is anything left to attempt.
    pub(crate) fn pause(&self, wait: Duration) -> bool {
        let state = lock(&self.state);
        let closed = state.closed;
        let wait = if closed { wait.min(HURRY) } else { wait };
        let waited = self.changed.wait_timeout_while(state, wait, |state| state.closed == closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.has_work()
    }

    fn has_work(&self) -> bool {
        let state = lock(&self.state);
        !state.closed || !state.payloads.is_empty()
    }

    fn wake(&self) {
        self.changed.notify_all();
    }
}

/// The longest wait between attempts once the queue is closed.
const HURRY: Duration = Duration::from_millis(250);

fn overflow(state: &State) -> DropReason {
    if state.write_failing { DropReason::WriteFailed } else { DropReason::QueueFull }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(points: u64, bytes: usize) -> Payload {
        Payload { bytes: vec![0; bytes].into(), points }
    }

    fn queue(bound: usize) -> (Arc<Account>, Queue) {
        let account = Arc::new(Account::new("o".into(), true));
        account.offer(1000);
        (Arc::clone(&account), Queue::new(bound, account))
    }

    #[test]
    fn a_full_queue_drops_its_oldest() {
        let (account, queue) = queue(10);
        for points in 1..=4 {
            queue.push(payload(points, 4));
        }
        assert_eq!(queue.try_take(), Next::Payload(payload(3, 4)));
        assert_eq!(queue.try_take(), Next::Payload(payload(4, 4)));
        assert_eq!(queue.try_take(), Next::Empty);
        assert_eq!(account.ledger().dropped.get(DropReason::QueueFull), 3);
    }

    #[test]
    fn what_is_put_back_is_the_oldest_and_the_first_to_go() {
        let (account, queue) = queue(10);
        queue.push(payload(1, 5));
        queue.push(payload(2, 5));
        let Next::Payload(first) = queue.try_take() else { panic!("the queue has two") };
        queue.put_back(first.clone());
        assert_eq!(queue.try_take(), Next::Payload(first.clone()));
        queue.push(payload(3, 5));
        queue.put_back(first);
        assert_eq!(account.ledger().dropped.get(DropReason::QueueFull), 1);
        assert_eq!(queue.try_take(), Next::Payload(payload(2, 5)));
    }

    #[test]
    fn an_overflow_while_the_disk_fails_is_the_disks_fault() {
        let (account, queue) = queue(10);
        queue.set_write_failing(true);
        queue.push(payload(1, 6));
        queue.push(payload(2, 6));
        queue.set_write_failing(false);
        queue.push(payload(4, 6));
        let dropped = account.ledger().dropped;
        assert_eq!(dropped.get(DropReason::WriteFailed), 1);
        assert_eq!(dropped.get(DropReason::QueueFull), 2);
    }

    #[test]
    fn a_payload_larger_than_the_queue_costs_no_other() {
        let (account, queue) = queue(10);
        queue.push(payload(1, 10));
        queue.push(payload(2, 11));
        assert_eq!(account.ledger().dropped.get(DropReason::Unencodable), 2);
        assert_eq!(queue.try_take(), Next::Payload(payload(1, 10)));
    }

    #[test]
    fn a_closed_queue_gives_out_what_it_has_and_ends_every_pause() {
        let (_, queue) = queue(10);
        std::thread::scope(|scope| {
            let work_left = scope.spawn(|| queue.pause(Duration::from_hours(1)));
            queue.push(payload(1, 1));
            queue.close();
            assert!(work_left.join().unwrap());
        });
        assert_eq!(queue.take_before(None), Next::Payload(payload(1, 1)));
        assert_eq!(queue.take_before(None), Next::Closed);
        assert!(!queue.pause(Duration::ZERO));
    }

    #[test]
    fn an_abandoned_queue_is_closed_and_stays_empty() {
        let (_, queue) = queue(10);
        queue.push(payload(1, 1));
        queue.abandon();
        queue.push(payload(2, 1));
        queue.put_back(payload(3, 1));
        assert_eq!(queue.try_take(), Next::Closed);
    }

    #[test]
    fn a_thread_waits_no_longer_than_its_deadline() {
        let (_, queue) = queue(10);
        assert_eq!(queue.take_before(Some(Instant::now())), Next::Empty);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take_before(None));
            queue.push(payload(1, 1));
            assert_eq!(taken.join().unwrap(), Next::Payload(payload(1, 1)));
        });
    }
}
