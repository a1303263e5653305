use std::io;
use std::path::Path;

use metric::check_container_id;

use crate::directory::read_bounded;

/// The container that a process runs in, by its control groups; `None` if it runs in none.
///
/// A process that has ended may have left its number to another, so this is an answer to trust no
/// further than the listener that asks. Reads `/proc`, which does not wait for a disk.
pub fn container_of(pid: u32) -> io::Result<Option<String>> {
    let path = format!("/proc/{pid}/cgroup");
    let bytes = read_bounded(Path::new(&path), 64 * 1024)?;
    let text = bytes.unwrap_or_default();
    Ok(container_in(&String::from_utf8_lossy(&text)).map(str::to_owned))
}

/// The container that a `/proc/<pid>/cgroup` file is about.
///
/// Of Mesos (`/mesos/<id>`, `/mesos/<id>/mesos/<nested id>`) the innermost id; of Docker,
/// containerd, CRI-O, Podman and Kubernetes the 64 hexadecimal digits. Mesos's word counts more,
/// for its ids are those that register.
pub fn container_in(cgroup: &str) -> Option<&str> {
    let paths = || cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths().find_map(of_mesos).or_else(|| paths().find_map(of_hex))
}

// The chain must be unbroken from the first `mesos` on: below its own group a container may make
// groups of any name.
fn of_mesos(path: &str) -> Option<&str> {
    let mut parts = path.split('/').skip_while(|part| *part != "mesos");
    let mut innermost = None;
    while parts.next() == Some("mesos") {
        match parts.next() {
            Some(id) if check_container_id(id).is_ok() => innermost = Some(id),
            _ => break,
        }
    }
    innermost
}

fn of_hex(path: &str) -> Option<&str> {
    path.split('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let (before, id) = part.split_at_checked(part.len().checked_sub(64)?)?;
        let is_id = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        // A `conmon` is the container's monitor, which runs outside of it.
        let is_container =
            before.is_empty() || before.ends_with(['-', ':']) && !before.ends_with("conmon-");
        (is_id && is_container).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_container_is_read_from_the_groups_of_every_engine() {
        let mesos = "5f0b3a9c-b8f8-4b86-9f1e-3a6d1a1ab0aa";
        for (cgroup, container) in [
            (format!("11:memory:/mesos/{mesos}\n1:name=systemd:/mesos/{mesos}\n"), Some(mesos)),
            (
                format!("4:cpu,cpuacct:/mesos/{mesos}/mesos/child/mesos/grandchild"),
                Some("grandchild"),
            ),
            (format!("0::/mesos/{mesos}/leaf"), Some(mesos)),
            (format!("0::/mesos/{mesos}/mesos/child/leaf"), Some("child")),
            (format!("0::/mesos/{mesos}/own/mesos/forged"), Some(mesos)),
            (format!("1:name=systemd:/docker/{HEX}\n3:cpu:/mesos/{mesos}"), Some(mesos)),
            ("1:name=systemd:/system.slice/dcos-mesos-slave.service".to_owned(), None),
            ("0::/mesos".to_owned(), None),
            ("0::/mesos/".to_owned(), None),
            ("0::/mesos/..".to_owned(), None),
            (format!("12:pids:/docker/{HEX}"), Some(HEX)),
            (format!("0::/system.slice/docker-{HEX}.scope"), Some(HEX)),
            (format!("0::/docker/{HEX}/init"), Some(HEX)),
            (format!("0::/machine.slice/libpod-{HEX}.scope/container"), Some(HEX)),
            (format!("0::/machine.slice/libpod-conmon-{HEX}.scope"), None),
            (format!("0::/kubepods/burstable/pod9d5c/{HEX}"), Some(HEX)),
            (format!("0::/kubepods.slice/pod9d5c.slice/cri-containerd-{HEX}.scope"), Some(HEX)),
            (format!("0::/kubepods.slice/pod9d5c.slice/crio-{HEX}.scope"), Some(HEX)),
            (
                format!("0::/system.slice/containerd.service/pod9d5c:cri-containerd:{HEX}"),
                Some(HEX),
            ),
            (format!("0::/x{HEX}"), None),
            ("0::/user.slice/user-1000.slice/session-1.scope".to_owned(), None),
            ("0::/".to_owned(), None),
            ("0::/ü/ääääääääääääääääääääääääääääääääü".to_owned(), None),
            ("garbage".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(container_in(&cgroup), container, "{cgroup}");
        }
    }

    #[test]
    fn a_process_of_this_machine_has_an_answer_and_one_that_is_none_an_error() {
        assert!(container_of(std::process::id()).is_ok());
        assert!(container_of(u32::MAX).is_err());
    }

    proptest! {
        #[test]
        fn no_file_panics(cgroup in "[0-9a-fü:/.\\n-]{0,200}|\\PC{0,200}") {
            let _ = container_in(&cgroup);
        }
    }
}
