//! What DC/OS calls the metrics of a node and its containers, and in which units it has them.

use std::borrow::Cow;

/// The unit of a node's metric, the same in every release.
pub(super) fn unit_of_node(name: &str) -> &'static str {
    let (family, rest) = name.split_once('.').unwrap_or((name, ""));
    match family {
        "cpu" if rest == "cores" => "count",
        "cpu" => "percent",
        "memory" | "swap" => "bytes",
        "filesystem" if rest.starts_with("capacity.") => "bytes",
        "network" if rest == "in" || rest == "out" => "bytes",
        "load" | "filesystem" | "network" | "process" | "system" => "count",
        _ => "",
    }
}

/// What a container's metric was called up to 1.11.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Older {
    pub(super) name: Cow<'static, str>,
    pub(super) unit: &'static str,
    /// Its tags of today are in its name, but for this one.
    pub(super) device: Option<String>,
}

/// The older name of a container's metric, of which a block device's depends on its tags; `None`
/// if it had none.
pub(super) fn older<'a>(
    name: &str,
    mut tags: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Option<Older> {
    if let Some((_, name, unit)) = OLDER.iter().find(|(today, ..)| *today == name) {
        return Some(Older { name: Cow::Borrowed(name), unit, device: None });
    }
    let of_device = name.strip_prefix("blkio.")?;
    let (statistic, operation) = STATISTICS.iter().find_map(|statistic| {
        Some((statistic, of_device.strip_prefix(statistic)?.strip_prefix('_')?))
    })?;
    let (_, policy) = tags.clone().find(|(key, _)| *key == "policy")?;
    let (_, device) = tags.find(|(key, _)| *key == "device")?;
    let device = if device == "default" { "total".to_owned() } else { device.replace('.', ":") };
    let name = format!("blkio.{policy}.{statistic}.{operation}");
    Some(Older { name: name.into(), unit: "bytes", device: Some(device) })
}

const STATISTICS: [&str; 6] = [
    "io_serviced",
    "io_service_bytes",
    "io_service_time",
    "io_wait_time",
    "io_merged",
    "io_queued",
];

const OLDER: [(&str, &str, &str); 30] = [
    ("container.processes", "processes", "count"),
    ("container.threads", "threads", "count"),
    ("cpus.user_time_secs", "cpus.user.time", "seconds"),
    ("cpus.system_time_secs", "cpus.system.time", "seconds"),
    ("cpus.limit", "cpus.limit", "count"),
    ("cpus.nr_periods", "cpus.nr.periods", "count"),
    ("cpus.nr_throttled", "cpus.nr.throttled", "count"),
    ("cpus.throttled_time_secs", "cpus.throttled.time", "seconds"),
    ("mem.total_bytes", "mem.total", "bytes"),
    ("mem.total_memsw_bytes", "mem.total.memsw", "bytes"),
    ("mem.limit_bytes", "mem.limit", "bytes"),
    ("mem.soft_limit_bytes", "mem.soft.limit", "bytes"),
    ("mem.cache_bytes", "mem.cache", "bytes"),
    ("mem.rss_bytes", "mem.rss", "bytes"),
    ("mem.mapped_file_bytes", "mem.mapped.file", "bytes"),
    ("mem.swap_bytes", "mem.swap", "bytes"),
    ("mem.unevictable_bytes", "mem.unevictable", "bytes"),
    ("mem.low_pressure_counter", "mem.low.pressure", "count"),
    ("mem.medium_pressure_counter", "mem.medium.pressure", "count"),
    ("mem.critical_pressure_counter", "mem.critical.pressure", "count"),
    ("disk.limit_bytes", "disk.limit", "bytes"),
    ("disk.used_bytes", "disk.used", "bytes"),
    ("net.rx_packets", "net.rx.packets", "count"),
    ("net.rx_bytes", "net.rx.bytes", "bytes"),
    ("net.rx_errors", "net.rx.errors", "count"),
    ("net.rx_dropped", "net.rx.dropped", "count"),
    ("net.tx_packets", "net.tx.packets", "count"),
    ("net.tx_bytes", "net.tx.bytes", "bytes"),
    ("net.tx_errors", "net.tx.errors", "count"),
    ("net.tx_dropped", "net.tx.dropped", "count"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_metric_has_its_unit() {
        for (name, unit) in [
            ("system.uptime", "count"),
            ("cpu.cores", "count"),
            ("cpu.total", "percent"),
            ("cpu.wait", "percent"),
            ("load.15min", "count"),
            ("filesystem.capacity.free", "bytes"),
            ("filesystem.inode.free", "count"),
            ("memory.buffers", "bytes"),
            ("swap.total", "bytes"),
            ("network.in", "bytes"),
            ("network.out", "bytes"),
            ("network.in.packets", "count"),
            ("network.out.errors", "count"),
            ("process.count", "count"),
            ("other", ""),
        ] {
            assert_eq!(unit_of_node(name), unit, "{name}");
        }
    }

    #[test]
    fn a_container_metric_has_its_older_name() {
        let plain = |name: &'static str, unit| {
            Some(Older { name: Cow::Borrowed(name), unit, device: None })
        };
        let none = [].into_iter();
        assert_eq!(older("mem.total_bytes", none.clone()), plain("mem.total", "bytes"));
        assert_eq!(older("container.threads", none.clone()), plain("threads", "count"));
        assert_eq!(older("net.tcp_active_connections", none.clone()), None);
        assert_eq!(older("blkio.io_serviced_read", none), None, "of which device?");
        let of_device = |device, statistic: &str| {
            let tags = [("device", device), ("policy", "cfq_recursive")];
            older(&format!("blkio.{statistic}"), tags.into_iter())
        };
        let expected = |name: &str, device: &str| {
            let name = name.to_owned().into();
            Some(Older { name, unit: "bytes", device: Some(device.to_owned()) })
        };
        assert_eq!(
            of_device("8.16", "io_service_bytes_read"),
            expected("blkio.cfq_recursive.io_service_bytes.read", "8:16")
        );
        assert_eq!(
            of_device("default", "io_serviced_total"),
            expected("blkio.cfq_recursive.io_serviced.total", "total")
        );
        assert_eq!(of_device("8.0", "io_other_read"), None);
    }
}
