use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

mod directory;
mod name;

use crate::ledger::Account;
use crate::ocf::{self, Marker};
use crate::queue::{Next, Payload, Queue};
use crate::retry::Backoff;
use crate::{Codec, OutputConfig, Schema};
use directory::Directory;
use name::FileName;

/// Writes blocks into object container files: one at a time as a `.part`, renamed when complete.
///
/// A payload is acknowledged when it is written and synced.
pub(crate) struct FileSink {
    files: Files,
    queue: Arc<Queue>,
    account: Arc<Account>,
    backoff: Backoff,
}

impl FileSink {
    /// Opens the directory, and completes what a previous process left in it.
    pub(crate) fn open(
        config: &OutputConfig,
        dir: PathBuf,
        boot_id: &str,
        queue: Arc<Queue>,
        account: Arc<Account>,
    ) -> io::Result<Self> {
        let directory = Directory::open(dir, config.max_bytes, config.max_files)?;
        let files = Files {
            directory,
            schema: config.schema,
            codec: config.codec,
            boot_id: boot_id.into(),
            next: 0,
            // A file must fit what the directory may hold, several times.
            rotate_bytes: config.rotate_bytes.min((config.max_bytes / 4).max(1)),
            rotate_age: config.rotate_age,
            part: None,
            left_behind: false,
        };
        Ok(Self { files, queue, account, backoff: Backoff::new(config.retry) })
    }

    /// Writes until the queue is closed and empty, then completes the last file.
    pub(crate) fn run(mut self) {
        loop {
            let next = self.queue.take_before(self.files.due());
            let done = match next {
                Next::Payload(payload) => self.write(payload),
                Next::Empty => self.files.complete(),
                Next::Closed => break,
            };
            self.settle(done);
        }
        let done = self.files.complete();
        self.settle(done);
    }

    /// Writes this payload and some that follow it, and syncs once.
    fn write(&mut self, first: Payload) -> io::Result<()> {
        let mut payloads = vec![first];
        let mut bytes = payloads[0].bytes.len();
        while bytes < ROUND_BYTES && (bytes as u64) < self.files.rotate_bytes {
            let Next::Payload(payload) = self.queue.try_take() else { break };
            bytes += payload.bytes.len();
            payloads.push(payload);
        }
        if let Err(error) = self.files.write(&payloads, Instant::now()) {
            self.queue.set_write_failing(true);
            for payload in payloads.into_iter().rev() {
                self.queue.put_back(payload);
            }
            return Err(error);
        }
        self.queue.set_write_failing(false);
        self.account.acknowledge(payloads.iter().map(|payload| payload.points).sum());
        if self.files.is_full(Instant::now()) { self.files.complete() } else { Ok(()) }
    }

    fn settle(&mut self, done: io::Result<()>) {
        for _ in 0..self.files.directory.keep_within_bounds(self.files.part_bytes()) {
            self.account.removed_file();
        }
        match done {
            Ok(()) => {
                self.account.set_up(true);
                self.backoff.succeeded();
            }
            Err(error) => {
                self.account.set_up(false);
                let dir = self.files.directory.path().display();
                self.account.retry(&format!("cannot write to {dir}: {error}"));
                self.queue.pause(self.backoff.wait());
            }
        }
    }
}

/// The most bytes that are written between two syncs, about.
const ROUND_BYTES: usize = 8 << 20;

/// The files of one process, one after the other.
struct Files {
    directory: Directory,
    schema: Schema,
    codec: Codec,
    boot_id: Arc<str>,
    next: u64,
    rotate_bytes: u64,
    rotate_age: Duration,
    part: Option<Part>,
    /// A `.part` could not be completed, and waits for the disk to work again.
    left_behind: bool,
}

/// The file that is being written.
struct Part {
    file: File,
    name: FileName,
    marker: Marker,
    begun: Instant,
    /// Up to here it is whole blocks, and synced.
    good: u64,
}

impl Files {
    /// When the file that is being written is complete by its age.
    fn due(&self) -> Option<Instant> {
        self.part.as_ref().and_then(|part| part.begun.checked_add(self.rotate_age))
    }

    fn part_bytes(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.good)
    }

    fn is_full(&self, now: Instant) -> bool {
        self.part_bytes() >= self.rotate_bytes || self.due().is_some_and(|due| due <= now)
    }

    /// Writes and syncs these blocks, all of them or none.
    fn write(&mut self, payloads: &[Payload], now: Instant) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut part = if let Some(part) = self.part.take() {
            part
        } else {
            let part = self.begin(now)?;
            bytes = ocf::header(self.schema, self.codec, &part.marker);
            part
        };
        for payload in payloads {
            bytes.extend_from_slice(&payload.bytes);
            bytes.extend_from_slice(&part.marker);
        }
        match part.file.write_all(&bytes).and_then(|()| part.file.sync_data()) {
            Ok(()) => {
                part.good += bytes.len() as u64;
                self.part = Some(part);
                Ok(())
            }
            Err(error) => {
                // What is good of it is kept; what follows goes into a new file.
                self.give_up(&part);
                Err(error)
            }
        }
    }

    fn begin(&mut self, now: Instant) -> io::Result<Part> {
        let name = FileName::new(SystemTime::now(), &self.boot_id, self.next);
        self.next += 1;
        let file = self.directory.begin(&name)?;
        Ok(Part { file, name, marker: ocf::new_marker(), begun: now, good: 0 })
    }

    fn give_up(&mut self, part: &Part) {
        let kept = if part.good == 0 {
            self.directory.discard(&part.name)
        } else {
            part.file.set_len(part.good).and_then(|()| self.finish(part))
        };
        self.left_behind |= kept.is_err();
    }

    /// Completes the file that is being written, if there is one. Where that fails a new one is
    /// begun all the same, for this one may be gone from its directory.
    fn complete(&mut self) -> io::Result<()> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let finished = self.finish(&part);
        if finished.is_err() {
            self.left_behind = true;
        } else if self.left_behind {
            self.directory.recover_all()?;
            self.left_behind = false;
        }
        finished
    }

    fn finish(&mut self, part: &Part) -> io::Result<()> {
        part.file.sync_all()?;
        self.directory.complete(&part.name, part.good)
    }
}

#[cfg(test)]
mod tests;
