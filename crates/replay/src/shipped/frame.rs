use std::str::FromStr as _;
use std::sync::Arc;
use std::time::SystemTime;

use apache_avro::{Codec, Schema};

/// The most bytes that a header or a block may have, as it stands and decompressed.
const MOST: usize = 64 << 20;

const MAGIC: &[u8] = b"Obj\x01";

/// The blocks of an Avro object container file, as its bytes come in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    header: Option<Header>,
}

#[derive(Debug)]
struct Header {
    schema: Arc<Schema>,
    codec: Codec,
    marker: [u8; 16],
}

/// A whole block, as it came.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) schema: Arc<Schema>,
    pub(super) objects: u64,
    pub(super) arrived: SystemTime,
    codec: Codec,
    body: Vec<u8>,
}

impl Block {
    /// The bytes of its records.
    pub(super) fn into_records(self) -> Result<Vec<u8>, String> {
        let Self { objects, codec, mut body, .. } = self;
        if !body.is_empty() {
            codec.decompress(&mut body).map_err(|error| error.to_string())?;
        }
        // Each record has a byte at least.
        if body.len() > MOST || objects > body.len() as u64 {
            return Err(format!("a block claims {objects} records in {} bytes", body.len()));
        }
        Ok(body)
    }
}

impl Frames {
    /// Takes further bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next block, if it is there whole.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, String> {
        let mut rest = Rest(&self.bytes);
        if self.header.is_none() {
            match read_header(&mut rest)? {
                Some(header) => self.header = Some(header),
                None => return self.incomplete(),
            }
        }
        let Some(header) = &self.header else { return Ok(None) };
        let Some((objects, body)) = read_block(&mut rest, &header.marker)? else {
            // A header that was just read is done with.
            let taken = self.bytes.len() - rest.0.len();
            self.bytes.drain(..taken);
            return self.incomplete();
        };
        let block = Block {
            schema: Arc::clone(&header.schema),
            objects,
            arrived: SystemTime::now(),
            codec: header.codec,
            body: body.to_vec(),
        };
        let taken = self.bytes.len() - rest.0.len();
        self.bytes.drain(..taken);
        Ok(Some(block))
    }

    fn incomplete(&self) -> Result<Option<Block>, String> {
        if self.bytes.len() > MOST {
            return Err("a block over 64 MiB".to_owned());
        }
        Ok(None)
    }
}

/// Bytes that were not read yet. Every reading is `None` if they end before it is done.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A zigzag varint.
    fn long(&mut self) -> Result<Option<i64>, String> {
        let mut zigzag = 0_u64;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            zigzag |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Ok(Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)));
            }
        }
        if self.0.len() >= 10 { Err("a number is damaged".to_owned()) } else { Ok(None) }
    }

    /// A length and so many bytes.
    fn bytes(&mut self) -> Result<Option<&'a [u8]>, String> {
        let Some(length) = self.long()? else { return Ok(None) };
        let length = usize::try_from(length).ok().filter(|length| *length <= MOST);
        let length = length.ok_or_else(|| "a length is damaged".to_owned())?;
        Ok(self.take(length))
    }
}

fn read_header(rest: &mut Rest<'_>) -> Result<Option<Header>, String> {
    let whole = rest.0;
    let begins = &whole[..whole.len().min(MAGIC.len())];
    if !MAGIC.starts_with(begins) {
        return Err("it is no Avro object container file".to_owned());
    }
    let header = read_metadata(rest)?;
    if header.is_none() {
        rest.0 = whole;
    }
    Ok(header)
}

