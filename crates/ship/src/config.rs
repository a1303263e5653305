use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::relay::LONGEST;
use crate::{Annotation, ShipError};

/// Where an output's points go.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// `file:DIR`: Avro object container files in this directory.
    File(PathBuf),
    /// `avro+tcp://HOST:PORT`: a stream of blocks, as DC/OS's collector takes it.
    AvroTcp {
        /// A name or an address; an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `http://…` or `https://…`: a POST of an Avro object container file at each flush.
    Http(Url),
    /// `statsd+udp://HOST:PORT`: the lines as they were received, to another StatsD server.
    StatsdUdp {
        /// A name or an address; an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

const URL_FORMS: &str = "expected file:DIR, avro+tcp://HOST:PORT, statsd+udp://HOST:PORT, http://… \
     or https://…";
const TCP_FORM: &str = "expected avro+tcp://HOST:PORT";
const UDP_FORM: &str = "expected statsd+udp://HOST:PORT";

impl FromStr for Destination {
    type Err = ShipError;

    fn from_str(text: &str) -> Result<Self, ShipError> {
        let error = |expected| ShipError::Url { url: text.to_owned(), expected };
        if let Some(dir) = text.strip_prefix("file:") {
            let dir = dir.strip_prefix("//").unwrap_or(dir);
            if dir.is_empty() {
                return Err(error("expected a directory after file:"));
            }
            return Ok(Self::File(dir.into()));
        }
        if let Some(address) = text.strip_prefix("avro+tcp://") {
            let (host, port) = host_and_port(address).ok_or_else(|| error(TCP_FORM))?;
            return Ok(Self::AvroTcp { host, port });
        }
        if let Some(address) = text.strip_prefix("statsd+udp://") {
            let (host, port) = host_and_port(address).ok_or_else(|| error(UDP_FORM))?;
            return Ok(Self::StatsdUdp { host, port });
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = Url::parse(text).map_err(|_| error("expected http://HOST[:PORT]/PATH"))?;
            if !url.username().is_empty() || url.password().is_some() {
                let url = format!("{}://…", url.scheme());
                let expected = "credentials belong in token_file, not in the URL";
                return Err(ShipError::Url { url, expected });
            }
            return Ok(Self::Http(url));
        }
        Err(error(URL_FORMS))
    }
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.trim_end_matches('/').rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let plain = (!host.contains([':', '/', '@', '[', ']'])).then_some(host);
    let host = bracketed.or(plain).filter(|host| !host.is_empty())?;
    Some((host.to_owned(), port))
}

/// The URL without its query, which may hold a key.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(dir) => write!(f, "file:{}", dir.display()),
            Self::AvroTcp { host, port } => write!(f, "avro+tcp://{}:{port}", bracket(host)),
            Self::StatsdUdp { host, port } => write!(f, "statsd+udp://{}:{port}", bracket(host)),
            Self::Http(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                f.write_str(url.as_str())
            }
        }
    }
}

/// A host as a URL writes it.
fn bracket(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{host}]").into() } else { host.into() }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which record a point becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schema {
    /// `weir.v1.MetricPoint`: one flat record for each point.
    Points,
    /// `dcos.metrics.MetricList`: DC/OS's record, one for each set of tags of a source.
    MetricList,
}

/// How an object container file's blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Not at all.
    Null,
    /// Small, and read by every Avro library.
    Deflate,
    /// Quicker than deflate, and twice its size.
    Snappy,
    /// Smaller and quicker than deflate; not every reader knows it.
    Zstd,
}

/// Which tags a metric list carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tags {
    /// Who the source is, its labels, and the client's tags.
    All,
    /// DC/OS's three (framework, executor and container) and the client's tags.
    Dcos,
}

/// What a metric list says of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counters {
    /// What was counted in the interval.
    Delta,
    /// What was counted since the series first came.
    Cumulative,
}

/// Where the queue of an output over the network is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In files: it outlives the process, and holds `queue_bytes`.
    Disk,
    /// In memory: it holds `queue_bytes`, but never more than 256 MiB, and ends with the process.
    Memory,
}

