//! The form in which levels and totals outlive the process.
//!
//! All numbers are little endian. A header: `weirstat`, the version (u32), a [`Stamp`] (wall clock
//! i64 in milliseconds, time since boot u64 in milliseconds, boot u128), and their CRC-32. Then
//! chunks: length (u32), CRC-32, and so many bytes: the origin of a source and entries of its
//! series. The last chunk has no source but the numbers of entries, and nothing follows it; without
//! it the file is torn.

mod read;
mod stamp;
mod write;

pub(crate) use read::Reader;
pub use stamp::Stamp;
pub(crate) use write::Writer;

use std::io;
use std::time::Duration;

use metric::SeriesKey;

const MAGIC: &[u8; 8] = b"weirstat";
const VERSION: u32 = 1;

/// A chunk is ended when it has so many bytes.
const CHUNK: usize = 64 << 10;

/// No chunk has more: a chunk's last entry may be a long one.
const LONGEST_CHUNK: usize = 1 << 20;

// How chunks and entries begin.
const END: u8 = 0;
const CONTAINER: u8 = 1;
const LISTENER: u8 = 2;
const CLAIMED: u8 = 3;
const LEVEL: u8 = 1;
const TOTAL: u8 = 2;

/// What is to be known of one series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A gauge's level.
    Level { key: SeriesKey, value: f64, age: Duration },
    /// A counter's running total, by the hash of its key.
    Total { hash: u64, value: f64, age: Duration },
}

/// How much was written or taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Gauges' levels.
    pub levels: u64,
    /// Counters' running totals.
    pub totals: u64,
}

/// Why a saved state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk refused.
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    /// A newer weir wrote it.
    #[error("it is of version {0}, and this weir knows {VERSION}; it was written by a newer one")]
    Newer(u32),
    /// It is not what was written.
    #[error("it is damaged")]
    Damaged,
}
