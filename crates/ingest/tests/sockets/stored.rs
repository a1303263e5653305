//! Sockets that outlive the process, in the hands of a service manager.

use std::collections::BTreeMap;
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{Address, DropReading, IngestError, Manager, Open, Place, Store, Stored};
use metric::{Origin, ReadAs, Source};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::rig::{Rig, count, port_of, sender_to, source, udp};

const BUFFER: usize = 4 << 20;

/// A service manager: it keeps what it is told to keep.
struct StandIn {
    _dir: TempDir,
    socket: UnixDatagram,
    kept: BTreeMap<String, OwnedFd>,
}

impl StandIn {
    fn new() -> (Self, Arc<Manager>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = Arc::new(Manager::at(path.as_os_str()).unwrap());
        (Self { _dir: dir, socket, kept: BTreeMap::new() }, manager)
    }

    /// Takes what was said so far; tells whether that was anything.
    fn hear(&mut self) -> bool {
        let (mut bytes, mut heard) = ([0; 1000], false);
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut text = [IoSliceMut::new(&mut bytes)];
            let Ok(came) = recvmsg(&self.socket, &mut text, &mut ancillary, RecvFlags::empty())
            else {
                return heard;
            };
            heard = true;
            let mut fd = None;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    fd = fds.last();
                }
            }
            let text = std::str::from_utf8(&bytes[..came.bytes]).unwrap();
            let lines: BTreeMap<&str, &str> =
                text.lines().map(|line| line.split_once('=').unwrap()).collect();
            let name = lines["FDNAME"].to_owned();
            if lines.contains_key("FDSTORE") {
                assert_eq!(lines["FDPOLL"], "0");
                assert!(self.kept.insert(name, fd.unwrap()).is_none(), "a name was used twice");
            } else {
                assert_eq!(lines["FDSTOREREMOVE"], "1");
                self.kept.remove(&name);
            }
        }
    }

    /// Hears until it was told everything.
    fn settle(&mut self, store: &Store) {
        let deadline = Instant::now() + Duration::from_secs(20);
        std::thread::scope(|scope| {
            let settled = scope.spawn(|| store.settle(deadline));
            while !settled.is_finished() {
                self.hear();
            }
        });
        self.hear();
    }

    fn names(&self) -> Vec<&str> {
        self.kept.keys().map(String::as_str).collect()
    }

    /// What the next process is given.
    fn stored(&self) -> Vec<Stored> {
        let handed = |(name, fd): (&String, &OwnedFd)| Stored {
            name: Some(name.as_str().into()),
            socket: fd.try_clone().unwrap(),
        };
        self.kept.iter().map(handed).collect()
    }
}

fn listener(url: &str) -> Arc<Source> {
    Source::new(Origin::Listener { listener: url.into() }, ReadAs::default())
}

fn container(id: &str) -> Arc<Source> {
    Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
}

fn left(sockets: Vec<(&str, OwnedFd)>) -> Vec<Stored> {
    let stored = |(name, socket): (&str, OwnedFd)| {
        let name = Some(name).filter(|name| !name.is_empty());
        Stored { name: name.map(Arc::from), socket }
    };
    sockets.into_iter().map(stored).collect()
}

#[test]
fn a_socket_that_was_left_is_taken_up_with_what_it_holds() {
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap();
    sender_to(port).send(b"before").unwrap();
    // Of an old manager, which knows no names.
    let store = Store::new(left(vec![("", bound.into())]), None, None).unwrap();
    let mut rig = Rig::with_store(1, store.clone());
    let shared = source();
    let opened = rig.listeners.take_up(&udp(&shared, &format!("udp://{port}"), BUFFER)).unwrap();
    assert_eq!(opened.address, Address::Udp(port));
    sender_to(port).send(b"after").unwrap();
    rig.until_received(2);
    assert_eq!(rig.seen.bytes(), [&b"before"[..], b"after"]);
    assert_eq!(rig.listeners.sockets()[0].opened, opened);
    assert_eq!(store.taken(), 1);
    assert!(rig.close(&shared).is_some());
    UdpSocket::bind(port).unwrap();
}

