//! What no safe crate offers: `recvmmsg` with credentials, `SO_MEMINFO`, and descriptors that were
//! there at the start. The only unsafe code of the crate.
#![allow(unsafe_code)] // that is what this module is for

mod batch;
mod inherited;
mod meminfo;

pub use batch::Packets;
pub(crate) use batch::{BATCH, Batch};
pub(crate) use inherited::inherited;
pub(crate) use meminfo::drops;
