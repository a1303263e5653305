use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use enrich::Directory;
use metric::{Container, check_container_id};

/// A directory of files that anybody may have written: a byte with the length of a name, the name,
/// two bytes with the length of the content, the content, and so on. It is read without a panic,
/// no file that is not ours to remove is lost, and what was read is what is read again.
pub(crate) fn containers_directory(input: &[u8]) {
    let dir = tempfile::tempdir().expect("there is room for a directory");
    write_files(dir.path(), input);
    let files = count(dir.path());
    let directory = Directory::open(dir.path()).expect("it was just made");
    let containers = load(&directory);
    assert_eq!(count(dir.path()), files, "files were lost");

    assert_eq!(load(&directory), containers);
    for container in &containers {
        directory.save(container).expect("it can be written");
    }
    assert_eq!(load(&directory), containers);
    for container in &containers {
        directory.remove(&container.container_id).expect("it can be removed");
    }
    assert_eq!(load(&directory), []);
}

fn load(directory: &Directory) -> Vec<Container> {
    let containers = directory.load().expect("the directory can be read").containers;
    assert!(containers.is_sorted_by(|one, other| one.container_id < other.container_id));
    assert!(containers.iter().all(|it| check_container_id(&it.container_id).is_ok()));
    containers
}

fn write_files(dir: &Path, mut input: &[u8]) {
    // Some dozens show all that there is to show.
    for _ in 0..32 {
        let Some((length, rest)) = input.split_first() else { return };
        let (name, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        let Some((length, rest)) = rest.split_first_chunk::<2>() else { return };
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (content, rest) = rest.split_at(length);
        input = rest;
        if !name.contains(&b'/') {
            // A name that cannot be one is no file.
            let _ = fs::write(dir.join(OsStr::from_bytes(name)), content);
        }
    }
}

// Without what a crash left, which is removed.
fn count(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).expect("it can be listed");
    let is_kept = |name: &OsStr| !name.as_bytes().starts_with(b"%weir-tmp-");
    entries.filter(|entry| is_kept(&entry.as_ref().expect("an entry").file_name())).count()
}
