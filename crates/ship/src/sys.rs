//! What no safe crate offers: how much of what was written to a TCP socket its peer has not
//! acknowledged. The only unsafe code of the crate.
#![allow(unsafe_code)] // that is what this module is for

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

/// The same number as `TIOCOUTQ` (tcp(7)), on every architecture with the generic numbers.
const SIOCOUTQ: Opcode = 0x5411;

/// The bytes that were written to this socket and not acknowledged by the peer's kernel. Of a socket
/// that is not connected any more the number says nothing.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<u64> {
    // ioctl(socket, SIOCOUTQ, &value)
    // SAFETY: for a TCP socket the kernel writes one int for SIOCOUTQ, and `Getter` has room for
    // it; for anything else it answers with an error, or with one int as well (a terminal, a pipe).
    let value = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }?;
    Ok(u64::try_from(value).unwrap_or(0))
}
