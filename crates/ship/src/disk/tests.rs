use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::files::Step;
use super::files::faults::Faults;
use super::*;
use crate::lanes::Taken;
use crate::segment::{FILE_HEAD, RECORD_HEAD};
use crate::{DropReason, OutputLedger};

const BOUNDS: Bounds = Bounds { bytes: 1 << 20, age: Duration::from_hours(1) };

fn payload(points: u64) -> Payload {
    Payload { bytes: format!("body {points:03}").into_bytes().into(), points }
}

/// The bytes of a record of such a payload.
const RECORD: u64 = RECORD_HEAD + 8;

fn open(dir: &Path, bounds: Bounds) -> (Store, Stock) {
    Store::open(Files::new(dir.to_owned()), bounds, now_ms()).unwrap()
}

/// A queue of these payloads, each of them with nobody.
fn filled(dir: &Path, bounds: Bounds, points: &[u64]) -> Store {
    let (mut store, _) = open(dir, bounds);
    for points in points {
        let place = store.append(&payload(*points), now_ms()).unwrap();
        store.put_back(place, *points);
    }
    store
}

/// The points of everything that can be read, each settled; `None` where something is damaged.
fn drain(store: &mut Store) -> Vec<Option<u64>> {
    let mut read = Vec::new();
    loop {
        match store.read().unwrap() {
            Read::Record(place, body) => {
                assert_eq!(body, payload(body.points));
                store.settle(place, body.points);
                read.push(Some(body.points));
            }
            Read::Damaged(_) => read.push(None),
            Read::Gone(gone) => panic!("{gone:?}"),
            Read::Nothing => return read,
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn change(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn what_is_put_back_is_read_in_order_and_what_is_settled_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, stock) = open(dir.path(), BOUNDS);
    assert_eq!(stock, Stock::default());
    let places: Vec<_> = (1..=5).map(|n| store.append(&payload(n), now_ms()).unwrap()).collect();
    assert_eq!(store.read().unwrap(), Read::Nothing, "its writer has it all");
    store.settle(places[1], 2);
    store.put_back(places[3], 4);
    assert_eq!(store.read().unwrap(), Read::Record(places[3], payload(4)));
    store.put_back(places[0], 1);
    store.put_back(places[3], 4);
    assert_eq!(drain(&mut store), [Some(1), Some(4)]);
}

#[test]
fn a_later_process_finds_what_was_not_settled() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), BOUNDS, &[1, 2, 3]);
    let Read::Record(place, _) = store.read().unwrap() else { panic!("there are three") };
    store.settle(place, 1);
    drop(store);
    let (mut store, stock) = open(dir.path(), BOUNDS);
    assert_eq!(stock, Stock { points: 5, ..Stock::default() });
    store.append(&payload(9), now_ms()).unwrap();
    assert_eq!(files(dir.path()).len(), 2, "nobody writes to another's file");
    assert_eq!(drain(&mut store), [Some(2), Some(3)]);
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn one_directory_is_one_queues_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), BOUNDS);
    let second = Store::open(Files::new(dir.path().to_owned()), BOUNDS, now_ms());
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(store);
    open(dir.path(), BOUNDS);
}

#[test]
fn a_delivered_queue_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let queue = dir.path().join("queue");
    let mut store = filled(&queue, BOUNDS, &[1]);
    drain(&mut store);
    store.close().unwrap();
    assert!(!queue.exists());

    let store = filled(&queue, BOUNDS, &[1]);
    store.close().unwrap();
    assert_eq!(files(&queue).len(), 1);
}

#[test]
fn a_queue_that_keeps_up_stays_as_small_as_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), BOUNDS);
    for flush in 0..10 {
        let places = [1, 2].map(|n| store.append(&payload(n), now_ms()).unwrap());
        store.sync().unwrap();
        assert_eq!(store.open_bytes(), FILE_HEAD + 2 * RECORD, "{flush}");
        store.settle(places[1], 2);
        store.put_back(places[0], 1);
        assert_eq!(drain(&mut store), [Some(1)]);
        assert_eq!(store.open_bytes(), 0);
        let file = &files(dir.path())[0];
        assert_eq!(file.metadata().unwrap().len(), FILE_HEAD);
    }
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn a_full_queue_gives_up_its_oldest_segment_and_stays_within_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { bytes: 16 * 3 * RECORD, ..BOUNDS };
    let (mut store, _) = open(dir.path(), bounds);
    let mut gone = Vec::new();
    for n in 1..=50 {
        while let Some(segment) = store.make_room(8) {
            gone.push(segment);
        }
        let place = store.append(&payload(n), now_ms()).unwrap();
        store.put_back(place, n);
        let on_disk: u64 =
            files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
        assert_eq!(on_disk, store.bytes());
        assert!(on_disk <= bounds.bytes, "{on_disk}");
    }
    assert!(gone.iter().all(|gone| gone.reason == DropReason::QueueFull));
    let given_up: u64 = gone.iter().map(|gone| gone.points).sum();
    let left: Vec<_> = drain(&mut store).into_iter().map(Option::unwrap).collect();
    assert_eq!(given_up + left.iter().sum::<u64>(), (1..=50).sum::<u64>());
    assert_eq!(left, (left[0]..=50).collect::<Vec<_>>());
    assert!(left.len() > 35, "{left:?}");
}

