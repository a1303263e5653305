//! Turns StatsD bytes into samples, without copying, and samples back into bytes.
//!
//! One policy for every listener, told in `README.md`. A datagram is split by [`lines`]; each line
//! is read by [`read`], on its own: neither errors nor anything else reaches from one line to the
//! next. [`skim()`] is the quick look at a line whose like was read before, and [`skims`] splits a
//! datagram and looks at its lines at once.
//!
//! ```
//! use metric::{Kind, ReadAs, Values};
//!
//! let reading = statsd::read(b"page.views:1:2|c|@0.5|#page:home", ReadAs::default(), 0);
//! let sample = reading.samples().next().expect("it is a good line");
//! assert_eq!((sample.name, sample.kind, sample.rate), ("page.views", Kind::Counter, 0.5));
//! assert_eq!(sample.values, Values::Numbers(&[1.0, 2.0]));
//! assert_eq!(sample.tags[0].value, "home");
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod framing;
mod reading;

mod event;
mod line;
mod lossy;
mod name;
mod number;
mod pieces;
mod scan;
mod sections;
mod tags;
mod values;

mod ordinary;
mod skim;
mod write;

pub use framing::{LONGEST_LINE, Lines, StreamLine, StreamLines, lines, split_cut};
pub use line::{count, read};
pub use reading::{Check, Event, Reading, Reject, shown};
pub use skim::{Measure, Measured, Skim, Skims, skim, skims};
pub use write::{Unwritable, write};
