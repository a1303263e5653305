use std::io::{self, BufReader, Read};

use super::{HEADER_BYTES, ReadError};
use crate::Codec;
use crate::ocf::{MAGIC, Marker};

/// The frame of an object container file: header, then blocks, each with its marker. Knows nothing
/// of what is in a block.
pub(super) struct Frames<R> {
    input: Input<R>,
    marker: Marker,
    codec: String,
    schema: String,
    block_bytes: usize,
    blocks: u64,
}

/// Counts what is read, and tells an end from an error.
struct Input<R> {
    inner: BufReader<R>,
    position: u64,
}

/// Why a part of a frame is not there.
enum Gap {
    /// The input ended before the part did. `clean`: before it began.
    End {
        clean: bool,
    },
    /// A number is no varint of 64 bits.
    Number,
    Input(io::Error),
}

impl<R: Read> Frames<R> {
    /// Reads the header; no block may have more bytes than that.
    pub(super) fn open(input: R, block_bytes: usize) -> Result<Self, ReadError> {
        let input = Input { inner: BufReader::new(input), position: 0 };
        let mut frames = Self {
            input,
            marker: Marker::default(),
            codec: "null".to_owned(),
            schema: String::new(),
            block_bytes,
            blocks: 0,
        };
        for expected in MAGIC {
            let mut byte = [0];
            frames.input.exactly(&mut byte).map_err(in_header)?;
            if byte[0] != expected {
                return Err(ReadError::NotAvro);
            }
        }
        frames.read_metadata()?;
        frames.input.exactly(&mut frames.marker).map_err(in_header)?;
        Ok(frames)
    }

    /// The map of the header: blocks of pairs, of which an empty one is the last.
    fn read_metadata(&mut self) -> Result<(), ReadError> {
        loop {
            let mut pairs = self.input.long().map_err(in_header)?;
            if pairs == 0 {
                return Ok(());
            }
            if pairs < 0 {
                pairs = pairs.checked_neg().unwrap_or(i64::MAX);
                self.input.long().map_err(in_header)?;
            }
            for _ in 0..pairs {
                let key = self.metadata_bytes()?;
                let value = self.metadata_bytes()?;
                let place = match key.as_slice() {
                    b"avro.codec" => &mut self.codec,
                    b"avro.schema" => &mut self.schema,
                    _ => continue,
                };
                *place = String::from_utf8(value)
                    .map_err(|_| ReadError::Header("its text is not UTF-8".to_owned()))?;
            }
        }
    }

    fn metadata_bytes(&mut self) -> Result<Vec<u8>, ReadError> {
        let length = self.input.long().map_err(in_header)?;
        let room = HEADER_BYTES.saturating_sub(self.input.position);
        let length = u64::try_from(length).ok().filter(|length| *length <= room);
        let Some(length) = length else {
            return Err(ReadError::Header(format!("it is damaged, or over {HEADER_BYTES} bytes")));
        };
        let mut bytes = Vec::new();
        self.input.some(length, &mut bytes).map_err(in_header)?;
        Ok(bytes)
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    pub(super) fn codec(&self) -> Result<Codec, ReadError> {
        Codec::from_avro_name(&self.codec).ok_or_else(|| {
            let codec: String = self.codec.chars().take(40).collect();
            ReadError::Header(format!("codec {codec:?} is not null, deflate, snappy or zstandard"))
        })
    }

    pub(super) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// How many whole blocks were read.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Where the last whole block, or the header, ended.
    pub(super) fn position(&self) -> u64 {
        self.input.position
    }

    /// Reads the next block as it stands; returns how many objects it says it has, or `None` at an
    /// end before it.
    pub(super) fn next(&mut self, body: &mut Vec<u8>) -> Result<Option<u64>, ReadError> {
        body.clear();
        match self.read_block(body) {
            Ok(objects) => {
                self.blocks += 1;
                Ok(Some(objects))
            }
            Err(BlockError::Gap(Gap::End { clean: true })) => Ok(None),
            Err(BlockError::Gap(Gap::End { clean: false })) => {
                Err(ReadError::Torn { blocks: self.blocks })
            }
            Err(BlockError::Gap(Gap::Input(error))) => Err(error.into()),
            Err(BlockError::Gap(Gap::Number)) => Err(self.damaged("a number of it is damaged")),
            Err(BlockError::Damaged(problem)) => Err(self.damaged(problem)),
            Err(BlockError::Large(size)) => {
                let most = self.block_bytes;
                Err(self.damaged(&format!("it claims {size} bytes, and may have {most}")))
            }
        }
    }

    fn read_block(&mut self, body: &mut Vec<u8>) -> Result<u64, BlockError> {
        let objects = self.input.long()?;
        let size = self.input.long().map_err(Gap::begun)?;
        let (Ok(objects), Ok(size)) = (u64::try_from(objects), u64::try_from(size)) else {
            return Err(BlockError::Damaged("a negative number"));
        };
        if size > self.block_bytes as u64 {
            return Err(BlockError::Large(size));
        }
        self.input.some(size, body).map_err(Gap::begun)?;
        let mut marker = Marker::default();
        self.input.exactly(&mut marker).map_err(Gap::begun)?;
        if marker == self.marker {
            Ok(objects)
        } else {
            Err(BlockError::Damaged("it does not end with the file's marker"))
        }
    }

    fn damaged(&self, problem: &str) -> ReadError {
        ReadError::Block { number: self.blocks + 1, problem: problem.to_owned() }
    }
}

enum BlockError {
    Gap(Gap),
    Damaged(&'static str),
    /// It claims so many bytes.
    Large(u64),
}

impl From<Gap> for BlockError {
    fn from(gap: Gap) -> Self {
        Self::Gap(gap)
    }
}

impl Gap {
    /// The same, after something of the block was read already.
    fn begun(self) -> Self {
        match self {
            Self::End { .. } => Self::End { clean: false },
            Self::Number | Self::Input(_) => self,
        }
    }
}

fn in_header(gap: Gap) -> ReadError {
    match gap {
        Gap::End { .. } => ReadError::Torn { blocks: 0 },
        Gap::Number => ReadError::Header("a number of it is damaged".to_owned()),
        Gap::Input(error) => error.into(),
    }
}

impl<R: Read> Input<R> {
    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), Gap> {
        let mut read = 0;
        while read < bytes.len() {
            match self.inner.read(&mut bytes[read..]) {
                Ok(0) => return Err(Gap::End { clean: read == 0 }),
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Gap::Input(error)),
            }
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Appends this many bytes. Allocates as they come, not as they are promised.
    fn some(&mut self, length: u64, to: &mut Vec<u8>) -> Result<(), Gap> {
        let read = self.inner.by_ref().take(length).read_to_end(to).map_err(Gap::Input)?;
        self.position += read as u64;
        if read as u64 == length { Ok(()) } else { Err(Gap::End { clean: false }) }
    }

    /// A zigzag varint.
    fn long(&mut self) -> Result<i64, Gap> {
        let mut zigzag = 0_u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            let read = self.exactly(&mut byte);
            if shift > 0 { read.map_err(Gap::begun) } else { read }?;
            let bits = u64::from(byte[0] & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Gap::Number);
            }
            zigzag |= bits << shift;
            if byte[0] & 0x80 == 0 {
                return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
        }
        Err(Gap::Number)
    }
}