#[test]
fn a_segment_that_is_too_old_is_given_up_whoever_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), BOUNDS);
    let written = now_ms() - 3_700_000;
    let place = store.append(&payload(7), written).unwrap();
    store.put_back(place, 7);
    assert_eq!(store.expire(), None, "the wall clock may have jumped since");
    drop(store);
    let (mut store, _) = open(dir.path(), BOUNDS);
    let gone = Gone { segment: place.segment, points: 7, reason: DropReason::QueueAge };
    assert_eq!(store.expire(), Some(gone));
    assert_eq!(store.expire(), None);
    drop(store);

    let store = filled(dir.path(), BOUNDS, &[1]);
    drop(store);
    let earlier = Store::open(Files::new(dir.path().to_owned()), BOUNDS, now_ms() - 10_000_000);
    assert_eq!(earlier.unwrap().0.expire(), None, "what is of the future is new");
}

#[test]
fn a_damaged_record_is_skipped_and_counted_and_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    // In its body; and in its head, which is found when the queue is opened.
    for (at, lost) in [(RECORD_HEAD + 2, 0), (10, 2)] {
        let queue = dir.path().join(at.to_string());
        drop(filled(&queue, BOUNDS, &[1, 2, 3]));
        change(&files(&queue)[0], FILE_HEAD + RECORD + at, b"?");
        let (mut store, stock) = open(&queue, BOUNDS);
        assert_eq!(stock, Stock { points: 6, lost, damaged: lost.min(1), newer_files: 0 });
        let damaged: &[Option<u64>] = if lost == 0 { &[None] } else { &[] };
        assert_eq!(drain(&mut store), [&[Some(1)], damaged, &[Some(3)]].concat());
        store.close().unwrap();
        assert!(!queue.exists(), "what is damaged is settled");
    }
}

#[test]
fn a_head_that_is_damaged_while_the_queue_runs_is_counted_when_it_is_passed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), BOUNDS, &[1, 2, 3]);
    change(&files(dir.path())[0], FILE_HEAD + RECORD + 10, b"?");
    let Read::Record(..) = store.read().unwrap() else { panic!("the first is whole") };
    let Read::Record(..) = store.read().unwrap() else { panic!("the third is whole") };
    assert_eq!(store.read().unwrap(), Read::Damaged(2));
    assert_eq!(store.read().unwrap(), Read::Nothing);
}

#[test]
fn a_torn_tail_is_normal() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), BOUNDS, &[1, 2]));
    let file = &files(dir.path())[0];
    OpenOptions::new().write(true).open(file).unwrap().set_len(FILE_HEAD + RECORD + 20).unwrap();
    let (mut store, stock) = open(dir.path(), BOUNDS);
    assert_eq!(stock, Stock { points: 1, ..Stock::default() });
    assert_eq!(drain(&mut store), [Some(1)]);
    store.close().unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_newer_versions_file_is_set_aside_until_it_is_not_newer() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), BOUNDS, &[1]));
    let file = files(dir.path()).remove(0);
    let ours = fs::read(&file).unwrap();
    let mut newer = ours.clone();
    newer[8] += 1;
    let check = crc32fast::hash(&newer[..12]);
    newer[12..16].copy_from_slice(&check.to_le_bytes());
    fs::write(&file, &newer).unwrap();
    for _ in 0..2 {
        let (mut store, stock) = open(dir.path(), BOUNDS);
        assert_eq!(stock, Stock { newer_files: 1, ..Stock::default() });
        assert_eq!(drain(&mut store), []);
        let aside = files(dir.path()).remove(0);
        assert!(aside.to_str().unwrap().ends_with(".segment.newer"), "{aside:?}");
        assert_eq!(fs::read(&aside).unwrap(), newer);
        let place = store.append(&payload(5), now_ms()).unwrap();
        store.settle(place, 5);
        store.close().unwrap();
    }
    fs::write(files(dir.path()).remove(0), ours).unwrap();
    let (mut store, _) = open(dir.path(), BOUNDS);
    assert_eq!(drain(&mut store), [Some(1)]);
}

