#![no_main]

#[path = "../checks/registration.rs"]
mod registration;
#[path = "../checks/served.rs"]
mod served;

libfuzzer_sys::fuzz_target!(|input: &[u8]| registration::registration(input));
