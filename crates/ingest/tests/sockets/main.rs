//! Real sockets on the loopback interface and in temporary directories.
#![allow(clippy::unwrap_used)] // a helper that fails fails its test

mod rig;

mod closing;
mod receiving;
mod stored;
mod unixgram;
mod waiting;
