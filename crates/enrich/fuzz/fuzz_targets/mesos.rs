#![no_main]

#[path = "../checks/mesos.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::mesos(input));
