use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::disk::Stock;
use crate::sync::lock;

/// Why an output gave points up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A queue was full: the destination, or the encoder, was slower than what came in.
    QueueFull,
    /// The destination answered that it will never take them, or that nobody listens there.
    Refused,
    /// StatsD over UDP: no way leads there, or its name has no address that could be used.
    Unreachable,
    /// They cannot be written as a record, or a record of them is larger than the queue, or a line
    /// is longer than a datagram.
    Unencodable,
    /// They waited for longer than `queue_age`.
    QueueAge,
    /// The queue's files were damaged.
    Damaged,
    /// The disk refused them until what memory holds was full.
    WriteFailed,
    /// The agent stopped before they were delivered.
    Shutdown,
}

impl DropReason {
    /// Every reason, in the order in which they are written.
    pub const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::Refused,
        Self::Unreachable,
        Self::Unencodable,
        Self::QueueAge,
        Self::Damaged,
        Self::WriteFailed,
        Self::Shutdown,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Unencodable => "unencodable",
            Self::QueueAge => "queue_age",
            Self::Damaged => "damaged",
            Self::WriteFailed => "write_failed",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Points dropped, by reason. As JSON an object with every reason, 0 included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped([u64; DropReason::ALL.len()]);

impl Dropped {
    /// The points dropped for this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// The points dropped for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason with its points.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.0)
    }
}

impl Serialize for Dropped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (reason, points) in self.iter() {
            map.serialize_entry(reason.name(), &points)?;
        }
        map.end()
    }
}

/// What an output's account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Values of a flush.
    Points,
    /// Lines, as they were received.
    Lines,
}

impl Unit {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Lines => "lines",
        }
    }
}

/// What several outputs have dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedInAll {
    /// Points.
    pub points: u64,
    /// Lines, of relays.
    pub lines: u64,
}

impl DroppedInAll {
    pub(crate) fn add(&mut self, ledger: &OutputLedger) {
        match ledger.unit {
            Unit::Points => self.points += ledger.dropped.total(),
            Unit::Lines => self.lines += ledger.dropped.total(),
        }
    }
}

/// An output's account since start, in points, or in lines where it carries these. In every reading
/// offered = acknowledged + queued + dropped, and no total ever falls.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OutputLedger {
    /// The output.
    pub name: String,
    /// What is counted: what follows is in this unit.
    pub unit: Unit,
    /// What the flush, or the workers, handed to it, and what its queue on disk held at the start.
    pub offered: u64,
    /// Of these, what an earlier process left in the queue.
    pub recovered: u64,
    /// What the destination has: synced to a file, answered with 2xx, or taken by the kernel of the
    /// TCP peer (TCP has no other acknowledgement); of StatsD over UDP, which has none at all, what
    /// the kernel took to send, unless it said that nobody listens there. Each is counted once.
    pub acknowledged: u64,
    /// What waits: to be encoded, to be sent, or for an answer. After a stop: what is kept on disk.
    pub queued: u64,
    /// What was given up.
    pub dropped: Dropped,
    /// How often an attempt to connect, send or write failed and was to be repeated.
    pub retries: u64,
    /// Why the last failed attempt failed.
    pub last_error: Option<String>,
    /// Files: how many complete ones were removed to stay within `max_bytes` and `max_files`.
    pub removed_files: u64,
    /// TCP: points that were acknowledged, and sent again all the same after a connection was lost.
    pub resent: u64,
    /// The bytes that wait, in memory and in the queue's files.
    pub queue_bytes: u64,
    /// The queue's disk does not work: what comes is kept in memory only.
    pub queue_degraded: bool,
    /// Damaged records of the queue that were skipped.
    pub damaged_records: u64,
    /// Files of the queue that a newer version wrote; their points are not counted.
    pub newer_files: u64,
}

/// The writing side of an [`OutputLedger`]. One lock, taken a few times for each payload.
#[derive(Debug)]
pub(crate) struct Account {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: OutputLedger,
    up: bool,
    closed: bool,
    drops_told: [Told; DropReason::ALL.len()],
    failures_told: Told,
    disk_told: Told,
    reads_told: Told,
}

/// What was not yet logged, and when something last was.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    at: Option<Instant>,
    since: u64,
}

const LOG_EVERY: Duration = Duration::from_mins(1);

