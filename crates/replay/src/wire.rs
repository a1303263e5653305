//! The way out: one socket, many datagrams a system call.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use socket2::{Domain, Socket, Type};

use crate::corpus::{Corpus, Datagram};
use crate::error::ReplayError;

/// The most datagrams of one system call.
pub(crate) const BATCH: usize = 64;

/// The most bytes of one that the kernel cuts into segments.
const SEGMENTED: usize = 65_507;

/// What came of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Datagrams that the kernel took.
    pub(crate) datagrams: usize,
    /// It would not take the next one. Of a socket to one target that is mostly because nobody
    /// listens, which it was told about an earlier one.
    pub(crate) is_cut_short: bool,
}

/// Where datagrams go, by lane.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    /// One for each lane, or one for all.
    to: Vec<SocketAddr>,
    /// The same, as the kernel has them; empty if the socket is connected.
    addresses: Vec<SocketAddrAny>,
    is_v4: bool,
    segments: bool,
}

impl Wire {
    /// A socket to these targets: lane n is sent to the n-th, and from the first again after the
    /// last. `segments`: datagrams of one length that follow one another are handed to the kernel
    /// as one, and cut by it (`UDP_SEGMENT`).
    pub(crate) fn open(to: Vec<SocketAddr>, segments: bool) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::Socket { to: to[0], source };
        let is_v4 = to.iter().all(SocketAddr::is_ipv4);
        let domain = if is_v4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, None).map_err(failed)?;
        // More is in flight between two looks at the clock; a refusal only means shorter batches.
        let _ = socket.set_send_buffer_size(4 << 20);
        let mut addresses = Vec::new();
        if let [only] = &to[..] {
            // Connected: the kernel looks for the way once, and tells if nobody listens.
            socket.connect(&(*only).into()).map_err(failed)?;
        } else {
            let any = if is_v4 {
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
            } else {
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
            };
            socket.bind(&any.into()).map_err(failed)?;
            // On an IPv6 socket an IPv4 target is written as IPv6 has it.
            addresses = to.iter().map(|it| SocketAddrAny::from(mapped(*it, is_v4))).collect();
        }
        Ok(Self { socket, to, addresses, is_v4, segments })
    }

    /// The targets.
    pub(crate) fn targets(&self) -> &[SocketAddr] {
        &self.to
    }

    /// Where a lane goes.
    pub(crate) fn target_of(&self, lane: usize) -> usize {
        lane % self.to.len()
    }

    /// Sends some of these datagrams, at least one, which follow one another in the corpus. An
    /// error means that none was sent.
    // Hot path: runs once per batch.
    pub(crate) fn send(&self, corpus: &Corpus, datagrams: &[Datagram]) -> io::Result<Taken> {
        let batch = &datagrams[..datagrams.len().min(BATCH)];
        let sent = if self.segments {
            self.send_segments(corpus, batch)
        } else {
            self.send_batch(corpus, batch)
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Ok(Taken { datagrams: 0, is_cut_short: true })
            }
            sent => sent,
        }
    }

    fn send_batch(&self, corpus: &Corpus, batch: &[Datagram]) -> io::Result<Taken> {
        let mut pieces = [[IoSlice::new(&[])]; BATCH];
        for (piece, datagram) in pieces.iter_mut().zip(batch) {
            *piece = [IoSlice::new(corpus.payload(*datagram))];
        }
        let mut controls: [SendAncillaryBuffer<'_, '_, '_>; BATCH] =
            std::array::from_fn(|_| SendAncillaryBuffer::default());
        let mut messages = Vec::with_capacity(BATCH);
        for ((datagram, piece), control) in batch.iter().zip(&pieces).zip(&mut controls) {
            messages.push(match self.addresses.as_slice() {
                [] => MMsgHdr::new(piece, control),
                addresses => {
                    let address = &addresses[self.target_of(datagram.lane as usize)];
                    MMsgHdr::new_with_addr(address, piece, control)
                }
            });
        }
        let datagrams = sendmmsg(&self.socket, &mut messages, SendFlags::empty())?;
        Ok(Taken { datagrams, is_cut_short: datagrams < batch.len() })
    }

    fn send_segments(&self, corpus: &Corpus, batch: &[Datagram]) -> io::Result<Taken> {
        let alike = &batch[..alike(batch, |lane| self.target_of(lane))];
        let target = self.to[self.target_of(alike[0].lane as usize)];
        let is_connected = self.addresses.is_empty();
        let address = (!is_connected).then(|| SockaddrStorage::from(mapped(target, self.is_v4)));
        let size = alike[0].len() as u16;
        let cut = [ControlMessage::UdpGsoSegments(&size)];
        let cut = if alike.len() > 1 { &cut[..] } else { &[] };
        let piece = [IoSlice::new(corpus.payloads(alike))];
        let fd = self.socket.as_raw_fd();
        sendmsg(fd, &piece, cut, MsgFlags::empty(), address.as_ref())?;
        Ok(Taken { datagrams: alike.len(), is_cut_short: false })
    }
}

