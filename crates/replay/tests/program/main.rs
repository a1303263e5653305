//! The built program, from outside.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

mod sending;
mod stand_in;
mod verifying;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What it is started as.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-replay"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs to its end.
fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

/// What it said, to either side.
fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

/// A file in a directory, by its path.
fn file(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path_of(&path)
}

fn path_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
