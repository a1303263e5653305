//! What fuzzing found worth keeping, through the very function that is fuzzed.

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/segment.rs"]
mod segment;

#[test]
fn every_hostile_file_of_the_corpus_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/segment");
    let entries = fs::read_dir(&folder).expect("the corpus is beside the crate");
    let mut inputs = 0;
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        eprintln!("{}", path.display()); // shown if the check fails
        segment::segment(&fs::read(&path).expect("an input can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} holds nothing", folder.display());
}
