//! The API as its clients see it: real sockets, whole answers.
#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not what they share

#[path = "api/rig.rs"]
mod rig;

#[path = "api/isolator.rs"]
mod isolator;

#[path = "api/registry.rs"]
mod registry;

#[path = "api/limits.rs"]
mod limits;

#[path = "api/socket.rs"]
mod socket;

#[path = "api/views.rs"]
mod views;

#[path = "api/v0.rs"]
mod v0;
