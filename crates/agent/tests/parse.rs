//! `weir parse`: lines in, one object of JSON for each out, and an exit status that says whether
//! anything was rejected.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn weir_parse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["parse"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn parse(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = weir_parse(arguments).spawn().unwrap();
    // Who complains of its usage does not read: a pipe that is closed by then is no failure.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Reads `input` with the clock at 1700000000 and compares every byte of what is printed.
#[track_caller]
fn check(arguments: &[&str], input: &[u8], expected: &str, status: i32) {
    let arguments = [&["--now", "1700000000"], arguments].concat();
    let output = parse(&arguments, input);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{}", input.escape_ascii());
    assert_eq!(output.status.code(), Some(status), "{}", input.escape_ascii());
    assert!(output.stderr.is_empty());
}

#[test]
fn a_line_becomes_an_object_with_all_its_keys() {
    check(
        &[],
        b"hits:3|c|@0.5|#b,a:1|c:ci-x|T1700000001\n",
        concat!(
            r#"{"line":1,"samples":[{"name":"hits","kind":"counter","values":[3.0],"#,
            r#""relative":false,"rate":0.5,"tags":[["a","1"],["b",""]],"timestamp":1700000001,"#,
            r#""container_id":"x"}],"rejects":[],"notes":[]}"#,
            "\n"
        ),
        0,
    );
}

/// A sample of `m` with nothing out of the ordinary.
fn sample(kind: &str, values: &str, relative: bool) -> String {
    format!(
        r#"{{"name":"m","kind":"{kind}","values":[{values}],"relative":{relative},"rate":1.0,"tags":[],"timestamp":null,"container_id":null}}"#
    )
}

