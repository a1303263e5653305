//! Carries batches upstream: encodes, queues, sends and tries again, and counts what it could not.
//!
//! Each output is a line of its own: [`Outputs::offer`] puts a batch into its inbox; an encoder
//! thread turns batches into payloads; a bounded queue holds them; a sink sends or writes them.
//! ```text
//!  flush -> inbox -> encoder -> queue -> sink: file | avro+tcp | http
//!           bounded   a thread   bounded  a task, or a thread for files
//! ```
//! No output waits for another. What cannot be carried is dropped where it stands, and the output's
//! [`OutputLedger`] says how much and why: offered = acknowledged + queued + dropped, always.
#![forbid(unsafe_code)]

mod config;
mod error;
mod outputs;

mod encode;
mod inbox;
mod queue;
mod sink;

mod ledger;
mod retry;

mod ocf;
pub mod read;
pub mod schema;

mod sync;

pub use config::{Codec, Counters, Destination, OutputConfig, Retry, Schema, Tags};
pub use encode::encode;
pub use error::ShipError;
pub use ledger::{DropReason, Dropped, OutputLedger};
pub use outputs::Outputs;
