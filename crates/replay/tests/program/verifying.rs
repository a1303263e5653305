//! What it makes of an agent, good or bad.

use tempfile::TempDir;

use super::stand_in::{Flaw, StandIn};
use super::{file, path_of, run, said};

const LINES: &str = "a:1|c|@0.5\nb:2|c\na:3|c\nnothing\na:4|c\n";

fn verify(directory: &TempDir, agent: &StandIn, more: &[&str]) -> std::process::Output {
    let lines = file(directory, "lines.txt", LINES);
    let (http, points) = (agent.http.to_string(), path_of(&agent.points));
    let common = [&lines, "--flat-out", "--status", &http, "--shipped", &points, "--verify"];
    run(&[&common[..], more].concat())
}

#[test]
fn a_good_agent_is_verified_at_a_shared_port_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let agent = StandIn::start(directory.path(), Flaw::None);
    let to = agent.udp.to_string();
    for passes in ["1", "7"] {
        let output = verify(&directory, &agent, &["--to", &to, "--passes", passes]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("verified: everything is accounted for"));
    }
}

#[test]
fn a_good_agent_is_verified_with_a_registered_container_which_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let agent = StandIn::start(directory.path(), Flaw::None);
    let json = path_of(&directory.path().join("it.json"));
    let output = verify(&directory, &agent, &["--register", "--json", &json]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let removed = agent.removed();
    assert_eq!(removed.len(), 1);
    assert!(removed[0].starts_with("weir-replay-") && removed[0].ends_with("-0000"));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let classes = &report["verdict"]["classes"];
    assert_eq!(classes[0]["name"], "counter");
    assert_eq!((&classes[0]["sent"], &classes[0]["arrived"]["least"]), (&4.into(), &4.into()));
    assert_eq!((&classes[1]["name"], &classes[1]["refused"]), (&"no_value".into(), &1.into()));
}

#[test]
fn what_is_dropped_and_counted_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let agent = StandIn::start(directory.path(), Flaw::Drops);
    let output = verify(&directory, &agent, &["--register"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("1 dropped by the kernel"), "{}", said(&output));
    assert!(said(&output).contains("0 wrong"), "{}", said(&output));
}

#[test]
fn what_is_forgotten_is_unexplained_with_exit_status_1() {
    let directory = tempfile::tempdir().unwrap();
    let agent = StandIn::start(directory.path(), Flaw::Forgets);
    let output = verify(&directory, &agent, &["--register"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("UNEXPLAINED: 1 samples did not come out"), "{text}");
    assert!(text.contains("b|c: nothing of it came out"), "{text}");
    assert_eq!(agent.removed().len(), 1, "the container is removed all the same");
}

#[test]
fn what_is_told_twice_is_wrong_with_exit_status_1() {
    let directory = tempfile::tempdir().unwrap();
    let agent = StandIn::start(directory.path(), Flaw::Repeats);
    let output = verify(&directory, &agent, &["--register"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("2 series total what was never sent"), "{}", said(&output));
}

#[test]
fn an_agent_that_ships_elsewhere_cannot_be_verified() {
    let directory = tempfile::tempdir().unwrap();
    let agent = StandIn::start(directory.path(), Flaw::None);
    let lines = file(&directory, "lines.txt", LINES);
    let (http, elsewhere) = (agent.http.to_string(), path_of(&directory.path().join("elsewhere")));
    let output = run(&[
        &lines,
        "--flat-out",
        "--register",
        "--status",
        &http,
        "--shipped",
        &elsewhere,
        "--verify",
        "--patience",
        "300ms",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("did not come out within 300ms"), "{}", said(&output));
    assert_eq!(agent.removed().len(), 1);
}
