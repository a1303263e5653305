use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

mod pace;
mod saving;
mod state;

use crate::ledger::{Account, DropReason};
use crate::queue::Payload;
use crate::sync::lock;
pub(crate) use pace::Pace;
use saving::Saved;
pub(crate) use saving::{Due, Job, Settled};
use state::{Entry, Lost, Spot, State};

/// The payloads that wait to be sent over the network: the encoder on one side, a sink on the
/// other, and where they are kept on disk too, the thread that does so on a third.
///
/// There are two lanes. What comes is live, until an attempt to send fails or it has waited through
/// a whole flush: then it is backlog. Live goes first, the backlog behind it at a [`Pace`]; each
/// lane has its order.
///
/// With a disk, a payload is written before it is sent, a live one stays in memory beside that, and
/// the backlog is on disk only. While the disk does not work, or has not answered for
/// [`STUCK`], payloads go from memory, and are bounded there.
#[derive(Debug)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    changed: Notify,
    // For the thread of the disk.
    work: Condvar,
    // For the encoder.
    room: Condvar,
    closing: CancellationToken,
    bound: usize,
    age: Duration,
    account: Arc<Account>,
}

/// A payload on its way: to be acknowledged, refused or put back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) payload: Payload,
    number: u64,
    came: Instant,
}

/// The most bytes of payloads in memory only.
const MEMORY_BYTES: u64 = 256 << 20;

/// The most bytes of live payloads in memory that are on disk too; and of those that wait for a
/// disk that works, before the encoder is held up.
const LIVE_BYTES: usize = 16 << 20;

/// What came within this time is live, however many flushes end: what leaves between two flushes
/// ends one too.
const LIVE_LEAST: Duration = Duration::from_secs(1);

/// A disk that does not answer for so long does not hold up anything any more.
const STUCK: Duration = Duration::from_secs(5);

/// The longest wait between attempts once nothing more comes.
const HURRY: Duration = Duration::from_millis(250);

impl Lanes {
    /// Lanes for at most `bytes`, and payloads at most this old. With a disk the bounds are its
    /// own, but for what could not be written to it.
    pub(crate) fn new(bytes: u64, age: Duration, on_disk: bool, account: Arc<Account>) -> Self {
        let state = State {
            live: VecDeque::new(),
            backlog: VecDeque::new(),
            unsaved_bytes: 0,
            saved_bytes: 0,
            next: 0,
            flushes: 0,
            taken: HashMap::new(),
            closed: false,
            drains: false,
            sink_ended: false,
            abandoned: false,
            disk: on_disk.then(Saved::default),
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            work: Condvar::new(),
            room: Condvar::new(),
            closing: CancellationToken::new(),
            bound: bytes.min(MEMORY_BYTES) as usize,
            age,
            account,
        }
    }

    /// The most bytes of one payload, and of all in memory.
    pub(crate) fn bound(&self) -> usize {
        self.bound
    }

    /// The bytes that wait, in memory and in files.
    pub(crate) fn bytes(&self) -> u64 {
        let state = lock(&self.state);
        state.unsaved_bytes as u64 + state.disk.as_ref().map_or(0, |disk| disk.bytes)
    }

    /// Takes a payload in. Waits for a disk that is behind; what has no room then costs the oldest.
    pub(crate) fn push(&self, payload: Payload) {
        let length = payload.bytes.len();
        if length > self.bound {
            self.account.lose(payload.points, DropReason::Unencodable);
            return;
        }
        let state = lock(&self.state);
        let waited = self.room.wait_timeout_while(state, STUCK, |state| {
            let is_full = state.unsaved_bytes + length > LIVE_BYTES.min(self.bound);
            is_full && state.unsaved_bytes > 0 && !state.abandoned && !state.may_skip_disk()
        });
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.abandoned {
            return;
        }
        let entry = state.entry(payload, None);
        state.unsaved_bytes += length;
        state.live.push_back(entry);
        let lost = self.shrink(&mut state);
        drop(state);
        self.wake();
        lost.settle(&self.account);
    }

