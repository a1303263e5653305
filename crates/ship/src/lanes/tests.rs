use super::*;
use crate::disk::{Gone, Place, Stock};

const AGE: Duration = Duration::from_hours(1);

fn lanes(bytes: u64, on_disk: bool) -> (Arc<Account>, Lanes) {
    let account = Arc::new(Account::new("o".into(), true));
    account.offer(1_000);
    (Arc::clone(&account), Lanes::new(bytes, AGE, on_disk, account))
}

fn payload(points: u64) -> Payload {
    sized(points, 4)
}

fn sized(points: u64, bytes: usize) -> Payload {
    Payload { bytes: vec![0; bytes].into(), points }
}

fn points(taken: Option<Taken>) -> Option<u64> {
    taken.map(|taken| taken.payload.points)
}

fn dropped(account: &Account, reason: DropReason) -> u64 {
    account.ledger().dropped.get(reason)
}

fn at(at: u64) -> Place {
    Place { segment: 1, at }
}

/// What the disk's thread is told to do at once; `None` if it would wait.
fn job(lanes: &Lanes) -> Option<Job> {
    let due = Due { is_open: true, ..Due::default() };
    let mut state = lock(&lanes.state);
    state.job(&due, Instant::now())
}

/// Does as the disk's thread does when there is something to save; returns where it went.
fn save(lanes: &Lanes, place: u64) -> Place {
    let Some(Job::Save(number, payload)) = job(lanes) else { panic!("nothing is to be saved") };
    lanes.saved(number, at(place), &payload);
    at(place)
}

fn opened(bytes: u64) -> (Arc<Account>, Lanes) {
    let (account, lanes) = lanes(bytes, true);
    lanes.opened(Stock::default());
    lanes.read(None);
    (account, lanes)
}

#[test]
fn what_waits_when_an_attempt_fails_is_backlog_and_what_comes_then_goes_first() {
    let (_, lanes) = lanes(1 << 20, false);
    (1..=3).for_each(|n| lanes.push(payload(n)));
    let failed = lanes.take_live().unwrap();
    lanes.put_back(failed);
    lanes.fall_behind();
    (4..=5).for_each(|n| lanes.push(payload(n)));
    assert_eq!(points(lanes.take_live()), Some(4));
    assert_eq!(points(lanes.take_backlog()), Some(1));
    assert_eq!(points(lanes.take_live()), Some(5));
    assert_eq!(points(lanes.take_live()), None);
    assert_eq!(points(lanes.take_backlog()), Some(2));
    assert_eq!(points(lanes.take_backlog()), Some(3));
    assert_eq!(points(lanes.take_backlog()), None);
}

