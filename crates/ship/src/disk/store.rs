use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ledger::DropReason;
use crate::queue::Payload;
use crate::segment::{self, FILE_HEAD, Found, Head, RECORD_HEAD, Scan};
use crate::sync::random;

use super::files::{Files, Name};

/// Where a record is. In this order records were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) at: u64,
}

/// What a queue may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes: u64,
    pub(crate) age: Duration,
}

impl Bounds {
    /// A segment of this size is complete: what goes at once when the queue is full.
    fn segment_bytes(self) -> u64 {
        (self.bytes / 16).min(16 << 20)
    }

    /// A segment is complete this long after its first record: what grows old at once.
    fn segment_age(self) -> Duration {
        (self.age / 8).min(Duration::from_hours(1))
    }
}

/// What a queue held when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    /// The points that wait, with the lost ones.
    pub(crate) points: u64,
    /// Those of records with a damaged head.
    pub(crate) lost: u64,
    /// How many gaps there are.
    pub(crate) damaged: u64,
    /// How many files are of a newer version.
    pub(crate) newer_files: u64,
}

/// A segment that was given up, and the points in it that wait on disk only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) segment: u64,
    pub(crate) points: u64,
    pub(crate) reason: DropReason,
}

/// What is next in a queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Record(Place, Payload),
    /// It cannot be read; so many points are lost.
    Damaged(u64),
    /// The file is not there any more.
    Gone(Gone),
    /// Nothing waits.
    Nothing,
}

/// The segments of one queue, oldest first: written at one end, read from the other, removed when
/// every record is settled.
///
/// A record is held while somebody has it in memory; then it is not read. A record that was settled
/// or is held stays where it is; only whole segments go.
#[derive(Debug)]
pub(crate) struct Store {
    files: Files,
    bounds: Bounds,
    segments: BTreeMap<u64, Segment>,
    next_number: u64,
    writing: Option<Writing>,
    /// Everything before this is settled, held or gone.
    reading: Place,
    opened: Option<(u64, File)>,
    /// Written since it was synced, and complete.
    unsynced: Vec<File>,
    // Released at the very end.
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    name: Name,
    /// Up to here it has whole records.
    good: u64,
    /// The points of its records.
    points: u64,
    /// Those that are not settled.
    open: u64,
    /// Those that nobody holds, of these.
    unread: u64,
    held: HashSet<u64>,
    newest: Age,
}

/// An age that only the monotonic clock adds to: the wall clock may jump.
#[derive(Clone, Copy, Debug)]
struct Age {
    before: Duration,
    since: Instant,
}

impl Age {
    const NONE: Duration = Duration::ZERO;

    fn now() -> Self {
        Self { before: Self::NONE, since: Instant::now() }
    }

    /// What another process wrote in the future counts as new.
    fn of(written_ms: i64, now_ms: i64) -> Self {
        let millis = now_ms.saturating_sub(written_ms).try_into().unwrap_or(0);
        Self { before: Duration::from_millis(millis), since: Instant::now() }
    }

    fn get(self) -> Duration {
        self.before.saturating_add(self.since.elapsed())
    }
}

/// The newest segment.
#[derive(Debug)]
struct Writing {
    number: u64,
    file: File,
    begun: Instant,
    is_synced: bool,
}

impl Store {
    /// Opens or makes a queue, and looks through what is in it.
    pub(crate) fn open(files: Files, bounds: Bounds, now_ms: i64) -> io::Result<(Self, Stock)> {
        let lock = files.take()?;
        let listed = files.list()?;
        let mut store = Self {
            files,
            bounds,
            segments: BTreeMap::new(),
            next_number: listed.last_number + 1,
            writing: None,
            reading: Place { segment: 0, at: FILE_HEAD },
            opened: None,
            unsynced: Vec::new(),
            _lock: lock,
        };
        let mut stock = Stock { newer_files: listed.newer, ..Stock::default() };
        for name in listed.ours {
            match Segment::look_through(&store.files, name, now_ms, &mut stock) {
                Ok(segment) => {
                    store.segments.insert(name.number, segment);
                    store.remove_if_settled(name.number);
                }
                Err(error) => {
                    let dir = store.files.dir().display();
                    tracing::warn!(%dir, number = name.number, %error, "cannot read a queue's file, left alone");
                }
            }
        }
        Ok((store, stock))
    }

