//! Many containers: what they leave behind, what they cost, how fast they are answered. Alone in
//! its process, which is measured.
#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not what they share

#[path = "api/rig.rs"]
#[allow(dead_code)] // shared with tests that need more of it
mod rig;

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit};

use rig::{Rig, Served, config, isolator};

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn status_of_process(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn register(id: usize) -> String {
    isolator("POST", "/container", &format!("{{\"container_id\":\"container-{id}\"}}"))
}

#[tokio::test]
async fn many_containers_are_answered_quickly_cost_little_and_leave_nothing_behind() {
    // The usual limit of open files is 1,024.
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(Resource::Nofile, raised).unwrap();
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    // What is made once is made.
    let pair = async |id: usize| {
        assert!(served.send(&register(id)).await.starts_with("HTTP/1.1 201 "));
        let remove = isolator("DELETE", &format!("/container/container-{id}"), "");
        assert!(served.send(&remove).await.starts_with("HTTP/1.1 202 "));
    };
    pair(0).await;
    let descriptors = open_descriptors();
    let threads = status_of_process("Threads:");

    let began = Instant::now();
    for id in 0..10_000 {
        pair(id).await;
    }
    println!("10,000 pairs in {:?}", began.elapsed());
    assert_eq!(open_descriptors(), descriptors);
    assert_eq!(status_of_process("Threads:"), threads);
    assert!(rig.containers.is_empty());
    assert_eq!(rig.worker.listeners.sockets().len(), 0);
    assert!(rig.containers.settle(Duration::from_secs(5)).await);
    assert_eq!(rig.disk.files(), []);

    let memory = status_of_process("VmRSS:");
    let mut times = Vec::new();
    for id in 0..1_000 {
        let began = Instant::now();
        let answer = served.send(&register(id)).await;
        times.push(began.elapsed());
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
    times.sort();
    println!("median {:?}, 99 % {:?}, worst {:?}", times[500], times[989], times[999]);
    println!("{} KiB for 1,000 containers", status_of_process("VmRSS:") - memory);
    assert!(times[989] < Duration::from_millis(500));
    assert_eq!(status_of_process("Threads:"), threads);
}