#[test]
fn the_backlog_keeps_its_order_whatever_is_put_back() {
    let (_, lanes) = lanes(1 << 20, false);
    (1..=6).for_each(|n| lanes.push(payload(n)));
    let first: Vec<_> = (0..3).filter_map(|_| lanes.take_live()).collect();
    lanes.fall_behind();
    for taken in first {
        lanes.put_back(taken);
    }
    let order: Vec<_> = std::iter::from_fn(|| points(lanes.take_backlog())).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_has_waited_through_a_whole_flush_is_backlog() {
    let (_, lanes) = lanes(1 << 20, false);
    for n in 1..=3 {
        lanes.push(payload(n));
        lanes.end_flush();
        for entry in &mut lock(&lanes.state).live {
            entry.came = entry.came.checked_sub(LIVE_LEAST).unwrap();
        }
    }
    // The first was there at the end of the second flush, and so it was at that of the third.
    lanes.push(payload(4));
    assert_eq!(points(lanes.take_live()), Some(3));
    assert_eq!(points(lanes.take_live()), Some(4));
    assert_eq!(points(lanes.take_backlog()), Some(1));
    assert_eq!(points(lanes.take_backlog()), Some(2));

    // Ends of single sources come in quick succession.
    lanes.push(payload(5));
    (0..10).for_each(|_| lanes.end_flush());
    assert_eq!(points(lanes.take_live()), Some(5));
}

#[test]
fn in_memory_the_oldest_of_the_backlog_goes_first_when_it_is_full() {
    let (account, lanes) = lanes(10, false);
    lanes.push(payload(1));
    lanes.fall_behind();
    lanes.push(payload(2));
    lanes.push(payload(4));
    assert_eq!(dropped(&account, DropReason::QueueFull), 1);
    lanes.push(payload(8));
    assert_eq!(dropped(&account, DropReason::QueueFull), 3);
    let held = lanes.take_live().unwrap();
    lanes.push(payload(16));
    lanes.put_back(held);
    assert_eq!(dropped(&account, DropReason::QueueFull), 7, "there is no room for it any more");
    lanes.push(sized(32, 11));
    assert_eq!(dropped(&account, DropReason::Unencodable), 32);
    assert_eq!(lanes.bytes(), 8);
}

#[test]
fn what_is_too_old_goes_at_the_end_of_a_flush() {
    let account = Arc::new(Account::new("o".into(), true));
    account.offer(3);
    let lanes = Lanes::new(1 << 20, Duration::ZERO, false, Arc::clone(&account));
    lanes.push(payload(3));
    lanes.end_flush();
    assert_eq!(dropped(&account, DropReason::QueueAge), 3);
    assert_eq!(account.ledger().queued, 0);
}

#[test]
fn attempts_that_fail_make_a_payload_no_younger() {
    let (account, lanes) = lanes(1 << 20, false);
    lanes.push(payload(1));
    lanes.push(payload(2));
    let came = Instant::now().checked_sub(AGE).unwrap();
    lock(&lanes.state).live[0].came = came;
    let old = lanes.take_live().unwrap();
    lanes.put_back(old);
    assert_eq!(dropped(&account, DropReason::QueueAge), 1);
    let young = lanes.take_live().unwrap();
    lanes.put_back(young);
    assert_eq!(points(lanes.take_backlog()), Some(2));
}

#[test]
fn a_payload_is_written_before_it_is_sent() {
    let (account, lanes) = opened(1 << 20);
    lanes.push(payload(1));
    assert_eq!(points(lanes.take_live()), None);
    let place = save(&lanes, 16);
    let taken = lanes.take_live().unwrap();
    assert_eq!(job(&lanes), None);
    lanes.acknowledge(&taken);
    assert_eq!(job(&lanes), Some(Job::Settle(vec![Settled::Done(place, 1)])));
    assert_eq!(account.ledger().acknowledged, 1);
}

#[test]
fn a_flush_is_synced_once_when_all_of_it_is_written() {
    let (_, lanes) = opened(1 << 20);
    lanes.push(payload(1));
    lanes.push(payload(2));
    lanes.end_flush();
    save(&lanes, 16);
    save(&lanes, 61);
    assert_eq!(job(&lanes), Some(Job::Sync));
    assert_eq!(job(&lanes), None);
}

#[test]
fn after_a_sync_that_failed_nothing_is_safe_until_all_that_was_on_disk_is_settled() {
    let (_, lanes) = opened(1 << 20);
    let sync = |points, place| {
        lanes.push(payload(points));
        save(&lanes, place);
        lanes.end_flush();
        assert_eq!(job(&lanes), Some(Job::Sync));
    };
    sync(1, 16);
    assert_eq!(lanes.synced_points(), 1);
    sync(2, 64);
    lanes.sync_failed();
    assert_eq!(lanes.synced_points(), 0);
    // It may say that all is well, though the pages that failed are lost.
    sync(4, 112);
    assert_eq!(lanes.synced_points(), 0);
    while let Some(taken) = lanes.take_live() {
        lanes.acknowledge(&taken);
    }
    assert!(matches!(job(&lanes), Some(Job::Settle(_))));
    sync(8, 160);
    assert_eq!(lanes.synced_points(), 8);
}

#[test]
fn a_backlog_is_on_disk_only_and_comes_back_one_by_one() {
    let (_, lanes) = opened(1 << 20);
    for n in 1..=2 {
        lanes.push(payload(n));
        save(&lanes, n * 100);
    }
    lanes.fall_behind();
    assert_eq!(lock(&lanes.state).saved_bytes, 0);
    let back = vec![Settled::PutBack(at(100), 1), Settled::PutBack(at(200), 2)];
    assert_eq!(job(&lanes), Some(Job::Settle(back)));
    assert_eq!(points(lanes.take_backlog()), None);
    assert_eq!(job(&lanes), Some(Job::Read));
    lanes.read(Some((at(100), payload(1))));
    assert_eq!(job(&lanes), None, "one is at hand, that is enough");
    let taken = lanes.take_backlog().unwrap();
    assert_eq!(job(&lanes), Some(Job::Read));
    lanes.put_back(taken);
    assert_eq!(job(&lanes), Some(Job::Settle(vec![Settled::PutBack(at(100), 1)])));
}

#[test]
fn while_the_disk_fails_payloads_go_from_memory_and_are_saved_when_it_works_again() {
    let (account, lanes) = opened(10);
    lanes.push(payload(1));
    lanes.is_failing();
    lanes.push(payload(2));
    assert_eq!(points(lanes.take_live()), Some(1));
    lanes.push(payload(4));
    lanes.push(payload(8));
    assert_eq!(dropped(&account, DropReason::WriteFailed), 2);

    lanes.is_working();
    assert_eq!(points(lanes.take_live()), None, "they are to be written first");
    save(&lanes, 16);
    save(&lanes, 61);
    assert_eq!(job(&lanes), None);
    assert_eq!(points(lanes.take_live()), Some(4));
}

#[test]
fn while_the_disk_fails_the_backlog_goes_disk_first_and_then_memory() {
    let (_, lanes) = opened(1 << 20);
    lanes.push(payload(1));
    save(&lanes, 16);
    lanes.is_failing();
    lanes.push(payload(2));
    lanes.fall_behind();
    assert_eq!(points(lanes.take_backlog()), None);
    job(&lanes);
    lanes.read(Some((at(16), payload(1))));
    assert_eq!(points(lanes.take_backlog()), Some(1));
    assert_eq!(points(lanes.take_backlog()), None);
    lanes.read(None);
    assert_eq!(points(lanes.take_backlog()), Some(2));

    // If nothing can be read, memory does not wait for it.
    lanes.push(payload(3));
    lanes.fall_behind();
    lock(&lanes.state).put_back_on_disk(at(16), 1);
    assert_eq!(points(lanes.take_backlog()), None);
    lanes.reads_fail();
    assert_eq!(points(lanes.take_backlog()), Some(3));
}

#[test]
fn what_was_sent_or_lost_while_it_was_written_is_settled_there_at_once() {
    let (account, lanes) = opened(10);
    for (points, settles) in [(1, true), (2, false)] {
        lanes.push(payload(points));
        let Some(Job::Save(number, saving)) = job(&lanes) else { panic!("it is to be saved") };
        lanes.is_failing();
        let taken = lanes.take_live().unwrap();
        if settles {
            lanes.acknowledge(&taken);
        }
        lanes.saved(number, at(points), &saving);
        lanes.is_working();
        let settled = job(&lanes);
        if settles {
            assert_eq!(settled, Some(Job::Settle(vec![Settled::Done(at(points), points)])));
        } else {
            assert_eq!(settled, None);
            lanes.put_back(taken);
            let back = vec![Settled::PutBack(at(points), points)];
            assert_eq!(job(&lanes), Some(Job::Settle(back)));
        }
    }
    assert_eq!(lanes.abandon(), 2, "so many points are on disk");
    assert_eq!(account.ledger().acknowledged, 1);
}

#[test]
fn a_segment_that_is_given_up_takes_along_what_lies_in_it_and_nothing_else() {
    let (account, lanes) = opened(1 << 20);
    let other = Place { segment: 2, at: 16 };
    // One with a sink, one that was put back, one that is ready, one live; one elsewhere.
    for n in [1, 2, 4, 8] {
        lanes.push(payload(n));
        save(&lanes, n);
    }
    lanes.push(payload(16));
    let Some(Job::Save(number, saving)) = job(&lanes) else { panic!("it is to be saved") };
    lanes.saved(number, other, &saving);
    let with_sink = lanes.take_live().unwrap();
    for _ in 0..2 {
        lanes.put_back(lanes.take_live().unwrap());
    }
    lock(&lanes.state).disk.as_mut().unwrap().settled.remove(1);
    lanes.read(Some((at(4), payload(4))));

    // 32 points in it are with nobody.
    lock(&lanes.state).disk.as_mut().unwrap().points += 32;
    lanes.forget(&Gone { segment: 1, points: 32, reason: DropReason::QueueFull });
    assert_eq!(dropped(&account, DropReason::QueueFull), 2 + 4 + 8 + 32);
    lanes.put_back(with_sink);
    assert_eq!(dropped(&account, DropReason::QueueFull), 1 + 2 + 4 + 8 + 32);
    assert_eq!(points(lanes.take_live()), Some(16));
    assert_eq!(lanes.abandon(), 16);
}

#[test]
fn after_the_close_what_is_live_goes_and_the_backlog_on_disk_stays() {
    let (_, lanes) = opened(1 << 20);
    lanes.push(payload(1));
    save(&lanes, 16);
    lanes.fall_behind();
    job(&lanes);
    lanes.push(payload(2));
    save(&lanes, 61);
    lanes.read(Some((at(16), payload(1))));
    lanes.close();
    assert!(!lanes.is_finished());
    assert_eq!(points(lanes.take_backlog()), None);
    assert_eq!(points(lanes.take_live()), Some(2));
    assert!(lanes.is_finished());

    lanes.drain();
    assert!(!lanes.is_finished());
    assert_eq!(points(lanes.take_backlog()), Some(1));
    lanes.read(None);
    assert!(lanes.is_finished());
    assert_eq!(job(&lanes), None);
    lanes.leave();
    assert_eq!(job(&lanes), Some(Job::End));
}

#[test]
fn live_payloads_that_a_slow_peer_leaves_give_their_memory_back() {
    let (_, lanes) = opened(1 << 30);
    for n in 1..=5 {
        lanes.push(sized(n, 4 << 20));
        save(&lanes, n);
    }
    let state = lock(&lanes.state);
    assert_eq!((state.live.len(), state.saved_bytes), (4, LIVE_BYTES));
    let settled = &state.disk.as_ref().unwrap().settled;
    assert_eq!(*settled, [Settled::PutBack(at(1), 1)]);
}

#[test]
fn an_encoder_waits_for_a_disk_that_is_behind() {
    let (_, lanes) = opened(1 << 30);
    lanes.push(sized(1, LIVE_BYTES));
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| lanes.push(sized(2, LIVE_BYTES)));
        save(&lanes, 1);
        pushing.join().unwrap();
    });
    assert_eq!(lock(&lanes.state).unsaved_bytes, LIVE_BYTES);
}