#[test]
fn files_of_others_and_files_that_cannot_be_read_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), BOUNDS, &[1]));
    let others =
        ["note", "x-y.segment", "0-0.segment", "ffffffffffffffff-0000000000000000.segment"];
    for name in others {
        fs::write(dir.path().join(name), "something").unwrap();
    }
    fs::create_dir(dir.path().join("0000000000000009-0000000000000000.segment")).unwrap();
    let (mut store, stock) = open(dir.path(), BOUNDS);
    assert_eq!(stock.points, 1);
    assert_eq!(drain(&mut store), [Some(1)]);
    store.close().unwrap();
    assert_eq!(files(dir.path()).len(), 5);
}

#[test]
fn a_file_that_is_removed_under_us_costs_what_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), BOUNDS, &[1, 2]);
    fs::remove_dir_all(dir.path()).unwrap();
    let Read::Gone(gone) = store.read().unwrap() else { panic!("its file is gone") };
    assert_eq!((gone.points, gone.reason), (3, DropReason::Damaged));
    store.append(&payload(4), now_ms()).unwrap();
}

/// A queue on a disk that fails where a test says so, with its thread.
struct Queue {
    lanes: Arc<Lanes>,
    account: Arc<Account>,
    faults: Faults,
    thread: JoinHandle<()>,
}

impl Queue {
    fn start(dir: &Path, faults: &[Step]) -> Self {
        Self::bounded(dir, BOUNDS, faults)
    }

    fn bounded(dir: &Path, bounds: Bounds, steps: &[Step]) -> Self {
        let account = Arc::new(Account::new("o".into(), true));
        let lanes = Lanes::new(bounds.bytes, bounds.age, true, Arc::clone(&account));
        let lanes = Arc::new(lanes);
        let files = Files::new(dir.to_owned());
        let faults = files.faults.clone();
        faults.set(steps);
        let mut disk = Disk::new(files, bounds, Arc::clone(&lanes), Arc::clone(&account));
        let millisecond = Duration::from_millis(1);
        let quick = Retry { first: millisecond, most: millisecond, ..RETRY };
        (disk.writes, disk.reads) = (Attempts::new(quick), Attempts::new(quick));
        let thread = std::thread::spawn(move || disk.run());
        Self { lanes, account, faults, thread }
    }

    fn push(&self, points: u64) {
        self.account.offer(points);
        self.lanes.push(payload(points));
        self.lanes.end_flush();
    }

    fn live(&self) -> Taken {
        self.until(Lanes::take_live)
    }

    fn backlog(&self) -> Taken {
        self.until(Lanes::take_backlog)
    }

    fn until<T>(&self, mut some: impl FnMut(&Lanes) -> Option<T>) -> T {
        loop {
            self.adds_up();
            if let Some(it) = some(&self.lanes) {
                return it;
            }
            std::thread::yield_now();
        }
    }

    fn when(&self, so: impl Fn(&OutputLedger) -> bool) -> OutputLedger {
        self.until(|_| Some(self.account.ledger()).filter(&so))
    }

    fn adds_up(&self) {
        let ledger = self.account.ledger();
        let settled = ledger.acknowledged + ledger.queued + ledger.dropped.total();
        assert_eq!(ledger.offered, settled, "{ledger:?}");
    }

    /// Ends as after a stop; the points that are kept.
    fn stop(self) -> u64 {
        self.lanes.close();
        self.lanes.leave();
        self.thread.join().unwrap();
        self.lanes.abandon()
    }
}

#[test]
fn what_one_process_leaves_the_next_one_delivers() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::start(dir.path(), &[]);
    (1..=4).for_each(|n| queue.push(n));
    let first = queue.live();
    queue.lanes.acknowledge(&first);
    let second = queue.live();
    queue.lanes.put_back(second);
    queue.lanes.fall_behind();
    let second = queue.backlog();
    assert_eq!(second.payload, payload(2));
    assert_eq!(queue.stop(), 2 + 3 + 4);

    let queue = Queue::start(dir.path(), &[]);
    let ledger = queue.when(|ledger| ledger.recovered > 0);
    assert_eq!((ledger.offered, ledger.recovered, ledger.queued), (9, 9, 9));
    queue.push(5);
    let live = queue.live();
    assert_eq!(live.payload, payload(5), "what comes goes before it");
    queue.lanes.acknowledge(&live);
    for n in 2..=4 {
        let taken = queue.backlog();
        assert_eq!(taken.payload, payload(n));
        queue.lanes.acknowledge(&taken);
    }
    queue.when(|ledger| ledger.acknowledged == 14);
    assert_eq!(queue.stop(), 0);
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    assert!(!dir.path().exists());
}

