use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::SocketKey;
use crate::listeners::Closed;

/// For how long the sockets of a source are read that is being closed.
const PATIENCE: Duration = Duration::from_millis(100);

/// A source's sockets on their way out. They are cut off already, and are read in parts between
/// the worker's other duties.
#[derive(Debug)]
pub(super) struct Closing {
    left: Vec<SocketKey>,
    deadline: Instant,
    total: Closed,
    done: Option<oneshot::Sender<Closed>>,
}

impl Closing {
    pub(super) fn new(sockets: Vec<SocketKey>, done: oneshot::Sender<Closed>) -> Self {
        Self {
            left: sockets,
            deadline: Instant::now() + PATIENCE,
            total: Closed::default(),
            done: Some(done),
        }
    }

    /// The socket that is read now.
    pub(super) fn current(&self) -> Option<SocketKey> {
        self.left.last().copied()
    }

    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The current socket is done: whether it was the last.
    pub(super) fn close(&mut self, kernel_dropped: u64, unread: u64) -> bool {
        self.left.pop();
        self.total.kernel_dropped += kernel_dropped;
        self.total.unread += unread;
        self.left.is_empty()
    }

    /// Tells whoever asked.
    pub(super) fn finish(&mut self) {
        if let Some(done) = self.done.take() {
            // Nobody waits if the future was dropped, which is fine.
            let _ = done.send(self.total);
        }
    }
}
