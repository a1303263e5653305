use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Change, Containers, ContainersConfig, Ports, Refusal};
use ingest::{Manager, Store};
use metric::Container;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, asks, config, free_port, free_range};

fn stored(id: &str, port: u16) -> Container {
    Container { statsd_host: "10.0.0.9".into(), statsd_port: port, ..asks(id) }
}

async fn port_of(containers: &Containers, id: &str) -> u16 {
    containers.register(asks(id)).await.unwrap().statsd_port
}

// What a future has come to when it and what it has spawned were run as far as they go.
async fn glance<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    tokio::select! {
        biased;
        done = future => Some(done),
        () = tokio::task::yield_now() => None,
    }
}

#[tokio::test]
async fn a_container_is_told_the_same_whatever_it_asks_for_again() {
    let rig = Rig::new(config());
    let (held, wanted) = free_port();
    drop(held);
    let first = Container { statsd_host: "My Host".into(), statsd_port: wanted, ..asks("a") };
    assert_eq!(rig.containers.register(first.clone()).await.unwrap(), first);
    for again in [asks("a"), stored("a", 1), stored("a", wanted)] {
        assert_eq!(rig.containers.register(again).await.unwrap(), first);
    }
    assert_eq!(rig.disk.files(), std::slice::from_ref(&first));
    assert_eq!(rig.disk.writes().len(), 1);
    assert_eq!(rig.containers.list(), [first]);
    assert_eq!(rig.told(), ["registered a"]);
}

#[tokio::test]
async fn a_port_that_is_asked_for_and_taken_is_refused() {
    let rig = Rig::new(config());
    let (_taken, port) = free_port();
    let refusal = rig.containers.register(stored("a", port)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::NoPort(Some(_))), "{refusal}");
    let others = port_of(&rig.containers, "b").await;
    let refusal = rig.containers.register(stored("c", others)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::NoPort(Some(_))), "{refusal}");
    assert_eq!(rig.containers.len(), 1);
    assert_eq!(rig.containers.counts().refused.no_port, 2);
}

#[tokio::test]
async fn registered_at_once_a_hundred_times_it_has_one_socket() {
    let rig = Rig::new(config());
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let containers = rig.containers.clone();
            tokio::spawn(async move { containers.register(asks("a")).await.unwrap() })
        })
        .collect();
    let mut told = Vec::new();
    for answer in asking {
        told.push(answer.await.unwrap());
    }
    told.dedup();
    assert_eq!(told.len(), 1);
    assert_eq!(rig.worker.listeners.sockets().len(), 1);
    assert_eq!(rig.told(), ["registered a"]);
}

#[tokio::test]
async fn a_registration_during_a_removal_waits_and_is_a_new_one() {
    let rig = Rig::new(config());
    port_of(&rig.containers, "a").await;
    let before = rig.containers.sources().remove(0).source;

    let busy = rig.worker.hold_up();
    let mut removal = Box::pin(rig.containers.remove("a"));
    let mut registration = Box::pin(rig.containers.register(asks("a")));
    assert!(glance(&mut removal).await.is_none());
    assert!(glance(&mut registration).await.is_none());
    assert!(rig.containers.get("a").is_some());
    drop(busy);
    let (removed, registered) = tokio::join!(removal, registration);
    assert!(removed);
    let after = rig.containers.sources().remove(0);
    assert_ne!(after.source, before);
    assert_eq!(after.container, registered.unwrap());
    assert_eq!(rig.told(), ["registered a", "removed a", "registered a"]);
    assert!(rig.containers.settle(Duration::from_secs(5)).await);
    assert_eq!(rig.disk.files(), [after.container]);
}

#[tokio::test]
async fn a_removal_is_finished_when_its_client_hangs_up() {
    let rig = Rig::new(config());
    port_of(&rig.containers, "a").await;
    let busy = rig.worker.hold_up();
    let mut removal = Box::pin(rig.containers.remove("a"));
    assert!(glance(&mut removal).await.is_none());
    drop(removal);
    drop(busy);
    // Its turn comes after the removal's.
    assert!(!rig.containers.remove("a").await);
    assert_eq!(rig.told(), ["registered a", "removed a"]);
    assert!(rig.worker.listeners.sockets().is_empty());
}

