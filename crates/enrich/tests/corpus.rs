//! What fuzzing found worth keeping, through the very functions that are fuzzed.
#![allow(clippy::print_stderr)] // which input it was is shown if the check fails

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/containers_directory.rs"]
mod containers_directory;
#[path = "../fuzz/checks/mesos.rs"]
mod mesos;

/// Gives each input of a corpus to its check.
fn replay(corpus: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
    let mut checked = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is beside the crate") {
        let path = entry.expect("a folder can be listed").path();
        eprintln!("{}", path.display());
        check(&fs::read(&path).expect("an input can be read"));
        checked += 1;
    }
    assert!(checked > 10, "{} holds {checked} inputs only", folder.display());
}

#[test]
fn every_hostile_containers_directory_of_the_corpus_is_read() {
    replay("containers_directory", containers_directory::containers_directory);
}

#[test]
fn every_hostile_answer_of_the_corpus_is_read_within_its_bounds() {
    replay("mesos", mesos::mesos);
}
