//! The sources that clients of trusted listeners named.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use metric::{Origin, Source};

/// Container ids that were claimed, each a source of its own, the same for every worker. Of each
/// listener at most so many: what is over the bound stays the listener's.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    // By the listener's name.
    by_listener: Arc<DashMap<Arc<str>, Claimed>>,
    limit: usize,
}

// By container id.
type Claimed = HashMap<Arc<str>, Arc<Source>>;

impl Claims {
    /// None yet; at most `limit` for each listener.
    pub(crate) fn new(limit: usize) -> Self {
        Self { by_listener: Arc::default(), limit }
    }

    /// The source of a container id that came through this listener; `None` if there are too many.
    pub(crate) fn source(&self, listener: &Source, container_id: &str) -> Option<Arc<Source>> {
        let Origin::Listener { listener: name } = &listener.origin else { return None };
        let mut claimed = self.by_listener.entry(name.clone()).or_default();
        if let Some(source) = claimed.get(container_id) {
            return Some(source.clone());
        }
        if claimed.len() >= self.limit {
            return None;
        }
        let container_id: Arc<str> = container_id.into();
        let origin = Origin::Claimed { listener: name.clone(), container_id: container_id.clone() };
        let source = Source::new(origin, listener.read_as);
        claimed.insert(container_id, source.clone());
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metric::ReadAs;

    #[test]
    fn a_claimed_container_is_one_source_and_their_number_is_bounded() {
        let claims = Claims::new(2);
        let listener =
            Source::new(Origin::Listener { listener: "udp://l".into() }, ReadAs::default());
        let a = claims.source(&listener, "a").unwrap();
        assert_eq!(claims.source(&listener, "a"), Some(a.clone()));
        assert_ne!(claims.source(&listener, "b"), Some(a));
        assert_eq!(claims.source(&listener, "c"), None);
        assert!(claims.source(&listener, "b").is_some());
    }
}
