use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metric::{Origin, Source};

/// How many containers of one listener's streams are told apart; of more the numbers are the
/// listener's.
const MOST: usize = 10_000;

/// A container that was not heard of for so long makes room for another.
const IDLE: Duration = Duration::from_mins(10);

/// The containers that a listener's streams spoke of.
#[derive(Debug)]
pub(super) struct Containers {
    listener: Arc<Source>,
    known: HashMap<Arc<str>, (Instant, Arc<Source>)>,
}

impl Containers {
    /// None yet.
    pub(super) fn of(listener: Arc<Source>) -> Self {
        Self { listener, known: HashMap::new() }
    }

    /// The source of a container's numbers; `None` if there are too many.
    pub(super) fn source(&mut self, container_id: &str, now: Instant) -> Option<Arc<Source>> {
        if let Some((last, source)) = self.known.get_mut(container_id) {
            *last = now;
            return Some(source.clone());
        }
        if self.known.len() >= MOST {
            self.known.retain(|_, (last, _)| now.duration_since(*last) < IDLE);
        }
        let listener = self.listener.listener().filter(|_| self.known.len() < MOST)?;
        let container_id: Arc<str> = container_id.into();
        let origin =
            Origin::Claimed { listener: listener.clone(), container_id: container_id.clone() };
        let source = Source::new(origin, self.listener.read_as);
        self.known.insert(container_id, (now, source.clone()));
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use metric::ReadAs;

    use super::*;

    #[test]
    fn a_container_is_one_source_and_idle_ones_make_room() {
        let origin = Origin::Listener { listener: "avro+tcp://l".into() };
        let mut containers = Containers::of(Source::new(origin, ReadAs::default()));
        let start = Instant::now();
        let first = containers.source("0", start).unwrap();
        assert_eq!(first.container_id().map(AsRef::as_ref), Some("0"));
        for id in 1..MOST {
            assert!(containers.source(&id.to_string(), start).is_some());
        }
        assert_eq!(containers.source("one more", start), None);
        assert_eq!(containers.source("0", start + IDLE / 2), Some(first.clone()));
        assert!(containers.source("one more", start + IDLE).is_some());
        assert_eq!(containers.known.len(), 2);
        assert_eq!(containers.source("0", start + IDLE), Some(first));
    }
}