    /// The bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.good).sum()
    }

    /// The bytes of those in which something waits.
    pub(crate) fn open_bytes(&self) -> u64 {
        let open = self.segments.values().filter(|segment| segment.open > 0);
        open.map(|segment| segment.good).sum()
    }

    /// Gives up the oldest segment if there is no room for so many bytes; to be called until there
    /// is.
    pub(crate) fn make_room(&mut self, bytes: u64) -> Option<Gone> {
        let is_full = self.bytes() + RECORD_HEAD + bytes > self.bounds.bytes;
        let oldest = *self.segments.keys().next()?;
        is_full.then(|| self.give_up(oldest, DropReason::QueueFull))
    }

    /// Gives up a segment whose newest record is too old; to be called until there is none.
    pub(crate) fn expire(&mut self) -> Option<Gone> {
        let age = self.bounds.age;
        let mut old = self.segments.iter().filter(|(_, segment)| segment.newest.get() > age);
        let oldest = *old.next()?.0;
        Some(self.give_up(oldest, DropReason::QueueAge))
    }

    /// Appends a record that its writer holds.
    pub(crate) fn append(&mut self, payload: &Payload, now_ms: i64) -> io::Result<Place> {
        self.complete_if_due();
        let mut writing = match self.writing.take() {
            Some(writing) => writing,
            None => self.begin()?,
        };
        let segment = self.segments.get_mut(&writing.number);
        let segment = segment.expect("what is written is only given up after it is complete");
        // No payload has so many points that they would not fit.
        let points = u32::try_from(payload.points).unwrap_or(u32::MAX);
        let mut record = Vec::new();
        let about = (points, segment.points);
        segment::write_record(&mut record, &segment.name.marker, about, now_ms, &payload.bytes);
        let at = segment.good;
        if let Err(error) = self.files.write(&writing.file, at, &record) {
            // What cannot be cut off is a torn tail: nothing may come after it.
            if self.files.cut(&writing.file, at).is_ok() {
                self.writing = Some(writing);
            } else {
                self.unsynced.push(writing.file);
            }
            return Err(error);
        }
        segment.good += record.len() as u64;
        segment.points += payload.points;
        segment.open += payload.points;
        segment.held.insert(at);
        segment.newest = Age::now();
        writing.is_synced = false;
        let place = Place { segment: writing.number, at };
        self.writing = Some(writing);
        Ok(place)
    }

    /// Syncs what was written. What cannot be synced is not written to any more: the system tells
    /// of such an error once, and then takes the pages for clean.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for file in std::mem::take(&mut self.unsynced) {
            result = result.and(self.files.sync(&file));
        }
        if let Some(mut writing) = self.writing.take() {
            if !writing.is_synced {
                result = result.and(self.files.sync(&writing.file));
            }
            writing.is_synced = true;
            if result.is_ok() {
                self.writing = Some(writing);
            } else {
                self.remove_if_settled(writing.number);
            }
        }
        result
    }

    /// What waits on disk and nobody holds, in order; from now on the reader holds it. An error
    /// names the file.
    pub(crate) fn read(&mut self) -> io::Result<Read> {
        let Some(number) = self.turn_to_next() else { return Ok(Read::Nothing) };
        self.read_from(number).map_err(|error| match self.segments.get(&number) {
            Some(segment) => self.files.about(segment.name, &error),
            None => error,
        })
    }

    fn read_from(&mut self, number: u64) -> io::Result<Read> {
        if let Err(error) = self.open_segment(number) {
            if error.kind() == io::ErrorKind::NotFound {
                return Ok(Read::Gone(self.give_up(number, DropReason::Damaged)));
            }
            return Err(error);
        }
        let (Some(segment), Some((_, file))) = (self.segments.get(&number), &self.opened) else {
            return Ok(Read::Nothing);
        };
        let next = segment.next_waiting(file, self.reading.at)?;
        Ok(self.take(number, next))
    }

    /// Gives up the next record, which cannot be read; the whole segment, if not even its head can.
    pub(crate) fn skip(&mut self) -> Read {
        let Some(number) = self.turn_to_next() else { return Read::Nothing };
        let _ = self.open_segment(number);
        let head = match (self.segments.get(&number), &self.opened) {
            (Some(segment), Some((_, file))) => segment.next_head(file, self.reading.at),
            _ => Ok(None),
        };
        match head {
            Ok(Some(head)) => self.take(number, Some((head, None))),
            Ok(None) | Err(_) => Read::Gone(self.give_up(number, DropReason::Damaged)),
        }
    }

    /// The first segment with something to read, and the reader in it.
    fn turn_to_next(&mut self) -> Option<u64> {
        let mut segments = self.segments.range(self.reading.segment..);
        let number = *segments.find(|(_, segment)| segment.unread > 0)?.0;
        if number != self.reading.segment {
            self.reading = Place { segment: number, at: FILE_HEAD };
        }
        Some(number)
    }

    fn take(&mut self, number: u64, next: Option<(Head, Option<Bytes>)>) -> Read {
        let Some(segment) = self.segments.get_mut(&number) else { return Read::Nothing };
        let Some((head, body)) = next else {
            // No record is left, but points are: they were in damaged ones.
            let lost = std::mem::take(&mut segment.unread);
            segment.open = segment.open.saturating_sub(lost);
            self.reading.at = segment.good;
            self.remove_if_settled(number);
            return Read::Damaged(lost);
        };
        // A head that changed since it was counted cannot bring more than is there.
        let points = u64::from(head.points).min(segment.unread);
        segment.unread -= points;
        segment.held.insert(head.at);
        let place = Place { segment: number, at: head.at };
        self.reading.at = head.end();
        if let Some(bytes) = body {
            return Read::Record(place, Payload { bytes, points });
        }
        self.settle(place, points);
        Read::Damaged(points)
    }

    fn open_segment(&mut self, number: u64) -> io::Result<()> {
        if self.opened.as_ref().is_none_or(|(opened, _)| *opened != number)
            && let Some(segment) = self.segments.get(&number)
        {
            self.opened = Some((number, self.files.open(segment.name)?));
        }
        Ok(())
    }

    /// A record that was held is settled.
    pub(crate) fn settle(&mut self, place: Place, points: u64) {
        let Some(segment) = self.segments.get_mut(&place.segment) else { return };
        segment.open = segment.open.saturating_sub(points);
        if segment.open == 0 && (self.remove_if_settled(place.segment) || self.begin_again()) {
            return;
        }
        let settled = match &self.writing {
            Some(writing) if writing.number == place.segment => {
                self.files.settle(&writing.file, place.at)
            }
            Some(_) | None => self.open_segment(place.segment).and_then(|()| match &self.opened {
                Some((_, file)) => self.files.settle(file, place.at),
                None => Ok(()),
            }),
        };
        // Else it stays held, and is sent again by the next process only.
        if settled.is_ok()
            && let Some(segment) = self.segments.get_mut(&place.segment)
        {
            segment.held.remove(&place.at);
        }
    }

    /// A record that was held waits again.
    pub(crate) fn put_back(&mut self, place: Place, points: u64) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.held.remove(&place.at);
            segment.unread += points;
            self.reading = self.reading.min(place);
        }
    }

    /// Syncs everything, and removes what is not needed.
    pub(crate) fn close(mut self) -> io::Result<()> {
        let result = self.sync();
        if let Some(writing) = self.writing.take() {
            self.remove_if_settled(writing.number);
        }
        if self.segments.is_empty() {
            // Not if there is something else in it.
            let _ = std::fs::remove_dir(self.files.dir());
        }
        result
    }

    fn complete_if_due(&mut self) {
        let Some(writing) = &self.writing else { return };
        let segment = &self.segments[&writing.number];
        if segment.good >= self.bounds.segment_bytes()
            || (segment.points > 0 && writing.begun.elapsed() > self.bounds.segment_age())
        {
            self.complete();
        }
    }

    fn complete(&mut self) {
        let Some(writing) = self.writing.take() else { return };
        if !self.remove_if_settled(writing.number) && !writing.is_synced {
            self.unsynced.push(writing.file);
        }
    }

    fn begin(&mut self) -> io::Result<Writing> {
        let name = Name { number: self.next_number, marker: random().to_be_bytes() };
        let file = self.files.create(name)?;
        self.next_number += 1;
        self.segments.insert(name.number, Segment::new(name));
        Ok(Writing { number: name.number, file, begun: Instant::now(), is_synced: true })
    }

    /// Empties the newest segment, of which every record is settled: so a queue that keeps up stays
    /// as small as a flush.
    fn begin_again(&mut self) -> bool {
        let Some(writing) = &self.writing else { return false };
        let Some(segment) = self.segments.get_mut(&writing.number) else { return false };
        if self.files.cut(&writing.file, FILE_HEAD).is_err() {
            return false;
        }
        *segment = Segment::new(segment.name);
        self.reading = self.reading.min(Place { segment: writing.number, at: FILE_HEAD });
        true
    }

    fn give_up(&mut self, number: u64, reason: DropReason) -> Gone {
        if self.writing.as_ref().is_some_and(|writing| writing.number == number) {
            self.writing = None;
        }
        let points = self.segments.get(&number).map_or(0, |segment| segment.unread);
        self.remove(number);
        Gone { segment: number, points, reason }
    }

    /// Removes a segment that is complete, if no record of it is open.
    fn remove_if_settled(&mut self, number: u64) -> bool {
        let is_written = self.writing.as_ref().is_some_and(|writing| writing.number == number);
        let is_settled = self.segments.get(&number).is_some_and(|segment| segment.open == 0);
        if is_settled && !is_written {
            self.remove(number);
        }
        is_settled && !is_written
    }

    fn remove(&mut self, number: u64) {
        self.opened.take_if(|(opened, _)| *opened == number);
        if let Some(segment) = self.segments.remove(&number)
            && let Err(error) = self.files.remove(segment.name)
            && error.kind() != io::ErrorKind::NotFound
        {
            let dir = self.files.dir().display();
            tracing::warn!(%dir, number, %error, "cannot remove a queue's file; what is in it is sent again after a restart");
        }
    }
}