/// How an output tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first wait after a failure; each further one doubles. Default 1 s.
    pub first: Duration,
    /// The longest wait. Default 60 s.
    pub most: Duration,
    /// How long an attempt may take: a connect, or a request and its answer. Default 30 s.
    pub timeout: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_mins(1),
            timeout: Duration::from_secs(30),
        }
    }
}

/// One output, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    /// What the ledger and the logs call it. Empty: the destination, made unique.
    pub name: String,
    /// Where its points go.
    pub destination: Destination,
    /// Default: `Points`, and `MetricList` over TCP, which carries nothing else.
    pub schema: Schema,
    /// Default: `Deflate`, and `Null` over TCP, which carries nothing else.
    pub codec: Codec,
    /// Of metric lists only. Default: `All`.
    pub tags: Tags,
    /// Of metric lists only. Default: `Delta`.
    pub counters: Counters,
    /// Over the network: where the queue is kept. Default: `Disk`.
    pub durability: Durability,
    /// How many encoded bytes may wait, over that the oldest go. In memory never more than 256 MiB.
    /// Default 1 GiB; at least 64 KiB.
    pub queue_bytes: u64,
    /// Over the network: how long points may wait, over that they go. Default 7 days.
    pub queue_age: Duration,
    /// Avro over TCP: how many acknowledged bytes are sent again after a connection is lost.
    /// Default 64 KiB, at most 16 MiB.
    pub resend: u64,
    /// StatsD over UDP: how a line says which container it is of. Default: `KeyPrefix`.
    pub annotation: Annotation,
    /// StatsD over UDP: the most bytes of a datagram; only a longer line makes a longer one.
    /// Default 1432, at most 65507.
    pub packet_bytes: usize,
    /// Files: what the directory may hold, over that the oldest file goes. Default 1 GiB.
    pub max_bytes: u64,
    /// Files: how many the directory may hold, over that the oldest goes. Default 100,000.
    pub max_files: usize,
    /// Files: a file of this size is complete. Default 64 MiB.
    pub rotate_bytes: u64,
    /// Files: a file is complete this long after its first block. Default 30 s.
    pub rotate_age: Duration,
    /// HTTP: the file whose first line is the bearer token, or a whole header (`Name: value`). Read
    /// before each request, so it may change.
    pub token_file: Option<PathBuf>,
    /// The pace of further attempts.
    pub retry: Retry,
}

impl OutputConfig {
    /// The defaults for this destination.
    pub fn new(destination: Destination) -> Self {
        let stream = matches!(destination, Destination::AvroTcp { .. });
        Self {
            name: String::new(),
            destination,
            schema: if stream { Schema::MetricList } else { Schema::Points },
            codec: if stream { Codec::Null } else { Codec::Deflate },
            tags: Tags::All,
            counters: Counters::Delta,
            durability: Durability::Disk,
            queue_bytes: 1 << 30,
            queue_age: Duration::from_hours(7 * 24),
            resend: 64 << 10,
            annotation: Annotation::KeyPrefix,
            packet_bytes: 1432,
            max_bytes: 1 << 30,
            max_files: 100_000,
            rotate_bytes: 64 << 20,
            rotate_age: Duration::from_secs(30),
            token_file: None,
            retry: Retry::default(),
        }
    }

