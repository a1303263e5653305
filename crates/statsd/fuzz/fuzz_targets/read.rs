#![no_main]

#[path = "../checks/read.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::read(input));
