use std::fs;

use super::*;

struct Node {
    root: tempfile::TempDir,
    config: IdentityConfig,
}

fn node() -> Node {
    let root = tempfile::tempdir().unwrap();
    let config = IdentityConfig {
        detect_ip: root.path().join("detect_ip"),
        cluster_id_file: root.path().join("cluster-id"),
        ..IdentityConfig::default()
    };
    Node { root, config }
}

impl Node {
    fn put(&self, name: &str, content: &str) {
        fs::write(self.root.path().join(name), content).unwrap();
    }

    async fn identity(&self) -> Identity {
        let mut found = Found::default();
        found.look_around(&self.config).await;
        Identity::of(&self.config, &found)
    }
}

#[tokio::test]
async fn a_bare_host_has_the_systems_name_and_nothing_else() {
    let identity = node().identity().await;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(identity, Identity { hostname: name, ..Identity::default() });
}

#[tokio::test]
async fn a_dcos_node_says_its_address_and_cluster() {
    let node = node();
    node.put("detect_ip", "#!/usr/bin/env bash\necho noise >&2\necho \" 10.0.5.42 \"\n");
    node.put("cluster-id", "b6f7a3a1-2f0e-4f3c-8a58-0c8c8d1b5e6F\n");
    let identity = node.identity().await;
    assert_eq!(identity.hostname, "10.0.5.42");
    assert_eq!(identity.cluster_id, "b6f7a3a1-2f0e-4f3c-8a58-0c8c8d1b5e6F");
}

#[tokio::test]
async fn what_is_no_address_or_no_cluster_id_is_not_taken() {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for script in ["echo no address", "exit 0", "echo 10.0.0.1; exit 3", "yes 10.0.0.1", "(("] {
        let node = node();
        node.put("detect_ip", script);
        node.put("cluster-id", "not-a-cluster-id");
        let identity = node.identity().await;
        assert_eq!(
            (identity.hostname.as_str(), identity.cluster_id.as_str()),
            (&*name, ""),
            "{script}"
        );
    }
}

#[tokio::test]
async fn what_was_missing_is_looked_for_again() {
    let node = node();
    let mut found = Found::default();
    found.look_around(&node.config).await;
    assert_eq!((found.address, found.cluster_id.clone()), (None, None));
    node.put("detect_ip", "echo 10.0.5.42");
    node.put("cluster-id", "b6f7a3a1-2f0e-4f3c-8a58-0c8c8d1b5e6f");
    found.look_around(&node.config).await;
    let identity = Identity::of(&node.config, &found);
    assert_eq!(identity.hostname, "10.0.5.42");
    assert_eq!(identity.cluster_id, "b6f7a3a1-2f0e-4f3c-8a58-0c8c8d1b5e6f");
}

#[tokio::test(start_paused = true)]
async fn a_script_that_hangs_is_given_up() {
    let node = node();
    node.put("detect_ip", "sleep 1000");
    let limit = Duration::from_secs(10);
    let error = detect_ip(&node.config.detect_ip, limit).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_script_that_nobody_waits_for_is_killed_with_what_it_started() {
    let node = node();
    let fifo = node.root.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    // The child holds the pipe open for as long as it lives.
    node.put(
        "detect_ip",
        &format!("exec 3> {}; sleep 1000 & echo started >&3; wait", fifo.display()),
    );
    let started = tokio::task::spawn_blocking(move || {
        let mut pipe = std::io::BufReader::new(fs::File::open(fifo).unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut pipe, &mut line).unwrap();
        (pipe, line)
    });
    let (mut pipe, line) = tokio::select! {
        started = started => started.unwrap(),
        _ = detect_ip(&node.config.detect_ip, Duration::from_secs(1000)) => panic!("it ended"),
    };
    assert_eq!(line, "started\n");
    let rest = tokio::task::spawn_blocking(move || std::io::Read::read(&mut pipe, &mut [0]));
    assert_eq!(rest.await.unwrap().unwrap(), 0, "all that could write have ended");
}

#[test]
fn the_configured_beats_the_detected_beats_what_mesos_says() {
    let found = Found {
        address: Some([10, 0, 5, 42].into()),
        cluster_id: Some("found".into()),
        agent_id: "S1".into(),
        agent_hostname: "node.mesos".into(),
    };
    let config = IdentityConfig::default();
    let all = Identity::of(&config, &found);
    assert_eq!((&*all.hostname, &*all.cluster_id, &*all.agent_id), ("10.0.5.42", "found", "S1"));
    let only_mesos = Identity::of(&config, &Found { address: None, ..found.clone() });
    assert_eq!(only_mesos.hostname, "node.mesos");
    let config =
        IdentityConfig { agent_id: "A".into(), cluster_id: "C".into(), host: "H".into(), ..config };
    let configured = Identity::of(&config, &found);
    assert_eq!(
        (&*configured.hostname, &*configured.cluster_id, &*configured.agent_id),
        ("H", "C", "A")
    );
}

#[test]
fn an_agent_that_restarts_does_not_unsay_its_id() {
    let agent = |id: &str, hostname: &str| Agent { id: id.into(), hostname: hostname.into() };
    let mut found = Found::default();
    for said in [agent("S1", "h"), agent("", "")] {
        found.hear(said);
        assert_eq!((&*found.agent_id, &*found.agent_hostname), ("S1", "h"));
    }
    found.hear(agent("S2", "i"));
    assert_eq!((&*found.agent_id, &*found.agent_hostname), ("S2", "i"));
}

#[test]
fn an_operators_label_never_takes_the_name_of_an_identity_dimension() {
    let labels = [("team", "blue"), ("container_id", "forged")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let dimensions = Identity { labels, ..Identity::default() }.dimensions();
    assert_eq!(dimensions.labels.keys().collect::<Vec<_>>(), ["team"]);
}