/// How many of these, at least one, can be one message that is cut into segments: to one target,
/// all as long as the first but for the last, which may be shorter.
fn alike(batch: &[Datagram], target_of: impl Fn(usize) -> usize) -> usize {
    let size = batch[0].len();
    let target = target_of(batch[0].lane as usize);
    let most = (SEGMENTED / size.max(1)).max(1);
    let mut count = 1;
    for datagram in batch.iter().skip(1).take(most - 1) {
        let shorter = datagram.len() < size;
        if datagram.len() > size
            || datagram.len() == 0
            || target_of(datagram.lane as usize) != target
        {
            break;
        }
        count += 1;
        if shorter {
            break;
        }
    }
    count
}

fn mapped(address: SocketAddr, is_v4: bool) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if !is_v4 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn corpus(of: &[(usize, &str)]) -> Corpus {
        let mut corpus = Corpus::new(1 << 20);
        for (lane, payload) in of {
            corpus.push(*lane, payload.as_bytes()).unwrap();
        }
        corpus
    }

    fn send_all(wire: &Wire, corpus: &Corpus) -> Vec<usize> {
        let (mut sent, mut calls) = (0, Vec::new());
        while sent < corpus.datagrams().len() {
            let taken = wire.send(corpus, &corpus.datagrams()[sent..]).unwrap();
            sent += taken.datagrams;
            calls.push(taken.datagrams);
        }
        calls
    }

    fn received(at: &UdpSocket, count: usize) -> Vec<String> {
        let mut buffer = [0; 2000];
        let mut next = || {
            let length = at.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn each_lane_goes_to_its_target_in_order_with_and_without_segments() {
        let corpus = corpus(&[(0, "aa"), (0, "bb"), (0, "c"), (1, "dd"), (0, "eee"), (2, "ff")]);
        for (segments, calls) in [(false, vec![6]), (true, vec![3, 1, 2])] {
            let at = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
            let to = at.iter().map(|socket| socket.local_addr().unwrap()).collect();
            let wire = Wire::open(to, segments).unwrap();
            assert_eq!(send_all(&wire, &corpus), calls);
            assert_eq!(received(&at[0], 5), ["aa", "bb", "c", "eee", "ff"]);
            assert_eq!(received(&at[1], 1), ["dd"]);
        }
    }

    #[test]
    fn one_target_is_connected_and_says_if_nobody_listens() {
        let corpus = corpus(&[(0, "aa"), (1, "bb"), (2, "cc")]);
        for segments in [false, true] {
            let at = UdpSocket::bind("127.0.0.1:0").unwrap();
            let to = at.local_addr().unwrap();
            let wire = Wire::open(vec![to], segments).unwrap();
            assert_eq!(send_all(&wire, &corpus), [3]);
            assert_eq!(received(&at, 3), ["aa", "bb", "cc"]);
            drop(at);
            let both = [(); 2].map(|()| wire.send(&corpus, corpus.datagrams()).unwrap());
            assert!(both.iter().any(|taken| taken.is_cut_short), "{both:?}");
        }
    }

    #[test]
    fn an_ipv4_and_an_ipv6_target_share_a_socket() {
        let Ok(six) = UdpSocket::bind("[::1]:0") else { return };
        let four = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = vec![four.local_addr().unwrap(), six.local_addr().unwrap()];
        let wire = Wire::open(to, false).unwrap();
        send_all(&wire, &corpus(&[(0, "a"), (1, "b")]));
        assert_eq!((received(&four, 1), received(&six, 1)), (vec!["a".into()], vec!["b".into()]));
    }

    #[test]
    fn no_message_is_longer_than_udp_allows() {
        let corpus = corpus(&vec![(0, "x".repeat(1432).as_str()); 64]);
        assert_eq!(alike(corpus.datagrams(), |_| 0), 45);
    }
}