    /// Refuses settings that do not go together.
    pub fn check(&self) -> Result<(), ShipError> {
        let stream = matches!(self.destination, Destination::AvroTcp { .. });
        let lines = matches!(self.destination, Destination::StatsdUdp { .. });
        let flat = self.schema == Schema::Points;
        let problem = if stream && flat {
            "avro+tcp carries schema = \"metric_list\" only"
        } else if stream && self.codec != Codec::Null {
            "avro+tcp carries codec = \"null\" only"
        } else if lines && !flat {
            "statsd+udp carries lines as they were received, and no schema"
        } else if self.packet_bytes == 0 || self.packet_bytes > LONGEST {
            "packet_bytes must be 1 to 65507"
        } else if flat && self.counters == Counters::Cumulative {
            "counters = \"cumulative\" needs schema = \"metric_list\""
        } else if flat && self.tags == Tags::Dcos {
            "tags = \"dcos\" needs schema = \"metric_list\""
        } else if self.token_file.is_some() && !matches!(self.destination, Destination::Http(_)) {
            "token_file needs an http:// or https:// URL"
        } else if self.queue_bytes < 64 << 10 {
            "queue_bytes must be at least 65536"
        } else if self.queue_age < Duration::from_secs(1) {
            "queue_age must be at least 1s"
        } else if self.resend > 16 << 20 {
            "resend must be at most 16777216"
        } else if self.max_bytes == 0 || self.max_files == 0 || self.rotate_bytes == 0 {
            "max_bytes and rotate_bytes must be at least 1"
        } else if self.rotate_age.is_zero() {
            "rotate_age must be more than 0s"
        } else {
            return Ok(());
        };
        Err(ShipError::Setting { name: self.name(), problem })
    }

    /// Its name, or the destination where it has none.
    pub fn name(&self) -> String {
        if self.name.is_empty() { self.destination.to_string() } else { self.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_written_back() {
        for (text, written) in [
            ("file:./weir-data/points", "file:./weir-data/points"),
            ("file:///var/lib/weir", "file:/var/lib/weir"),
            ("avro+tcp://127.0.0.1:8124", "avro+tcp://127.0.0.1:8124"),
            ("avro+tcp://collector.local:8124/", "avro+tcp://collector.local:8124"),
            ("avro+tcp://[::1]:8124", "avro+tcp://[::1]:8124"),
            ("statsd+udp://metrics.local:8125", "statsd+udp://metrics.local:8125"),
            ("statsd+udp://[::1]:8125/", "statsd+udp://[::1]:8125"),
            ("http://h/in?key=s3cret", "http://h/in"),
            ("https://h:8443/in", "https://h:8443/in"),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), written);
            assert!(!format!("{destination:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_was_expected() {
        for (text, hint) in [
            ("file:", "expected a directory"),
            ("points", "expected file:DIR"),
            ("avro+tcp://host", "expected avro+tcp://HOST:PORT"),
            ("avro+tcp://host:0", "expected avro+tcp://HOST:PORT"),
            ("avro+tcp://:8124", "expected avro+tcp://HOST:PORT"),
            ("avro+tcp://::1:8124", "expected avro+tcp://HOST:PORT"),
            ("statsd+udp://host", "expected statsd+udp://HOST:PORT"),
            ("statsd+udp://h/x:1", "expected statsd+udp://HOST:PORT"),
            ("http://", "expected http://HOST"),
            ("http://me:s3cret@host/in", "credentials belong in token_file"),
        ] {
            let error = text.parse::<Destination>().unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let of = |url: &str| OutputConfig::new(url.parse().unwrap());
        let (file, tcp, http) = (of("file:d"), of("avro+tcp://h:1"), of("http://h/"));
        let udp = of("statsd+udp://h:1");
        for config in [&file, &tcp, &http, &udp] {
            config.check().unwrap();
        }
        for wrong in [
            OutputConfig { schema: Schema::Points, ..tcp.clone() },
            OutputConfig { codec: Codec::Deflate, ..tcp.clone() },
            OutputConfig { token_file: Some("t".into()), ..tcp },
            OutputConfig { counters: Counters::Cumulative, ..file.clone() },
            OutputConfig { tags: Tags::Dcos, ..http },
            OutputConfig { schema: Schema::MetricList, ..udp.clone() },
            OutputConfig { packet_bytes: 0, ..udp.clone() },
            OutputConfig { packet_bytes: 65_508, ..udp },
            OutputConfig { queue_bytes: 10, ..file.clone() },
            OutputConfig { queue_age: Duration::ZERO, ..file.clone() },
            OutputConfig { resend: 1 << 30, ..file.clone() },
            OutputConfig { rotate_age: Duration::ZERO, ..file },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
