use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::Codec;
use crate::ocf::{self, STREAM_MARKER};
use crate::schema;

/// A file of metric lists with this many blocks, each with one list without points.
fn file(codec: Codec, blocks: usize) -> Vec<u8> {
    let mut file = ocf::header(crate::Schema::MetricList, codec, &STREAM_MARKER);
    for number in 0..blocks {
        let topic = format!("topic {number}");
        let mut body = vec![topic.len() as u8 * 2];
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&[0, 0]);
        push_block(&mut file, codec, 1, body);
    }
    file
}

fn push_block(file: &mut Vec<u8>, codec: Codec, objects: u64, mut body: Vec<u8>) {
    codec.avro().compress(&mut body).unwrap();
    ocf::write_block(file, objects, &body);
    file.extend_from_slice(&STREAM_MARKER);
}

/// A file with this schema and one block of this body.
fn foreign(schema: &str, objects: u64, body: &[u8]) -> Vec<u8> {
    let header = ocf::header(crate::Schema::MetricList, Codec::Null, &STREAM_MARKER);
    let before = header.windows(11).position(|bytes| bytes == b"avro.schema").unwrap() + 11;
    let mut file = header[..before].to_vec();
    let length = (schema.len() as u64) << 1;
    file.extend_from_slice(&[length as u8 | 0x80, (length >> 7) as u8]);
    assert!((64..8192).contains(&schema.len()));
    file.extend_from_slice(schema.as_bytes());
    file.push(0);
    file.extend_from_slice(&STREAM_MARKER);
    push_block(&mut file, Codec::Null, objects, body.to_vec());
    file
}

fn lines(file: &[u8]) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader::open(file)?;
    let mut lines = Vec::new();
    while let Some(block) = reader.next_block()? {
        for line in block {
            lines.push(line?);
        }
    }
    Ok(lines)
}

#[test]
fn records_are_read_as_json_lines_in_the_schemas_order() {
    for codec in [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        let seen = lines(&file(codec, 2)).unwrap();
        let of = |topic| format!(r#"{{"topic":"{topic}","tags":[],"datapoints":[]}}"#);
        assert_eq!(seen, [of("topic 0"), of("topic 1")]);
    }
    let bytes = file(Codec::Null, 1);
    assert_eq!(Reader::open(&bytes[..]).unwrap().record_name(), "dcos.metrics.MetricList");
}

#[test]
fn every_type_of_a_foreign_schema_has_its_json() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"z","type":["null","boolean"]},{"name":"b","type":"bytes"},
        {"name":"f","type":"float"},{"name":"nan","type":"double"},
        {"name":"inf","type":"double"},{"name":"m","type":{"type":"map","values":"int"}},
        {"name":"a","type":{"type":"array","items":"long"}},{"name":"n","type":"null"}]}"#;
    let mut body = vec![2, 1, 4, 0, 0xff];
    body.extend_from_slice(&0.5_f32.to_le_bytes());
    body.extend_from_slice(&f64::NAN.to_le_bytes());
    body.extend_from_slice(&f64::NEG_INFINITY.to_le_bytes());
    body.extend_from_slice(&[4, 2, b'y', 2, 2, b'x', 1, 0, 4, 2, 3, 0]);
    assert_eq!(
        lines(&foreign(schema, 1, &body)).unwrap(),
        [
            r#"{"z":true,"b":"\u0000ÿ","f":0.5,"nan":"NaN","inf":"-Infinity","m":{"y":1,"x":-1},"a":[1,-2],"n":null}"#
        ]
    );
}

