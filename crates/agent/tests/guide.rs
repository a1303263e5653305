//! What the guide to reading StatsD (`statsd/README.md`) shows on a console is what is printed.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::fs;
use std::path::Path;
use std::process::Command;

/// Each command of the guide's console blocks, and what stands below it.
fn commands(guide: &str) -> Vec<(&str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    let mut is_console = false;
    for line in guide.lines() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            commands.push((command, String::new()));
        } else if is_console {
            let (_, output) = commands.last_mut().expect("a console block begins with a command");
            output.push_str(line);
            output.push('\n');
        }
    }
    commands
}

#[test]
fn every_command_prints_what_stands_below_it() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../statsd/README.md");
    let guide = fs::read_to_string(guide).unwrap();
    let commands = commands(&guide);
    assert!(commands.len() >= 3, "only {} commands were found", commands.len());
    let folder = Path::new(env!("CARGO_BIN_EXE_weir")).parent().unwrap().display();
    for (command, expected) in commands {
        // The `weir` of the commands is the one that was just built.
        let script = format!("PATH=\"{folder}:$PATH\"\n{command}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{command}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{command}");
    }
}
