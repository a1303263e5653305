//! The shared listeners of datagrams: ports and sockets where nobody in particular speaks.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use ingest::{Address, Listeners, Open};
use metric::{Origin, Source};

use crate::config::{Config, ListenUrl, Listener};

/// A shared listener that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where it is bound, with the port that the kernel chose.
    pub(crate) address: Address,
}

/// Opens all of them, or says which cannot be opened.
pub(crate) fn open(config: &Config, listeners: &Listeners) -> Result<Vec<Opened>> {
    let opened = config.listeners.iter().map(|listener| open_one(listener, listeners));
    opened.filter_map(Result::transpose).collect()
}

// `None`: it is one of streams.
fn open_one(listener: &Listener, listeners: &Listeners) -> Result<Option<Opened>> {
    let url = &listener.url;
    let name: Arc<str> = url.to_string().into();
    let source = Source::new(Origin::Listener { listener: name }, listener.read_as());
    let address = match url {
        ListenUrl::Udp { host, port } => Address::Udp(resolve(host, *port)?),
        ListenUrl::Unixgram(path) => Address::Unixgram(path.clone()),
        ListenUrl::AvroTcp { .. } => return Ok(None),
    };
    let open = Open {
        source,
        address,
        receive_buffer: listener.receive_buffer.unwrap_or_default(),
        readers: NonZeroUsize::new(listener.readers).unwrap_or(NonZeroUsize::MIN),
    };
    let opened = listeners.open(&open)?;
    Ok(Some(Opened { address: opened.address }))
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    let mut addresses = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve the listener's host {host:?}"))?;
    addresses.next().with_context(|| format!("the listener's host {host:?} has no address"))
}
