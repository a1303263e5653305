use std::net::IpAddr;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use api::Endpoint;

use super::{Config, HttpListen, ListenUrl};

/// Where something is to listen.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Udp(Host<'a>, u16),
    Tcp(Host<'a>, u16),
    Unix(&'a Path),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Host<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

/// Refuses what nobody can listen at, and what two are to listen at, as far as that can be told
/// without asking anybody.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let places = places(config);
    for (at, (key, place)) in places.iter().enumerate() {
        if !place.can_be() {
            return Err(format!("{key}: a socket's path has at most 107 bytes"));
        }
        if let Some((other, _)) = places[..at].iter().find(|(_, other)| place.is_taken_by(*other)) {
            return Err(format!("{key} is taken by {other}: give each its own address"));
        }
    }
    Ok(())
}

/// All of them, each with the key that says so.
fn places(config: &Config) -> Vec<(String, Place<'_>)> {
    let Config { listeners, containers, api, prometheus, http, .. } = config;
    let shared = listeners.iter().map(|it| (format!("listener {}", it.url), Place::of(&it.url)));
    let served = |key: &'static str| move |at| (format!("{key} {at}"), Place::served(at));
    let registration = containers.api.iter().map(|at| &at.0).map(served("containers.api"));
    let v0 = api.v0.iter().filter(|_| api.enabled).map(|at| &at.0).map(served("api.v0"));
    let mut places: Vec<_> = shared.chain(registration).chain(v0).collect();
    if let Some(at) = prometheus.listen.0.filter(|_| prometheus.enabled) {
        places.push((format!("prometheus.listen {at}"), Place::Tcp(Host::Ip(at.ip()), at.port())));
    }
    if let HttpListen::At(at) = http.listen {
        places.push((format!("http.listen {at}"), Place::Tcp(Host::Ip(at.ip()), at.port())));
    }
    places
}

impl<'a> Place<'a> {
    fn of(url: &'a ListenUrl) -> Self {
        match url {
            ListenUrl::Udp { host, port } => Self::Udp(Host::of(host), *port),
            ListenUrl::AvroTcp { host, port } => Self::Tcp(Host::of(host), *port),
            ListenUrl::Unixgram(path) => Self::Unix(path),
        }
    }

    fn served(at: &'a Endpoint) -> Self {
        match at {
            Endpoint::Tcp { host, port } => Self::Tcp(Host::of(host), *port),
            Endpoint::Unix(path) => Self::Unix(path),
        }
    }

    fn can_be(self) -> bool {
        match self {
            Self::Unix(path) => SocketAddr::from_pathname(path).is_ok(),
            Self::Udp(..) | Self::Tcp(..) => true,
        }
    }

    fn is_taken_by(self, other: Self) -> bool {
        match (self, other) {
            (Self::Unix(path), Self::Unix(other)) => path == other,
            (Self::Udp(host, port), Self::Udp(other, its))
            | (Self::Tcp(host, port), Self::Tcp(other, its)) => {
                // The kernel chooses another for each.
                port == its && port != 0 && host.includes(other)
            }
            (Self::Udp(..) | Self::Tcp(..) | Self::Unix(_), _) => false,
        }
    }
}

impl<'a> Host<'a> {
    fn of(host: &'a str) -> Self {
        match host {
            "localhost" => Self::Ip(IpAddr::from([127, 0, 0, 1])),
            host => host.parse().map_or(Self::Name(host), Self::Ip),
        }
    }

    /// Whether one of them is the other, or all addresses of its kind.
    fn includes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Ip(one), Self::Ip(other)) if one.is_ipv4() == other.is_ipv4() => {
                one == other || one.is_unspecified() || other.is_unspecified()
            }
            (Self::Ip(_) | Self::Name(_), _) => self == other,
        }
    }
}
