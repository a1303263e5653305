//! What fuzzing found worth keeping, through the very function that is fuzzed.

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/containers_directory.rs"]
mod check;

#[test]
fn every_hostile_containers_directory_of_the_corpus_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/containers_directory");
    let entries = fs::read_dir(&folder).expect("the corpus is beside the crate");
    let mut checked = 0;
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        eprintln!("{}", path.display()); // shown if the check fails
        check::containers_directory(&fs::read(&path).expect("an input can be read"));
        checked += 1;
    }
    assert!(checked > 0, "{} holds nothing", folder.display());
}
