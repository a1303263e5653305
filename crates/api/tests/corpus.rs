//! What a client may send at worst, through the very functions that are fuzzed.
#![allow(clippy::print_stderr)] // which input it was is shown if the check fails

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/registration.rs"]
mod registration;
#[path = "../fuzz/checks/requests.rs"]
mod requests;
#[path = "../fuzz/checks/served.rs"]
mod served;

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
fn every_hostile_registration_of_the_corpus_is_refused_or_served() {
    replay("registration", registration::registration);
}

#[test]
fn every_hostile_request_of_the_corpus_is_answered() {
    replay("requests", requests::requests);
}