    /// The points that are on disk, and synced: not more than are sure to be.
    pub(crate) fn synced_points(&self) -> u64 {
        let state = lock(&self.state);
        let synced = state.disk.as_ref().filter(|disk| disk.is_synced());
        synced.map_or(0, |disk| disk.points)
    }

    /// A flush is over: what it brought is synced.
    pub(crate) fn end_flush(&self) {
        let mut state = lock(&self.state);
        state.flushes += 1;
        while state.live.front().is_some_and(|entry| {
            entry.flush + 1 < state.flushes && entry.came.elapsed() >= LIVE_LEAST
        }) {
            state.fall_behind();
        }
        let lost = self.shrink(&mut state);
        if let Some(disk) = &mut state.disk {
            disk.sync_wanted = true;
        }
        drop(state);
        self.wake();
        lost.settle(&self.account);
    }

    /// The oldest live payload, if it may be sent already.
    pub(crate) fn take_live(&self) -> Option<Taken> {
        let mut state = lock(&self.state);
        let front = state.live.front()?;
        if front.place.is_none() && !state.may_skip_disk() {
            return None;
        }
        let entry = state.pop_live()?;
        self.room.notify_one();
        Some(state.hand_out(entry))
    }

    /// The oldest payload of the backlog, if it is at hand. Once nothing more comes, what is on
    /// disk stays there.
    pub(crate) fn take_backlog(&self) -> Option<Taken> {
        let mut state = lock(&self.state);
        let may_read = state.drains || !state.closed;
        if may_read && let Some(entry) = state.disk.as_mut().and_then(|disk| disk.ready.take()) {
            self.work.notify_one();
            return Some(state.hand_out(entry));
        }
        if !state.may_skip_disk() || (may_read && state.reader_comes_first()) {
            return None;
        }
        let entry = state.pop_backlog()?;
        self.room.notify_one();
        Some(state.hand_out(entry))
    }

