use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What the payloads of a queue are: one is of no use to an output that sends the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Blocks of a stream.
    Blocks,
    /// Whole files.
    Files,
}

/// The directory of an output's queue under the one of all queues: its name, in which all but
/// `A-Z a-z 0-9 . _ -` is percent-encoded, and the form; `None` if that is too long to be a name.
pub(crate) fn dir(queues: &Path, output: &str, form: Form) -> Option<PathBuf> {
    let mut name = String::with_capacity(output.len() + 8);
    for byte in output.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}"); // a string takes everything
        }
    }
    name.push_str(match form {
        Form::Blocks => ".blocks",
        Form::Files => ".files",
    });
    (name.len() <= NAME_BYTES).then(|| queues.join(name))
}

/// The longest that a file system takes.
const NAME_BYTES: usize = 255;

/// The queues that are none of these, and the bytes of their files.
pub(crate) fn unclaimed(queues: &Path, claimed: &[PathBuf]) -> Vec<(PathBuf, u64)> {
    let list = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<_> = list(queues)
        .map(|entry| entry.path())
        .filter(|path| !claimed.contains(path))
        .map(|path| {
            let files = list(&path).filter_map(|file| file.metadata().ok());
            let bytes = files.map(|file| file.len()).sum();
            (path, bytes)
        })
        .filter(|(_, bytes)| *bytes > 0)
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_has_a_directory_of_its_own_that_stays_where_it_belongs() {
        let queues = Path::new("/q");
        for (name, expected) in [
            ("10.0.0.1:8124", "/q/10.0.0.1%3A8124.blocks"),
            ("a/../b", "/q/a%2F..%2Fb.blocks"),
            ("..", "/q/...blocks"),
            ("", "/q/.blocks"),
            ("ü %", "/q/%C3%BC%20%25.blocks"),
        ] {
            assert_eq!(dir(queues, name, Form::Blocks), Some(expected.into()));
        }
        assert_eq!(dir(queues, "a", Form::Files), Some("/q/a.files".into()));
        assert!(dir(queues, &"x".repeat(248), Form::Blocks).is_some());
        assert_eq!(dir(queues, &"x".repeat(249), Form::Blocks), None);
    }

    #[test]
    fn a_queue_that_no_output_has_is_found_if_there_is_something_in_it() {
        let queues = tempfile::tempdir().unwrap();
        let [ours, left, empty] = ["ours", "left", "empty"].map(|name| queues.path().join(name));
        for dir in [&ours, &left, &empty] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(ours.join("f"), "12345").unwrap();
        fs::write(left.join("f"), "123").unwrap();
        fs::write(queues.path().join("stray"), "no directory").unwrap();
        assert_eq!(unclaimed(queues.path(), &[ours]), [(left, 3)]);
        assert_eq!(unclaimed(Path::new("/nowhere/at/all"), &[]), []);
    }
}
