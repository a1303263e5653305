use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Shared;
use super::frame::Frames;

/// How much of a file is read at once.
const PIECE: usize = 1 << 20;

/// The files of a directory, followed as they grow, in the order of their names, which is that of
/// their beginnings.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    /// By name without what tells whether they are complete.
    tails: BTreeMap<String, Tail>,
    piece: Vec<u8>,
}

#[derive(Debug, Default)]
struct Tail {
    read: u64,
    frames: Frames,
    is_done: bool,
}

impl Files {
    /// Those that are complete now are never read.
    pub(super) fn at(directory: PathBuf) -> Self {
        let done = names(&directory).into_iter().filter(|file| file.is_complete);
        let tails =
            done.map(|file| (file.stem, Tail { is_done: true, ..Tail::default() })).collect();
        Self { directory, tails, piece: vec![0; PIECE] }
    }

    /// Reads what was written since the last look.
    pub(super) fn look(&mut self, to: &Shared) {
        // Sorted, and the complete form of a name before the other: a file that is renamed in this
        // moment may be listed twice.
        for file in names(&self.directory) {
            let Self { tails, piece, .. } = self;
            let tail = tails.entry(file.stem.clone()).or_default();
            if tail.is_done {
                continue;
            }
            match tail.read_on(&file.path, piece, to) {
                Ok(Ok(())) => tail.is_done = file.is_complete,
                // It was renamed, or removed to make room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => to.complain(format!("{}: {error}", file.path.display())),
                Ok(Err(problem)) => {
                    tail.is_done = true;
                    to.complain(format!("{}: {problem}", file.path.display()));
                }
            }
        }
    }
}

impl Tail {
    /// The inner error is of what it holds.
    fn read_on(
        &mut self,
        path: &Path,
        piece: &mut [u8],
        to: &Shared,
    ) -> io::Result<Result<(), String>> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() <= self.read {
            return Ok(Ok(()));
        }
        file.seek(SeekFrom::Start(self.read))?;
        while !to.is_over() {
            let read = file.read(piece)?;
            if read == 0 {
                break;
            }
            self.read += read as u64;
            self.frames.feed(&piece[..read]);
            if let Err(problem) = to.take(&mut self.frames) {
                return Ok(Err(problem));
            }
        }
        Ok(Ok(()))
    }
}

/// A file of points.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    stem: String,
    is_partial: bool,
    is_complete: bool,
    path: PathBuf,
}

fn names(directory: &Path) -> Vec<Name> {
    // It may not be there yet.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<Name> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let extension = path.extension()?.to_str()?;
            let is_complete = extension == "avro";
            let stem = path.file_stem()?.to_str()?.to_owned();
            let is_points = is_complete || extension == "part";
            is_points.then(|| Name {
                stem,
                is_partial: !is_complete,
                is_complete,
                path: path.clone(),
            })
        })
        .collect();
    names.sort();
    names
}
