use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whoever samples are charged to: one registration of a container, one shared listener, or one
/// container id that the clients of a trusted listener named. Beside these, what is not told by a
/// client but measured: a container's resources, the node, its Mesos agent.
///
/// Two sources are equal only if they are the same one: a container that is deleted and registered
/// again is a new source with the same id.
#[derive(Debug)]
pub struct Source {
    number: u64,
    /// Where its samples come from.
    pub origin: Origin,
    /// How its lines are read.
    pub read_as: ReadAs,
}

/// Where a source's samples, or its measurements, come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A registered container: its socket is its identity.
    Container {
        /// The id that it was registered with.
        container_id: Arc<str>,
    },
    /// A shared port or a unix socket, where nobody in particular speaks.
    Listener {
        /// The listener's address as configured, `udp://127.0.0.1:8125`.
        listener: Arc<str>,
    },
    /// A container that a client of a trusted listener named, by a `c:` section or by its
    /// process's credentials.
    Claimed {
        /// The listener that took its word.
        listener: Arc<str>,
        /// The id that was claimed.
        container_id: Arc<str>,
    },
    /// What a container uses, as the node's Mesos agent measures it: nothing that the container
    /// says itself.
    Resources {
        /// The id that Mesos lists it with.
        container_id: Arc<str>,
    },
    /// What this node itself uses.
    Node,
    /// What the node's Mesos agent tells of itself.
    MesosAgent,
}

/// How a source's lines are read: the settings of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAs {
    /// What a leading sign of a gauge means.
    pub gauge_sign: GaugeSign,
    /// Whether tags are looked for in the name (InfluxDB, Librato, SignalFx and Graphite styles).
    pub name_tags: bool,
    /// Whether a client's word, a `c:` section or its credentials, decides the source.
    pub trust_container: bool,
}

impl Default for ReadAs {
    fn default() -> Self {
        Self { gauge_sign: GaugeSign::Auto, name_tags: true, trust_container: false }
    }
}

/// What a leading `+` or `-` of a gauge's value means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GaugeSign {
    /// `+` is a change; `-` is a change unless the line has a section that only a DogStatsD client
    /// writes (`#`, `T`, `c:`, `e:`, `card:`), for those send plain negative values.
    #[default]
    Auto,
    /// Any sign is a change, as in the first StatsD.
    Delta,
    /// No sign is a change, as in DogStatsD.
    Absolute,
}

impl Source {
    /// A new source, unequal to every other of this process.
    pub fn new(origin: Origin, read_as: ReadAs) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self { number: NEXT.fetch_add(1, Ordering::Relaxed), origin, read_as })
    }

    /// The container that its points belong to, if it is known.
    pub fn container_id(&self) -> Option<&Arc<str>> {
        match &self.origin {
            Origin::Container { container_id }
            | Origin::Claimed { container_id, .. }
            | Origin::Resources { container_id } => Some(container_id),
            Origin::Listener { .. } | Origin::Node | Origin::MesosAgent => None,
        }
    }

    /// Whether it is not told by a client but measured.
    pub fn is_measured(&self) -> bool {
        match &self.origin {
            Origin::Resources { .. } | Origin::Node | Origin::MesosAgent => true,
            Origin::Container { .. } | Origin::Listener { .. } | Origin::Claimed { .. } => false,
        }
    }

    /// The shared listener that its samples came through, if it was one.
    pub fn listener(&self) -> Option<&Arc<str>> {
        match &self.origin {
            Origin::Listener { listener } | Origin::Claimed { listener, .. } => Some(listener),
            Origin::Container { .. }
            | Origin::Resources { .. }
            | Origin::Node
            | Origin::MesosAgent => None,
        }
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_registered_again_is_another_source() {
        let origin = Origin::Container { container_id: "a".into() };
        let first = Source::new(origin.clone(), ReadAs::default());
        let again = Source::new(origin, ReadAs::default());
        assert_ne!(first, again);
        assert_eq!(first.container_id(), again.container_id());
    }
}
