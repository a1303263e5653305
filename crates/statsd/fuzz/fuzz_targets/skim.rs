#![no_main]

#[path = "../checks/skim.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::skim(input));