#[tokio::test]
async fn interleaved_registrations_and_removals_leave_disk_and_registry_alike() {
    let rig = Rig::new(config());
    let tasks: Vec<_> = (0..200)
        .map(|i| {
            let containers = rig.containers.clone();
            tokio::spawn(async move {
                let id = format!("c{}", i % 3);
                if i % 2 == 0 {
                    containers.register(asks(&id)).await.unwrap();
                } else {
                    containers.remove(&id).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(rig.containers.settle(Duration::from_secs(5)).await);
    assert_eq!(rig.disk.files(), rig.containers.list());
    assert_eq!(rig.worker.listeners.sockets().len(), rig.containers.len());
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_no_registration() {
    let rig = Rig::new(config());
    rig.disk.hang(true);
    let started = Instant::now();
    let (a, b) =
        tokio::join!(rig.containers.register(asks("a")), rig.containers.register(stored("b", 0)));
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    let counts = rig.containers.counts();
    assert_eq!((counts.unsaved, counts.saved_late, counts.registered), (2, 2, 2));
    assert_eq!(rig.disk.files(), []);
    assert!(!rig.containers.settle(Duration::ZERO).await);

    rig.disk.hang(false);
    assert!(rig.containers.settle(Duration::from_secs(5)).await);
    assert_eq!(rig.disk.files(), [a.unwrap(), b.unwrap()]);
    assert_eq!(rig.containers.counts().unsaved, 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_latest_change_of_a_container_goes_to_a_slow_disk() {
    let rig = Rig::new(config());
    rig.disk.hang(true);
    let a = rig.containers.register(asks("a")).await.unwrap();
    rig.disk.wait_until_it_hangs();
    rig.containers.register(asks("b")).await.unwrap();
    // The paused clock would not wait for the worker, nor for the disk.
    tokio::time::resume();
    let removed = tokio::join!(rig.containers.remove("b"), rig.containers.remove("a"));
    assert_eq!(removed, (true, true));
    rig.disk.hang(false);
    assert!(rig.containers.settle(Duration::from_secs(5)).await);
    let writes = [Change::Save(a), Change::Remove("b".into()), Change::Remove("a".into())];
    assert_eq!(rig.disk.writes(), writes);
    assert_eq!(rig.disk.files(), []);
    assert!(rig.containers.is_empty());
}

#[tokio::test]
async fn what_a_full_disk_refused_is_written_when_there_is_room() {
    let rig = Rig::new(config());
    rig.disk.fill(true);
    let a = rig.containers.register(asks("a")).await.unwrap();
    assert_eq!(rig.containers.counts().unsaved, 1);
    assert_eq!(rig.containers.counts().saved_late, 1);
    assert_eq!(rig.containers.register(asks("a")).await.unwrap(), a);
    rig.disk.fill(false);
    // Nobody asks again: the pause between two tries is over after 5 ms.
    rig.disk.wait_for_writes(1);
    assert_eq!(rig.disk.files(), [a]);
}

#[tokio::test]
async fn no_more_containers_are_served_than_there_may_be() {
    let rig = Rig::new(ContainersConfig { max_containers: 2, ..config() });
    let (a, b, c) = tokio::join!(
        rig.containers.register(asks("a")),
        rig.containers.register(asks("b")),
        rig.containers.register(asks("c"))
    );
    assert_eq!([&a, &b, &c].iter().filter(|answer| answer.is_ok()).count(), 2);
    assert_eq!(rig.containers.len(), 2);
    assert_eq!(rig.containers.register(asks("a")).await.unwrap(), a.unwrap());
    assert!(rig.containers.remove("a").await);
    rig.containers.register(asks("d")).await.unwrap();
    assert_eq!(rig.containers.counts().refused.too_many, 1);
}

#[tokio::test]
async fn of_a_range_the_longest_unused_port_is_given_and_taken_ones_are_skipped() {
    let (mut taken, range) = free_range(4);
    let ports: Vec<u16> = range.clone().collect();
    drop(taken.remove(0));
    drop(taken.remove(1));
    drop(taken.remove(1));
    // Now the second one is somebody else's.
    let rig = Rig::new(ContainersConfig { ports: Ports::Range(range), ..config() });
    assert_eq!(port_of(&rig.containers, "a").await, ports[0]);
    assert_eq!(port_of(&rig.containers, "b").await, ports[2]);
    assert!(rig.containers.remove("a").await);
    assert_eq!(port_of(&rig.containers, "c").await, ports[3]);
    drop(taken);
    assert_eq!(port_of(&rig.containers, "d").await, ports[1]);
    assert_eq!(port_of(&rig.containers, "e").await, ports[0]);
    let refusal = rig.containers.register(asks("f")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::NoPort(None)), "{refusal}");
}

#[tokio::test]
async fn known_containers_have_their_ports_back_and_are_told_what_they_were_told() {
    let rig = Rig::new(config());
    let (held, port) = free_port();
    drop(held);
    rig.containers.restore(vec![
        asks("without"),
        stored("b", port),
        stored("b", 1),
        stored("", 1),
        stored("../x", 1),
    ]);
    let without = rig.containers.get("without").unwrap();
    assert_eq!(without.statsd_host, "198.51.100.1");
    assert_ne!(without.statsd_port, 0);
    assert_eq!(rig.containers.list(), [stored("b", port), without.clone()]);
    assert_eq!(rig.told(), ["registered b", "registered without"]);
    assert_eq!(rig.containers.register(asks("b")).await.unwrap(), stored("b", port));
    assert!(rig.containers.settle(Duration::from_secs(5)).await);
    assert_eq!(rig.disk.files(), [without]);
}

#[tokio::test]
async fn a_known_container_whose_port_is_taken_waits_for_it() {
    let rig = Rig::new(config());
    let (taken, port) = free_port();
    rig.containers.restore(vec![stored("a", port)]);
    let shown = rig.containers.sources().remove(0);
    assert!(shown.unbound);
    assert_eq!(shown.container, stored("a", port));
    assert_eq!(rig.containers.counts().unbound, 1);

    let stop = CancellationToken::new();
    let (containers, until) = (rig.containers.clone(), stop.clone());
    let retrying = tokio::spawn(async move { containers.retry_unbound(until).await });
    drop(taken);
    tokio::time::timeout(Duration::from_secs(5), async {
        while rig.containers.counts().unbound > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    stop.cancel();
    retrying.await.unwrap();
    let shown_again = rig.containers.sources().remove(0);
    assert_eq!(shown_again.source, shown.source);
    assert_eq!(rig.worker.listeners.sockets().len(), 1);
    assert_eq!(rig.disk.writes(), []);
}

#[tokio::test]
async fn a_known_container_whose_port_is_taken_is_given_another_when_it_registers() {
    let rig = Rig::new(config());
    let (_taken, port) = free_port();
    rig.containers.restore(vec![stored("a", port), stored("gone", port)]);
    let a = rig.containers.register(asks("a")).await.unwrap();
    assert_ne!(a.statsd_port, port);
    assert_eq!(a.statsd_host, "10.0.0.9");
    assert_eq!(rig.containers.register(asks("a")).await.unwrap(), a);
    assert_eq!(rig.disk.files(), [a]);
    assert_eq!(rig.containers.counts().unbound, 1);
    assert!(rig.containers.remove("gone").await);
    assert_eq!(rig.containers.len(), 1);
}

#[tokio::test]
async fn nobody_is_given_the_port_that_a_known_container_waits_for() {
    let (mut taken, range) = free_range(2);
    let first = *range.start();
    let rig = Rig::new(ContainersConfig { ports: Ports::Range(range), ..config() });
    rig.containers.restore(vec![stored("a", first)]);
    taken.clear();
    assert_eq!(port_of(&rig.containers, "b").await, first + 1);
    assert!(rig.containers.register(asks("c")).await.is_err());
    assert_eq!(port_of(&rig.containers, "a").await, first);
}

#[tokio::test]
async fn a_port_that_the_service_manager_is_yet_to_let_go_of_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify");
    // What it was sent and has not read is in its hands all the same.
    let manager = UnixDatagram::bind(&path).unwrap();
    let address = Arc::new(Manager::at(path.as_os_str()).unwrap());
    let store = Store::new(Vec::new(), None, Some(address)).unwrap();
    let (taken, range) = free_range(1);
    drop(taken);
    let config = ContainersConfig { ports: Ports::Range(range.clone()), ..config() };
    let rig = Rig::with_store(config, store.clone());
    let port = port_of(&rig.containers, "a").await;
    store.settle(Instant::now() + Duration::from_secs(20));
    assert!(rig.containers.remove("a").await);

    let mut next = std::pin::pin!(rig.containers.register(asks("b")));
    assert!(glance(&mut next).await.is_none());
    assert_eq!(rig.containers.counts().refused.no_port, 0);
    drop(manager);
    assert_eq!(next.await.unwrap().statsd_port, port);
}
