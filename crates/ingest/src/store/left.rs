use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockAddr, SockRef, Type};

use crate::Address;

/// Where a socket is bound, and what comes there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Datagrams.
    Datagrams(Address),
    /// Connections to a TCP port.
    Tcp(SocketAddr),
    /// Connections to a unix socket.
    Unix(PathBuf),
}

/// A bound socket that an earlier process, or a socket unit, left with the service manager.
#[derive(Debug)]
pub struct Stored {
    /// What the manager calls it, if it says.
    pub name: Option<Arc<str>>,
    /// The socket.
    pub socket: OwnedFd,
}

/// The sockets that were left, until somebody takes them.
#[derive(Debug, Default)]
pub(super) struct Left {
    known: HashMap<Place, Vec<Stored>>,
    /// What is no socket of ours.
    unfit: Vec<(Stored, io::Error)>,
}

impl Left {
    pub(super) fn new(stored: Vec<Stored>) -> Self {
        let mut left = Self::default();
        for stored in stored {
            left.put(stored);
        }
        left
    }

    pub(super) fn put(&mut self, stored: Stored) {
        match place(&stored.socket) {
            Ok(place) => self.known.entry(place).or_default().push(stored),
            Err(error) => self.unfit.push((stored, error)),
        }
    }

    pub(super) fn take(&mut self, place: &Place) -> Vec<Stored> {
        self.known.remove(place).unwrap_or_default()
    }

    pub(super) fn find(&self, wanted: impl Fn(&Place, &str) -> bool) -> Vec<Place> {
        let is_wanted = |(place, stored): &(&Place, &Vec<Stored>)| {
            let mut names = stored.iter().filter_map(|stored| stored.name.as_deref());
            names.any(|name| wanted(place, name))
        };
        self.known.iter().filter(is_wanted).map(|(place, _)| place.clone()).collect()
    }

    pub(super) fn take_if(&mut self, wanted: impl Fn(&Place) -> bool) -> Vec<Stored> {
        let taken = self.known.extract_if(|place, _| wanted(place));
        taken.flat_map(|(_, stored)| stored).collect()
    }

    /// All that nobody took, with what is to be said of each.
    pub(super) fn take_rest(&mut self) -> Vec<(Stored, String)> {
        let unfit = self.unfit.drain(..).map(|(stored, error)| (stored, error.to_string()));
        let mut rest: Vec<_> = unfit.collect();
        for (place, stored) in self.known.drain() {
            let of_place = |stored| (stored, format!("nothing is to listen at {place}"));
            rest.extend(stored.into_iter().map(of_place));
        }
        rest
    }
}

fn place(fd: &OwnedFd) -> io::Result<Place> {
    let socket = SockRef::from(fd);
    let kind = socket.r#type()?;
    let local = socket.local_addr()?;
    let place = match (kind, local.as_socket(), local.as_pathname()) {
        (Type::DGRAM, Some(address), _) => Place::Datagrams(Address::Udp(address)),
        (Type::DGRAM, _, Some(path)) => Place::Datagrams(Address::Unixgram(path.to_owned())),
        (Type::STREAM, Some(address), _) if socket.is_listener()? => Place::Tcp(address),
        (Type::STREAM, _, Some(path)) if socket.is_listener()? => Place::Unix(path.to_owned()),
        _ => return Err(io::Error::other("it is not a bound socket that takes something")),
    };
    if is_hung_up(fd)? {
        return Err(io::Error::other("it was shut down"));
    }
    if lost_its_file(&local) {
        return Err(io::Error::other("its file is gone, so nobody can reach it"));
    }
    Ok(place)
}

// A process that was killed while it closed the socket.
fn is_hung_up(fd: &OwnedFd) -> io::Result<bool> {
    let mut state = [PollFd::new(fd, PollFlags::empty())];
    poll(&mut state, Some(&Timespec::default()))?;
    Ok(state[0].revents().contains(PollFlags::HUP))
}

// The directory may have been emptied while no process was there.
fn lost_its_file(local: &SockAddr) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let Some(path) = local.as_pathname() else { return false };
    !std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Datagrams(address) => address.fmt(f),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
