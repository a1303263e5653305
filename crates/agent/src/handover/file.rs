use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Replaces a file as a whole: there is always the old one or the new one. With `sync` that holds
/// over a power cut.
pub(super) fn replace<T>(
    path: &Path,
    sync: bool,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
) -> io::Result<T> {
    let new = with_suffix(path, ".new");
    let written = (|| {
        let mut file = BufWriter::with_capacity(256 << 10, File::create(&new)?);
        let written = write(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&new, path)?;
        if sync { sync_dir_of(path).map(|()| written) } else { Ok(written) }
    })();
    if written.is_err() {
        // Not worth a word of its own: the next one replaces it.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Removes a file, so that it stays removed over a power cut. It is no error if there is none.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_dir_of(path)),
    }
}

/// Puts a file out of the way; gives its new name. The last one that was put there goes.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = with_suffix(path, ".bad");
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// A removal, a rename and a new file are on the disk only when their directory is.
pub(super) fn sync_dir_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes text lines, and last a line with their checksum.
pub(super) fn write_summed(to: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(to, "{text}sum {:08x}", crc32fast::hash(text.as_bytes()))
}

/// The text of a file that [`write_summed`] wrote; `None` if it is anything else.
pub(super) fn check_summed(whole: &str) -> Option<&str> {
    let (text, sum) = whole.strip_suffix('\n')?.split_at_checked(whole.len().checked_sub(13)?)?;
    let sum = u32::from_str_radix(sum.strip_prefix("sum ")?, 16).ok()?;
    (crc32fast::hash(text.as_bytes()) == sum).then_some(text)
}
