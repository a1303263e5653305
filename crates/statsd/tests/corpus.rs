//! What fuzzing found worth keeping, through the very functions that are fuzzed.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/checks/read.rs"]
mod read;
#[path = "../fuzz/checks/skim.rs"]
mod skim;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("the corpus is beside the crate");
    let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
    let inputs: Vec<_> =
        paths.map(|path| (path.clone(), fs::read(path).expect("an input can be read"))).collect();
    assert!(!inputs.is_empty(), "{} holds nothing", folder.display());
    inputs
}

#[test]
fn every_hostile_datagram_of_the_corpus_is_read() {
    for (path, input) in corpus("read") {
        eprintln!("{}", path.display()); // shown if the check fails
        read::read(&input);
    }
}

#[test]
fn every_hostile_group_of_lines_of_the_corpus_is_skimmed_as_it_is_read() {
    for (path, input) in corpus("skim") {
        eprintln!("{}", path.display());
        skim::skim(&input);
    }
}
