use std::path::Path;

use procfs::{FromRead as _, LoadAverage, Uptime};

use crate::Error;
use crate::file::read;
use crate::look::Gauge;

pub(crate) fn uptime(proc: &Path) -> Result<Vec<Gauge>, Error> {
    let uptime = read(&proc.join("uptime"), |text| Uptime::from_read(text))?;
    Ok(vec![Gauge::new("system.uptime", uptime.uptime.floor())])
}

pub(crate) fn load(proc: &Path) -> Result<Vec<Gauge>, Error> {
    let load = read(&proc.join("loadavg"), |text| LoadAverage::from_read(text))?;
    // Two decimals stand there, of which the library makes a short float.
    let gauge = |name, load: f32| Gauge::new(name, (f64::from(load) * 100.0).round() / 100.0);
    Ok(vec![
        gauge("load.1min", load.one),
        gauge("load.5min", load.five),
        gauge("load.15min", load.fifteen),
    ])
}

pub(crate) fn processes(proc: &Path) -> Result<Vec<Gauge>, Error> {
    let failed = |source| Error::Read { path: proc.to_owned(), source };
    let (mut count, mut sees_all) = (0_u32, false);
    for entry in proc.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        count += u32::from(name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        sees_all |= name == "1";
    }
    // The first process is somebody else's: where we do not see it, we see only our own.
    if !sees_all {
        return Err(Error::Hidden { path: proc.to_owned() });
    }
    Ok(vec![Gauge::new("process.count", count.into())])
}
