use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use metric::Packet;

/// How many datagrams are taken with one system call.
pub(crate) const BATCH: usize = 64;

/// The longest datagram that is read whole; no UDP datagram is longer.
const LONGEST: usize = 65_535;

/// The part of a datagram that shares memory with its neighbours'. An odd number of cache lines,
/// or the first lines of all datagrams would fall into the same few sets of the cache.
const HOT: usize = 33 * 64;

const COLD: usize = LONGEST + 1;

// SAFETY: plain arithmetic.
const CONTROL: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

/// Room for one control message, the sender's credentials. No more, on purpose: descriptors that
/// a sender passes along find no room, and the kernel closes them.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What is touched for every datagram.
#[repr(C)]
struct Room {
    headers: [libc::mmsghdr; BATCH],
    pieces: [[libc::iovec; 2]; BATCH],
    controls: [Control; BATCH],
    hot: [[u8; HOT]; BATCH],
}

/// Where a datagram goes that is longer than the hot part: what follows that part is received
/// behind a gap, and the gap is filled from the hot part. Untouched, this is address space only.
#[repr(C)]
struct Overflow([[u8; COLD]; BATCH]);

/// Up to 64 datagrams of one socket, in memory that is used again and again.
#[derive(Debug)]
pub(crate) struct Batch {
    room: NonNull<Room>,
    overflow: NonNull<Overflow>,
    received: usize,
    controls_offered: bool,
}

// SAFETY: both allocations belong to this value alone, and nothing in them is tied to a thread.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn new() -> Self {
        // SAFETY: neither type has size zero.
        let (room, overflow) = unsafe { (zeroed::<Room>(), zeroed::<Overflow>()) };
        for i in 0..BATCH {
            // SAFETY: both allocations are live and belong to this function; `i` is within the
            // arrays; the places are named without making references to their neighbours.
            unsafe {
                let (room, overflow) = (room.as_ptr(), overflow.as_ptr());
                let pieces = &raw mut (*room).pieces[i];
                (*pieces)[0].iov_base = (&raw mut (*room).hot[i]).cast();
                (*pieces)[0].iov_len = HOT;
                (*pieces)[1].iov_base = (&raw mut (*overflow).0[i]).cast::<u8>().add(HOT).cast();
                (*pieces)[1].iov_len = LONGEST - HOT;
                let header = &raw mut (*room).headers[i].msg_hdr;
                (*header).msg_iov = pieces.cast();
                (*header).msg_iovlen = 2;
                (*header).msg_control = (&raw mut (*room).controls[i]).cast();
            }
        }
        Self { room, overflow, received: 0, controls_offered: false }
    }

    /// Takes what is there, without waiting: the count of datagrams, at most `most` or [`BATCH`].
    /// Fewer mean that the socket is empty.
    ///
    /// `credentials`: the socket has `SO_PASSCRED` set, and who sent each is wanted.
    // Hot path: runs once per batch.
    pub(crate) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        most: usize,
        credentials: bool,
    ) -> io::Result<usize> {
        self.received = 0;
        if credentials || self.controls_offered {
            self.offer_controls(if credentials { CONTROL } else { 0 });
            self.controls_offered = credentials;
        }
        // SAFETY: the headers point into `room` and `overflow` only, which live as long as `self`
        // and of which nothing is borrowed, as `self` is borrowed mutably.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                (&raw mut (*self.room.as_ptr()).headers).cast(),
                most.min(BATCH) as _,
                (libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) as _,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return Err(io::Error::last_os_error());
        };
        self.received = received.min(BATCH);
        for i in 0..self.received {
            if self.header(i).msg_len as usize > HOT {
                self.join(i);
            }
        }
        Ok(self.received)
    }

    /// What the last [`Batch::receive`] took.
    pub(crate) fn packets(&self) -> Packets<'_> {
        Packets { batch: self, next: 0 }
    }

    // The kernel writes back how much of each control buffer it used, so each call offers anew.
    fn offer_controls(&mut self, len: usize) {
        for i in 0..BATCH {
            // SAFETY: as in `new`; `self` is borrowed mutably.
            unsafe { (*self.room.as_ptr()).headers[i].msg_hdr.msg_controllen = len as _ };
        }
    }

    /// Puts a long datagram together: its beginning into the gap before the rest of it.
    #[cold]
    fn join(&mut self, i: usize) {
        // SAFETY: `i` < BATCH; both places are HOT bytes long, lie in different allocations, and
        // nothing else borrows them, as `self` is borrowed mutably.
        unsafe {
            let from = (&raw const (*self.room.as_ptr()).hot[i]).cast::<u8>();
            let to = (&raw mut (*self.overflow.as_ptr()).0[i]).cast::<u8>();
            ptr::copy_nonoverlapping(from, to, HOT);
        }
    }

    fn header(&self, i: usize) -> &libc::mmsghdr {
        assert!(i < BATCH, "a place in a batch is below its size");
        // SAFETY: `i` is within the array; the headers are initialised (all zeroes is a header)
        // and written only through `&mut self`.
        unsafe { &(*self.room.as_ptr()).headers[i] }
    }

    fn bytes(&self, i: usize) -> &[u8] {
        let len = (self.header(i).msg_len as usize).min(LONGEST);
        // SAFETY: `i` is within the arrays, as `header` checked; all of both allocations is
        // initialised (zeroed at first) and written only through `&mut self`.
        unsafe {
            if len <= HOT {
                &(&(*self.room.as_ptr()).hot[i])[..len]
            } else {
                &(&(*self.overflow.as_ptr()).0[i])[..len]
            }
        }
    }

    fn sender(&self, i: usize) -> Option<u32> {
        let header = &self.header(i).msg_hdr;
        // SAFETY: if its length is not zero the control buffer was offered in `receive`, and the
        // kernel wrote whole control messages of `msg_controllen` bytes in all into it.
        let control = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
        if control.cmsg_level != libc::SOL_SOCKET || control.cmsg_type != libc::SCM_CREDENTIALS {
            return None;
        }
        // SAFETY: a control message of this type carries a whole `ucred`; its place may be less
        // aligned than the type.
        let sender: libc::ucred =
            unsafe { libc::CMSG_DATA(control).cast::<libc::ucred>().read_unaligned() };
        // 0 is a process that our PID namespace does not know.
        u32::try_from(sender.pid).ok().filter(|pid| *pid != 0)
    }

    fn packet(&self, i: usize) -> Packet<'_> {
        Packet {
            bytes: self.bytes(i),
            truncated: self.header(i).msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            sender: if self.controls_offered { self.sender(i) } else { None },
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: both were allocated by `zeroed` with these layouts, and nothing borrows them.
        unsafe {
            dealloc(self.room.as_ptr().cast(), Layout::new::<Room>());
            dealloc(self.overflow.as_ptr().cast(), Layout::new::<Overflow>());
        }
    }
}

/// A zeroed `T` that never was on the stack, and whose pages are not touched yet.
///
/// # Safety
/// `T` has a size, and all zeroes is a value of it if it is ever read as one.
unsafe fn zeroed<T>() -> NonNull<T> {
    let layout = Layout::new::<T>();
    // SAFETY: the caller says that the size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

/// The datagrams of one batch, in the order in which they arrived. A clone reads them again.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    batch: &'a Batch,
    next: usize,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        if self.next == self.batch.received {
            return None;
        }
        self.next += 1;
        Some(self.batch.packet(self.next - 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.received - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Packets<'_> {}
