/// One datagram as it left the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// What the sender wrote, at most 65,535 bytes.
    pub bytes: &'a [u8],
    /// The kernel cut this datagram: what follows its last line feed is a part of a line.
    pub truncated: bool,
    /// The process that sent it, as the kernel vouches for it. Only on unix sockets that ask.
    pub sender: Option<u32>,
}
