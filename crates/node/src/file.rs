use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use procfs::ProcError;

use crate::Error;

// Far more than these files have on the largest machines.
const BYTES: u64 = 8 << 20;

// With more, a number of kilobytes is no number of bytes any more.
const DIGITS: usize = 18;

/// What stands in a file of the kernel's. What is no text in it becomes U+FFFD.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(failed)?.take(BYTES);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads such a file with the library's reader for it.
pub(crate) fn read<T>(
    path: &Path,
    reader: impl FnOnce(&[u8]) -> Result<T, ProcError>,
) -> Result<T, Error> {
    let text = text(path)?;
    let failed = |reason: String| Error::Content { path: path.to_owned(), reason };
    let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
    if longest > Some(DIGITS) {
        return Err(failed(format!("a number has more than {DIGITS} digits")));
    }
    reader(text.as_bytes()).map_err(|error| failed(error.to_string().chars().take(200).collect()))
}
