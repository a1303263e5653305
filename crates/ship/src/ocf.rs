use std::str::FromStr as _;

use crate::{Codec, Schema, schema};

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
    write_long(&mut header, 2);
    for (key, value) in [("avro.codec", codec.avro_name()), ("avro.schema", json)] {
        for text in [key, value] {
            write_long(&mut header, text.len() as i64);
            header.extend_from_slice(text.as_bytes());
        }
    }
    header.push(0);
    header.extend_from_slice(marker);
    header
}

/// Appends a block but for its marker: how many objects, how many bytes, the bytes.
pub(crate) fn write_block(to: &mut Vec<u8>, objects: u64, body: &[u8]) {
    write_long(to, objects as i64);
    write_long(to, body.len() as i64);
    to.extend_from_slice(body);
}

/// The most that [`write_block`] adds to the bytes.
pub(crate) const BLOCK_HEAD: usize = 20;

fn write_long(to: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag > 0x7f {
        to.push((zigzag as u8 & 0x7f) | 0x80);
        zigzag >>= 7;
    }
    to.push(zigzag as u8);
}

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

    /// What compresses and decompresses, with its default level.
    pub(crate) fn avro(self) -> apache_avro::Codec {
        apache_avro::Codec::from_str(self.avro_name()).expect("built in, or its feature is on")
    }
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
    fn a_long_is_a_zigzag_varint() {
        let examples: [(i64, &[u8]); 7] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (64, &[0x80, 1]),
            (160, &[0xc0, 2]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (value, bytes) in examples {
            let mut written = Vec::new();
            write_long(&mut written, value);
            assert_eq!(written, bytes, "{value}");
        }
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
            codec.avro().compress(&mut bytes).unwrap();
            codec.avro().decompress(&mut bytes).unwrap();
            assert_eq!(bytes, b"abcabcabcabc");
        }
    }
}
