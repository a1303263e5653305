#![no_main]

#[path = "../checks/requests.rs"]
mod requests;
#[path = "../checks/served.rs"]
mod served;

libfuzzer_sys::fuzz_target!(|input: &[u8]| requests::requests(input));
