use std::sync::atomic::{AtomicU64, Ordering};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What happens at the API's sockets and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A connection came in.
    Connection,
    /// It was closed at once, because too many were open.
    OverCap,
    /// It was cut, because it was idle or stalled.
    Cut,
    /// The system could not give us a connection: often it is out of descriptors.
    AcceptFailed,
    /// A request came from a web page, and was refused.
    Forbidden,
    /// A request's body was too large, and was refused.
    TooLarge,
    /// A request could not be understood, and was refused.
    Undecodable,
}

impl Event {
    const ALL: [Self; 7] = [
        Self::Connection,
        Self::OverCap,
        Self::Cut,
        Self::AcceptFailed,
        Self::Forbidden,
        Self::TooLarge,
        Self::Undecodable,
    ];

    /// Those after which something was not served.
    pub(crate) const FAILURES: [Self; 6] = [
        Self::OverCap,
        Self::Cut,
        Self::AcceptFailed,
        Self::Forbidden,
        Self::TooLarge,
        Self::Undecodable,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connections",
            Self::OverCap => "over_cap",
            Self::Cut => "cut",
            Self::AcceptFailed => "accept_failed",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too_large",
            Self::Undecodable => "undecodable",
        }
    }
}

/// The running counts of a server, or of several that share it.
#[derive(Debug, Default)]
pub struct Traffic([AtomicU64; 7]);

/// What a [`Traffic`] had counted when it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCounts([u64; 7]);

impl Traffic {
    pub(crate) fn count(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts as they are now; each is exact, all of them are not of one moment.
    pub fn read(&self) -> TrafficCounts {
        TrafficCounts(std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed)))
    }
}

impl TrafficCounts {
    /// How often it happened.
    pub fn get(&self, event: Event) -> u64 {
        self.0[event as usize]
    }
}

impl Serialize for TrafficCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Event::ALL.len()))?;
        for event in Event::ALL {
            map.serialize_entry(event.name(), &self.get(event))?;
        }
        map.end()
    }
}
