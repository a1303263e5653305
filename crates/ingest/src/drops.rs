//! How many datagrams the kernel has dropped at a UDP socket.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Once;

use rustix::fs::fstat;
use tracing::warn;

use crate::sys;

/// The kernel's counter made monotonic: it has 32 bits and wraps.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    seen: u32,
    total: u64,
}

impl Drops {
    /// Of a socket at which the kernel had counted so many before: they are not counted again.
    pub(crate) fn since(seen: u32) -> Self {
        Self { seen, total: 0 }
    }

    /// Of a socket of which nobody knows what was counted: all of it is of the past.
    pub(crate) fn from_now(socket: impl AsFd) -> Self {
        Self::since(counter(socket.as_fd(), &Table::default()).unwrap_or(0))
    }

    /// Reads the counter of the socket that this is about: the sum since it was made.
    pub(crate) fn read(&mut self, socket: impl AsFd, table: &Table) -> u64 {
        match counter(socket.as_fd(), table) {
            Some(now) => self.see(now),
            None => self.total,
        }
    }

    /// The sum at the last reading.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The kernel's counter at the last reading.
    pub(crate) fn seen(&self) -> u32 {
        self.seen
    }

    fn see(&mut self, now: u32) -> u64 {
        self.total += u64::from(now.wrapping_sub(self.seen));
        self.seen = now;
        self.total
    }
}

// Asking for one socket is cheap, but only known since Linux 4.12; older kernels have a table of
// all sockets of the system.
fn counter(socket: BorrowedFd<'_>, table: &Table) -> Option<u32> {
    static UNKNOWN: Once = Once::new();
    let counter = sys::drops(socket).ok().or_else(|| table.drops(fstat(socket).ok()?.st_ino));
    if counter.is_none() {
        UNKNOWN.call_once(|| {
            warn!(
                "the kernel does not tell how many datagrams it drops, neither by SO_MEMINFO nor \
                 in /proc/net/udp: a full socket loses datagrams uncounted"
            );
        });
    }
    counter
}

/// The table of all UDP sockets in `/proc/net`, read when it is first asked, and then once for all
/// sockets of one reading.
#[derive(Debug, Default)]
pub(crate) struct Table(OnceCell<HashMap<u64, u32>>);

impl Table {
    fn drops(&self, inode: u64) -> Option<u32> {
        self.0.get_or_init(read_tables).get(&inode).copied()
    }
}

fn read_tables() -> HashMap<u64, u32> {
    let mut drops = HashMap::new();
    for path in ["/proc/net/udp", "/proc/net/udp6"] {
        // Without IPv6 there is no second one.
        let table = fs::read_to_string(path).unwrap_or_default();
        drops.extend(table.lines().skip(1).filter_map(row));
    }
    drops
}

// proc(5): sl, local_address, rem_address, st, queues, tr and tm->when, retrnsmt, uid, timeout,
// inode, ref, pointer, drops.
fn row(row: &str) -> Option<(u64, u32)> {
    let columns: Vec<_> = row.split_ascii_whitespace().collect();
    // The kernel's own counter has 32 bits and may be written with a sign.
    let drops: i64 = columns.get(12)?.parse().ok()?;
    Some((columns.get(9)?.parse().ok()?, drops as u32))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn drops_stay_monotonic_when_the_kernels_counter_wraps() {
        let mut drops = Drops::default();
        assert_eq!(drops.see(u32::MAX - 1), 4_294_967_294);
        assert_eq!(drops.see(3), 4_294_967_299);
        assert_eq!(drops.see(3), 4_294_967_299);
        assert_eq!(drops.total(), 4_294_967_299);
    }

    #[test]
    fn drops_that_were_counted_before_are_not_counted_again() {
        let mut drops = Drops::since(u32::MAX);
        assert_eq!(drops.see(1), 2);
        assert_eq!(drops.seen(), 1);
    }

    #[test]
    fn a_row_of_the_table_gives_inode_and_drops() {
        let text = "   25: 0100007F:1FBD 00000000:0000 07 00000000:00000340 00:00000000 00000000  1000        0 1358704 2 00000000d2aa8965 17";
        assert_eq!(row(text), Some((1_358_704, 17)));
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
        assert_eq!(row(header), None);
        assert_eq!(row(""), None);
    }

    #[test]
    fn the_table_tells_the_same_as_the_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(2304).unwrap();
        for _ in 0..500 {
            socket.send_to(&[0; 100], socket.local_addr().unwrap()).unwrap();
        }
        let asked = sys::drops(socket.as_fd()).unwrap();
        let inode = fstat(&socket).unwrap().st_ino;
        assert!(asked > 0);
        assert_eq!(Table::default().drops(inode), Some(asked));
    }
}
