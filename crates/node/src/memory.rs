use std::path::Path;

use procfs::{FromRead as _, Meminfo};

use crate::Error;
use crate::file::read;
use crate::look::Gauge;

pub(crate) fn look(proc: &Path) -> Result<Vec<Gauge>, Error> {
    let memory = read(&proc.join("meminfo"), |text| {
        // The library takes the last byte off each line's first word, and panics in a character.
        let plain = |byte: &u8| if byte.is_ascii() { *byte } else { b'?' };
        let plain: Vec<_> = text.iter().map(plain).collect();
        Meminfo::from_read(plain.as_slice())
    })?;
    let gauge = |name, bytes: u64| Gauge::new(name, bytes as f64);
    Ok(vec![
        gauge("memory.total", memory.mem_total),
        gauge("memory.free", memory.mem_free),
        gauge("memory.buffers", memory.buffers),
        gauge("memory.cached", memory.cached),
        gauge("swap.total", memory.swap_total),
        gauge("swap.free", memory.swap_free),
        gauge("swap.used", memory.swap_total.saturating_sub(memory.swap_free)),
    ])
}
