use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use metric::{Container, check_container_id};

use super::{name, read_bounded};

// As much as the registration API takes for a body.
const FILE_BYTES: u64 = 64 * 1024;

// Ten times as many as are served by default.
const FILES: usize = 100_000;

/// What [`super::Directory::load`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// One for each id, in the order of their ids. A port may be 0, if an older agent had none.
    pub containers: Vec<Container>,
    /// Files that are no container, by the paths that they have now, and why: renamed to
    /// `<name>.bad`, or left in place where they could not be read or renamed.
    pub set_aside: Vec<(PathBuf, String)>,
}

struct Found {
    container: Container,
    name: OsString,
    modified: SystemTime,
}

pub(super) fn load(directory: &Path) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut newest: HashMap<String, Found> = HashMap::new();
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) || ends_bad(&name) {
            continue;
        }
        if name.as_bytes().starts_with(name::TEMPORARY.as_bytes()) {
            if let Err(error) = fs::remove_file(&path) {
                loaded.set_aside.push((path, format!("cannot remove what a crash left: {error}")));
            }
            continue;
        }
        files += 1;
        if files > FILES {
            loaded.set_aside.push((path, format!("more than {FILES} files: not read")));
            break;
        }
        match read(&path) {
            Ok(Ok(container)) => {
                let modified = entry.metadata().and_then(|metadata| metadata.modified());
                let modified = modified.unwrap_or(SystemTime::UNIX_EPOCH);
                let found = Found { container, name, modified };
                loaded.keep_newest(directory, &mut newest, found);
            }
            Ok(Err(reason)) => loaded.set_aside(&path, reason),
            // It may be readable at the next start.
            Err(error) => loaded.set_aside.push((path, format!("cannot read: {error}"))),
        }
    }
    loaded.settle(directory, newest);
    Ok(loaded)
}

// An outer error is the disk's, an inner one the content's.
fn read(path: &Path) -> io::Result<Result<Container, String>> {
    let Some(bytes) = read_bounded(path, FILE_BYTES)? else {
        return Ok(Err(format!("it has more than {FILE_BYTES} bytes")));
    };
    let read = Container::decode(&bytes).and_then(|container| {
        check_container_id(&container.container_id)?;
        Ok(container)
    });
    Ok(read.map_err(|error| error.to_string()))
}

impl Loaded {
    fn keep_newest(&mut self, dir: &Path, newest: &mut HashMap<String, Found>, found: Found) {
        let older = match newest.entry(found.container.container_id.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(found);
                return;
            }
            Entry::Occupied(mut kept) => {
                let wins = (found.modified, &found.name) > (kept.get().modified, &kept.get().name);
                if wins { kept.insert(found) } else { found }
            }
        };
        let reason = format!("a newer file is of container {:?}", older.container.container_id);
        self.set_aside(&dir.join(older.name), reason);
    }

    fn set_aside(&mut self, path: &Path, reason: String) {
        match aside(path) {
            Ok(path) => self.set_aside.push((path, reason)),
            Err(error) => {
                let reason = format!("{reason}; cannot set it aside: {error}");
                self.set_aside.push((path.to_owned(), reason));
            }
        }
    }

    // Renames what is not called as it should be. A name may be taken by a file that is to be
    // renamed itself, so it goes round until all are settled; where names are swapped in a
    // circle one file is parked.
    fn settle(&mut self, directory: &Path, newest: HashMap<String, Found>) {
        let (right, mut wrong): (Vec<_>, Vec<_>) = newest
            .into_values()
            .partition(|found| *found.name == *name::of(&found.container.container_id));
        self.containers.extend(right.into_iter().map(|found| found.container));
        wrong.sort_by(|one, other| one.name.cmp(&other.name));
        let mut parked = 0;
        while !wrong.is_empty() {
            let before = wrong.len();
            let mut blocked = Vec::new();
            for found in wrong {
                let to = directory.join(name::of(&found.container.container_id));
                if fs::symlink_metadata(&to).is_ok() {
                    blocked.push(found);
                    continue;
                }
                let from = directory.join(&found.name);
                if let Err(error) = fs::rename(&from, &to) {
                    self.set_aside
                        .push((from, format!("cannot rename it to {}: {error}", to.display())));
                }
                self.containers.push(found.container);
            }
            wrong = blocked;
            if wrong.len() == before {
                let mut found = wrong.swap_remove(0);
                let from = directory.join(&found.name);
                let name = OsString::from(format!("{}{parked}", name::PARKED));
                parked += 1;
                if found.name.as_bytes().starts_with(name::PARKED.as_bytes()) {
                    // What is in its way is no container's file: it is kept where it is.
                    self.set_aside.push((from, "its own name is taken".to_owned()));
                    self.containers.push(found.container);
                } else if let Err(error) = rename_new(&from, &directory.join(&name)) {
                    self.set_aside.push((from, format!("cannot rename it: {error}")));
                    self.containers.push(found.container);
                } else {
                    found.name = name;
                    wrong.push(found);
                }
            }
        }
        self.containers.sort_by(|one, other| one.container_id.cmp(&other.container_id));
    }
}

fn ends_bad(name: &OsString) -> bool {
    name.as_bytes().ends_with(name::BAD.as_bytes())
}

fn aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    // Leaves room for the number.
    let name = &name[..name.len().min(240)];
    for number in 0..1000 {
        let mut bad = name.to_vec();
        if number > 0 {
            bad.extend_from_slice(format!(".{number}").as_bytes());
        }
        bad.extend_from_slice(name::BAD.as_bytes());
        let to = path.with_file_name(std::ffi::OsStr::from_bytes(&bad));
        match rename_new(path, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| to),
        }
    }
    Err(io::Error::other("there are a thousand bad files of that name"))
}

// Nobody else writes here, so looking first is enough.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}
