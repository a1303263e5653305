use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use metric::Dimensions;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tracing::warn;

use crate::answer::Agent;
use crate::directory::read_bounded;

/// Who this node is. An empty text is not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The id that Mesos gave its agent here.
    pub agent_id: String,
    /// The DC/OS cluster's id.
    pub cluster_id: String,
    /// The node's address as DC/OS detects it, else its name; the configured one beats both.
    pub hostname: String,
    /// What the operator says of every point.
    pub labels: BTreeMap<String, String>,
}

/// What is configured of the identity, and where the rest is looked for.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Empty: asked of the Mesos agent.
    pub agent_id: String,
    /// Empty: read from `cluster_id_file`.
    pub cluster_id: String,
    /// Empty: what `detect_ip` prints, else what the Mesos agent calls this host, else the
    /// system's name of it.
    pub host: String,
    /// Tags of every point.
    pub labels: BTreeMap<String, String>,
    /// A script that prints the node's address. Default `/opt/mesosphere/bin/detect_ip`.
    pub detect_ip: PathBuf,
    /// A file with the cluster's id. Default `/var/lib/dcos/cluster-id`.
    pub cluster_id_file: PathBuf,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            agent_id: String::new(),
            cluster_id: String::new(),
            host: String::new(),
            labels: BTreeMap::new(),
            detect_ip: "/opt/mesosphere/bin/detect_ip".into(),
            cluster_id_file: "/var/lib/dcos/cluster-id".into(),
        }
    }
}

/// What was found out so far, from each place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) address: Option<IpAddr>,
    pub(crate) cluster_id: Option<String>,
    pub(crate) agent_id: String,
    pub(crate) agent_hostname: String,
}

impl Identity {
    pub(crate) fn of(config: &IdentityConfig, found: &Found) -> Self {
        let first = |texts: &[&str]| {
            texts.iter().find(|text| !text.is_empty()).copied().unwrap_or_default().to_owned()
        };
        let address = found.address.map(|address| address.to_string()).unwrap_or_default();
        let cluster_id = found.cluster_id.as_deref().unwrap_or_default();
        let system = rustix::system::uname();
        let name = system.nodename().to_string_lossy();
        Self {
            agent_id: first(&[&config.agent_id, &found.agent_id]),
            cluster_id: first(&[&config.cluster_id, cluster_id]),
            hostname: first(&[&config.host, &address, &found.agent_hostname, &name]),
            labels: config.labels.clone(),
        }
    }

    /// The dimensions of a point of this node that is of no container.
    pub(crate) fn dimensions(&self) -> Dimensions {
        let labels = self.labels.iter().filter(|(name, _)| !Dimensions::is_identity(name));
        Dimensions {
            agent_id: self.agent_id.clone(),
            cluster_id: self.cluster_id.clone(),
            hostname: self.hostname.clone(),
            labels: labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..Dimensions::default()
        }
    }
}

impl Found {
    /// Takes what the Mesos agent says of itself; before it has registered it has no id.
    pub(crate) fn hear(&mut self, agent: Agent) {
        if !agent.id.is_empty() {
            self.agent_id = agent.id;
        }
        if !agent.hostname.is_empty() {
            self.agent_hostname = agent.hostname;
        }
    }

    /// Looks in those places of this node that have not answered yet.
    pub(crate) async fn look_around(&mut self, config: &IdentityConfig) {
        if config.cluster_id.is_empty() && self.cluster_id.is_none() {
            let file = config.cluster_id_file.clone();
            let read = tokio::task::spawn_blocking(move || cluster_id(&file)).await;
            self.cluster_id = read.ok().flatten();
        }
        if config.host.is_empty() && self.address.is_none() && config.detect_ip.is_file() {
            match detect_ip(&config.detect_ip, Duration::from_secs(10)).await {
                Ok(address) => self.address = Some(address),
                Err(error) => {
                    warn!(script = %config.detect_ip.display(), %error, "no address of this node yet");
                }
            }
        }
    }
}

fn cluster_id(file: &Path) -> Option<String> {
    let bytes = read_bounded(file, 1024).ok()??;
    let text = std::str::from_utf8(&bytes).ok()?.trim();
    let parts: Vec<&str> = text.split('-').collect();
    let is_uuid = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.concat().bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_uuid {
        warn!(file = %file.display(), "its content is no cluster id");
    }
    is_uuid.then(|| text.to_owned())
}

async fn detect_ip(script: &Path, limit: Duration) -> io::Result<IpAddr> {
    let mut command = std::process::Command::new("/bin/bash");
    command.arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.process_group(0);
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let answered = tokio::time::timeout(limit, async {
        let mut bytes = Vec::new();
        stdout.take(4096).read_to_end(&mut bytes).await?;
        Ok::<_, io::Error>((bytes, child.wait().await?))
    });
    let (bytes, status) = answered.await.map_err(|_| io::ErrorKind::TimedOut)??;
    group.ended();
    if !status.success() {
        return Err(io::Error::other(format!("it ended with {status}")));
    }
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().map_err(|_| io::Error::other("what it printed is no IP address"))
}

// The script and whatever it started: killed if nobody waits for it any longer.
struct Group(Option<Pid>);

impl Group {
    // The number may be another's from now on.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Only an error if all have ended meanwhile.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests;
