//! The nouns that weir's stages share: what a datagram, a sample, a series and a batch are.
//!
//! No I/O, no clock, no policy. In reading order: a [`Packet`] arrives from a [`Source`]; its
//! lines become [`Sample`]s; samples meet in a series, named by its [`SeriesKey`]; at each flush
//! the series of one source leave as a [`Batch`] of [`Datapoint`]s with the [`Dimensions`] of that
//! source. [`Counts`] is the account of all of it.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod packet;
mod source;

mod kind;
mod sample;
mod series;
mod spelling;

mod batch;
mod datapoint;
mod dimensions;

mod container;
mod counts;

pub use batch::{Batch, Point, Quantiles};
pub use container::{Container, ContainerError, check_container_id};
pub use counts::{Counts, Note, Notes, Reason, Received, Tally};
pub use datapoint::{Datapoint, Summary, UnixMillis, Value};
pub use dimensions::{Dimensions, IDENTITY};
pub use kind::Kind;
pub use packet::Packet;
pub use sample::{Sample, Tag, Values};
pub use series::{SeriesKey, Spelled};
pub use source::{GaugeSign, Origin, ReadAs, Source};
pub use spelling::Spelling;
