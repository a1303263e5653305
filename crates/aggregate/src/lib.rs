//! Adds samples up into series, and tells at each flush what they came to.
//!
//! Each worker owns a [`Shard`]: nobody else writes to it, and it remembers of the past only which
//! series there are. At a flush the worker swaps its [`Interval`] for an empty one, in constant time;
//! one [`Flush`] merges the intervals of all shards, knows what outlives them (gauges' levels,
//! counters' running totals, when a series was last seen) and gives them back empty.
//!
//! They tell each other by what travels with an interval. The shard: sources opened and closed,
//! series born and forgotten. The flush side: series that nobody used for long. The shard forgets
//! those of them that it has not touched since, says so with its running interval, and gives their
//! places to other series only in later ones. So a place never means two series to the two sides.
//!
//! What outlives an interval can outlive the process, too: [`Flush::save`], [`Flush::restore`].
//!
//! Pure: no I/O but to what it is given, no clock, no thread, no lock.
#![forbid(unsafe_code)]

mod limits;
mod shard;
mod total;

mod interval;
mod part;
mod share;

mod flush;
mod state;

pub mod plain;

mod distinct;
mod members;
mod number;
mod pile;
mod sketch;
mod slot;

pub use distinct::Distinct;
pub use flush::{Ended, Flush, FlushConfig, MOST_AT_ONCE, Merged};
pub use interval::{Interval, Measure};
pub use limits::Limits;
pub use part::Part;
pub use shard::{Recalled, Recorded, Remember, Shard, ShardConfig, Sought, SourceIndex};
pub use state::{Saved, Stamp, StateError};
pub use total::TotalSeries;