#[test]
fn samples_print_so_that_they_read_back() {
    for (line, samples) in [
        (&b"m:1:2.5|ms"[..], sample("timer", "1.0,2.5", false)),
        (b"m:-0|d", sample("distribution", "-0.0", false)),
        (b"m:1e300|g", sample("gauge", "1e+300", false)),
        (b"m:0.1|h", sample("histogram", "0.1", false)),
        (b"m:-2|g", sample("gauge", "-2.0", true)),
        (b"m:a\"b:\\|s", sample("set", r#""a\"b:\\""#, false)),
        (b"m:1\x01|s", sample("set", r#""1\u0001""#, false)),
        (b"m:+1:2|g", [sample("gauge", "1.0", true), sample("gauge", "2.0", false)].join(",")),
    ] {
        let expected =
            format!("{{\"line\":1,\"samples\":[{samples}],\"rejects\":[],\"notes\":[]}}\n");
        check(&[], line, &expected, 0);
    }
}

#[test]
fn what_is_no_sample_is_printed_behind_them() {
    let kept = sample("counter", "1.0", false);
    for (line, samples, behind) in [
        (&b"m"[..], "", r#""rejects":[{"reason":"no_value","text":"m"}],"notes":[]"#),
        (
            b"m:\xff|c",
            "",
            "\"rejects\":[{\"reason\":\"bad_value\",\"text\":\"\u{fffd}\"}],\"notes\":[]",
        ),
        (
            b"m:1:x|m|@0|y|#",
            &kept,
            r#""rejects":[{"reason":"bad_value","text":"x"}],"notes":["bad_rate","empty_tag","meter","unknown_section"]"#,
        ),
        (
            b"_e{1,4}:a|b\\nc|#k:v",
            "",
            r#""rejects":[],"notes":[],"event":{"title":"a","text":"b\nc","tags":[["k","v"]]}"#,
        ),
        (
            b"_sc|db|2|y",
            "",
            r#""rejects":[],"notes":["unknown_section"],"check":{"name":"db","status":2,"tags":[]}"#,
        ),
        (b"_sc|db|9|y", "", r#""rejects":[{"reason":"bad_check","text":"_sc|db|9|y"}],"notes":[]"#),
    ] {
        let expected = format!("{{\"line\":1,\"samples\":[{samples}],{behind}}}\n");
        check(&[], line, &expected, i32::from(behind.contains("reason")));
    }
}

#[test]
fn skipped_lines_print_nothing_but_are_numbered() {
    let output = parse(&[], b"\n \t\r\nm:1|c \r\n\nm\n\n");
    let text = String::from_utf8(output.stdout).unwrap();
    let starts: Vec<_> = text.lines().map(|line| &line[..10]).collect();
    assert_eq!(starts, [r#"{"line":3,"#, r#"{"line":5,"#]);
    check(&[], b"", "", 0);
    check(&[], b"\n\r\n", "", 0);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_one_read() {
    let longest = 65_535;
    let mut input = b"m:1|c|e:".to_vec();
    input.resize(longest, b'x');
    input.extend_from_slice(b"\n    ");
    input.resize(input.len() + longest, b' ');
    input.extend_from_slice(b"\nm");
    let output = parse(&[], &input);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].ends_with(r#""container_id":null}],"rejects":[],"notes":[]}"#));
    let shown = " ".repeat(200);
    let refused = format!(
        r#"{{"line":2,"samples":[],"rejects":[{{"reason":"too_long","text":"{shown}"}}],"notes":[]}}"#
    );
    assert_eq!(lines[1], refused);
    assert!(lines[2].starts_with(r#"{"line":3,"#));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_settings_are_the_listeners_and_stand_before_or_behind_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    fs::write(&file, "m,k=v:-1|g|T1700003601").unwrap();
    let file = file.to_str().unwrap();
    let absolute = "\"name\":\"m,k=v\",\"kind\":\"gauge\",\"values\":[-1.0],\"relative\":false";
    let settings = ["--gauge-sign", "absolute", "--name-tags", "false", "--now", "1700003001"];
    for arguments in [
        [&settings[..], &[file]].concat(),
        [&[file], &settings[..]].concat(),
        [&settings[..2], &[file], &settings[2..]].concat(),
        [&["--gauge-sign=absolute", file, "--name-tags=false", "--now=1700007201"][..], &[]]
            .concat(),
    ] {
        let output = parse(&arguments, b"not read");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(absolute), "{arguments:?}: {text}");
        assert!(text.contains(r#""timestamp":1700003601"#), "{arguments:?}: {text}");
        assert_eq!(output.status.code(), Some(0));
    }
    let output = parse(&[file, "--gauge-sign", "delta", "--now", "-5"], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(r#""relative":true,"rate":1.0,"tags":[["k","v"]],"timestamp":null"#));
    assert!(text.ends_with("\"notes\":[\"bad_timestamp\"]}\n"));
}

#[test]
fn a_dash_is_standard_input() {
    for arguments in [&["-"][..], &["-", "--now", "0"], &[]] {
        let output = parse(arguments, b"m:1|x");
        let expected = r#"{"line":1,"samples":[],"rejects":[{"reason":"unknown_kind","text":"1|x"}],"notes":[]}"#;
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{expected}\n"));
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn without_a_clock_of_its_own_the_time_is_now() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let output = parse(&[], format!("m:1|c|T{now}").as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!(r#""timestamp":{now},"#)), "{text}");
}

#[test]
fn what_cannot_be_read_and_wrong_usage_have_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let paths = [folder.path(), &missing].map(|path| path.to_str().unwrap());
    for path in paths {
        let output = parse(&[path], b"m:1|c");
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("weir: cannot read {path}: ")), "{said}");
        assert_eq!(said.lines().count(), 1);
    }
    for arguments in [
        &["--now", "soon"][..],
        &["--now"],
        &["--gauge-sign", "plus"],
        &["--name-tags", "maybe"],
        &["--unheard-of"],
        &["-", "-"],
    ] {
        let output = parse(arguments, b"m:1|c");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    fs::write(&file, "m:1|c\n".repeat(10_000)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = weir_parse(&[Path::to_str(&file).unwrap()]);
    let output = command.stdout(writer).spawn().unwrap().wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_line_that_is_typed_is_answered_before_the_next() {
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"))
        .arg("parse")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (weir.stdin.take().unwrap(), weir.stdout.take().unwrap());
    let mut answers = BufReader::new(output).lines();
    for line in 1..=2 {
        input.write_all(b"a:1|c\n").unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert!(answer.starts_with(&format!("{{\"line\":{line},")), "{answer}");
    }
    drop(input);
    assert!(weir.wait().unwrap().success());
}