impl Told {
    /// The number to log now, if a minute has passed since the last time.
    fn tell(&mut self, number: u64) -> Option<u64> {
        self.since += number;
        let now = Instant::now();
        if self.at.is_some_and(|at| now.duration_since(at) < LOG_EVERY) {
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

impl Account {
    /// An account that starts with nothing. An output that is not `up` is not ready.
    pub(crate) fn new(name: String, up: bool) -> Self {
        let ledger = OutputLedger {
            name,
            unit: Unit::Points,
            offered: 0,
            recovered: 0,
            acknowledged: 0,
            queued: 0,
            dropped: Dropped::default(),
            retries: 0,
            last_error: None,
            removed_files: 0,
            resent: 0,
            queue_bytes: 0,
            queue_degraded: false,
            damaged_records: 0,
            newer_files: 0,
        };
        let state = State {
            ledger,
            up,
            closed: false,
            drops_told: [Told::default(); DropReason::ALL.len()],
            failures_told: Told::default(),
            disk_told: Told::default(),
            reads_told: Told::default(),
        };
        Self { state: Mutex::new(state) }
    }

    /// The same account, of lines.
    pub(crate) fn of_lines(mut self) -> Self {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.ledger.unit = Unit::Lines;
        self
    }

    pub(crate) fn ledger(&self) -> OutputLedger {
        lock(&self.state).ledger.clone()
    }

    pub(crate) fn is_up(&self) -> bool {
        lock(&self.state).up
    }

    pub(crate) fn set_up(&self, up: bool) {
        lock(&self.state).up = up;
    }

    /// Points come in; they are queued until they are acknowledged or dropped.
    pub(crate) fn offer(&self, points: u64) {
        let mut state = lock(&self.state);
        state.ledger.offered += points;
        if state.closed {
            state.ledger.dropped.0[DropReason::Shutdown as usize] += points;
        } else {
            state.ledger.queued += points;
        }
    }

    pub(crate) fn acknowledge(&self, points: u64) {
        let mut state = lock(&self.state);
        if !state.closed {
            state.ledger.queued -= points;
            state.ledger.acknowledged += points;
        }
    }

    /// Queued points are given up; logged once a minute for each reason.
    pub(crate) fn lose(&self, points: u64, reason: DropReason) {
        if points == 0 {
            return;
        }
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        state.ledger.queued -= points;
        state.ledger.dropped.0[reason as usize] += points;
        let told = state.drops_told[reason as usize].tell(points);
        let output = told.map(|_| state.ledger.name.clone());
        drop(state);
        if let (Some(points), Some(output)) = (told, output) {
            tracing::warn!(output, reason = reason.name(), points, "points dropped");
        }
    }

    /// An attempt failed and will be repeated; logged once a minute.
    pub(crate) fn retry(&self, error: &str) {
        let mut state = lock(&self.state);
        state.ledger.retries += 1;
        let told = state.failures_told.tell(1);
        let output = told.map(|_| state.ledger.name.clone());
        state.ledger.last_error = Some(error.to_owned());
        drop(state);
        if let (Some(failures), Some(output)) = (told, output) {
            tracing::warn!(output, failures, error, "not delivered, will be tried again");
        }
    }

    /// Something failed that is not repeated.
    pub(crate) fn error(&self, error: String) {
        lock(&self.state).ledger.last_error = Some(error);
    }

    pub(crate) fn removed_file(&self) {
        lock(&self.state).ledger.removed_files += 1;
    }

    /// What an earlier process left: it is offered now.
    pub(crate) fn recover(&self, stock: &Stock) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        let ledger = &mut state.ledger;
        ledger.offered += stock.points;
        ledger.recovered += stock.points;
        ledger.queued += stock.points;
        ledger.damaged_records += stock.damaged;
        ledger.newer_files = stock.newer_files;
        let output = ledger.name.clone();
        drop(state);
        if stock.points > 0 {
            let points = stock.points;
            tracing::info!(output, points, "found in the queue, of an earlier process");
        }
        if stock.newer_files > 0 {
            let files = stock.newer_files;
            tracing::warn!(output, files, "set aside: a newer version wrote them");
        }
        self.lose(stock.lost, DropReason::Damaged);
    }

    /// Acknowledged points are sent again.
    pub(crate) fn resend(&self, points: u64) {
        lock(&self.state).ledger.resent += points;
    }

    pub(crate) fn damaged(&self, records: u64) {
        lock(&self.state).ledger.damaged_records += records;
    }

    /// The queue's disk does not work, and is tried again; logged once a minute.
    pub(crate) fn disk_failed(&self, error: &str) {
        let mut state = lock(&self.state);
        state.ledger.queue_degraded = true;
        state.ledger.last_error = Some(error.to_owned());
        let told = state.disk_told.tell(1);
        let output = told.map(|_| state.ledger.name.clone());
        drop(state);
        if let (Some(failures), Some(output)) = (told, output) {
            tracing::error!(
                output,
                failures,
                error,
                "the queue cannot be kept on disk: what waits is in memory only until it can"
            );
        }
    }

    pub(crate) fn disk_works(&self) {
        let mut state = lock(&self.state);
        let was_degraded = std::mem::take(&mut state.ledger.queue_degraded);
        let output = state.ledger.name.clone();
        drop(state);
        if was_degraded {
            tracing::warn!(output, "the queue is on disk again");
        }
    }

    /// The backlog cannot be read from the disk, and is tried again; logged once a minute.
    pub(crate) fn read_failed(&self, error: &str) {
        let mut state = lock(&self.state);
        state.ledger.last_error = Some(error.to_owned());
        let told = state.reads_told.tell(1);
        let output = told.map(|_| state.ledger.name.clone());
        drop(state);
        if let (Some(failures), Some(output)) = (told, output) {
            tracing::error!(
                output,
                failures,
                error,
                "the queue's backlog cannot be read, will be tried again"
            );
        }
    }

    /// Some of it could not be read in many attempts, and is given up.
    pub(crate) fn unreadable(&self, error: &str) {
        let mut state = lock(&self.state);
        state.ledger.last_error = Some(error.to_owned());
        let output = state.ledger.name.clone();
        drop(state);
        tracing::error!(output, error, "what cannot be read of the queue is given up");
    }

    /// The end: what is queued now, but for what is `kept` on disk, and what still comes, is
    /// dropped as `Shutdown`. Returns what was dropped; `None` if it was closed before.
    pub(crate) fn close(&self, kept: u64) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.closed {
            return None;
        }
        state.closed = true;
        state.up = false;
        let kept = kept.min(state.ledger.queued);
        let left = std::mem::replace(&mut state.ledger.queued, kept) - kept;
        state.ledger.dropped.0[DropReason::Shutdown as usize] += left;
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_is_written_with_every_reason() {
        let account = Account::new("o".into(), true);
        account.offer(10);
        account.acknowledge(4);
        account.lose(1, DropReason::Refused);
        account.retry("connection refused");
        let written = serde_json::to_string(&account.ledger()).unwrap();
        let expected = concat!(
            r#"{"name":"o","unit":"points","offered":10,"recovered":0,"acknowledged":4,"queued":5,"#,
            r#""dropped":{"queue_full":0,"refused":1,"unreachable":0,"unencodable":0,"queue_age":0,"damaged":0,"#,
            r#""write_failed":0,"shutdown":0},"retries":1,"last_error":"connection refused","#,
            r#""removed_files":0,"resent":0,"queue_bytes":0,"queue_degraded":false,"#,
            r#""damaged_records":0,"newer_files":0}"#
        );
        assert_eq!(written, expected);
    }

    #[test]
    fn a_closed_account_counts_what_was_left_and_what_still_comes_as_lost_to_the_stop() {
        let account = Account::new("o".into(), true);
        account.offer(10);
        account.acknowledge(3);
        assert_eq!(account.close(0), Some(7));
        account.acknowledge(7);
        account.lose(7, DropReason::QueueFull);
        account.offer(2);
        let ledger = account.ledger();
        assert_eq!((ledger.offered, ledger.acknowledged, ledger.queued), (12, 3, 0));
        assert_eq!(ledger.dropped.get(DropReason::Shutdown), 9);
        assert_eq!(ledger.dropped.total(), 9);
    }

    #[test]
    fn what_is_kept_on_disk_stays_queued_at_the_end() {
        let account = Account::new("o".into(), true);
        account.offer(10);
        assert_eq!(account.close(6), Some(4));
        let ledger = account.ledger();
        assert_eq!((ledger.queued, ledger.dropped.get(DropReason::Shutdown)), (6, 4));
        assert_eq!(account.close(0), None, "the end comes once");
        assert_eq!(account.ledger(), ledger);
    }

    #[test]
    fn what_is_found_at_the_start_is_offered_and_what_of_it_is_damaged_is_dropped() {
        let account = Account::new("o".into(), true);
        account.recover(&Stock { points: 10, lost: 3, damaged: 2, newer_files: 1 });
        let ledger = account.ledger();
        assert_eq!((ledger.offered, ledger.recovered, ledger.queued), (10, 10, 7));
        assert_eq!(ledger.dropped.get(DropReason::Damaged), 3);
        assert_eq!((ledger.damaged_records, ledger.newer_files), (2, 1));
    }

    #[test]
    fn drops_are_told_once_a_minute_with_what_gathered() {
        let mut told = Told::default();
        assert_eq!(told.tell(3), Some(3));
        assert_eq!(told.tell(4), None);
        told.at = Instant::now().checked_sub(LOG_EVERY);
        assert_eq!(told.tell(5), Some(9));
    }
}
