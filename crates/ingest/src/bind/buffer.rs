use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, Once, PoisonError};

use socket2::Socket;
use tracing::warn;

/// The sizes of receive buffers that a warning was written about.
#[derive(Debug, Default)]
pub(crate) struct Warned(Mutex<BTreeSet<usize>>);

impl Warned {
    fn first(&self, granted: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(granted)
    }
}

/// Asks for a receive buffer (0: leaves it as it is) and returns what the kernel accounts with,
/// which is twice what it granted.
pub(super) fn ask(socket: &Socket, bytes: usize, warned: &Warned) -> usize {
    let bytes = bytes.min(i32::MAX as usize / 2);
    if bytes > 0 {
        // A refusal shows in what is read back.
        let _ = socket.set_recv_buffer_size(bytes);
    }
    let accounted = socket.recv_buffer_size().unwrap_or(0);
    let granted = accounted / 2;
    if granted < bytes && warned.first(granted) {
        warn!(
            asked = bytes,
            granted,
            "the receive buffer is smaller than was asked for, bursts of datagrams will be \
             dropped; set net.core.rmem_max to {bytes} or more and start again"
        );
    }
    accounted
}

const LONG_QUEUE: usize = 512;

/// A unix datagram socket holds only so many datagrams, whatever its buffer is.
pub(super) fn warn_of_short_queue() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let text = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap_or_default();
        let queue: Option<usize> = text.trim().parse().ok();
        if let Some(queue) = queue.filter(|queue| *queue < LONG_QUEUE) {
            warn!(
                queue,
                "a unix datagram socket holds {queue} datagrams, then clients block or lose data \
                 that nobody can count; set net.unix.max_dgram_qlen to {LONG_QUEUE} or more and \
                 start again"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    #[test]
    fn a_capped_buffer_is_read_back_and_warned_of_once_for_each_size() {
        let socket = || Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let warned = Warned::default();
        let modest = ask(&socket(), 8_192, &warned);
        assert_eq!(modest, 16_384);
        assert!(warned.0.lock().unwrap().is_empty());
        let capped = ask(&socket(), usize::MAX, &warned);
        assert!(capped < i32::MAX as usize / 2, "no system grants as much: {capped}");
        assert!(!warned.first(capped / 2));
    }
}
