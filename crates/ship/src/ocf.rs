use std::io::{self, Write as _};
use std::str::FromStr as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::{Codec, Schema, avro, schema};

/// What ends each block of a file, and stands in its header.
pub(crate) type Marker = [u8; 16];

/// The marker of DC/OS's stream: always the same.
pub(crate) const STREAM_MARKER: Marker = *b"FEFEFEFEFEFEFEFE";

/// What every object container file begins with.
pub(crate) const MAGIC: [u8; 4] = *b"Obj\x01";

/// The header of an object container file: the codec first, as DC/OS's readers have always seen it.
pub(crate) fn header(of: Schema, codec: Codec, marker: &Marker) -> Vec<u8> {
    let json = schema::json(of);
    let mut header = Vec::with_capacity(json.len() + 64);
    header.extend_from_slice(&MAGIC);
    avro::long(&mut header, 2);
    for (key, value) in [("avro.codec", codec.avro_name()), ("avro.schema", json)] {
        avro::string(&mut header, key);
        avro::string(&mut header, value);
    }
    header.push(0);
    header.extend_from_slice(marker);
    header
}

/// Appends a block but for its marker: how many objects, how many bytes, the bytes.
pub(crate) fn write_block(to: &mut Vec<u8>, objects: u64, body: &[u8]) {
    avro::long(to, objects as i64);
    avro::long(to, body.len() as i64);
    to.extend_from_slice(body);
}

/// The most that [`write_block`] adds to the bytes.
pub(crate) const BLOCK_HEAD: usize = 20;

impl Codec {
    /// Its name in a file's header.
    pub(crate) fn avro_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Zstd => "zstandard",
        }
    }

    /// The codec that a file's header names.
    pub(crate) fn from_avro_name(name: &str) -> Option<Self> {
        [Self::Null, Self::Deflate, Self::Snappy, Self::Zstd]
            .into_iter()
            .find(|codec| codec.avro_name() == name)
    }

    /// Compresses a block's body.
    pub(crate) fn compress(self, body: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Null => Ok(()),
            Self::Deflate => deflate(body).map_err(|error| error.to_string()),
            Self::Snappy | Self::Zstd => {
                self.avro().compress(body).map_err(|error| error.to_string())
            }
        }
    }

    /// What compresses and decompresses, with its default level.
    pub(crate) fn avro(self) -> apache_avro::Codec {
        apache_avro::Codec::from_str(self.avro_name()).expect("built in, or its feature is on")
    }
}

// At the fastest level: what a flush has to say is told in a few seconds of one core, whatever its size.
fn deflate(body: &mut Vec<u8>) -> io::Result<()> {
    let room = Vec::with_capacity(body.len() / 8);
    let mut deflater = DeflateEncoder::new(room, Compression::fast());
    deflater.write_all(body)?;
    *body = deflater.finish()?;
    Ok(())
}

/// A random marker.
pub(crate) fn new_marker() -> Marker {
    let (high, low) = (crate::sync::random(), crate::sync::random());
    (u128::from(high) << 64 | u128::from(low)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_header_is_the_601_bytes_that_dcos_receivers_know() {
        let mut expected = b"Obj\x01\x04\x14avro.codec\x08null\x16avro.schema\xca\x08".to_vec();
        expected.extend_from_slice(schema::METRIC_LIST.as_bytes());
        expected.push(0);
        expected.extend_from_slice(b"FEFEFEFEFEFEFEFE");
        let header = header(Schema::MetricList, Codec::Null, &STREAM_MARKER);
        assert_eq!(header, expected);
        assert_eq!(header.len(), 601);
    }

    #[test]
    fn no_two_files_have_the_same_marker() {
        assert_ne!(new_marker(), new_marker());
    }

    #[test]
    fn every_codec_is_known_by_its_name() {
        for codec in [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
            assert_eq!(Codec::from_avro_name(codec.avro_name()), Some(codec));
            let mut bytes = b"abcabcabcabc".to_vec();
            codec.compress(&mut bytes).unwrap();
            codec.avro().decompress(&mut bytes).unwrap();
            assert_eq!(bytes, b"abcabcabcabc");
        }
    }
}
