use std::fs;
use std::path::Path;

use super::*;
use crate::ledger::DropReason;
use crate::read::Reader;

const BOOT: &str = "00c0ffee00c0ffee";

/// A payload of one block: one metric list without points, whose topic is this number.
fn payload(number: u64) -> Payload {
    let topic = format!("{number:04}");
    let body = [&[8], topic.as_bytes(), &[0, 0]].concat();
    let mut bytes = Vec::new();
    ocf::write_block(&mut bytes, 1, &body);
    Payload { bytes: bytes.into(), points: 1 }
}

fn config(dir: &Path) -> OutputConfig {
    OutputConfig {
        schema: Schema::MetricList,
        codec: Codec::Null,
        ..OutputConfig::new(format!("file:{}", dir.display()).parse().unwrap())
    }
}

fn open(config: &OutputConfig, dir: &Path, boot_id: &str) -> (FileSink, Arc<Account>) {
    let account = Arc::new(Account::new("o".into(), true));
    account.offer(1000);
    let queue = Arc::new(Queue::new(1 << 20, Arc::clone(&account)));
    let sink = FileSink::open(config, dir.into(), boot_id, queue, Arc::clone(&account)).unwrap();
    (sink, account)
}

fn names(dir: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

/// The topics of all complete files, each file read to its very end.
fn topics(dir: &Path) -> Vec<String> {
    let mut topics = Vec::new();
    for name in names(dir, ".avro") {
        let mut reader = Reader::open(File::open(dir.join(name)).unwrap()).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            topics.extend(block.map(|line| line.unwrap()[10..14].to_owned()));
        }
    }
    topics.sort();
    topics
}

#[test]
fn a_file_is_a_part_until_its_age_completes_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, account) = open(&config(dir.path()), dir.path(), BOOT);
    assert_eq!(sink.files.due(), None);
    sink.write(payload(0)).unwrap();
    sink.write(payload(1)).unwrap();
    let begun = sink.files.part.as_ref().unwrap().begun;
    assert_eq!(sink.files.due(), Some(begun + Duration::from_secs(30)));
    assert!(!sink.files.is_full(begun + Duration::from_millis(29_999)));
    assert!(sink.files.is_full(begun + Duration::from_secs(30)));
    assert_eq!(names(dir.path(), ".part").len(), 1);
    assert_eq!(names(dir.path(), ".avro").len(), 0);

    sink.files.complete().unwrap();
    assert_eq!(names(dir.path(), "").len(), 1);
    let name = &names(dir.path(), ".avro")[0];
    assert!(name.starts_with("20") && name.ends_with("Z-00c0ffee00c0ffee-0.avro"), "{name}");
    assert_eq!(topics(dir.path()), ["0000", "0001"]);
    assert_eq!(account.ledger().acknowledged, 2);
    assert_eq!(sink.files.due(), None);
    sink.files.complete().unwrap();
    assert_eq!(names(dir.path(), "").len(), 1, "no points, no file");
}

#[test]
fn a_file_is_complete_when_it_has_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let config = OutputConfig { rotate_bytes: 700, ..config(dir.path()) };
    let (mut sink, _) = open(&config, dir.path(), BOOT);
    for number in 0..9 {
        sink.write(payload(number)).unwrap();
    }
    assert_eq!(names(dir.path(), ".avro").len(), 2);
    assert_eq!(names(dir.path(), ".part").len(), 1);
    sink.files.complete().unwrap();
    assert_eq!(topics(dir.path()).len(), 9);
}

#[test]
fn a_running_sink_completes_by_age_without_new_points_and_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = OutputConfig { rotate_age: Duration::from_millis(1), ..config(dir.path()) };
    let (sink, account) = open(&config, dir.path(), BOOT);
    let queue = Arc::clone(&sink.queue);
    let running = std::thread::spawn(move || sink.run());
    queue.push(payload(0));
    while names(dir.path(), ".avro").is_empty() {
        std::thread::yield_now();
    }
    queue.push(payload(1));
    queue.close();
    running.join().unwrap();
    assert_eq!(topics(dir.path()), ["0000", "0001"]);
    assert_eq!(names(dir.path(), ".part").len(), 0);
    assert_eq!(account.ledger().acknowledged, 2);
}

#[test]
fn what_a_killed_process_left_is_completed_to_its_last_whole_block_wherever_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, _) = open(&config(dir.path()), dir.path(), BOOT);
    sink.write(payload(0)).unwrap();
    let first = sink.files.part_bytes() as usize;
    sink.write(payload(1)).unwrap();
    let name = sink.files.part.as_ref().unwrap().name.to_string();
    let whole = fs::read(dir.path().join(format!("{name}.part"))).unwrap();

    for cut in 0..=whole.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("{name}.part")), &whole[..cut]).unwrap();
        open(&config(dir.path()), dir.path(), BOOT);
        if cut < first {
            assert_eq!(names(dir.path(), ""), [format!("{name}.bad")], "cut at {cut}");
        } else {
            assert_eq!(names(dir.path(), ""), [format!("{name}.avro")], "cut at {cut}");
            let blocks = if cut == whole.len() { 2 } else { 1 };
            assert_eq!(topics(dir.path()).len(), blocks, "cut at {cut}");
        }
    }
}

