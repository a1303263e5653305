//! The agent as it is seen from outside.

pub(crate) mod containers;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod sockets;
pub(crate) mod spawned;
pub(crate) mod status;
