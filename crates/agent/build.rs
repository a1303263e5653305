//! Tells the program what it was built from.

use std::path::Path;
use std::process::Command;

fn main() {
    let describe = Command::new("git").args(["describe", "--always"]).output();
    let build = describe
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "not from a checkout".to_owned(), |text| text.trim().to_owned());
    println!("cargo::rustc-env=WEIR_BUILD={build}");
    println!("cargo::rerun-if-changed=build.rs");
    // Only where it exists: a missing file would mean a rebuild each time.
    let head = "../../.git/logs/HEAD";
    if Path::new(head).exists() {
        println!("cargo::rerun-if-changed={head}");
    }
}
