//! The thread that keeps one output's payloads on disk: it alone touches its files, so whatever a
//! disk does holds up neither encoder nor sink for long.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

mod files;
mod name;
mod store;

use std::io;

use crate::Retry;
use crate::lanes::{Due, Job, Lanes, Settled};
use crate::ledger::Account;
use crate::queue::Payload;
use crate::retry::Backoff;
pub(crate) use files::Files;
pub(crate) use name::{Form, dir, unclaimed};
pub(crate) use store::{Bounds, Gone, Place, Stock};
use store::{Read, Store};

/// Works for the lanes of one output until they need it no more.
pub(crate) struct Disk {
    files: Files,
    bounds: Bounds,
    lanes: Arc<Lanes>,
    account: Arc<Account>,
    store: Option<Store>,
    writes: Attempts,
    reads: Attempts,
}

/// How often something failed in a row, and when it is tried again.
struct Attempts {
    backoff: Backoff,
    failures: u32,
    next: Option<Instant>,
}

impl Attempts {
    fn new(retry: Retry) -> Self {
        Self { backoff: Backoff::new(retry), failures: 0, next: None }
    }

    fn failed(&mut self) {
        self.failures += 1;
        self.next = Instant::now().checked_add(self.backoff.wait());
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.failures = 0;
        self.next = None;
    }
}

/// How a disk that failed is tried again.
const RETRY: Retry = Retry {
    first: Duration::from_secs(1),
    most: Duration::from_secs(15),
    timeout: Duration::ZERO, // of the network only
};

/// A record that cannot be read in so many attempts, which is more than a minute, is given up.
const READS_MOST: u32 = 8;

impl Disk {
    pub(crate) fn new(
        files: Files,
        bounds: Bounds,
        lanes: Arc<Lanes>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            files,
            bounds,
            lanes,
            account,
            store: None,
            writes: Attempts::new(RETRY),
            reads: Attempts::new(RETRY),
        }
    }

    /// Opens the queue, and does what there is to do until there is nothing more.
    pub(crate) fn run(mut self) {
        loop {
            let due = Due {
                is_open: self.store.is_some(),
                write: self.writes.next,
                read: self.reads.next,
                bytes: self.store.as_ref().map_or(0, Store::open_bytes),
            };
            let job = self.lanes.next_job(&due);
            let Some(store) = &mut self.store else {
                match job {
                    Job::End => return,
                    Job::Open | Job::Settle(_) | Job::Save(..) | Job::Sync | Job::Read => {
                        self.open();
                    }
                }
                continue;
            };
            match job {
                Job::Settle(all) => all.into_iter().for_each(|settled| match settled {
                    Settled::Done(place, points) => store.settle(place, points),
                    Settled::PutBack(place, points) => store.put_back(place, points),
                }),
                Job::Save(number, payload) => {
                    let saved = save(store, &self.lanes, number, &payload);
                    self.wrote(saved);
                }
                Job::Open | Job::Sync => {
                    let synced = sync(store, &self.lanes);
                    self.wrote(synced);
                }
                Job::Read => self.read(),
                Job::End => break,
            }
        }
        if let Some(Err(error)) = self.store.take().map(Store::close) {
            self.fails(&error);
        }
    }

    fn open(&mut self) {
        let opened = Store::open(self.files.clone(), self.bounds, now_ms());
        let opened = opened.and_then(|(mut store, stock)| {
            self.account.recover(&stock);
            self.lanes.opened(stock);
            let synced = sync(&mut store, &self.lanes);
            self.store = Some(store);
            synced
        });
        self.wrote(opened);
    }

    fn wrote(&mut self, done: io::Result<()>) {
        match done {
            Ok(()) if self.writes.failures > 0 => {
                self.writes.succeeded();
                self.lanes.is_working();
                self.account.disk_works();
            }
            Ok(()) => {}
            Err(error) => {
                self.writes.failed();
                self.lanes.is_failing();
                self.fails(&error);
            }
        }
    }

    fn fails(&self, error: &io::Error) {
        let dir = self.files.dir().display();
        self.account.disk_failed(&format!("{dir}: {error}"));
    }

    fn read(&mut self) {
        let Some(store) = &mut self.store else { return };
        let read = match store.read() {
            Err(error) if self.reads.failures + 1 < READS_MOST => {
                self.reads.failed();
                self.lanes.reads_fail();
                return self.account.read_failed(&error.to_string());
            }
            Err(error) => {
                self.account.unreadable(&error.to_string());
                store.skip()
            }
            Ok(read) => read,
        };
        if self.reads.failures > 0 {
            self.reads.succeeded();
        }
        match read {
            Read::Record(place, payload) => self.lanes.read(Some((place, payload))),
            Read::Nothing => self.lanes.read(None),
            Read::Damaged(points) => self.lanes.damaged(points),
            Read::Gone(gone) => self.lanes.forget(&gone),
        }
    }
}

fn save(store: &mut Store, lanes: &Lanes, number: u64, payload: &Payload) -> io::Result<()> {
    while let Some(gone) = store.make_room(payload.bytes.len() as u64) {
        lanes.forget(&gone);
    }
    let place = store.append(payload, now_ms())?;
    lanes.saved(number, place, payload);
    Ok(())
}

fn sync(store: &mut Store, lanes: &Lanes) -> io::Result<()> {
    while let Some(gone) = store.expire() {
        lanes.forget(&gone);
    }
    store.sync().inspect_err(|_| lanes.sync_failed())
}

/// The wall clock, in unix milliseconds.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

#[cfg(test)]
mod tests;