#[test]
fn a_disk_that_fails_at_any_step_costs_nothing_and_is_used_again_when_it_works() {
    for step in [Step::Directory, Step::List, Step::Create, Step::Write, Step::Cut, Step::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue");
        let faults: &[Step] = if step == Step::Cut { &[Step::Write, Step::Cut] } else { &[step] };
        let queue = Queue::start(&path, faults);
        queue.push(1);
        let ledger = queue.when(|ledger| ledger.queue_degraded);
        assert!(ledger.last_error.unwrap().contains(&path.display().to_string()));
        // From memory, if it was not written.
        let taken = queue.live();
        queue.lanes.put_back(taken);
        queue.lanes.fall_behind();
        queue.push(2);
        queue.push(4);
        let live = queue.live();
        queue.lanes.acknowledge(&live);

        queue.faults.set(&[]);
        queue.push(8);
        queue.when(|ledger| !ledger.queue_degraded);
        let ledger = queue.when(|_| true);
        assert_eq!((ledger.dropped.total(), ledger.queued), (0, 13), "{step:?}");
        assert_eq!(queue.stop(), 13, "{step:?}");
        let queue = Queue::start(&path, &[]);
        assert_eq!(queue.when(|ledger| ledger.recovered > 0).recovered, 13, "{step:?}");
        let mut read = [0; 3].map(|_| queue.backlog().payload.points);
        read.sort_unstable();
        assert_eq!(read, [1, 4, 8], "{step:?}");
        queue.stop();
    }
}

#[test]
fn what_could_not_be_synced_is_not_taken_for_safe() {
    let dir = tempfile::tempdir().unwrap();
    let account = Arc::new(Account::new("o".into(), true));
    let lanes = Arc::new(Lanes::new(BOUNDS.bytes, BOUNDS.age, true, Arc::clone(&account)));
    let files = Files::new(dir.path().to_owned());
    let faults = files.faults.clone();
    let mut disk = Disk::new(files, BOUNDS, Arc::clone(&lanes), account);
    disk.open();
    let store = disk.store.as_mut().unwrap();
    for (number, step, safe) in [(0, None, 1), (1, Some(Step::Sync), 0), (2, None, 0)] {
        lanes.push(payload(1));
        save(store, &lanes, number, &payload(1)).unwrap();
        faults.set(step.as_slice());
        assert_eq!(sync(store, &lanes).is_ok(), step.is_none());
        assert_eq!(lanes.synced_points(), safe);
    }
}

#[test]
fn a_disk_that_is_full_halfway_costs_nothing_that_is_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::start(dir.path(), &[]);
    queue.push(1);
    queue.live();
    queue.faults.set(&[Step::Create, Step::Write, Step::Cut, Step::Sync]);
    queue.push(2);
    queue.when(|ledger| ledger.queue_degraded);
    let second = queue.live();
    assert_eq!(second.payload, payload(2), "it goes from memory");
    queue.lanes.acknowledge(&second);
    queue.push(4);
    queue.faults.set(&[]);
    queue.when(|ledger| !ledger.queue_degraded);
    assert_eq!(queue.stop(), 1 + 4);
    let (mut store, stock) = open(dir.path(), BOUNDS);
    assert_eq!(stock, Stock { points: 5, ..Stock::default() });
    assert_eq!(drain(&mut store), [Some(1), Some(4)]);
}

#[test]
fn what_cannot_be_marked_or_removed_is_not_sent_twice_by_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::start(dir.path(), &[Step::Settle, Step::Cut, Step::Remove]);
    for n in 1..=3 {
        queue.push(n);
    }
    for _ in 0..2 {
        let taken = queue.live();
        queue.lanes.acknowledge(&taken);
    }
    let third = queue.live();
    queue.lanes.put_back(third);
    queue.lanes.fall_behind();
    let third = queue.backlog();
    assert_eq!(third.payload, payload(3));
    queue.lanes.acknowledge(&third);
    assert_eq!(queue.when(|ledger| ledger.queued == 0).acknowledged, 6);
    assert_eq!(queue.stop(), 0);
    // At least once: the next process cannot know.
    assert_eq!(open(dir.path(), BOUNDS).1.points, 6);
}

