use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

// sd_listen_fds(3): SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;

/// No process is given more, whatever it is told.
const MOST: usize = 1 << 20;

/// Takes possession of the descriptors that this process was started with: `count` of them, from 3
/// on, in order; `None` where there is none. Only the first call in a process gets any.
pub(crate) fn inherited(count: usize) -> Vec<Option<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    (FIRST..).take(count.min(MOST)).map(take).collect()
}

fn take(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD takes no further argument and changes nothing; of a number that is no open
    // descriptor it gives an error.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    // What this process has opened itself is closed at an exec; what it was started with was not.
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        return None;
    }
    // SAFETY: as above, with a number as F_SETFD wants it.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
        tracing::warn!("descriptor {fd} is left alone: {}", io::Error::last_os_error());
        return None;
    }
    // SAFETY: it is open. It came with the exec, so nothing in this process has made an owner for
    // it, and `TAKEN` sees to it that nothing does so a second time.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}
