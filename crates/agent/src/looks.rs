//! Looks at this node, now and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use enrich::{Measured, PollHealth};
use metric::{Origin, ReadAs, Source};
use node::{Look, Node};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

/// How the looks go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks(Arc<Mutex<PollHealth>>);

impl Looks {
    /// How they go.
    pub(crate) fn health(&self) -> PollHealth {
        self.lock(|health| health.clone())
    }

    /// Looks at once and then at each interval, for good. A look that takes longer than an interval
    /// takes the place of the next.
    pub(crate) async fn run(self, every: Duration, mut tell: impl FnMut(Measured)) {
        let source = Source::new(Origin::Node, ReadAs::default());
        let mut node = Node::default();
        let mut next = Instant::now();
        let mut troubles = String::new();
        loop {
            sleep_until(next).await;
            let look;
            (node, look) = self.look(node, every, &mut next).await;
            let Look { datapoints, errors } = look;
            let said = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let failed = if datapoints.is_empty() { Err(&said) } else { Ok(()) };
            self.lock(|health| {
                health.note(&failed, errors.len() as u64);
                health.last_error = (!said.is_empty()).then(|| said.clone());
            });
            // What does not change is told once.
            if said != troubles {
                if said.is_empty() {
                    info!("all of the node can be told again");
                } else {
                    warn!(error = said, "not all of the node can be told");
                }
                troubles = said;
            }
            if !datapoints.is_empty() {
                tell(Measured { source: source.clone(), datapoints });
            }
        }
    }

    // One look, off this thread, for a disk may hang; and when the next is.
    async fn look(&self, mut node: Node, every: Duration, next: &mut Instant) -> (Node, Look) {
        let mut looking: JoinHandle<_> = spawn_blocking(move || {
            let look = node.look();
            (node, look)
        });
        loop {
            *next += every;
            match timeout_at(*next, &mut looking).await {
                // The thread cannot be started only where nothing can.
                Ok(looked) => return looked.unwrap_or_default(),
                Err(_) => self.lock(|health| {
                    health.note::<(), _>(&Err("the last look has not ended: does a disk hang?"), 0);
                }),
            }
        }
    }

    fn lock<T>(&self, then: impl FnOnce(&mut PollHealth) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
