//! The sources that clients of trusted listeners named.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use metric::{Origin, Source, check_container_id};

/// Container ids that were claimed, each a source of its own, the same for every worker. Of each
/// listener at most so many: what is over the bound stays the listener's.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    // By the listener's name.
    by_listener: Arc<DashMap<Arc<str>, Claimed>>,
    limit: Arc<AtomicUsize>,
}

// By container id, with how many workers have it open.
type Claimed = HashMap<Arc<str>, (Arc<Source>, usize)>;

impl Claims {
    /// None yet; at most `limit` for each listener.
    pub(crate) fn new(limit: usize) -> Self {
        Self { by_listener: Arc::default(), limit: Arc::new(AtomicUsize::new(limit)) }
    }

    /// From now on at most `limit` for each listener; those that there are stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        // Relaxed: nothing else is told by it.
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The source of a container id that came through this listener; `None` if no container may
    /// have it, or there are too many.
    pub(crate) fn source(&self, listener: &Source, container_id: &str) -> Option<Arc<Source>> {
        let Origin::Listener { listener: name } = &listener.origin else { return None };
        check_container_id(container_id).ok()?;
        let mut claimed = self.by_listener.entry(name.clone()).or_default();
        if let Some((source, _)) = claimed.get(container_id) {
            return Some(source.clone());
        }
        if claimed.len() >= self.limit.load(Ordering::Relaxed) {
            return None;
        }
        let container_id: Arc<str> = container_id.into();
        let origin = Origin::Claimed { listener: name.clone(), container_id: container_id.clone() };
        let source = Source::new(origin, listener.read_as);
        claimed.insert(container_id, (source.clone(), 0));
        Some(source)
    }

    /// A worker opened a source, if it is one of these.
    pub(crate) fn opened(&self, source: &Source) {
        self.of(source, |claimed, container_id| {
            if let Some((known, workers)) = claimed.get_mut(container_id)
                && **known == *source
            {
                *workers += 1;
            }
        });
    }

    /// A worker closed a source. When none has it any more another may take its place.
    pub(crate) fn closed(&self, source: &Source) {
        self.of(source, |claimed, container_id| {
            if let Some((known, workers)) = claimed.get_mut(container_id)
                && **known == *source
            {
                *workers = workers.saturating_sub(1);
                if *workers == 0 {
                    claimed.remove(container_id);
                }
            }
        });
    }

    fn of(&self, source: &Source, with: impl FnOnce(&mut Claimed, &str)) {
        if let Origin::Claimed { listener, container_id } = &source.origin
            && let Some(mut claimed) = self.by_listener.get_mut(listener)
        {
            with(&mut claimed, container_id);
        }
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
        claims.opened(&listener);
        claims.closed(&listener);
    }

    #[test]
    fn what_no_container_may_be_called_stays_the_listeners() {
        let claims = Claims::new(2);
        let listener =
            Source::new(Origin::Listener { listener: "udp://l".into() }, ReadAs::default());
        let [longest, longer] = [255, 256].map(|bytes| "x".repeat(bytes));
        assert!(claims.source(&listener, &longest).is_some());
        for id in [&*longer, "a/b", "a\nb", ".."] {
            assert_eq!(claims.source(&listener, id), None, "{id}");
        }
        assert!(claims.source(&listener, "in-4026531835").is_some());
    }

    #[test]
    fn a_place_is_free_again_when_no_worker_has_its_source_any_more() {
        let claims = Claims::new(1);
        let listener =
            Source::new(Origin::Listener { listener: "udp://l".into() }, ReadAs::default());
        let a = claims.source(&listener, "a").unwrap();
        claims.opened(&a);
        claims.opened(&a);
        claims.closed(&a);
        assert_eq!(claims.source(&listener, "b"), None);
        assert_eq!(claims.source(&listener, "a"), Some(a.clone()));
        claims.closed(&a);
        let b = claims.source(&listener, "b").unwrap();
        claims.opened(&b);
        // Whoever had it in hand then does no harm.
        claims.opened(&a);
        claims.closed(&a);
        assert_eq!(claims.source(&listener, "a"), None);
        claims.closed(&b);
        assert_ne!(claims.source(&listener, "a"), Some(a), "it is another by now");
    }
}
