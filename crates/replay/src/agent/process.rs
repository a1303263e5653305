use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::Pid;

/// What a process has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Processor time of all its threads, in the kernel and out of it.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

impl Usage {
    /// Reads it; `None` if there is no such process any more.
    pub(crate) fn of(process: Pid) -> Option<Self> {
        let path = |file| format!("/proc/{}/{file}", process.as_raw_nonzero());
        let stat = fs::read_to_string(path("stat")).ok()?;
        let memory = fs::read_to_string(path("statm")).ok()?;
        let pages: u64 = memory.split(' ').nth(1)?.parse().ok()?;
        Some(Self { cpu: cpu(&stat)?, memory: pages * page_size() as u64 })
    }
}

/// The processor time of a process's threads by their names, those of one name together; of those
/// that live.
pub(crate) fn threads(process: Pid) -> BTreeMap<String, Duration> {
    let mut threads = BTreeMap::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())) else {
        return threads;
    };
    let stats =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    for stat in stats {
        if let (Some(name), Some(cpu)) = (name(&stat), cpu(&stat)) {
            *threads.entry(name.to_owned()).or_default() += cpu;
        }
    }
    threads
}

// The name, in brackets, may hold anything; what follows are numbers.
fn name(stat: &str) -> Option<&str> {
    let (before, _) = stat.rsplit_once(") ")?;
    Some(before.split_once('(')?.1)
}

fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs_f64((user + system) as f64 / clock_ticks_per_second() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "17 (we) ir) S 1 17 17 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 3 0 99 1 2";
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(cpu(stat), Some(Duration::from_secs_f64(200.0 / ticks)));
        assert_eq!(name(stat), Some("we) ir"));
    }

    #[test]
    fn a_thread_is_found_by_its_name() {
        let (asked, asking) = std::sync::mpsc::channel::<()>();
        let wait = move || asking.recv();
        let thread = std::thread::Builder::new().name("one of them".to_owned()).spawn(wait);
        // It takes its name itself, and may be yet to do so.
        while !threads(rustix::process::getpid()).contains_key("one of them") {
            std::thread::yield_now();
        }
        drop(asked);
        thread.unwrap().join().unwrap().unwrap_err();
        assert!(threads(Pid::from_raw(i32::MAX).unwrap()).is_empty());
    }

    #[test]
    fn this_process_uses_memory_and_a_missing_one_nothing() {
        let usage = Usage::of(rustix::process::getpid()).unwrap();
        assert!(usage.memory > 100_000, "{usage:?}");
        assert_eq!(Usage::of(Pid::from_raw(i32::MAX).unwrap()), None);
    }
}
