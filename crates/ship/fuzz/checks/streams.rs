//! Whatever comes as a stream of metric lists, reading it ends, within its bounds, and finds the
//! same in whatever pieces it comes.

use std::io::{self, Read};

use ship::read::{MetricList, ReadError, Reader};
use ship::schema::METRIC_LIST;

const BLOCK_BYTES: usize = 1 << 16;

/// The first byte chooses the codec, the others are the blocks after a good header; or, if it is 0,
/// the others are a whole stream.
pub(crate) fn streams(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let codec = match choice % 5 {
        0 => return check(bytes),
        1 => "null",
        2 => "deflate",
        3 => "snappy",
        _ => "zstandard",
    };
    let mut stream = b"Obj\x01\x04".to_vec();
    for text in ["avro.codec", codec, "avro.schema", METRIC_LIST] {
        let length = (text.len() as u64) << 1;
        if length < 0x80 {
            stream.push(length as u8);
        } else {
            stream.extend_from_slice(&[length as u8 | 0x80, (length >> 7) as u8]);
        }
        stream.extend_from_slice(text.as_bytes());
    }
    stream.push(0);
    stream.extend_from_slice(b"0123456789abcdef");
    stream.extend_from_slice(bytes);
    check(&stream);
}

fn check(stream: &[u8]) {
    let (lists, ended_well) = read(stream);
    let (dripped, dripped_well) = read(Drip(stream));
    assert_eq!((lists.len(), ended_well), (dripped.len(), dripped_well));
    // As text, for a number may be none.
    assert_eq!(format!("{lists:?}"), format!("{dripped:?}"));
    let numbers: usize = lists.iter().map(|list| list.datapoints.len()).sum();
    // Each has a byte for its name, one for its time and eight for its value, in a block that may
    // have grown to its bound; and each block has 18 bytes at least.
    assert!(numbers <= (stream.len() / 18 + 1) * BLOCK_BYTES / 10);
}

fn read(input: impl Read) -> (Vec<MetricList>, bool) {
    let mut lists = Vec::new();
    let ended = read_lists(input, &mut lists);
    (lists, ended.is_ok())
}

fn read_lists(input: impl Read, lists: &mut Vec<MetricList>) -> Result<(), ReadError> {
    let mut reader = Reader::open_within(BLOCK_BYTES, input)?;
    if !reader.holds_metric_lists() {
        return Ok(());
    }
    while let Some(mut block) = reader.next_block()? {
        while let Some(list) = block.next_metric_list() {
            lists.push(list?);
        }
    }
    Ok(())
}

/// A byte at a time.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let few = buffer.len().min(1);
        self.0.read(&mut buffer[..few])
    }
}
