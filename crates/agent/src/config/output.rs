use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ship::{
    Annotation, Codec, Counters, Destination, Durability, OutputConfig, Schema, ShipError, Tags,
};

use super::{Listener, text};
use crate::own;

/// Where points go, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    /// `file:DIR`, `avro+tcp://HOST:PORT`, `http://...`, `https://...` or `statsd+udp://HOST:PORT`.
    #[serde(with = "text::display")]
    pub(crate) url: OutputUrl,
    /// Its name in logs and status. Default: from the URL, made unique.
    #[serde(default)]
    pub(crate) name: String,
    /// `points` or `metric_list`. Default: `points`; of `avro+tcp` `metric_list`.
    pub(crate) schema: Option<Schema>,
    /// `null`, `deflate`, `snappy`, `zstd`. Default: `deflate`; of `avro+tcp` `null`.
    pub(crate) codec: Option<Codec>,
    #[serde(default = "all")]
    pub(crate) tags: Tags,
    #[serde(default = "delta")]
    pub(crate) counters: Counters,
    #[serde(default = "disk")]
    pub(crate) durability: Durability,
    #[serde(default = "gibibyte")]
    pub(crate) queue_bytes: u64,
    #[serde(default = "week", with = "text::duration")]
    pub(crate) queue_age: Duration,
    #[serde(default = "resend")]
    pub(crate) resend: u64,
    #[serde(default = "key_prefix")]
    pub(crate) annotation: Annotation,
    #[serde(default = "packet_bytes")]
    pub(crate) packet_bytes: usize,
    #[serde(default = "gibibyte")]
    pub(crate) max_bytes: u64,
    #[serde(default = "rotate_bytes")]
    pub(crate) rotate_bytes: u64,
    #[serde(default = "rotate_age", with = "text::duration")]
    pub(crate) rotate_age: Duration,
    /// Empty: none.
    #[serde(default)]
    pub(crate) token_file: PathBuf,
}

fn all() -> Tags {
    Tags::All
}

fn delta() -> Counters {
    Counters::Delta
}

fn disk() -> Durability {
    Durability::Disk
}

fn week() -> Duration {
    Duration::from_hours(7 * 24)
}

fn resend() -> u64 {
    64 << 10
}

fn gibibyte() -> u64 {
    1 << 30
}

fn key_prefix() -> Annotation {
    Annotation::KeyPrefix
}

fn packet_bytes() -> usize {
    1432
}

fn rotate_bytes() -> u64 {
    64 << 20
}

fn rotate_age() -> Duration {
    Duration::from_secs(30)
}

impl Output {
    /// An output to this place, everything else by default.
    pub(crate) fn of(url: OutputUrl) -> Self {
        Self {
            url,
            name: String::new(),
            schema: None,
            codec: None,
            tags: all(),
            counters: delta(),
            durability: disk(),
            queue_bytes: gibibyte(),
            queue_age: week(),
            resend: resend(),
            annotation: key_prefix(),
            packet_bytes: packet_bytes(),
            max_bytes: gibibyte(),
            rotate_bytes: rotate_bytes(),
            rotate_age: rotate_age(),
            token_file: PathBuf::new(),
        }
    }

    /// What the output is started with.
    pub(crate) fn to_ship(&self) -> OutputConfig {
        let usual = OutputConfig::new(self.url.destination.clone());
        OutputConfig {
            name: self.name.clone(),
            schema: self.schema.unwrap_or(usual.schema),
            codec: self.codec.unwrap_or(usual.codec),
            tags: self.tags,
            counters: self.counters,
            durability: self.durability,
            queue_bytes: self.queue_bytes,
            queue_age: self.queue_age,
            resend: self.resend,
            annotation: self.annotation,
            packet_bytes: self.packet_bytes,
            max_bytes: self.max_bytes,
            rotate_bytes: self.rotate_bytes,
            rotate_age: self.rotate_age,
            token_file: Some(self.token_file.clone()).filter(|path| !path.as_os_str().is_empty()),
            ..usual
        }
    }

    /// `taken` are the names of the other outputs.
    pub(super) fn complete(&mut self, taken: &mut HashSet<String>) {
        let usual = OutputConfig::new(self.url.destination.clone());
        self.schema.get_or_insert(usual.schema);
        self.codec.get_or_insert(usual.codec);
        if self.name.is_empty() {
            let first = self.url.short_name();
            let mut names =
                std::iter::once(first.clone()).chain((2..).map(|n| format!("{first}-{n}")));
            self.name = names.find(|name| taken.insert(name.clone())).unwrap_or(first);
        }
    }

    /// The rest is looked at by `ship`, with all outputs together.
    pub(super) fn check(&self, listeners: &[Listener]) -> Result<(), String> {
        if let Destination::StatsdUdp { host, port } = &self.url.destination
            && let Some(own) = listeners.iter().find(|it| own::is_plainly((host, *port), &it.url))
        {
            let (url, own) = (&self.url, &own.url);
            return Err(format!("output {url}: what it sends would come back to listener {own}"));
        }
        Ok(())
    }
}

/// A destination as it was written: with its query, which a destination does not show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OutputUrl {
    text: String,
    pub(crate) destination: Destination,
}

impl OutputUrl {
    /// Files in this directory.
    pub(crate) fn dir(path: &Path) -> Self {
        let text = format!("file:{}", path.display());
        Self { text, destination: Destination::File(path.to_owned()) }
    }

    // What tells outputs apart for people: `file`, `10.0.0.1:8124`, `collector.example`.
    fn short_name(&self) -> String {
        match &self.destination {
            Destination::File(_) => "file".to_owned(),
            Destination::AvroTcp { host, port } | Destination::StatsdUdp { host, port } => {
                format!("{host}:{port}")
            }
            Destination::Http(url) => url.host_str().unwrap_or("http").to_owned(),
        }
    }
}

impl FromStr for OutputUrl {
    type Err = ShipError;

    fn from_str(text: &str) -> Result<Self, ShipError> {
        Ok(Self { text: text.to_owned(), destination: text.parse()? })
    }
}

impl fmt::Display for OutputUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for OutputUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.destination.fmt(f)
    }
}
