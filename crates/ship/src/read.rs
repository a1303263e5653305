//! Reads Avro object container files and streams from anyone, block by block, in bounded memory.
//!
//! ```
//! # fn print(input: impl std::io::Read) -> Result<(), ship::read::ReadError> {
//! let mut reader = ship::read::Reader::open(input)?;
//! while let Some(block) = reader.next_block()? {
//!     for line in block {
//!         let json: String = line?;
//!     }
//! }
//! # Ok(()) }
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde::de::DeserializeOwned;

use crate::schema;

mod frame;
mod json;
mod list;

use frame::Frames;
use json::Json;
pub use list::{ListDatapoint, ListTag, MetricList};

/// The most bytes that a block may have, as it stands and decompressed. What weir writes has about
/// 1 MiB.
pub const BLOCK_BYTES: usize = 8 << 20;

/// The most bytes that a file's header may have.
const HEADER_BYTES: u64 = 1 << 20;

/// Why a file or stream cannot be read, or cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input itself failed.
    #[error("cannot read: {0}")]
    Input(#[from] io::Error),
    /// It does not begin as an object container file does.
    #[error("not an Avro object container file: it does not begin with \"Obj\" and a 1")]
    NotAvro,
    /// The header is damaged, or asks for what this reader does not have.
    #[error("cannot use the header: {0}")]
    Header(String),
    /// It ends in the middle: what came before, whole blocks all, has been read. A file that is
    /// being written, or whose writer was killed, ends like this.
    #[error("cut off after {blocks} whole blocks")]
    Torn {
        /// How many blocks there are.
        blocks: u64,
    },
    /// A block is damaged, or larger than [`BLOCK_BYTES`].
    #[error("block {number} cannot be read: {problem}")]
    Block {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads the blocks of one file or stream.
pub struct Reader<R> {
    frames: Frames<R>,
    schema: Schema,
    codec: apache_avro::Codec,
    body: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header. The input needs no buffer of its own.
    pub fn open(input: R) -> Result<Self, ReadError> {
        Self::open_within(BLOCK_BYTES, input)
    }

    /// The same for an input whose blocks may have only so many bytes, as they stand and
    /// decompressed.
    pub fn open_within(block_bytes: usize, input: R) -> Result<Self, ReadError> {
        // The library allocates what a length claims; the first call decides for the process.
        apache_avro::util::max_allocation_bytes(BLOCK_BYTES);
        let frames = Frames::open(input, block_bytes.min(BLOCK_BYTES))?;
        let schema = json::schema(frames.schema()).map_err(ReadError::Header)?;
        let codec = frames.codec()?.avro();
        Ok(Self { frames, schema, codec, body: Vec::new() })
    }

    /// The full name of the records, `weir.v1.MetricPoint`; empty if the objects are no records.
    pub fn record_name(&self) -> String {
        self.schema.name().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether the records are `dcos.metrics.MetricList`, whatever docs and logical types their
    /// schema has: then [`Block::next_metric_list`] reads them.
    pub fn holds_metric_lists(&self) -> bool {
        schema::is_metric_list(self.frames.schema())
    }

    /// Waits for the next block; `None` at an end between two blocks.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, ReadError> {
        let Some(objects) = self.frames.next(&mut self.body)? else { return Ok(None) };
        let number = self.frames.blocks();
        let error = |problem| ReadError::Block { number, problem };
        if !self.body.is_empty() {
            self.codec.decompress(&mut self.body).map_err(|e| error(short(&e)))?;
        }
        // Each object has a byte at least, so a count cannot promise work without end.
        if self.body.len() > self.frames.block_bytes() || objects > self.body.len() as u64 {
            return Err(error(format!("{objects} objects in {} bytes", self.body.len())));
        }
        let datums = GenericDatumReader::builder(&self.schema)
            .build()
            .map_err(|e| ReadError::Header(short(&e)))?;
        Ok(Some(Block { datums, bytes: &self.body, left: objects, number }))
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// The records of a block: each as one line of compact JSON, its fields in the schema's order.
/// What JSON has no number for is the text "NaN", "Infinity" or "-Infinity"; bytes are a text with
/// one character for each.
pub struct Block<'a> {
    datums: GenericDatumReader<'a>,
    bytes: &'a [u8],
    left: u64,
    number: u64,
}

impl Block<'_> {
    /// The next record, where [`Reader::holds_metric_lists`].
    pub fn next_metric_list(&mut self) -> Option<Result<MetricList, ReadError>> {
        self.next_object()
    }

    fn next_object<T: DeserializeOwned>(&mut self) -> Option<Result<T, ReadError>> {
        let error = |problem| Some(Err(ReadError::Block { number: self.number, problem }));
        if self.left == 0 {
            let over = std::mem::take(&mut self.bytes).len();
            return if over == 0 { None } else { error(format!("{over} bytes too many")) };
        }
        match self.datums.read_deser(&mut self.bytes) {
            Ok(object) => {
                self.left -= 1;
                Some(Ok(object))
            }
            Err(problem) => {
                self.left = 0;
                self.bytes = &[];
                error(short(&problem))
            }
        }
    }
}

impl Iterator for Block<'_> {
    type Item = Result<String, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let object: Result<Json, _> = self.next_object()?;
        Some(object.map(|Json(line)| line))
    }
}

impl fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The library's errors may quote a whole schema.
fn short(error: &impl fmt::Display) -> String {
    error.to_string().chars().take(200).collect()
}

/// How far a file is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// Finds the end of a file's last whole block. Bytes that are not a file's count as no block.
pub(crate) fn whole_blocks(file: &File) -> io::Result<Whole> {
    let mut whole = Whole { blocks: 0, bytes: 0 };
    let mut body = Vec::new();
    let found = Frames::open(file, BLOCK_BYTES).and_then(|mut frames| {
        while frames.next(&mut body)?.is_some() {
            whole = Whole { blocks: frames.blocks(), bytes: frames.position() };
        }
        Ok(())
    });
    match found {
        Err(ReadError::Input(error)) => Err(error),
        Ok(())
        | Err(
            ReadError::NotAvro
            | ReadError::Header(_)
            | ReadError::Torn { .. }
            | ReadError::Block { .. },
        ) => Ok(whole),
    }
}

#[cfg(test)]
mod tests;
