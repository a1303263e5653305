//! The built program from outside: start it, send to it, see what comes out.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

mod harness;
mod manager;
mod stand_in;

mod basics;
mod bounds;
mod clock;
mod containers;
mod flood;
mod full_disk;
mod ledger;
mod look;
mod mesos;
mod outputs;
mod program;
mod prometheus;
mod queue;
mod relay;
mod reload;
mod resources;
mod restarts;
mod rules;
mod streams;
mod v0;
