//! Carries batches upstream: encodes, queues, sends and tries again, and counts what it could not.
//!
//! Each output is a line of its own: [`Outputs::offer`] puts a batch into its inbox; an encoder
//! thread turns batches into payloads; a bounded queue holds them; a sink sends or writes them.
//! ```text
//!  flush -> inbox -> encoder -> queue -> sink: file
//!           bounded   a thread   memory   a thread
//!                            -> lanes -> sink: avro+tcp | http
//!                               |  ^      a task
//!                               v  |
//!                               disk: segments, a thread
//! ```
//! A relay to another StatsD server takes no batches but the workers' lines:
//! ```text
//!  worker -> Inlet -> annotation, packets -> UDP
//!            a ring    a thread
//! ```
//! No output waits for another. What cannot be carried is dropped where it stands, and the output's
//! [`OutputLedger`] says how much and why: offered = acknowledged + queued + dropped, always.
#![deny(unsafe_code)] // but for one ioctl, in src/sys.rs

mod config;
mod error;
mod outputs;

mod encode;
mod inbox;
mod lanes;
mod outlet;
mod queue;
mod sink;

mod relay;

mod disk;
pub mod segment;

mod ledger;
mod retry;

mod avro;
mod ocf;
pub mod read;
pub mod schema;

mod priority;
mod sync;
mod sys;

pub use config::{Codec, Counters, Destination, Durability, OutputConfig, Retry, Schema, Tags};
pub use encode::encode;
pub use error::ShipError;
pub use ledger::{DropReason, Dropped, DroppedInAll, OutputLedger, Unit};
pub use outputs::{Departed, Departing, Kept, Outputs, Prepared, check};
pub use priority::{Backlog, Behind, be_nicer};
pub use relay::{Annotation, Inlet, Surroundings};
