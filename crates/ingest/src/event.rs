use std::sync::Arc;

use metric::Source;

use crate::sys::Packets;

/// A socket's place at its worker: small and dense, made for the index of a `Vec`. It is used
/// again after the socket was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketKey(pub(crate) u32);

impl SocketKey {
    /// The place as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What happened at one of a worker's sockets.
#[derive(Debug)]
pub enum Event<'a> {
    /// It is served from now on. Comes before all else of this socket.
    Opened {
        /// Its place, until it is closed.
        socket: SocketKey,
        /// To whom its datagrams are charged.
        source: &'a Arc<Source>,
    },
    /// Datagrams came: at least one, at most 64. They are all there at once, so that a reader may
    /// go over them twice.
    Packets {
        /// Where they came.
        socket: SocketKey,
        /// In the order received.
        packets: Packets<'a>,
    },
    /// It is empty and about to be closed: nothing more comes of it.
    Closed {
        /// Its place, free from now on.
        socket: SocketKey,
        /// To whom its datagrams were charged.
        source: &'a Arc<Source>,
        /// The UDP port that it had; none of a unix socket.
        port: Option<u16>,
        /// Datagrams that the kernel dropped at it since it was opened.
        kernel_dropped: u64,
        /// Datagrams that were left in it when its time was over, and those that came while it was
        /// being closed. See [`crate::Listeners::close`].
        unread: u64,
        /// No other socket of this source is left at this worker.
        last: bool,
    },
}
