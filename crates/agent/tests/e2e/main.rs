//! The built program from outside: start it, send to it, see what comes out.

mod harness;

mod basics;
mod containers;
mod ledger;
//MESOS
//OUTPUTS
mod program;
