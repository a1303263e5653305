use std::path::Path;

use procfs::FromRead as _;
use procfs::net::InterfaceDeviceStatus;

use crate::Error;
use crate::file::read;
use crate::look::Gauge;

pub(crate) fn look(proc: &Path) -> Result<Vec<Gauge>, Error> {
    // Those of this process's network.
    let path = proc.join("self/net/dev");
    let interfaces = read(&path, |text| InterfaceDeviceStatus::from_read(text))?;
    let mut interfaces: Vec<_> = interfaces.0.into_values().collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    let gauges = interfaces.iter().flat_map(|interface| {
        let values = [
            ("network.in", interface.recv_bytes),
            ("network.out", interface.sent_bytes),
            ("network.in.packets", interface.recv_packets),
            ("network.out.packets", interface.sent_packets),
            ("network.in.dropped", interface.recv_drop),
            ("network.out.dropped", interface.sent_drop),
            ("network.in.errors", interface.recv_errs),
            ("network.out.errors", interface.sent_errs),
        ];
        values.map(|(name, value)| {
            Gauge::new(name, value as f64).tagged("interface", &interface.name)
        })
    });
    Ok(gauges.collect())
}
