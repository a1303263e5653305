#![no_main]

#[path = "../checks/segment.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::segment(input));
