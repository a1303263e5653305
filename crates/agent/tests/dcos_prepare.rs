//! What `deploy/dcos/weir-prepare` makes of a DC/OS node before weir starts.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const CONTAINERS: &str = "run/dcos/telegraf/dcos_statsd/containers";
const OLDER: &str = "run/dcos/mesos/isolators/com_mesosphere_MetricsIsolatorModule/containers";
const RESULT: &str = "run/dcos/weir/weir.toml";

/// A node's file system, with weir's package in it.
struct Node {
    root: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self { root: TempDir::new().unwrap() };
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dcos");
        for role in ["agent.toml", "master.toml"] {
            node.write(
                &format!("home/etc/{role}"),
                &fs::read_to_string(deploy.join(role)).unwrap(),
            );
        }
        fs::create_dir_all(node.path("home/bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weir"), node.path("home/bin/weir")).unwrap();
        node.script("opt/mesosphere/bin/detect_ip", "echo 10.9.8.7");
        node
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn script(&self, relative: &str, body: &str) {
        self.write(relative, &format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(self.path(relative), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    fn prepare(&self) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dcos/weir-prepare");
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let output = Command::new(script)
            .env("WEIR_ROOT", self.root.path())
            .env("WEIR_HOME", self.path("home"))
            .env("WEIR_USER", String::from_utf8(user).unwrap().trim())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

#[test]
fn an_agent_gets_its_address_and_its_fault_domain() {
    let node = Node::new();
    let domain = r#"{"fault_domain": {"region": {"name": "fra"}, "zone": {"name": "fra-1"}}}"#;
    node.script("opt/mesosphere/bin/detect_fault_domain", &format!("echo '{domain}'"));
    node.prepare();
    let config = node.read(RESULT);
    assert!(config.contains(r#"url = "http://10.9.8.7:5051""#), "{config}");
    let labels =
        "[identity.labels]\nfault_domain_region = \"fra\"\nfault_domain_zone = \"fra-1\"\n";
    assert!(config.ends_with(labels), "{config}");
}

#[test]
fn an_address_that_is_not_told_keeps_no_node_from_starting() {
    let node = Node::new();
    for broken in ["echo 10.9; exit 1", "exit 0"] {
        node.script("opt/mesosphere/bin/detect_ip", broken);
        let output = node.prepare();
        assert!(node.read(RESULT).contains(r#"url = "http://127.0.0.1:5051""#), "{broken}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("detect_ip does not tell the address"), "{said}");
        fs::remove_file(node.path(RESULT)).unwrap();
    }
    // What was made when it was known is better than none.
    node.script("opt/mesosphere/bin/detect_ip", "echo 10.9.8.7");
    node.prepare();
    node.script("opt/mesosphere/bin/detect_ip", "exit 1");
    node.prepare();
    assert!(node.read(RESULT).contains(r#"url = "http://10.9.8.7:5051""#));
}

#[test]
fn a_master_serves_its_node_only() {
    let node = Node::new();
    node.write("etc/mesosphere/roles/master", "");
    node.prepare();
    let config = node.read(RESULT);
    assert!(config.contains(r#"role = "master""#), "{config}");
    assert!(!config.contains("[containers]"), "{config}");
}

#[test]
fn containers_of_the_older_module_are_taken_over_once() {
    let node = Node::new();
    let (old, new) = ("{\"container_id\":\"a\"}", "{\"container_id\":\"a\",\"statsd_port\":1}");
    node.write(&format!("{OLDER}/a"), old);
    node.write(&format!("{OLDER}/b"), old);
    node.write(&format!("{CONTAINERS}/a"), new);
    node.prepare();
    assert_eq!(node.read(&format!("{CONTAINERS}/a")), new, "the newer file stays");
    assert_eq!(node.read(&format!("{CONTAINERS}/b")), old);
}

#[test]
fn a_mistake_of_the_operator_leaves_the_last_good_configuration_in_use() {
    let node = Node::new();
    let own = "var/lib/dcos/weir/agent.toml";
    node.write(own, "flush_interval = \"7s\"\n");
    node.prepare();
    assert_eq!(node.read(RESULT), "flush_interval = \"7s\"\n");
    node.write(own, "flush_intervall = \"8s\"\n");
    let output = node.prepare();
    assert_eq!(node.read(RESULT), "flush_interval = \"7s\"\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("flush_intervall") && said.contains("the last good"), "{said}");
}

#[test]
fn a_mistake_from_the_start_leaves_the_package_s_configuration_in_use() {
    let node = Node::new();
    node.write("var/lib/dcos/weir/agent.toml", "no = 1\n");
    node.prepare();
    assert!(node.read(RESULT).contains("dcos_statsd.sock"));
}
