//! How values that are no plain TOML are written in it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// For types whose text form is their `Display` and `FromStr`.
pub(crate) mod display {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Durations as people write them: `10s`, `250ms`, `1h`; `0s` is none.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }

    // A time that is so far away is still one that the clock can tell.
    const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

    /// Reads one, for flags too.
    pub(crate) fn parse(text: &str) -> Result<Duration, String> {
        let duration = humantime::parse_duration(text).map_err(|error| {
            format!("{text:?} is no duration ({error}); write 10s, 250ms, 5m or 1h")
        })?;
        if duration > LONGEST {
            return Err(format!("{text:?} is too long; write at most 36500d"));
        }
        Ok(duration)
    }
}

/// Whether something may be done so often: every second at most, or not at all.
pub(crate) fn check_interval(every: Duration) -> Result<(), &'static str> {
    if every.is_zero() || every >= Duration::from_secs(1) {
        Ok(())
    } else {
        Err("expected 1s or more, or 0s for never")
    }
}

/// The address of the HTTP listener, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpListen {
    None,
    At(SocketAddr),
}

impl Default for HttpListen {
    fn default() -> Self {
        Self::At(SocketAddr::from(([127, 0, 0, 1], 8126)))
    }
}

impl FromStr for HttpListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let bare = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("tcp:"));
        let bare = bare.unwrap_or(text).replace("localhost:", "127.0.0.1:");
        bare.parse().map(Self::At).map_err(|_| {
            format!("{text:?} is no address; write 127.0.0.1:8126, [::1]:8126 or none")
        })
    }
}

impl fmt::Display for HttpListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::At(address) => address.fmt(f),
        }
    }
}