impl Segment {
    fn new(name: Name) -> Self {
        Self {
            name,
            good: FILE_HEAD,
            points: 0,
            open: 0,
            unread: 0,
            held: HashSet::new(),
            newest: Age::now(),
        }
    }

    /// Takes stock of a file that an earlier process left.
    fn look_through(files: &Files, name: Name, now_ms: i64, stock: &mut Stock) -> io::Result<Self> {
        let mut segment = Self::new(name);
        let mut newest_ms = None;
        let mut scan = Scan::new(files.open(name)?, name.marker)?;
        while let Some(found) = scan.next()? {
            match found {
                Found::Record(head) => {
                    newest_ms = newest_ms.max(Some(head.written_ms));
                    if !head.is_settled {
                        segment.open += u64::from(head.points);
                    }
                }
                Found::Damaged { points, .. } => {
                    stock.damaged += 1;
                    stock.points += points;
                    stock.lost += points;
                }
            }
        }
        segment.good = scan.at();
        segment.unread = segment.open;
        stock.points += segment.open;
        segment.newest = newest_ms.map_or(Age::now(), |written| Age::of(written, now_ms));
        Ok(segment)
    }

    /// The first record from here on that is neither settled nor held, and its body if that is good.
    fn next_waiting(&self, file: &File, from: u64) -> io::Result<Option<(Head, Option<Bytes>)>> {
        let Some(head) = self.next_head(file, from)? else { return Ok(None) };
        let body = Scan::between(file, self.name.marker, head.at, self.good).body(&head)?;
        Ok(Some((head, body)))
    }

    fn next_head(&self, file: &File, from: u64) -> io::Result<Option<Head>> {
        let mut scan = Scan::between(file, self.name.marker, from, self.good);
        while let Some(found) = scan.next()? {
            match found {
                Found::Record(head) if !head.is_settled && !self.held.contains(&head.at) => {
                    return Ok(Some(head));
                }
                Found::Record(_) | Found::Damaged { .. } => {}
            }
        }
        Ok(None)
    }
}
