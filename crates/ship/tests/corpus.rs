//! What fuzzing found worth keeping, through the very functions that are fuzzed.
#![allow(clippy::print_stderr)] // which input it was is shown if the check fails

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/segment.rs"]
mod segment;
#[path = "../fuzz/checks/streams.rs"]
mod streams;

/// Gives each input of a corpus to its check, and tells how many there were.
fn replay(corpus: &str, check: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).expect("the corpus is beside the crate") {
        let path = entry.expect("a folder can be listed").path();
        eprintln!("{}", path.display()); // shown if the check fails
        check(&fs::read(path).expect("an input can be read"));
        inputs += 1;
    }
    inputs
}

#[test]
fn every_hostile_stream_of_the_corpus_is_read_to_its_end() {
    let inputs = replay("streams", streams::streams);
    assert!(inputs > 20, "the corpus holds {inputs} inputs only");
}

#[test]
fn every_hostile_file_of_the_corpus_is_read() {
    let inputs = replay("segment", segment::segment);
    assert!(inputs > 0, "the corpus holds nothing");
}
