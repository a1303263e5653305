#![no_main]

#[path = "../checks/chunks.rs"]
mod chunks;
#[path = "../checks/state.rs"]
mod state;

libfuzzer_sys::fuzz_target!(|input: &[u8]| chunks::chunks(input));
