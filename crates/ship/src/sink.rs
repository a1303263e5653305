//! What takes payloads out of a queue, and makes sure that they arrive.

pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod tcp;