#[test]
fn a_part_that_another_process_writes_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, _) = open(&config(dir.path()), dir.path(), BOOT);
    sink.write(payload(0)).unwrap();
    let (mut other, _) = open(&config(dir.path()), dir.path(), "0123456789abcdef");
    other.write(payload(1)).unwrap();
    sink.write(payload(2)).unwrap();
    sink.files.complete().unwrap();
    other.files.complete().unwrap();
    assert_eq!(topics(dir.path()), ["0000", "0001", "0002"]);
}

#[test]
fn the_oldest_files_go_when_the_directory_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mine = dir.path().join("notes.avro");
    fs::write(&mine, [0; 5000]).unwrap();
    let config = OutputConfig { rotate_bytes: 1, max_bytes: 3000, ..config(dir.path()) };
    let (mut sink, account) = open(&config, dir.path(), BOOT);
    for number in 0..9 {
        let done = sink.write(payload(number));
        sink.settle(done);
    }
    assert_eq!(account.ledger().removed_files, 5);
    assert_eq!(names(dir.path(), "-0.avro").len(), 0);
    assert_eq!(names(dir.path(), "c0ffee-8.avro").len(), 1);
    drop(sink);

    let (mut sink, account) =
        open(&OutputConfig { max_files: 2, ..config }, dir.path(), "0123456789abcdef");
    sink.settle(Ok(()));
    assert_eq!(account.ledger().removed_files, 2);
    fs::remove_file(mine).unwrap();
    assert_eq!(topics(dir.path()), ["0007", "0008"]);
}

#[test]
fn files_that_others_removed_cost_no_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = OutputConfig { rotate_bytes: 1, max_files: 4, ..config(dir.path()) };
    let (mut sink, account) = open(&config, dir.path(), BOOT);
    for number in 0..4 {
        sink.write(payload(number)).unwrap();
    }
    for name in &names(dir.path(), ".avro")[..2] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let done = sink.write(payload(4));
    sink.settle(done);
    assert_eq!(account.ledger().removed_files, 0);
    assert_eq!(topics(dir.path()), ["0002", "0003", "0004"]);
}

#[test]
fn a_block_that_was_half_written_is_cut_off_and_written_again_into_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, account) = open(&config(dir.path()), dir.path(), BOOT);
    sink.write(payload(0)).unwrap();
    let part = sink.files.part.take().unwrap();
    (&part.file).write_all(&payload(1).bytes).unwrap();
    sink.files.give_up(&part);
    drop(part);
    sink.write(payload(1)).unwrap();
    sink.files.complete().unwrap();
    assert_eq!(names(dir.path(), ".avro").len(), 2);
    assert_eq!(topics(dir.path()), ["0000", "0001"]);
    assert_eq!(account.ledger().acknowledged, 2);
}

#[test]
fn a_failing_disk_loses_nothing_until_the_queue_is_full_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, account) = open(&config(dir.path()), dir.path(), BOOT);
    sink.write(payload(0)).unwrap();
    // From here on every write to the file fails, and so does every repair of it.
    let part = sink.files.part.as_mut().unwrap();
    let path = dir.path().join(format!("{}.part", part.name));
    let written = std::mem::replace(&mut part.file, File::open(path).unwrap());
    drop(written);
    sink.queue.push(payload(2));
    sink.write(payload(1)).unwrap_err();
    assert_eq!(account.ledger().acknowledged, 1);
    assert_eq!(names(dir.path(), ".part").len(), 1);
    for _ in 0..2 {
        let bytes = vec![0; 600 << 10];
        sink.queue.push(Payload { bytes: bytes.into(), points: 10 });
    }
    assert_eq!(account.ledger().dropped.get(DropReason::WriteFailed), 12);

    // The disk works again.
    assert!(matches!(sink.queue.try_take(), Next::Payload(_)));
    sink.write(payload(3)).unwrap();
    sink.files.complete().unwrap();
    assert_eq!(names(dir.path(), ".part").len(), 0, "what was left behind is completed");
    assert_eq!(topics(dir.path()), ["0000", "0003"]);
}

#[test]
fn a_directory_that_is_gone_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let points = dir.path().join("points");
    let (mut sink, account) = open(&config(&points), &points, BOOT);
    sink.write(payload(0)).unwrap();
    fs::remove_dir_all(&points).unwrap();
    assert!(sink.files.complete().is_err());
    sink.write(payload(1)).unwrap();
    sink.files.complete().unwrap();
    assert_eq!(topics(&points), ["0001"]);
    assert_eq!(account.ledger().acknowledged, 2);
}

#[test]
fn a_directory_that_cannot_be_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let account = Arc::new(Account::new("o".into(), true));
    let queue = Arc::new(Queue::new(1 << 20, Arc::clone(&account)));
    assert!(FileSink::open(&config(&file), file.clone(), BOOT, queue, account).is_err());
}
