use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use metric::Source;
use rustix::fs::fstat;
use socket2::SockFilter;

use crate::bind::{Bound, SocketFile};
use crate::drops::{Drops, Table};
use crate::store::{DropReading, Store, hang_up};
use crate::sys::{BATCH, Batch};

/// A small datagram costs this much of a receive buffer.
pub(crate) const DATAGRAM_COST: usize = 832;

// No datagram costs less: the kernel's own record of it is about as large.
const LEAST_COST: usize = 256;

// Nobody knows yet how much work its datagrams are.
const FIRST_BATCH: usize = BATCH / 8;

/// A socket in the hands of its worker.
#[derive(Debug)]
pub(crate) struct Socket {
    // Dropped before the descriptor: as long as that is open, no other file gets this one's number.
    file: Option<SocketFile>,
    fd: Arc<socket2::Socket>,
    pub(crate) source: Arc<Source>,
    /// A unix datagram socket: it holds few datagrams, and a full one blocks its senders.
    pub(crate) urgent: bool,
    /// As the kernel accounts for it: twice what was asked for.
    pub(crate) granted: usize,
    /// How many datagrams are asked for at once.
    pub(crate) batch: Cell<usize>,
    credentials: bool,
    drops: Drops,
    cut_off: Option<u64>,
    // A socket unit's, by this name: it goes back there, and nothing is done to it that would stay.
    lent: Option<(Arc<str>, Store)>,
}

impl Socket {
    pub(crate) fn new(bound: Bound, source: Arc<Source>) -> Self {
        Self {
            fd: Arc::new(bound.socket),
            source,
            urgent: bound.unix,
            granted: bound.granted,
            batch: Cell::new(FIRST_BATCH),
            credentials: bound.credentials,
            drops: bound.drops,
            cut_off: None,
            lent: None,
            file: bound.file,
        }
    }

    /// The descriptor, for whoever is to keep the socket while it is open.
    pub(crate) fn descriptor(&self) -> &Arc<socket2::Socket> {
        &self.fd
    }

    /// Its file stays when this process ends, because the socket does.
    pub(crate) fn outlives_process(&mut self) {
        if let Some(file) = &mut self.file {
            file.stays = true;
        }
    }

    /// It is a socket unit's of this name, and goes back to the store when it is closed.
    pub(crate) fn is_lent(&mut self, unit: Arc<str>, by: Store) {
        self.lent = Some((unit, by));
    }

    /// Closes it for good, though the service manager may be yet to let go of it; or gives it back.
    pub(crate) fn close(mut self) {
        if let Some((unit, store)) = self.lent {
            // Nobody else has it: the manager is not asked to store what it has.
            if let Some(socket) = Arc::into_inner(self.fd) {
                store.give_back(unit, socket.into(), self.drops.seen());
            }
            return;
        }
        if let Some(file) = &mut self.file {
            file.stays = false;
        }
        hang_up(&*self.fd);
    }

    /// What is to be known of it by whoever takes it up after this process: as it was read last.
    pub(crate) fn drop_reading(&self) -> Option<DropReading> {
        let dropped = self.drops.seen();
        if dropped == 0 {
            return None;
        }
        Some(DropReading { inode: fstat(&*self.fd).ok()?.st_ino, dropped })
    }

    /// Takes at most `most` datagrams.
    // Hot path: runs once per batch.
    pub(crate) fn receive(&self, batch: &mut Batch, most: usize) -> io::Result<usize> {
        batch.receive(self.fd.as_fd(), most, self.credentials)
    }

    /// Its UDP port; none of a unix socket.
    pub(crate) fn port(&self) -> Option<u16> {
        Some(self.fd.local_addr().ok()?.as_socket()?.port())
    }

    /// How many small datagrams it holds when it is full; 256 at least.
    pub(crate) fn holds(&self) -> usize {
        (self.granted / DATAGRAM_COST).max(256)
    }

    /// Datagrams that the kernel dropped since the socket was made. Of a socket that is cut off:
    /// until then.
    pub(crate) fn kernel_dropped(&mut self, table: &Table) -> u64 {
        self.cut_off.unwrap_or_else(|| self.read_drops(table))
    }

    /// From now on nothing more is queued, so what there is to read has an end: UDP datagrams are
    /// dropped, and count as unread; senders to a unix socket get an error. In a socket unit's what
    /// comes waits for whoever listens there next.
    pub(crate) fn cut_off(&mut self) {
        if self.lent.is_none() {
            self.refuse_all();
        }
        self.cut_off = Some(self.read_drops(&Table::default()));
    }

    fn refuse_all(&self) {
        if self.urgent {
            let _ = self.fd.shutdown(std::net::Shutdown::Read);
        } else {
            // Without memory for it more may come; whoever reads on has a bound of its own.
            let _ = self.fd.attach_filter(&[REFUSE_ALL]);
        }
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.is_some()
    }

    /// Throws away what a socket that was cut off still holds: how many datagrams that were, and
    /// how many came since it was cut off. A socket unit's keeps them.
    pub(crate) fn discard(&mut self, batch: &mut Batch) -> u64 {
        if self.lent.is_some() {
            return 0;
        }
        let most = self.granted / LEAST_COST + BATCH;
        let mut left = 0;
        while left < most {
            let received = self.receive(batch, BATCH).unwrap_or(0);
            left += received;
            if received < BATCH {
                break;
            }
        }
        let now = self.read_drops(&Table::default());
        let refused = now - self.cut_off.unwrap_or(self.drops.total());
        left as u64 + refused
    }

    fn read_drops(&mut self, table: &Table) -> u64 {
        if self.urgent { 0 } else { self.drops.read(&*self.fd, table) }
    }
}

// BPF_RET | BPF_K with 0: keep no byte of any datagram.
const REFUSE_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
