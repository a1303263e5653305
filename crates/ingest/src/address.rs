use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::IngestError;

/// Where datagrams are taken: `udp://HOST:PORT` or `unixgram:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A UDP port. Port 0 is the kernel's choice; `[::]` takes IPv4 as well as IPv6.
    Udp(SocketAddr),
    /// A unix datagram socket.
    Unixgram(PathBuf),
}

impl FromStr for Address {
    type Err = IngestError;

    /// Reads `udp://1.2.3.4:5`, `udp://[::1]:5`, `unixgram:PATH` and `unixgram://PATH`. A host is
    /// an address: names are for the caller to look up.
    fn from_str(text: &str) -> Result<Self, IngestError> {
        let address = if let Some(rest) = text.strip_prefix("udp://") {
            rest.parse().ok().map(Self::Udp)
        } else if let Some(rest) = text.strip_prefix("unixgram:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            (!path.is_empty()).then(|| Self::Unixgram(path.into()))
        } else {
            None
        };
        address.ok_or_else(|| IngestError::Address { text: text.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Unixgram(path) => write!(f, "unixgram:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for (text, written) in [
            ("udp://127.0.0.1:8125", "udp://127.0.0.1:8125"),
            ("udp://[::]:0", "udp://[::]:0"),
            ("unixgram:/run/weir.sock", "unixgram:/run/weir.sock"),
            ("unixgram:///run/weir.sock", "unixgram:/run/weir.sock"),
            ("unixgram:here.sock", "unixgram:here.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse::<Address>().unwrap(), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_one() {
        for text in [
            "",
            "udp://",
            "udp://localhost:1",
            "udp://1.2.3.4",
            "udp:1.2.3.4:5",
            "unixgram:",
            "unixgram://",
            "tcp://1.2.3.4:5",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("udp://HOST:PORT"), "{text}: {error}");
        }
    }
}
