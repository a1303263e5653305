//! The edges between the workspace's packages are those of `crates/README.md`.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate depends on within the workspace, tests and benches apart.
const EDGES: [(&str, &[&str]); 10] = [
    ("metric", &[]),
    ("statsd", &["metric"]),
    ("ingest", &["metric"]),
    ("aggregate", &["metric"]),
    ("enrich", &["metric"]),
    ("node", &["metric"]),
    ("ship", &["metric"]),
    ("api", &["metric", "ingest"]),
    ("agent", &["metric", "statsd", "ingest", "aggregate", "enrich", "node", "ship", "api"]),
    ("replay", &["metric", "statsd"]),
];

/// What depends on whatever it shows.
const SHOWS: [&str; 2] = ["benches", "examples"];

/// Each package of the workspace with those of the workspace that it depends on.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let printed = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let metadata: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    // A dependency of the workspace has a path, one from elsewhere has none.
    let depends = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        let kept = dependencies.iter().filter(|it| it["path"].is_string() && it["kind"] != "dev");
        kept.map(name).collect()
    };
    packages.iter().map(|package| (name(package), depends(package))).collect()
}

fn name(of: &Value) -> String {
    of["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_stage_depends_on_metric_and_they_meet_in_the_agent() {
    let mut edges = edges();
    for package in SHOWS {
        assert!(edges.remove(package).is_some(), "{package}");
    }
    let expected = EDGES.map(|(package, depends)| {
        (package.to_owned(), depends.iter().copied().map(str::to_owned).collect())
    });
    assert_eq!(edges, BTreeMap::from(expected));
}

#[test]
fn no_crate_is_named_for_being_shared() {
    let edges = edges();
    for name in ["common", "core", "util", "utils", "types"] {
        assert!(!edges.contains_key(name), "{name}: name it for what it does");
    }
}