#[test]
fn sockets_are_stored_as_they_open_and_let_go_of_before_they_close() {
    let (mut manager, address) = StandIn::new();
    let store = Store::new(Vec::new(), None, Some(address)).unwrap();
    let mut rig = Rig::with_store(2, store.clone());
    let shared = listener("udp://127.0.0.1:0");
    let open = Open { readers: count(2), ..udp(&shared, "udp://127.0.0.1:0", BUFFER) };
    rig.listeners.take_up(&open).unwrap();
    let one = container("a:b");
    let (_, port) = rig.open_udp(&one, BUFFER);
    manager.settle(&store);
    let of_container = format!("container-{}-a%3Ab", port.port());
    let of_listener = |n| format!("listener-{n}-udp%3A//127.0.0.1%3A0");
    assert_eq!(manager.names(), [&of_container, &of_listener(0), &of_listener(1)]);

    assert!(!store.is_releasing());
    rig.close(&one).unwrap();
    assert!(store.is_releasing());
    let again = udp(&container("c"), &format!("udp://{port}"), 0);
    let error = rig.listeners.take_up(&again).unwrap_err();
    assert!(matches!(error, IngestError::InUse { .. }), "the manager still has it: {error}");
    manager.settle(&store);
    assert_eq!(manager.names(), [&of_listener(0), &of_listener(1)]);
    rig.listeners.take_up(&again).unwrap();
    manager.settle(&store);
    assert_eq!(manager.kept.len(), 3);
}

#[test]
fn the_next_process_goes_on_where_the_last_one_stopped() {
    let (mut manager, address) = StandIn::new();
    let store = Store::new(Vec::new(), None, Some(address.clone())).unwrap();
    let rig = Rig::with_store(2, store.clone());
    // Its port is the kernel's choice, and known to its clients.
    let open = Open { readers: count(2), ..udp(&listener("l"), "udp://127.0.0.1:0", BUFFER) };
    let shared = port_of(&rig.listeners.take_up(&open).unwrap());
    let (_, port) = rig.open_udp(&container("a"), BUFFER);
    manager.settle(&store);
    drop((rig, store));

    let senders: Vec<_> = (0..32).map(|_| sender_to(shared)).collect();
    for sender in &senders {
        sender.send(b"shared").unwrap();
    }
    sender_to(port).send(b"own").unwrap();

    let store = Store::new(manager.stored(), None, Some(address)).unwrap();
    let mut rig = Rig::with_store(1, store.clone());
    let again = container("a");
    rig.listeners.take_up(&udp(&again, &format!("udp://{port}"), BUFFER)).unwrap();
    // One worker now, but both sockets are read.
    let open = Open { source: listener("l"), readers: count(2), ..open };
    let opened = rig.listeners.take_up(&open).unwrap();
    assert_eq!((port_of(&opened), opened.readers), (shared, 2));
    store.close_rest();
    rig.until_received(33);
    manager.settle(&store);
    assert_eq!(manager.kept.len(), 3, "nothing is stored twice, nothing is lost");
    rig.close(&again).unwrap();
    manager.settle(&store);
    assert_eq!(manager.kept.len(), 2);
}

#[test]
fn who_is_new_gets_nothing_that_was_left_to_others() {
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap();
    let store = Store::new(left(vec![("", bound.into())]), None, None).unwrap();
    let rig = Rig::with_store(1, store.clone());
    let open = udp(&container("thief"), &format!("udp://{port}"), 0);
    assert!(matches!(rig.listeners.open(&open), Err(IngestError::InUse { .. })));
    assert_eq!(store.take(&Place::Datagrams(Address::Udp(port))).len(), 1);
}

#[test]
fn a_port_with_fewer_sockets_than_readers_gets_more() {
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap();
    let name = "listener-1-l";
    let (mut manager, address) = StandIn::new();
    let store = Store::new(left(vec![(name, bound.into())]), None, Some(address)).unwrap();
    let rig = Rig::with_store(3, store.clone());
    let open = Open { readers: count(3), ..udp(&listener("l"), &format!("udp://{port}"), 0) };
    assert_eq!(rig.listeners.take_up(&open).unwrap().readers, 3);
    manager.settle(&store);
    assert_eq!(manager.names(), ["listener-0-l", "listener-2-l"], "{name} is there already");
}

