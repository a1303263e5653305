use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use metric::{GaugeSign, ReadAs};
use serde::{Deserialize, Serialize};

use super::text;

/// A shared port or socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listener {
    /// `udp://HOST:PORT`, `unixgram:PATH` or `avro+tcp://HOST:PORT`, which has no other settings.
    #[serde(with = "text::display")]
    pub(crate) url: ListenUrl,
    /// Whether a client's word decides whose its samples are: `c:` sections, or on a unix socket
    /// the credentials of its process.
    pub(crate) trust_container: bool,
    /// What a gauge's leading sign means. Default `auto`; on a unix socket `absolute`.
    pub(crate) gauge_sign: Option<Sign>,
    /// Whether tags are looked for in names.
    pub(crate) name_tags: bool,
    /// Receive buffer asked for, in bytes. Default: the top-level value.
    pub(crate) receive_buffer: Option<usize>,
    /// How many workers read this port.
    pub(crate) readers: usize,
}

impl Default for Listener {
    fn default() -> Self {
        Self::of(ListenUrl::Udp { host: "127.0.0.1".to_owned(), port: 8125 })
    }
}

impl Listener {
    /// A listener at this address, everything else by default.
    pub(crate) fn of(url: ListenUrl) -> Self {
        Self {
            url,
            trust_container: false,
            gauge_sign: None,
            name_tags: true,
            receive_buffer: None,
            readers: 1,
        }
    }

    /// How its lines are read.
    pub(crate) fn read_as(&self) -> ReadAs {
        ReadAs {
            gauge_sign: self.gauge_sign.unwrap_or(self.url.usual_sign()).into(),
            name_tags: self.name_tags,
            trust_container: self.trust_container,
        }
    }

    pub(crate) fn complete(&mut self, receive_buffer: usize) {
        self.gauge_sign.get_or_insert(self.url.usual_sign());
        self.receive_buffer.get_or_insert(receive_buffer);
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let url = &self.url;
        if self.readers == 0 || self.readers > 64 {
            return Err(format!("listener {url}: readers: expected 1 to 64"));
        }
        if self.readers > 1 && matches!(url, ListenUrl::AvroTcp { .. }) {
            return Err(format!("listener {url}: readers: a stream has one"));
        }
        if self.readers > 1 && matches!(url, ListenUrl::Unixgram(_)) {
            return Err(format!("listener {url}: readers: a unix socket has one"));
        }
        Ok(())
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ListenUrl {
    Udp { host: String, port: u16 },
    Unixgram(PathBuf),
    AvroTcp { host: String, port: u16 },
}

impl ListenUrl {
    // DogStatsD's clients, whose transport this is, mean their negative gauges as they stand.
    fn usual_sign(&self) -> Sign {
        match self {
            Self::Udp { .. } | Self::AvroTcp { .. } => Sign::Auto,
            Self::Unixgram(_) => Sign::Absolute,
        }
    }
}

impl FromStr for ListenUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no listener; write udp://127.0.0.1:8125, unixgram:PATH or \
                 avro+tcp://127.0.0.1:8124"
            )
        };
        if let Some(path) = text.strip_prefix("unixgram:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unixgram(path.into())) };
        }
        let (is_stream, rest) = match text.strip_prefix("avro+tcp:") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("udp:").ok_or_else(wrong)?),
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let host = host.to_owned();
        Ok(if is_stream { Self::AvroTcp { host, port } } else { Self::Udp { host, port } })
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unixgram(path) => write!(f, "unixgram:{}", path.display()),
            Self::Udp { host, port } | Self::AvroTcp { host, port } => {
                let scheme = if matches!(self, Self::Udp { .. }) { "udp" } else { "avro+tcp" };
                // An IPv6 address stands in brackets.
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
        }
    }
}

/// [`GaugeSign`] as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sign {
    #[default]
    Auto,
    Delta,
    Absolute,
}

impl From<Sign> for GaugeSign {
    fn from(sign: Sign) -> Self {
        match sign {
            Sign::Auto => Self::Auto,
            Sign::Delta => Self::Delta,
            Sign::Absolute => Self::Absolute,
        }
    }
}
