use std::sync::Arc;

use crate::lanes::Lanes;
use crate::queue::{Payload, Queue};

/// Where an encoder's payloads go on.
pub(crate) enum Outlet {
    Files(Arc<Queue>),
    Network(Arc<Lanes>),
}

impl Outlet {
    /// The most bytes of a payload.
    pub(crate) fn bound(&self) -> usize {
        match self {
            Self::Files(queue) => queue.bound(),
            Self::Network(lanes) => lanes.bound(),
        }
    }

    pub(crate) fn push(&self, payload: Payload) {
        match self {
            Self::Files(queue) => queue.push(payload),
            Self::Network(lanes) => lanes.push(payload),
        }
    }

    /// A flush is over.
    pub(crate) fn end_flush(&self) {
        match self {
            // A file is synced whenever something was written to it.
            Self::Files(_) => {}
            Self::Network(lanes) => lanes.end_flush(),
        }
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        match self {
            Self::Files(queue) => queue.close(),
            Self::Network(lanes) => lanes.close(),
        }
    }
}
