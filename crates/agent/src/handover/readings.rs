use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use ingest::DropReading;
use tracing::warn;

use super::file;

const NAME: &str = "drops";

/// Of 100,000 sockets.
const LONGEST: u64 = 4 << 20;

/// The last readings of the process before; `None` if there is no file that says so.
///
/// It is not synced: after a power cut there are no sockets that it could be about.
pub(super) fn load(dir: &Path) -> Option<Vec<DropReading>> {
    let path = dir.join(NAME);
    match read(&path) {
        Ok(Some(readings)) => Some(readings),
        Ok(None) => {
            warn!("{} is damaged: earlier drops of the kernel are not known", path.display());
            None
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!("cannot read {}: {error}", path.display());
            None
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<DropReading>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    let line = |line: &str| {
        let (inode, dropped) = line.split_once(' ')?;
        Some(DropReading { inode: inode.parse().ok()?, dropped: dropped.parse().ok()? })
    };
    let text = std::str::from_utf8(&bytes).ok().and_then(file::check_summed);
    Ok(text.and_then(|text| text.lines().map(line).collect()))
}

/// Writes them in place of the last ones.
pub(super) fn save(dir: &Path, readings: &[DropReading]) -> io::Result<()> {
    let mut text = String::new();
    for DropReading { inode, dropped } in readings {
        let _ = writeln!(text, "{inode} {dropped}"); // writing to a String cannot fail
    }
    file::replace(&dir.join(NAME), false, |to| {
        file::write_summed(to, &text)?;
        to.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_read_as_they_were_written_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), None);
        let readings =
            vec![DropReading { inode: 7, dropped: u32::MAX }, DropReading { inode: 8, dropped: 1 }];
        for readings in [Vec::new(), readings] {
            save(dir.path(), &readings).unwrap();
            assert_eq!(load(dir.path()), Some(readings));
        }
        let path = dir.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(load(dir.path()), None);
            let mut other = whole.clone();
            other[at] ^= 1;
            std::fs::write(&path, &other).unwrap();
            assert_eq!(load(dir.path()), None, "{}", String::from_utf8_lossy(&other));
        }
        std::fs::write(&path, [0xff; 100]).unwrap();
        assert_eq!(load(dir.path()), None);
    }
}