#[test]
fn what_nobody_wants_is_closed_and_let_go_of() {
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let unbound = UnixDatagram::unbound().unwrap();
    let stream = TcpListener::bind("127.0.0.1:0").unwrap();
    let at_stream = stream.local_addr().unwrap();
    let sockets = vec![
        ("unknown", bound.into()),
        ("pipe", OwnedFd::from(writer)),
        ("twice", unbound.into()),
        ("twice", tempfile::tempfile().unwrap().into()),
        ("api", stream.into()),
    ];
    let (mut manager, address) = StandIn::new();
    let kept = |(name, fd): &(&str, OwnedFd)| (name.to_string(), fd.try_clone().unwrap());
    manager.kept = sockets.iter().map(kept).collect();
    let store = Store::new(left(sockets), None, Some(address)).unwrap();
    assert_eq!(store.find_named(|_, name| name == "api"), [Place::Tcp(at_stream)]);
    assert_eq!(store.take(&Place::Tcp(at_stream)).len(), 1);
    store.close_rest();
    manager.settle(&store);
    // Who lets go by a name that two have would let go of both.
    assert_eq!(manager.names(), ["api", "twice"]);
    UdpSocket::bind(port).unwrap();
    let pipe_is_closed = std::io::read_to_string(reader).unwrap();
    assert_eq!(pipe_is_closed, "");
}

#[test]
fn a_socket_at_another_address_is_no_hindrance_for_long() {
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap().port();
    let (mut manager, address) = StandIn::new();
    manager.kept.insert("old".to_owned(), bound.as_fd().try_clone_to_owned().unwrap());
    let store = Store::new(left(vec![("old", bound.into())]), None, Some(address)).unwrap();
    let rig = Rig::with_store(1, store.clone());
    let wide = udp(&source(), &format!("udp://0.0.0.0:{port}"), 0);
    assert!(matches!(rig.listeners.take_up(&wide), Err(IngestError::InUse { .. })));
    assert!(rig.listeners.is_releasing());
    manager.settle(&store);
    assert!(rig.listeners.take_up(&wide).is_ok());
}

#[test]
fn drops_are_counted_by_one_process_each() {
    let flood = |port| {
        let sender = sender_to(port);
        for _ in 0..1_000 {
            sender.send(&[b'x'; 100]).unwrap();
        }
    };
    let (mut manager, address) = StandIn::new();
    let store = Store::new(Vec::new(), None, Some(address)).unwrap();
    let mut first = Rig::with_store(1, store.clone());
    let (_, port) = first.open_udp(&source(), 1);
    manager.settle(&store);
    first.turn();
    flood(port);
    let before = first.kernel_drops();
    assert!(before > 0);
    let readings = first.receivers[0].drop_readings();
    assert_eq!(readings.iter().map(|it| u64::from(it.dropped)).sum::<u64>(), before);

    // Between the processes.
    flood(port);
    let in_all = first.kernel_drops();
    let unknown = vec![DropReading { inode: 0, dropped: 7 }];
    for (readings, counted) in
        [(Some(readings), in_all - before), (Some(unknown), in_all), (None, 0)]
    {
        let store = Store::new(manager.stored(), readings, None).unwrap();
        let mut second = Rig::with_store(1, store);
        second.listeners.take_up(&udp(&source(), &format!("udp://{port}"), 0)).unwrap();
        second.turn();
        assert_eq!(second.kernel_drops(), counted);
    }
}

#[test]
fn a_manager_that_hangs_holds_up_nobody_and_is_told_in_the_end() {
    let (mut manager, address) = StandIn::new();
    let store = Store::new(Vec::new(), None, Some(address)).unwrap();
    let mut rig = Rig::with_store(1, store.clone());
    for round in 0..500 {
        let brief = container(&format!("c{round}"));
        rig.open_udp(&brief, 0);
        rig.close(&brief).unwrap();
    }
    let (_, port) = rig.open_udp(&container("stays"), 0);
    manager.settle(&store);
    assert_eq!(manager.names(), [format!("container-{}-stays", port.port())]);
}

#[test]
fn a_unix_socket_outlives_its_process_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let open = || Open {
        source: listener("u"),
        address: Address::Unixgram(path.clone()),
        receive_buffer: 0,
        readers: count(1),
    };
    let (mut manager, address) = StandIn::new();
    let store = Store::new(Vec::new(), None, Some(address.clone())).unwrap();
    let rig = Rig::with_store(1, store.clone());
    rig.listeners.take_up(&open()).unwrap();
    manager.settle(&store);
    drop((rig, store));
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"meanwhile", &path).unwrap();

    let store = Store::new(manager.stored(), None, Some(address.clone())).unwrap();
    let mut rig = Rig::with_store(1, store.clone());
    let shared = open();
    rig.listeners.take_up(&shared).unwrap();
    rig.until_received(1);
    rig.close(&shared.source).unwrap();
    manager.settle(&store);
    assert!(!path.exists() && manager.kept.is_empty());

    // Its directory was emptied while nobody was there: it is bound anew.
    let rig = Rig::with_store(1, store.clone());
    rig.listeners.take_up(&open()).unwrap();
    manager.settle(&store);
    drop((rig, store));
    fs::remove_file(&path).unwrap();
    let store = Store::new(manager.stored(), None, Some(address)).unwrap();
    store.close_rest();
    manager.settle(&store);
    let mut rig = Rig::with_store(1, store.clone());
    rig.listeners.take_up(&open()).unwrap();
    sender.send_to(b"anew", &path).unwrap();
    rig.until_received(1);
}