#[test]
fn a_file_is_read_to_its_last_whole_block_wherever_it_is_cut() {
    let whole = file(Codec::Deflate, 2);
    let header = file(Codec::Deflate, 0).len();
    let first = file(Codec::Deflate, 1).len();
    for cut in 0..=whole.len() {
        let mut read = 0;
        let outcome = Reader::open(&whole[..cut]).and_then(|mut reader| {
            while let Some(block) = reader.next_block()? {
                read += block.count();
            }
            Ok(())
        });
        let blocks = usize::from(cut >= first) + usize::from(cut == whole.len());
        assert_eq!(read, blocks, "cut at {cut}");
        match outcome {
            Ok(()) => assert!([header, first, whole.len()].contains(&cut), "cut at {cut}"),
            Err(ReadError::Torn { blocks: told }) => assert_eq!(told, blocks as u64),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
}

#[test]
fn the_whole_part_of_a_file_is_found_wherever_it_is_cut() {
    let whole = file(Codec::Deflate, 2);
    let first = file(Codec::Deflate, 1).len();
    for cut in 0..=whole.len() {
        let mut cut_file = tempfile::tempfile().unwrap();
        cut_file.write_all(&whole[..cut]).unwrap();
        io::Seek::rewind(&mut cut_file).unwrap();
        let expected = match cut {
            _ if cut == whole.len() => Whole { blocks: 2, bytes: cut as u64 },
            _ if cut >= first => Whole { blocks: 1, bytes: first as u64 },
            _ => Whole { blocks: 0, bytes: 0 },
        };
        assert_eq!(whole_blocks(&cut_file).unwrap(), expected, "cut at {cut}");
    }
}

#[test]
fn a_hostile_file_is_refused_with_the_reason() {
    let header = file(Codec::Null, 0);
    let with = |bytes: &[u8]| [&header, bytes].concat();
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let recursive = r#"{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}"#;
    let endless = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}            "#;
    let nulls = r#"{"type":"array","items":{"type":"array","items":{"type":"null"}}}      "#;
    let zip_bomb = {
        let mut file = file(Codec::Deflate, 0);
        push_block(&mut file, Codec::Deflate, 1, vec![0; BLOCK_BYTES + 1]);
        file
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("another format", b"PAR1....".to_vec(), "not an Avro object container file"),
        ("no whole number", with(&[0xff; 12]), "damaged"),
        ("a negative size", with(&[2, 1]), "negative"),
        ("a huge size", with(&[&[2], &huge[..]].concat()), "negative"),
        (
            "a size over the limit",
            with(&[2, 0x80, 0x80, 0x80, 0x80, 1]),
            "it claims 134217728 bytes, and may have 8388608",
        ),
        ("another marker", with(&[&[0, 0], &[1; 16][..]].concat()), "marker"),
        (
            "objects without bytes",
            {
                let mut file = header.clone();
                push_block(&mut file, Codec::Null, 1 << 40, vec![0, 0, 0]);
                file
            },
            "objects in 3 bytes",
        ),
        (
            "bytes without objects",
            {
                let mut file = header.clone();
                push_block(&mut file, Codec::Null, 1, vec![0, 0, 0, 0]);
                file
            },
            "1 bytes too many",
        ),
        (
            "a text that is cut",
            {
                let mut file = header.clone();
                push_block(&mut file, Codec::Null, 1, vec![0x80, 1, b'x']);
                file
            },
            "block 1 cannot be read",
        ),
        ("a bomb", zip_bomb, "block 1 cannot be read"),
        ("a schema within itself", foreign(recursive, 1, &[0]), "not read here"),
        ("a schema without an end", foreign(endless, 1, &[0]), "cannot use the header"),
        ("nothing, often", foreign(nulls, 1, &[2, 0x80, 0x80, 0x80, 0x80, 2, 0, 0]), "32 MiB"),
        (
            "no schema",
            {
                let mut file = ocf::MAGIC.to_vec();
                file.push(0);
                file.extend_from_slice(&STREAM_MARKER);
                file
            },
            "no schema",
        ),
        (
            "a codec of others",
            {
                let json = header.iter().position(|byte| *byte == b'n').unwrap();
                let mut file = header.clone();
                file[json..json + 4].copy_from_slice(b"lzma");
                file
            },
            "lzma",
        ),
        (
            "a huge header",
            {
                let mut file = ocf::MAGIC.to_vec();
                file.push(2);
                file.extend_from_slice(&huge[..9]);
                file.push(0);
                file
            },
            "header",
        ),
    ];
    for (name, file, reason) in cases {
        let error = lines(&file).expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
        assert!(error.len() < 400, "{name}: {error}");
    }
}

#[test]
fn our_own_schemas_are_readable() {
    for text in [schema::METRIC_POINT, schema::METRIC_LIST] {
        json::schema(text).unwrap();
    }
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(
        codec in prop::sample::select(vec![Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = file(codec, 3);
        for (place, byte) in damage {
            let place = place.index(file.len());
            file[place] = byte;
        }
        file.truncate(cut.index(file.len()) + 1);
        let _ = lines(&file);
    }

    #[test]
    fn no_schema_makes_the_reader_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:a-z0-9]{0,4}"), 1..4),
    ) {
        let mut text = schema::METRIC_LIST.to_owned();
        for (place, new) in damage {
            let place = place.index(text.len());
            text.replace_range(place..(place + new.len()).min(text.len()), &new);
        }
        let _ = json::schema(&text);
    }
}

/// A list as anybody's library writes it.
fn list_in(schema: &str, codec: Codec) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let mut writer = apache_avro::Writer::with_codec(&schema, Vec::new(), codec.avro()).unwrap();
    let tag = |key: &str| {
        apache_avro::types::Value::Record(vec![
            ("key".into(), key.into()),
            ("value".into(), "v".into()),
        ])
    };
    let datapoint = |name: &str, value: f64| {
        apache_avro::types::Value::Record(vec![
            ("name".into(), name.into()),
            ("time_ms".into(), apache_avro::types::Value::Long(1_600_000_000_123)),
            ("value".into(), value.into()),
        ])
    };
    let mut list = apache_avro::types::Record::new(&schema).unwrap();
    list.put("topic", "t");
    list.put("tags", apache_avro::types::Value::Array(vec![tag("b"), tag(""), tag("b")]));
    let datapoints = vec![datapoint("n", 1.5), datapoint("", f64::NAN)];
    list.put("datapoints", apache_avro::types::Value::Array(datapoints));
    writer.append_value(list).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn a_metric_list_is_read_whoever_wrote_it() {
    let documented = schema::METRIC_LIST
        .replacen('{', r#"{"doc":"Some measurements.","#, 1)
        .replace(r#","type":"long"}"#, r#","doc":"When.","type":"long"}"#);
    for written in [schema::METRIC_LIST, &documented] {
        for codec in [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
            let file = list_in(written, codec);
            let mut reader = Reader::open(file.as_slice()).unwrap();
            assert!(reader.holds_metric_lists());
            let mut block = reader.next_block().unwrap().unwrap();
            let list = block.next_metric_list().unwrap().unwrap();
            assert!(block.next_metric_list().is_none());
            let tags: Vec<_> = list.tags.iter().map(|tag| tag.key.as_str()).collect();
            assert_eq!((list.topic.as_str(), tags), ("t", vec!["b", "", "b"]));
            let points = list.datapoints;
            let of = |point: &ListDatapoint| (point.name.clone(), point.time_ms);
            assert_eq!(of(&points[0]), ("n".to_owned(), 1_600_000_000_123));
            assert_eq!((points[0].value, points[1].value.is_nan()), (1.5, true));
        }
    }
}

#[test]
fn another_record_is_no_metric_list() {
    let other = schema::METRIC_LIST
        .replace(r#"{"name":"value","type":"double"}"#, r#"{"name":"value","type":"float"}"#);
    for schema in [other.as_str(), schema::METRIC_POINT.trim()] {
        assert!(!schema::is_metric_list(schema));
    }
    assert!(!schema::is_metric_list("{"));
    let file = foreign(&other, 1, &[2, b't', 0, 0]);
    assert!(!Reader::open(file.as_slice()).unwrap().holds_metric_lists());
}

#[test]
fn a_block_over_the_readers_bound_is_refused_before_it_is_read() {
    let file = file(Codec::Null, 1);
    let mut whole = Reader::open_within(100, &*file).unwrap();
    assert!(whole.next_block().unwrap().is_some());
    let mut large = ocf::header(crate::Schema::MetricList, Codec::Null, &STREAM_MARKER);
    ocf::write_block(&mut large, 1, &[0; 101]);
    let error = Reader::open_within(100, large.as_slice()).unwrap().next_block().unwrap_err();
    assert_eq!(error.to_string(), "block 1 cannot be read: it claims 101 bytes, and may have 100");
}
