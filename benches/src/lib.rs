//! What the benches measure with: traffic that is the same every time, and a worker's way from a
//! line to its series.
#![forbid(unsafe_code)]

mod intake;
pub mod least;
pub mod traffic;

pub use intake::{Intake, measure};
