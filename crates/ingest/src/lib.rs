//! Takes datagrams from sockets that come and go.
//!
//! [`Listeners`] is the cold side: any thread opens and closes sockets through it. A [`Receiver`]
//! is the hot side: each worker thread owns one, and with it the sockets that were given to it.
//! They meet only by messages, so receiving takes no lock. A [`Store`] lets sockets outlive the
//! process, where there is a service manager.
//!
//! ```
//! use std::{net::UdpSocket, num::NonZeroUsize, time::Duration};
//! use ingest::{Address, Config, Event, Listeners, Open};
//! use metric::{Origin, ReadAs, Source};
//!
//! let one = NonZeroUsize::MIN;
//! let (listeners, mut receivers) =
//!     Listeners::new(Config { workers: one, max_rest: Duration::from_millis(2) })?;
//! let source = Source::new(Origin::Listener { listener: "example".into() }, ReadAs::default());
//! let address = "udp://127.0.0.1:0".parse()?;
//! let opened = listeners.open(&Open { source, address, receive_buffer: 4 << 20, readers: one })?;
//!
//! let Address::Udp(port) = opened.address else { unreachable!() };
//! UdpSocket::bind("127.0.0.1:0")?.send_to(b"hello:1|c", port)?;
//! let mut seen = Vec::new();
//! while seen.is_empty() {
//!     receivers[0].turn(None, &mut |event| {
//!         if let Event::Packets { packets, .. } = event {
//!             seen.extend(packets.map(|packet| packet.bytes.to_vec()));
//!         }
//!     })?;
//! }
//! assert_eq!(seen, [b"hello:1|c"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod address;
mod bind;
mod listeners;
mod store;

mod drops;
mod event;
mod receiver;
mod socket;
mod waker;

mod error;
mod sys;

pub use address::Address;
pub use error::IngestError;
pub use event::{Event, SocketKey};
pub use listeners::{Closed, Config, Listeners, Open, OpenSocket, Opened};
pub use receiver::Receiver;
pub use store::{DropReading, Manager, Place, Store, Stored, stored_sockets};
pub use sys::Packets;
pub use waker::Waker;