fn read_metadata(rest: &mut Rest<'_>) -> Result<Option<Header>, String> {
    let (mut schema, mut codec) = (None, Codec::Null);
    if rest.take(MAGIC.len()).is_none() {
        return Ok(None);
    }
    loop {
        let Some(mut pairs) = rest.long()? else { return Ok(None) };
        if pairs == 0 {
            break;
        }
        if pairs < 0 {
            // The length in bytes follows.
            if rest.long()?.is_none() {
                return Ok(None);
            }
            pairs = pairs.saturating_neg();
        }
        for _ in 0..pairs {
            let Some(key) = rest.bytes()? else { return Ok(None) };
            let Some(value) = rest.bytes()? else { return Ok(None) };
            let text = String::from_utf8_lossy(value);
            match key {
                b"avro.schema" => {
                    let parsed = Schema::parse_str(&text);
                    schema = Some(parsed.map_err(|error| format!("its schema: {error}"))?);
                }
                b"avro.codec" => {
                    codec = Codec::from_str(&text).map_err(|_| format!("codec {text:?}"))?;
                }
                _ => {}
            }
        }
    }
    let Some(marker) = rest.take(16) else { return Ok(None) };
    let marker = marker.try_into().map_err(|_| "a marker has 16 bytes".to_owned())?;
    let schema = Arc::new(schema.ok_or_else(|| "it has no schema".to_owned())?);
    Ok(Some(Header { schema, codec, marker }))
}

fn read_block<'a>(
    rest: &mut Rest<'a>,
    marker: &[u8; 16],
) -> Result<Option<(u64, &'a [u8])>, String> {
    let whole = rest.0;
    let mut read = || -> Result<Option<(u64, &'a [u8])>, String> {
        let Some(objects) = rest.long()? else { return Ok(None) };
        let Some(body) = rest.bytes()? else { return Ok(None) };
        let Some(end) = rest.take(16) else { return Ok(None) };
        if end != marker {
            return Err("a block does not end with the file's marker".to_owned());
        }
        let objects = u64::try_from(objects).map_err(|_| "a negative count".to_owned())?;
        Ok(Some((objects, body)))
    };
    let block = read()?;
    if block.is_none() {
        rest.0 = whole;
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(codec: &str, records: &[&[u8]]) -> Vec<u8> {
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#;
        let mut bytes = b"Obj\x01\x04".to_vec();
        for (key, value) in [("avro.codec", codec), ("avro.schema", schema)] {
            for text in [key, value] {
                let zigzag = text.len() as u64 * 2;
                if zigzag >= 128 {
                    bytes.push(zigzag as u8 | 0x80);
                    bytes.push((zigzag >> 7) as u8);
                } else {
                    bytes.push(zigzag as u8);
                }
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        bytes.push(0);
        bytes.extend_from_slice(&[7; 16]);
        for record in records {
            let mut body = record.to_vec();
            Codec::from_str(codec).unwrap().compress(&mut body).unwrap();
            bytes.extend_from_slice(&[2, body.len() as u8 * 2]);
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(&[7; 16]);
        }
        bytes
    }

    #[test]
    fn blocks_are_whole_however_their_bytes_come() {
        for codec in ["null", "deflate", "snappy", "zstandard"] {
            let bytes = file(codec, &[&[2], &[4]]);
            for piece in [1, 7, bytes.len()] {
                let mut frames = Frames::default();
                let mut bodies = Vec::new();
                for piece in bytes.chunks(piece) {
                    frames.feed(piece);
                    while let Some(block) = frames.next_block().unwrap() {
                        assert_eq!(block.objects, 1);
                        bodies.push(block.into_records().unwrap());
                    }
                }
                assert_eq!(bodies, [[2], [4]], "{codec} {piece}");
            }
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let good = file("null", &[&[2]]);
        let last = good.len() - 1;
        let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            let mut frames = Frames::default();
            frames.feed(&bytes);
            frames.next_block()?.map(Block::into_records).transpose()
        };
        assert!(damaged(&|bytes| bytes[0] = b'X').is_err());
        assert!(damaged(&|bytes| bytes[last] = 0).is_err());
        // More records than bytes, or fewer than none.
        assert!(damaged(&|bytes| bytes[last - 18] = 0x7e).is_err());
        assert!(damaged(&|bytes| bytes[last - 18] = 1).is_err());
        assert!(damaged(&|bytes| bytes.truncate(last)).is_ok_and(|it| it.is_none()));
        let long = [&good[..good.len() - 19], &[2], &[0xff; 9], &[0x01]].concat();
        assert!(damaged(&|bytes| bytes.clone_from(&long)).is_err());
    }
}
