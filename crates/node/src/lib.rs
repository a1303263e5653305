//! What the node itself uses: its processors, memory, file systems and network.
//!
//! [`Node::look`] tells all of it at one moment, under DC/OS's names; all are gauges. Percentages
//! are of the time since the look before, so the first look has none.
//!
//! | name | unit | from |
//! | --- | --- | --- |
//! | `system.uptime` | count | seconds since the boot, whole |
//! | `process.count` | count | the processes in `/proc` |
//! | `load.1min`, `.5min`, `.15min` | count | `/proc/loadavg` |
//! | `cpu.cores` | count | the processors in `/proc/stat` |
//! | `cpu.total`, `.user`, `.system`, `.idle`, `.wait` | percent | `/proc/stat`; `total` is 100 - `idle` |
//! | `memory.total`, `.free`, `.buffers`, `.cached` | bytes | `/proc/meminfo` |
//! | `swap.total`, `.free`, `.used` | bytes | `/proc/meminfo` |
//! | `filesystem.capacity.total`, `.used`, `.free` | bytes | `statvfs`, with the tag `path` |
//! | `filesystem.inode.total`, `.used`, `.free` | count | `statvfs`, with the tag `path` |
//! | `network.in`, `network.out` | bytes | `/proc/net/dev`, with the tag `interface` |
//! | `network.in.packets`, `.dropped`, `.errors`, the same of `.out` | count | as these |
#![forbid(unsafe_code)]

mod look;

mod cpu;
mod disks;
mod memory;
mod network;
mod system;

mod error;
mod file;

pub use error::Error;
pub use look::{Look, Node};
