//! The shared listeners of datagrams: ports and sockets where nobody in particular speaks.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use ingest::{Address, Listeners, Open, Place, Store};
use metric::{Origin, Source};

use crate::config::{Config, ListenUrl, Listener};
use crate::service::bind_patiently;

/// What a socket unit calls a socket that is to be a shared listener, though the configuration does
/// not name its address.
const NAME: &str = "statsd";

/// A shared listener that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    /// As configured, or as a socket unit has it.
    pub(crate) url: ListenUrl,
    /// To whom its datagrams are charged.
    pub(crate) source: Arc<Source>,
    /// Where it is bound, with the port that the kernel chose.
    pub(crate) address: Address,
}

/// Opens all of them, or says which cannot be opened.
pub(crate) fn open(config: &Config, listeners: &Listeners, store: &Store) -> Result<Vec<Opened>> {
    let open = |listener| bind_patiently(store, || open_one(listener, listeners));
    let opened = config.listeners.iter().map(open);
    let mut opened: Vec<_> = opened.filter_map(Result::transpose).collect::<Result<_>>()?;
    for place in store.find_named(|_, name| name == NAME) {
        let Place::Datagrams(address) = place else { continue };
        let url = match address {
            Address::Udp(address) => {
                ListenUrl::Udp { host: address.ip().to_string(), port: address.port() }
            }
            Address::Unixgram(path) => ListenUrl::Unixgram(path),
        };
        let mut listener = Listener::of(url);
        listener.complete(config.receive_buffer);
        opened.extend(open_one(&listener, listeners)?);
    }
    Ok(opened)
}

/// Opens one; `None` if it is one of streams.
pub(crate) fn open_one(listener: &Listener, listeners: &Listeners) -> Result<Option<Opened>> {
    let url = &listener.url;
    let name: Arc<str> = url.to_string().into();
    let source = Source::new(Origin::Listener { listener: name }, listener.read_as());
    let address = match url {
        ListenUrl::Udp { host, port } => Address::Udp(resolve(host, *port)?),
        ListenUrl::Unixgram(path) => Address::Unixgram(path.clone()),
        ListenUrl::AvroTcp { .. } => return Ok(None),
    };
    let open = Open {
        source: source.clone(),
        address,
        receive_buffer: listener.receive_buffer.unwrap_or_default(),
        readers: NonZeroUsize::new(listener.readers).unwrap_or(NonZeroUsize::MIN),
    };
    let opened = listeners.take_up(&open)?;
    Ok(Some(Opened { url: url.clone(), source, address: opened.address }))
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    let mut addresses = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve the listener's host {host:?}"))?;
    addresses.next().with_context(|| format!("the listener's host {host:?} has no address"))
}
