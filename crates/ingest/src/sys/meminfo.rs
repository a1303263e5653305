use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

// asm-generic/socket.h, since Linux 4.12; libc does not name it.
const SO_MEMINFO: libc::c_int = 55;
const SK_MEMINFO_VARS: usize = 9;

/// How many datagrams the kernel has dropped at this socket since it was made, modulo 2^32.
pub(crate) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = [0_u32; SK_MEMINFO_VARS];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` and `len` are live for the whole call, and `len` says how many bytes of
    // `info` may be written.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        Ok(info[libc::SK_MEMINFO_DROPS as usize])
    } else {
        Err(io::Error::last_os_error())
    }
}