#[test]
fn a_backlog_that_cannot_be_read_waits_and_is_given_up_only_after_many_attempts() {
    for works_again in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), BOUNDS, &[1, 2]));
        let account = Arc::new(Account::new("o".into(), true));
        let lanes = Lanes::new(BOUNDS.bytes, BOUNDS.age, true, Arc::clone(&account));
        let lanes = Arc::new(lanes);
        let queue = Files::new(dir.path().to_owned());
        let faults = queue.faults.clone();
        let mut disk = Disk::new(queue, BOUNDS, Arc::clone(&lanes), Arc::clone(&account));
        disk.open();
        faults.set(&[Step::Open]);
        for attempt in 1..READS_MOST {
            disk.read();
            assert_eq!(disk.reads.failures, attempt);
            assert!(disk.reads.next.is_some_and(|next| next > Instant::now()));
        }
        let ledger = account.ledger();
        assert!(!ledger.queue_degraded, "what comes is still kept on disk");
        let file = files(dir.path())[0].display().to_string();
        let error = ledger.last_error.unwrap();
        assert!(error.contains(&file) && error.contains("no Open"), "{error}");
        assert_eq!(ledger.queued, 3);
        if works_again {
            faults.set(&[]);
        }
        disk.read();
        let ledger = account.ledger();
        assert_eq!(disk.reads.failures, 0, "it goes on");
        let read = lanes.take_backlog().map(|taken| taken.payload);
        assert_eq!(read, works_again.then(|| payload(1)));
        assert_eq!(ledger.dropped.get(DropReason::Damaged), if works_again { 0 } else { 3 });
    }
}

#[test]
fn a_record_that_is_skipped_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), BOUNDS, &[1, 2, 3]);
    assert_eq!(store.skip(), Read::Damaged(1), "nothing was opened, but the head can be read");
    assert_eq!(drain(&mut store), [Some(2), Some(3)]);
}

#[test]
fn a_queue_that_is_full_drops_its_oldest_and_every_reading_adds_up() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { bytes: 16 * 3 * RECORD, ..BOUNDS };
    let queue = Queue::bounded(dir.path(), bounds, &[]);
    let mut acknowledged = 0;
    for n in 1..=300 {
        queue.push(n);
        queue.adds_up();
        if n % 7 == 0 {
            let taken = queue.live();
            acknowledged += taken.payload.points;
            queue.lanes.acknowledge(&taken);
        }
        if n % 11 == 0 {
            queue.lanes.fall_behind();
        }
    }
    queue.lanes.fall_behind();
    let mut last = 0;
    while last != 300 {
        let taken = queue.backlog();
        acknowledged += taken.payload.points;
        last = taken.payload.points;
        queue.lanes.acknowledge(&taken);
        queue.adds_up();
    }
    let ledger = queue.when(|ledger| ledger.queued == 0);
    assert_eq!(ledger.acknowledged, acknowledged);
    assert!(ledger.dropped.get(DropReason::QueueFull) > 0);
    assert_eq!(queue.stop(), 0);
}

#[test]
fn damage_is_counted_once_and_the_account_adds_up() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), BOUNDS, &[1, 2, 4, 8]));
    let file = &files(dir.path())[0];
    change(file, FILE_HEAD + RECORD + 9, b"?");
    change(file, FILE_HEAD + 2 * RECORD + RECORD_HEAD, b"?");
    let queue = Queue::start(dir.path(), &[]);
    for points in [1, 8] {
        let taken = queue.backlog();
        assert_eq!(taken.payload, payload(points));
        queue.lanes.acknowledge(&taken);
    }
    let ledger = queue.when(|ledger| ledger.queued == 0);
    assert_eq!((ledger.recovered, ledger.acknowledged, ledger.damaged_records), (15, 9, 2));
    assert_eq!(ledger.dropped.get(DropReason::Damaged), 6);
    assert_eq!(queue.stop(), 0);
}

#[test]
fn what_is_too_old_at_the_start_is_not_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), BOUNDS);
    store.append(&payload(3), now_ms() - 3_700_000).unwrap();
    drop(store);
    let queue = Queue::start(dir.path(), &[]);
    let ledger = queue.when(|ledger| ledger.recovered == 3 && ledger.queued == 0);
    assert_eq!(ledger.dropped.get(DropReason::QueueAge), 3);
    assert_eq!(queue.stop(), 0);
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::start(dir.path(), &[Step::Write]);
    queue.push(1);
    queue.when(|ledger| ledger.queue_degraded);
    assert_eq!(queue.lanes.abandon(), 0);
    queue.thread.join().unwrap();
    assert_eq!(queue.account.close(0), Some(1));
}
