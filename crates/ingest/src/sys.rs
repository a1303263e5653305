//! What no safe crate offers: `recvmmsg` with credentials, and `SO_MEMINFO`. The only unsafe code
//! of the crate.
#![allow(unsafe_code)] // that is what this module is for

mod batch;
mod meminfo;

pub use batch::Packets;
pub(crate) use batch::{BATCH, Batch};
pub(crate) use meminfo::drops;