#[test]
fn an_encoder_does_not_wait_for_a_disk_that_fails() {
    let (_, lanes) = opened(1 << 30);
    lanes.push(sized(1, LIVE_BYTES));
    lanes.is_failing();
    lanes.push(sized(2, LIVE_BYTES));
    assert_eq!(lock(&lanes.state).unsaved_bytes, 2 * LIVE_BYTES);
}

#[tokio::test(start_paused = true)]
async fn live_goes_before_a_backlog_that_keeps_to_its_pace() {
    let (_, lanes) = lanes(1 << 30, false);
    let mut pace = Pace::new();
    let begun = tokio::time::Instant::now();
    for n in 1..=3 {
        lanes.push(sized(n, 4 << 20));
    }
    lanes.fall_behind();
    assert_eq!(points(lanes.take(&mut pace).await), Some(1));
    lanes.push(payload(9));
    assert_eq!(points(lanes.take(&mut pace).await), Some(9));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(points(lanes.take(&mut pace).await), Some(2));
    assert_eq!(begun.elapsed().as_millis(), 500);
    lanes.close();
    assert_eq!(points(lanes.take(&mut pace).await), Some(3));
    assert_eq!(points(lanes.take(&mut pace).await), None);
}

#[tokio::test(start_paused = true)]
async fn closed_lanes_end_every_pause() {
    let (_, lanes) = lanes(10, false);
    let begun = tokio::time::Instant::now();
    let (work_left, ()) = tokio::join!(lanes.pause(Duration::from_mins(1)), async {
        lanes.push(payload(1));
        lanes.close();
    });
    assert!(work_left);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(lanes.pause(Duration::from_mins(1)).await);
    assert_eq!(begun.elapsed(), HURRY, "further attempts come soon, but not at once");
    let taken = lanes.take_live().unwrap();
    assert!(!lanes.pause(Duration::ZERO).await);
    lanes.put_back(taken);
    assert!(lanes.pause(Duration::ZERO).await);
}

#[test]
fn abandoned_lanes_are_closed_and_stay_empty() {
    let (account, lanes) = lanes(10, false);
    lanes.push(payload(1));
    lanes.push(payload(2));
    let taken = lanes.take_live().unwrap();
    assert_eq!(lanes.abandon(), 0);
    lanes.acknowledge(&taken);
    lanes.put_back(taken);
    lanes.push(payload(4));
    assert_eq!(points(lanes.take_live()), None);
    assert_eq!(points(lanes.take_backlog()), None);
    assert!(lanes.is_finished());
    assert_eq!(account.ledger().acknowledged, 0);
}
