use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::ApiError;

/// Where the API listens. Written `unix:PATH`, `tcp://HOST:PORT`, `tcp:HOST:PORT` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix stream socket at this path.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name or an IP address, an IPv6 one without its brackets.
        host: String,
        /// 0 lets the system choose one.
        port: u16,
    },
}

impl Endpoint {
    /// Whether only this host's processes reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let address = match text.strip_prefix("unix:") {
            Some("") => None,
            Some(path) => Some(Self::Unix(path.into())),
            None => {
                let rest = text.strip_prefix("tcp:").unwrap_or(text);
                tcp(rest.strip_prefix("//").unwrap_or(rest))
            }
        };
        address.ok_or_else(|| ApiError::Address { text: text.to_owned() })
    }
}

fn tcp(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
    let host = match bare {
        Some(bare) => bare.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6()).then_some(bare)?,
        None => (!host.is_empty() && host.chars().all(named)).then_some(host)?,
    };
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
    Some(Endpoint::Tcp { host: host.to_owned(), port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read_in_every_form_and_written_in_one() {
        for (text, canonical, local) in [
            ("unix:/run/weir.sock", "unix:/run/weir.sock", true),
            ("unix:relative", "unix:relative", true),
            ("tcp://127.0.0.1:8126", "tcp://127.0.0.1:8126", true),
            ("tcp:localhost:0", "tcp://localhost:0", true),
            ("10.0.0.1:80", "tcp://10.0.0.1:80", false),
            ("node-1.example_a:65535", "tcp://node-1.example_a:65535", false),
            ("tcp://[::1]:8126", "tcp://[::1]:8126", true),
            ("[::]:8126", "tcp://[::]:8126", false),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), canonical, "{text}");
            assert_eq!(endpoint.is_local(), local, "{text}");
            assert_eq!(canonical.parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_and_named() {
        for text in [
            "",
            "unix:",
            "8126",
            ":8126",
            "tcp://",
            "tcp:h",
            "h:",
            "h:65536",
            "h:+1",
            "::1:80",
            "[1.2.3.4]:8",
            "http://h:80",
            "udp://127.0.0.1:1",
            "a b:1",
            "/run/weir.sock",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no address")), "{text}: {error}");
        }
    }
}
