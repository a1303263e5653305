use metric::{Batch, Origin};

/// The unit of a metric in UCUM's words; empty where it is unknown. Of what is measured it follows
/// from the name, which is DC/OS's.
pub(super) fn unit(batch: &Batch, name: &str) -> &'static str {
    match batch.source.origin {
        Origin::Node => of_node(name),
        Origin::Resources { .. } => of_container(name),
        Origin::Container { .. }
        | Origin::Claimed { .. }
        | Origin::Listener { .. }
        | Origin::MesosAgent => "",
    }
}

fn of_node(name: &str) -> &'static str {
    match name {
        "system.uptime" => "s",
        "network.in" | "network.out" => "By",
        "cpu.cores" => "1",
        _ if name.starts_with("cpu.") => "%",
        _ => {
            let in_bytes = ["memory.", "swap.", "filesystem.capacity."];
            if in_bytes.iter().any(|group| name.starts_with(group)) { "By" } else { "1" }
        }
    }
}

fn of_container(name: &str) -> &'static str {
    match name {
        "perf.timestamp" | "perf.duration" => "s",
        "perf.cpu_clock" | "perf.task_clock" => "ms",
        "net.tx_rate_bps" => "By/s",
        "net.tx_rate_pps" => "1/s",
        _ if name.starts_with("blkio.io_service_bytes") || name.ends_with("_bytes") => "By",
        _ if name.starts_with("blkio.io_service_time") => "ns",
        _ if name.starts_with("blkio.io_wait_time") => "ns",
        _ if name.ends_with("_secs") => "s",
        _ if name.contains("_microsecs_") => "us",
        _ => "1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_what_is_measured_follows_from_its_name() {
        for (name, unit) in [
            ("cpus.user_time_secs", "s"),
            ("cpus.limit", "1"),
            ("mem.total_memsw_bytes", "By"),
            ("mem.low_pressure_counter", "1"),
            ("net.tcp_rtt_microsecs_p50", "us"),
            ("net.rx_packets", "1"),
            ("blkio.io_service_bytes_total", "By"),
            ("blkio.io_serviced_total", "1"),
            ("blkio.io_wait_time_read", "ns"),
        ] {
            assert_eq!(of_container(name), unit, "{name}");
        }
        for (name, unit) in [
            ("cpu.cores", "1"),
            ("cpu.wait", "%"),
            ("load.1min", "1"),
            ("swap.used", "By"),
            ("filesystem.capacity.free", "By"),
            ("filesystem.inode.free", "1"),
            ("network.in", "By"),
            ("network.in.packets", "1"),
            ("process.count", "1"),
            ("system.uptime", "s"),
        ] {
            assert_eq!(of_node(name), unit, "{name}");
        }
    }
}
