#![no_main]

#[path = "../checks/streams.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::streams(input));
