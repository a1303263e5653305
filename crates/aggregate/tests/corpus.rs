//! What fuzzing found worth keeping, through the very functions that are fuzzed.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/checks/chunks.rs"]
mod chunks;
#[path = "../fuzz/checks/state.rs"]
mod state;

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
fn every_hostile_state_file_of_the_corpus_is_refused_or_taken_up() {
    for (path, input) in corpus("state") {
        eprintln!("{}", path.display()); // shown if the check fails
        state::state(&input);
    }
    for (path, input) in corpus("chunks") {
        eprintln!("{}", path.display());
        chunks::chunks(&input);
    }
}
