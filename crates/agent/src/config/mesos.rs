use std::path::PathBuf;
use std::time::Duration;

use enrich::MesosConfig;
use serde::{Deserialize, Serialize};

use super::text;

/// The Mesos agent that knows the containers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mesos {
    /// `http://10.0.0.1:5051`. Empty: no Mesos.
    pub(crate) url: String,
    /// The certificate authority of an https URL, PEM. Empty: the system's.
    pub(crate) ca_file: PathBuf,
    /// A file with a DC/OS token. Empty: none.
    pub(crate) token_file: PathBuf,
    /// A DC/OS service account to log in with. Empty: none.
    pub(crate) service_account_file: PathBuf,
    /// The longest a request may take.
    #[serde(with = "text::duration")]
    pub(crate) timeout: Duration,
    /// Time between two looks at all containers.
    #[serde(with = "text::duration")]
    pub(crate) refresh: Duration,
    /// Time between two looks at what containers use; 0 is off.
    #[serde(with = "text::duration")]
    pub(crate) poll: Duration,
    /// Time between two looks at the agent's own metrics; 0, the default, is off.
    #[serde(with = "text::duration")]
    pub(crate) snapshot: Duration,
    /// Task labels that become tags as they stand.
    pub(crate) label_whitelist: Vec<String>,
    /// Task labels that become tags without this prefix.
    pub(crate) label_prefixes: Vec<String>,
}

impl Default for Mesos {
    fn default() -> Self {
        Self {
            url: String::new(),
            ca_file: PathBuf::new(),
            token_file: PathBuf::new(),
            service_account_file: PathBuf::new(),
            timeout: Duration::from_secs(5),
            refresh: Duration::from_mins(1),
            poll: Duration::from_mins(1),
            snapshot: Duration::ZERO,
            label_whitelist: vec!["DCOS_SERVICE_NAME".to_owned()],
            label_prefixes: vec!["DCOS_METRICS_".to_owned()],
        }
    }
}

impl Mesos {
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.url.is_empty() {
            let agent = MesosConfig::new(self.url.as_str());
            agent.check().map_err(|error| format!("mesos.url: {error}"))?;
        }
        if self.timeout.is_zero() || self.refresh < Duration::from_secs(1) {
            return Err("mesos: expected a timeout above 0s and a refresh of 1s or more".into());
        }
        for (key, every) in [("poll", self.poll), ("snapshot", self.snapshot)] {
            text::check_interval(every).map_err(|wrong| format!("mesos.{key}: {wrong}"))?;
        }
        if !self.token_file.as_os_str().is_empty()
            && !self.service_account_file.as_os_str().is_empty()
        {
            return Err("mesos: expected token_file or service_account_file, not both".into());
        }
        Ok(())
    }
}
