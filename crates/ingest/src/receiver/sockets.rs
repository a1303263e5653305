use std::sync::Arc;

use metric::Source;

use crate::SocketKey;
use crate::socket::Socket;

/// A worker's sockets by their places. A place that was left is used again first, so that places
/// stay dense.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    places: Vec<Option<Socket>>,
    free: Vec<SocketKey>,
    /// Computed when it is asked for, forgotten when a socket comes or goes.
    smallest_buffer: Option<usize>,
}

impl Sockets {
    pub(super) fn insert(&mut self, socket: Socket) -> SocketKey {
        self.smallest_buffer = None;
        if let Some(key) = self.free.pop() {
            self.places[key.index()] = Some(socket);
            return key;
        }
        self.places.push(Some(socket));
        SocketKey(self.places.len() as u32 - 1)
    }

    pub(super) fn remove(&mut self, key: SocketKey) -> Option<Socket> {
        let socket = self.places.get_mut(key.index())?.take()?;
        self.smallest_buffer = None;
        self.free.push(key);
        Some(socket)
    }

    pub(super) fn get(&self, key: SocketKey) -> Option<&Socket> {
        self.places.get(key.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: SocketKey) -> Option<&mut Socket> {
        self.places.get_mut(key.index())?.as_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SocketKey, &mut Socket)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(i, socket)| Some((SocketKey(i as u32), socket.as_mut()?)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketKey, &Socket)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(i, socket)| Some((SocketKey(i as u32), socket.as_ref()?)))
    }

    /// The sockets of a source. A walk over all of them, but of pointers only.
    pub(super) fn of(&self, source: &Arc<Source>) -> Vec<SocketKey> {
        let own = self.iter().filter(|(_, socket)| Arc::ptr_eq(&socket.source, source));
        own.filter(|(_, socket)| !socket.is_cut_off()).map(|(key, _)| key).collect()
    }

    /// The smallest receive buffer of a UDP socket.
    pub(super) fn smallest_buffer(&mut self) -> Option<usize> {
        if self.smallest_buffer.is_none() {
            let udp = self.iter().filter(|(_, socket)| !socket.urgent);
            self.smallest_buffer = udp.map(|(_, socket)| socket.granted).min();
        }
        self.smallest_buffer
    }
}
