//! What fuzzing found worth keeping, through the very functions that are fuzzed.

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/streams.rs"]
mod streams;

#[test]
fn every_hostile_stream_of_the_corpus_is_read_to_its_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/streams");
    let mut inputs = 0;
    for entry in fs::read_dir(folder).expect("the corpus is beside the crate") {
        let path = entry.expect("a folder can be listed").path();
        eprintln!("{}", path.display()); // shown if the check fails
        streams::streams(&fs::read(path).expect("an input can be read"));
        inputs += 1;
    }
    assert!(inputs > 20, "the corpus holds {inputs} inputs only");
}
