use std::path::Path;

use procfs::{CpuTime, FromReadSI as _, KernelStats};

use crate::Error;
use crate::file::read;
use crate::look::Gauge;

/// The processors' time since the boot, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    user: u64,
    system: u64,
    idle: u64,
    wait: u64,
    // Under no name of their own: low priority, interrupts, time that a hypervisor took.
    other: u64,
}

/// The number of processors, and the shares of the time since `before`; and the time now.
pub(crate) fn look(
    proc: &Path,
    before: Option<Times>,
) -> (Result<Vec<Gauge>, Error>, Option<Times>) {
    let info = procfs::current_system_info();
    let stats = match read(&proc.join("stat"), |text| KernelStats::from_read(text, info)) {
        Ok(stats) => stats,
        // What was before still is.
        Err(error) => return (Err(error), before),
    };
    let times = Times::of(&stats.total);
    let mut gauges = vec![Gauge::new("cpu.cores", stats.cpu_time.len() as f64)];
    gauges.extend(before.into_iter().flat_map(|before| times.shares(before)));
    (Ok(gauges), Some(times))
}

impl Times {
    fn of(time: &CpuTime) -> Self {
        let others = [Some(time.nice), time.irq, time.softirq, time.steal];
        Self {
            // A guest's time is in it.
            user: time.user,
            system: time.system,
            idle: time.idle,
            wait: time.iowait.unwrap_or_default(),
            other: others.into_iter().flatten().fold(0, u64::saturating_add),
        }
    }

    // Percentages of the time between; none if there was none. A count that fell back, as the one
    // of waiting may, is one that stood still.
    fn shares(self, before: Self) -> Vec<Gauge> {
        let [user, system, idle, wait, other] = [
            (self.user, before.user),
            (self.system, before.system),
            (self.idle, before.idle),
            (self.wait, before.wait),
            (self.other, before.other),
        ]
        .map(|(now, before)| now.saturating_sub(before) as f64);
        let all = user + system + idle + wait + other;
        if all == 0.0 {
            return Vec::new();
        }
        let gauge = |name, ticks: f64| Gauge::new(name, (ticks / all * 1e4).round() / 1e2);
        vec![
            gauge("cpu.total", all - idle),
            gauge("cpu.user", user),
            gauge("cpu.system", system),
            gauge("cpu.idle", idle),
            gauge("cpu.wait", wait),
        ]
    }
}
