#![no_main]

#[path = "../checks/containers_directory.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::containers_directory(input));