#[test]
fn a_socket_whose_process_was_killed_while_closing_it_is_no_trap() {
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap();
    socket2::SockRef::from(&deaf).attach_filter(&[socket2::SockFilter::new(6, 0, 0, 0)]).unwrap();
    let ended = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ended_port = ended.local_addr().unwrap();
    let _ = socket2::SockRef::from(&ended).shutdown(std::net::Shutdown::Both);
    let store = Store::new(left(vec![("", deaf.into()), ("", ended.into())]), None, None).unwrap();
    let mut rig = Rig::with_store(1, store.clone());
    rig.listeners.take_up(&udp(&source(), &format!("udp://{port}"), 0)).unwrap();
    sender_to(port).send(b"x").unwrap();
    rig.until_received(1);
    store.close_rest();
    rig.listeners.take_up(&udp(&source(), &format!("udp://{ended_port}"), 0)).unwrap();
    sender_to(ended_port).send(b"x").unwrap();
    rig.until_received(2);
}

#[test]
fn a_socket_units_socket_is_given_back_and_can_be_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("statsd.sock");
    let unixgram = UnixDatagram::bind(&path).unwrap();
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap();
    let urls = [format!("udp://{port}"), format!("unixgram:{}", path.display())];
    let client = UnixDatagram::unbound().unwrap();
    let send = |bytes: &[u8]| {
        sender_to(port).send(bytes).unwrap();
        client.send_to(bytes, &path).unwrap();
    };
    // All sockets of a unit have one name, and the manager has them as long as the unit runs.
    let _unit = (bound.try_clone().unwrap(), unixgram.try_clone().unwrap());
    let sockets = left(vec![("weir.socket", bound.into()), ("weir.socket", unixgram.into())]);
    let mut rig = Rig::with_store(1, Store::new(sockets, None, None).unwrap());
    for round in 1..=2 {
        let sources = urls.each_ref().map(|url| listener(url));
        for (url, source) in urls.iter().zip(&sources) {
            rig.listeners.take_up(&udp(source, url, BUFFER)).unwrap();
        }
        send(b"before");
        for source in &sources {
            let closed = rig.close(source).unwrap();
            assert_eq!((closed.kernel_dropped, closed.unread), (0, 0));
        }
        // Nobody listens, but the unit's sockets are open.
        send(b"between");
        assert_eq!(rig.seen.packets.len(), 4 * round - 2);
        let sources = urls.each_ref().map(|url| listener(url));
        for (url, source) in urls.iter().zip(&sources) {
            rig.listeners.take_up(&udp(source, url, BUFFER)).unwrap();
        }
        rig.until_received(4 * round);
        for source in &sources {
            rig.close(source).unwrap();
        }
    }
    let another = udp(&source(), &format!("udp://0.0.0.0:{}", port.port()), 0);
    let in_use = rig.listeners.take_up(&another).unwrap_err();
    assert!(in_use.to_string().ends_with("does a socket unit hold it?"), "{in_use}");
}

#[test]
fn drops_at_a_socket_that_was_given_back_are_counted_once() {
    let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap();
    let _unit = bound.try_clone().unwrap();
    let store = Store::new(left(vec![("statsd", bound.into())]), Some(Vec::new()), None).unwrap();
    let mut rig = Rig::with_store(1, store);
    let shared = source();
    let open = udp(&shared, &format!("udp://{port}"), 0);
    rig.listeners.take_up(&open).unwrap();
    rig.turn();
    let sender = sender_to(port);
    for _ in 0..10_000 {
        sender.send(&[b'x'; 100]).unwrap();
    }
    assert!(rig.close(&shared).unwrap().kernel_dropped > 0);
    rig.listeners.take_up(&open).unwrap();
    rig.turn();
    assert_eq!(rig.kernel_drops(), 0);
}
