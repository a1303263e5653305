//! Which addresses are our own: what a relay sent there would come back to it without end.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Ports;
use enrich::Contexts;
use ingest::{Address, Listeners};
use ship::Surroundings;

use crate::config::{Config, ListenUrl, Listener};

/// A port to speak to, whichever.
const DISCARD: u16 = 9;

/// What is ours: as configured, and as it is open at the moment. A clone is another handle to the
/// same.
#[derive(Clone, Debug)]
pub(crate) struct Own(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    configured: Mutex<Vec<(String, u16)>>,
    containers: (IpAddr, Option<RangeInclusive<u16>>),
    listeners: Listeners,
}

/// Whether what is sent to `host` and `port` would come back to this listener, as far as that can
/// be told without asking anybody.
pub(crate) fn is_plainly((host, port): (&str, u16), listener: &ListenUrl) -> bool {
    let plain = |host: &str, port| match host {
        "localhost" => Some(SocketAddr::from(([127, 0, 0, 1], port))),
        host => Some(SocketAddr::new(host.parse().ok()?, port)),
    };
    let ListenUrl::Udp { host: own, port: own_port } = listener else { return false };
    match (plain(own, *own_port), plain(host, port)) {
        (Some(own), Some(at)) => reaches(at, own),
        (Some(_) | None, _) => (own, *own_port) == (&host.to_owned(), port),
    }
}

impl Own {
    pub(crate) fn new(config: &Config, listeners: &Listeners) -> Self {
        let ports = match &config.containers.ports {
            Ports::Range(ports) => Some(ports.clone()),
            Ports::Ephemeral => None,
        };
        Self(Arc::new(Shared {
            configured: Mutex::new(udp(&config.listeners)),
            containers: (config.containers.bind, ports),
            listeners: listeners.clone(),
        }))
    }

    /// From now on these are configured.
    pub(crate) fn configure(&self, listeners: &[Listener]) {
        *self.configured() = udp(listeners);
    }

    /// What relays ask of the rest of the agent.
    pub(crate) fn surroundings(&self, contexts: &Contexts) -> Surroundings {
        let (own, contexts) = (self.clone(), contexts.clone());
        Surroundings {
            dimensions: Arc::new(move |source| contexts.dimensions(source).dimensions),
            is_own: Arc::new(move |at| own.contains(at)),
        }
    }

    fn contains(&self, at: SocketAddr) -> bool {
        let (bind, ports) = &self.0.containers;
        let of_a_container = ports.as_ref().is_some_and(|ports| ports.contains(&at.port()))
            && reaches(at, SocketAddr::new(*bind, at.port()));
        of_a_container || self.is_configured(at) || self.is_open(at)
    }

    // It may not be open yet.
    fn is_configured(&self, at: SocketAddr) -> bool {
        let mut same_port = self.configured().clone();
        same_port.retain(|(_, port)| *port == at.port());
        let mut found = same_port.iter().filter_map(|own| own.to_socket_addrs().ok()).flatten();
        found.any(|own| reaches(at, own))
    }

    fn configured(&self) -> MutexGuard<'_, Vec<(String, u16)>> {
        self.0.configured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self, at: SocketAddr) -> bool {
        self.0.listeners.sockets().into_iter().any(|socket| match socket.opened.address {
            Address::Udp(own) => reaches(at, own),
            Address::Unixgram(_) => false,
        })
    }
}

fn udp(listeners: &[Listener]) -> Vec<(String, u16)> {
    let udp = |listener: &Listener| match &listener.url {
        ListenUrl::Udp { host, port } => Some((host.clone(), *port)),
        ListenUrl::Unixgram(_) | ListenUrl::AvroTcp { .. } => None,
    };
    listeners.iter().filter_map(udp).collect()
}

/// Whether what is sent to an address comes to a socket that is bound to `own`.
fn reaches(at: SocketAddr, own: SocketAddr) -> bool {
    if at.port() != own.port() {
        return false;
    }
    let (to, own) = (at.ip().to_canonical(), own.ip().to_canonical());
    // What is sent to no address in particular comes to this host.
    let to_any = to.is_unspecified() && (own.is_unspecified() || own.is_loopback());
    to == own || to_any || (own.is_unspecified() && is_of_this_host(to))
}

// To an address of its own a host speaks from that address. Nothing is sent to find that out.
fn is_of_this_host(ip: IpAddr) -> bool {
    let speaks_from = || {
        let any = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect((ip, DISCARD))?;
        socket.local_addr()
    };
    ip.is_loopback() || speaks_from().is_ok_and(|from: SocketAddr| from.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_to_a_socket_is_known() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (to, own, comes_back) in [
            ("127.0.0.1:8125", "127.0.0.1:8125", true),
            ("127.0.0.1:8126", "127.0.0.1:8125", false),
            ("127.0.0.2:8125", "127.0.0.1:8125", false),
            ("127.0.0.2:8125", "0.0.0.0:8125", true),
            ("[::ffff:127.0.0.1]:8125", "127.0.0.1:8125", true),
            ("127.0.0.1:8125", "[::]:8125", true),
            ("0.0.0.0:8125", "127.0.0.1:8125", true),
            ("0.0.0.0:8125", "0.0.0.0:8125", true),
            // An address for documentation, which no host has.
            ("192.0.2.1:8125", "0.0.0.0:8125", false),
            ("192.0.2.1:8125", "192.0.2.1:8125", true),
        ] {
            assert_eq!(reaches(at(to), at(own)), comes_back, "{to} to {own}");
        }
    }

    #[test]
    fn every_address_of_this_host_is_known() {
        // Whichever it speaks from to the rest of the world, if there is a way there.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let ours = match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
            Ok(ours) => ours.ip(),
            Err(_) => IpAddr::from([127, 0, 0, 1]),
        };
        assert!(is_of_this_host(ours));
        assert!(!is_of_this_host("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_is_plain_is_told_without_a_look_up() {
        let udp = |host: &str| ListenUrl::Udp { host: host.to_owned(), port: 8125 };
        assert!(is_plainly(("localhost", 8125), &udp("127.0.0.1")));
        assert!(is_plainly(("127.0.0.1", 8125), &udp("localhost")));
        assert!(is_plainly(("metrics.test", 8125), &udp("metrics.test")));
        assert!(is_plainly(("127.0.0.1", 8125), &udp("0.0.0.0")));
        assert!(!is_plainly(("metrics.test", 8125), &udp("127.0.0.1")));
        assert!(!is_plainly(("127.0.0.1", 8126), &udp("127.0.0.1")));
        assert!(!is_plainly(("127.0.0.1", 8125), &ListenUrl::Unixgram("/s".into())));
    }

    #[test]
    fn the_range_of_the_containers_ports_is_ours_whether_they_are_open_or_not() {
        let mut config = Config::default();
        config.containers.ports = Ports::Range(31_000..=31_999);
        let (listeners, _receivers) = Listeners::new(config.to_ingest()).unwrap();
        let own = Own::new(&config, &listeners);
        assert!(own.contains("127.0.0.1:31500".parse().unwrap()));
        assert!(!own.contains("127.0.0.1:32000".parse().unwrap()));
        assert!(!own.contains("192.0.2.1:31500".parse().unwrap()));

        let listener = Listener::of(ListenUrl::Udp { host: "127.0.0.1".into(), port: 8125 });
        let at = "127.0.0.1:8125".parse().unwrap();
        assert!(!own.contains(at));
        own.configure(&[listener]);
        assert!(own.contains(at));
        own.configure(&[]);
        assert!(!own.contains(at));
    }
}