    /// The next payload, live before backlog; `None` when there will be none. Nothing is taken by a
    /// call that is given up.
    pub(crate) async fn take(&self, pace: &mut Pace) -> Option<Taken> {
        loop {
            let changed = self.changed.notified();
            if let Some(taken) = self.take_live() {
                return Some(taken);
            }
            if pace.is_due()
                && let Some(taken) = self.take_backlog()
            {
                pace.took(taken.payload.bytes.len());
                return Some(taken);
            }
            if self.is_finished() {
                return None;
            }
            tokio::select! {
                () = changed => {}
                () = pace.due() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Waits until there may be something new to take, or until the disk may have got stuck.
    pub(crate) async fn changed(&self) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }

    /// The destination has it.
    pub(crate) fn acknowledge(&self, taken: &Taken) {
        if self.settle(taken) {
            self.account.acknowledge(taken.payload.points);
        }
    }

    /// The destination will never take it.
    pub(crate) fn refuse(&self, taken: &Taken) {
        if self.settle(taken) {
            self.account.lose(taken.payload.points, DropReason::Refused);
        }
    }

    /// Takes back, into the backlog, what could not be sent; drops it if it has no place any more.
    pub(crate) fn put_back(&self, taken: Taken) {
        let Taken { payload, number, came } = taken;
        let mut state = lock(&self.state);
        if state.abandoned {
            return;
        }
        let mut lost = Lost::default();
        match state.taken.remove(&number).unwrap_or(Spot::Memory) {
            Spot::Disk(place, points) => state.put_back_on_disk(place, points),
            Spot::Gone(reason) => lost.add(payload.points, reason),
            Spot::Memory if state.unsaved_bytes + payload.bytes.len() > self.bound => {
                lost.add(payload.points, state.overflow());
            }
            Spot::Memory => {
                state.unsaved_bytes += payload.bytes.len();
                let at = state.backlog.partition_point(|entry| entry.number < number);
                let entry = Entry { number, came, ..state.entry(payload, None) };
                state.backlog.insert(at, entry);
                lost = self.shrink(&mut state);
            }
        }
        drop(state);
        self.wake();
        lost.settle(&self.account);
    }

    /// An attempt failed: what waits is backlog now.
    pub(crate) fn fall_behind(&self) {
        let mut state = lock(&self.state);
        while !state.live.is_empty() {
            state.fall_behind();
        }
        drop(state);
        self.wake();
    }

    /// Nothing more comes in. What is live still goes out, and what is not on disk; with `drains`
    /// the backlog, too.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.closing.cancel();
        self.wake();
    }

    /// Before the end the backlog is to go, too.
    pub(crate) fn drain(&self) {
        lock(&self.state).drains = true;
    }

    /// Before the end it is not: time is short.
    pub(crate) fn drain_no_more(&self) {
        lock(&self.state).drains = false;
        self.wake();
    }

    /// The sink has ended: nothing is taken or settled any more.
    pub(crate) fn leave(&self) {
        lock(&self.state).sink_ended = true;
        self.wake();
    }

    /// Closes, and forgets what is in memory and what still comes. Returns the points that are on
    /// disk; what else the account has is its own to settle.
    pub(crate) fn abandon(&self) -> u64 {
        let mut state = lock(&self.state);
        state.abandoned = true;
        state.live.clear();
        state.backlog.clear();
        state.taken.clear();
        state.unsaved_bytes = 0;
        state.saved_bytes = 0;
        let kept = state.disk.as_ref().map_or(0, |disk| disk.points);
        drop(state);
        self.room.notify_all();
        self.close();
        kept
    }

    /// Whether nothing more comes, and nothing is left to attempt.
    pub(crate) fn is_finished(&self) -> bool {
        let state = lock(&self.state);
        let is_drained = !state.drains || !state.waits_for_reader();
        state.closed && state.live.is_empty() && state.backlog.is_empty() && is_drained
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Waits until nothing more comes.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Waits until nothing more comes; returns only if nothing is left to attempt then.
    pub(crate) async fn finished(&self) {
        self.closing.cancelled().await;
        while !self.is_finished() {
            self.changed().await;
        }
    }

    /// Waits before the next attempt; not as long when nothing more comes, for then time is short.
    /// Returns whether there is anything left to attempt.
    pub(crate) async fn pause(&self, wait: Duration) -> bool {
        if self.is_closing() {
            tokio::select! {
                () = tokio::time::sleep(wait.min(HURRY)) => {}
                () = self.finished() => {}
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.closing.cancelled() => {}
            }
        }
        !self.is_finished()
    }

    /// How long such a pause is now.
    pub(crate) fn pause_of(&self, wait: Duration) -> Duration {
        if self.is_closing() { wait.min(HURRY) } else { wait }
    }

    /// Whether the account is still to hear of it.
    fn settle(&self, taken: &Taken) -> bool {
        let mut state = lock(&self.state);
        if state.abandoned {
            return false;
        }
        if let Some(Spot::Disk(place, points)) = state.taken.remove(&taken.number) {
            state.settle_on_disk(place, points);
            drop(state);
            self.work.notify_one();
        }
        true
    }

    /// Makes memory keep to its bounds: gives up what is there only, lets go of what is on disk.
    fn shrink(&self, state: &mut State) -> Lost {
        let mut lost = Lost::default();
        while state.saved_bytes > LIVE_BYTES {
            state.fall_behind();
        }
        while let Some(oldest) = state.oldest_unsaved() {
            let reason = if state.unsaved_bytes > self.bound {
                state.overflow()
            } else if oldest.came.elapsed() > self.age {
                DropReason::QueueAge
            } else {
                break;
            };
            if let Some(entry) = state.pop_unsaved() {
                lost.add(entry.payload.points, reason);
            }
        }
        lost
    }

    fn wake(&self) {
        self.changed.notify_one();
        self.work.notify_one();
    }
}

/// How often is looked again for what no event tells of: a disk that got stuck.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
