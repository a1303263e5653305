//! `weir parse` at its limits: hostile bytes, long lines, times on the edge, inputs and outputs that
//! fail.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

fn weir_parse() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("parse").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn parse(args: &[&str], input: &[u8]) -> Output {
    let mut child = weir_parse().args(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Beside the reading: neither pipe holds all of a large input or output.
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    })
}

/// What it prints for this input, with no complaint.
#[track_caller]
fn printed(args: &[&str], input: &[u8]) -> String {
    let output = parse(args, input);
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).to_owned()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// The object of a line of which one sample is kept, without tags, time and container.
fn object(line: u64, name: &str, kind: &str, value: &str) -> String {
    let sample = format!(
        r#"{{"name":"{name}","kind":"{kind}","values":[{value}],"relative":false,"rate":1.0,"tags":[],"timestamp":null,"container_id":null}}"#
    );
    format!("{{\"line\":{line},\"samples\":[{sample}],\"rejects\":[],\"notes\":[]}}\n")
}

/// The object of a line of which nothing is kept.
fn refusal(line: u64, reason: &str, text: &str) -> String {
    let reject = format!(r#"{{"reason":"{reason}","text":"{text}"}}"#);
    format!("{{\"line\":{line},\"samples\":[],\"rejects\":[{reject}],\"notes\":[]}}\n")
}

#[test]
fn bytes_that_are_no_text_are_read_and_shown() {
    for (input, expected) in [
        (&b"a\0b:1|c\n"[..], object(1, r"a\u0000b", "counter", "1.0")),
        (b"a:1|c\0\n", refusal(1, "unknown_kind", r"1|c\u0000")),
        (b"\0\n", refusal(1, "no_value", r"\u0000")),
        (b"\0\0\0:\0|\0\n", refusal(1, "unknown_kind", r"\u0000|\u0000")),
        (b"a:1|c\x0b\n", refusal(1, "unknown_kind", r"1|c\u000b")),
        (b"\xef\xbb\xbfa:1|c\n", object(1, "\u{feff}a", "counter", "1.0")),
        (b"a:\xff\xfe|c\n", refusal(1, "bad_value", "\u{fffd}\u{fffd}")),
    ] {
        assert_eq!(printed(&[], input), expected, "{}", input.escape_ascii());
    }
    let noted = printed(&[], b"\xff:1|c");
    assert!(noted.contains("\"name\":\"\u{fffd}\""), "{noted}");
    assert!(noted.ends_with("\"notes\":[\"invalid_utf8\"]}\n"), "{noted}");
}

#[test]
fn refused_text_is_cut_to_200_bytes_before_it_is_decoded() {
    let input = "x".repeat(199) + "é and more";
    let shown = "x".repeat(199) + "\u{fffd}";
    assert_eq!(printed(&[], input.as_bytes()), refusal(1, "no_value", &shown));
}

#[test]
fn a_line_is_read_up_to_65535_bytes_and_a_longer_one_is_refused_alone() {
    let of_length = |length: usize, with: &str| {
        let start = "a:1|c|e:";
        start.to_owned() + &with.repeat(length - start.len())
    };
    let longest = of_length(65_535, "x");
    let too_long = of_length(65_536, "x");
    // What is too long is so before its end is stripped, and is shown as it came.
    let too_long_blank = of_length(65_536, " ");
    let huge = of_length(8 << 20, "x");
    let input = [&longest[..], &too_long, &too_long_blank, "b:2|g", &huge].join("\n");
    let expected = [
        object(1, "a", "counter", "1.0"),
        refusal(2, "too_long", &too_long[..200]),
        refusal(3, "too_long", &too_long_blank[..200]),
        object(4, "b", "gauge", "2.0"),
        refusal(5, "too_long", &huge[..200]),
    ];
    let output = parse(&[], input.as_bytes());
    assert_eq!(text(&output.stdout), expected.concat());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn now_is_the_clock_that_times_are_held_against() {
    for (now, time, kept) in [
        ("1700000000", 1_699_996_400, true),
        ("1700000000", 1_699_996_399, false),
        ("1700000000", 1_700_000_600, true),
        ("1700000000", 1_700_000_601, false),
        ("0", 600, true),
        ("-5", 595, true),
        ("-5", 596, false),
        ("9223372036854775807", i64::MAX, true),
        ("-9223372036854775808", 0, false),
    ] {
        let printed = printed(&["--now", now], format!("a:1|c|T{time}").as_bytes());
        let (timestamp, note) =
            if kept { (time.to_string(), "") } else { ("null".to_owned(), r#""bad_timestamp""#) };
        let expected = format!(
            "\"timestamp\":{timestamp},\"container_id\":null}}],\"rejects\":[],\"notes\":[{note}]}}\n"
        );
        assert!(printed.ends_with(&expected), "{now} {time}: {printed}");
    }
}

#[test]
fn each_gauge_sign_makes_changes_of_its_own() {
    // Which of these are changes: a plus, a minus, and the same with a tag.
    let lines = b"a:+1|g\na:-1|g\na:+1|g|#k\na:-1|g|#k\n";
    for (args, relative) in [
        (&[][..], [true, true, true, false]),
        (&["--gauge-sign", "auto"], [true, true, true, false]),
        (&["--gauge-sign", "delta"], [true; 4]),
        (&["--gauge-sign", "absolute"], [false; 4]),
    ] {
        let printed = printed(args, lines);
        let seen: Vec<_> =
            printed.lines().map(|line| line.contains(r#""relative":true"#)).collect();
        assert_eq!(seen, relative, "{args:?}");
    }
}

#[test]
fn only_a_refusal_makes_the_exit_status_1() {
    for (input, status) in [
        ("", 0),
        ("a:1|c\nb:2|g\n", 0),
        ("a:1|c|@7|?\n", 0), // notes are no refusals
        ("_e{1,1}:t|x\n_sc|web|0\n", 0),
        ("a:1|c\nb\na:1|c\n", 1),
        ("a:1:x:2|ms\n", 1),
        ("_sc|web|ok\n", 1),
    ] {
        assert_eq!(parse(&[], input.as_bytes()).status.code(), Some(status), "{input:?}");
    }
}

#[test]
fn a_folder_for_standard_input_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = weir_parse().stdin(File::open(dir.path()).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("weir: cannot read -: Is a directory"));
    assert_eq!(text(&output.stderr).lines().count(), 1);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_reader_that_leaves_in_the_middle_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    fs::write(&path, "a:1|c\nb\n".repeat(5_000)).unwrap();
    let mut child = weir_parse().arg(&path).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, object(1, "a", "counter", "1.0"));
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    fs::write(&path, "a:1|c\n").unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = weir_parse().arg(&path).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("weir: cannot write: "), "{}", text(&output.stderr));
}
