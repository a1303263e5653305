use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use procfs::process::MountInfo;
use rustix::fs::statvfs;

use crate::Error;
use crate::file::text;
use crate::look::Gauge;

// More are left out: nobody has as many.
const DISKS: usize = 1000;

/// A mounted file system that is on a device.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Where it is mounted, in the octal spelling that the kernel uses for blanks.
    path: String,
}

/// The file systems that are on a device, each once: where its root is mounted, else where the
/// least of it is hidden, which is the shortest path.
pub(crate) fn physical(proc: &Path) -> Result<Vec<Disk>, Error> {
    let kinds = text(&proc.join("filesystems"))?;
    let on_devices: HashSet<&str> =
        kinds.lines().filter(|line| line.starts_with('\t')).map(str::trim).collect();
    let mounts = text(&proc.join("self/mountinfo"))?;
    // By device.
    let mut disks: BTreeMap<String, (bool, Disk)> = BTreeMap::new();
    // A line that is odd costs no other.
    for mount in mounts.lines().filter_map(|line| MountInfo::from_line(line).ok()) {
        // Of zfs the kernel says that it is on no device.
        if !on_devices.contains(mount.fs_type.as_str()) && mount.fs_type != "zfs" {
            continue;
        }
        let Some(path) = mount.mount_point.to_str() else { continue };
        let found = (mount.root != "/", Disk { path: path.to_owned() });
        let better =
            |known: &(bool, Disk)| (found.0, found.1.path.len()) < (known.0, known.1.path.len());
        if disks.get(&mount.majmin).is_none_or(better) && disks.len() < DISKS {
            disks.insert(mount.majmin, found);
        }
    }
    let mut disks: Vec<_> = disks.into_values().map(|(_, disk)| disk).collect();
    disks.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(disks)
}

/// How full it is. Free is what is free for everybody, used is all that is not free for root.
pub(crate) fn look(root: &Path, disk: &Disk) -> Result<Vec<Gauge>, Error> {
    let path = unescaped(&disk.path);
    let path = root.join(path.trim_start_matches('/'));
    let found = statvfs(&path)
        .map_err(|errno| Error::FileSystem { path: path.clone(), source: errno.into() })?;
    let block = found.f_frsize as f64;
    let used = |all: u64, free: u64| all.saturating_sub(free) as f64;
    let values = [
        ("filesystem.capacity.total", found.f_blocks as f64 * block),
        ("filesystem.capacity.used", used(found.f_blocks, found.f_bfree) * block),
        ("filesystem.capacity.free", found.f_bavail as f64 * block),
        ("filesystem.inode.total", found.f_files as f64),
        ("filesystem.inode.used", used(found.f_files, found.f_ffree)),
        ("filesystem.inode.free", found.f_ffree as f64),
    ];
    let path = unescaped(&disk.path);
    Ok(values.map(|(name, value)| Gauge::new(name, value).tagged("path", &path)).into())
}

// The kernel writes blanks and backslashes of a path as three octal digits.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                plain.push(byte.into());
                plain.push_str(&part[3..]);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}
