use std::fs;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use ingest::{Address, IngestError, Open};
use metric::{Origin, ReadAs, Source};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::rig::{Rig, source};

fn at(path: &Path, source: &Arc<Source>) -> Open {
    Open {
        source: source.clone(),
        address: Address::Unixgram(path.to_owned()),
        receive_buffer: 0,
        readers: NonZeroUsize::MIN,
    }
}

fn trusting() -> Arc<Source> {
    let read_as = ReadAs { trust_container: true, ..ReadAs::default() };
    Source::new(Origin::Listener { listener: "test".into() }, read_as)
}

fn sender_to(path: &Path) -> UnixDatagram {
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(path).unwrap();
    sender
}

#[test]
fn a_unix_socket_takes_datagrams_of_everybody_and_is_removed_when_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let mut rig = Rig::new(1);
    let shared = source();
    rig.listeners.open(&at(&path, &shared)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    let sender = sender_to(&path);
    sender.send(b"").unwrap();
    sender.send(b"x:1|c").unwrap();
    rig.until_received(2);
    assert_eq!(rig.seen.bytes(), [&b""[..], b"x:1|c"]);
    assert!(rig.seen.packets.iter().all(|packet| packet.sender.is_none()));
    assert!(rig.close(&shared).is_some());
    assert!(!path.exists());
}

#[test]
fn a_datagram_beyond_the_limit_is_cut_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let mut rig = Rig::new(1);
    rig.listeners.open(&at(&path, &source())).unwrap();
    let sender = sender_to(&path);
    for len in [65_535, 65_536, 70_000] {
        sender.send(&vec![b'x'; len]).unwrap();
    }
    rig.until_received(3);
    let seen: Vec<_> =
        rig.seen.packets.iter().map(|packet| (packet.bytes.len(), packet.truncated)).collect();
    assert_eq!(seen, [(65_535, false), (65_535, true), (65_535, true)]);
}

#[test]
fn a_trusting_listener_learns_who_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (told, untold) = (dir.path().join("told.sock"), dir.path().join("untold.sock"));
    let mut rig = Rig::new(1);
    rig.listeners.open(&at(&told, &trusting())).unwrap();
    rig.listeners.open(&at(&untold, &source())).unwrap();
    // In turn, as both use the same room.
    for (i, path) in [&told, &untold, &told, &told].into_iter().enumerate() {
        sender_to(path).send(b"x").unwrap();
        rig.until_received(i + 1);
    }
    let me = Some(std::process::id());
    let senders: Vec<_> = rig.seen.packets.iter().map(|packet| packet.sender).collect();
    assert_eq!(senders, [me, None, me, me]);
}

#[test]
fn descriptors_that_a_sender_passes_along_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(1);
    // In turn, as both use the same room, and only one of them has any for control messages.
    for (i, of) in [trusting(), source(), trusting()].iter().enumerate() {
        let path = dir.path().join(i.to_string());
        rig.listeners.open(&at(&path, of)).unwrap();
        let (mut kept, passed) = UnixStream::pair().unwrap();
        let fds = [passed.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let sender = sender_to(&path);
        sendmsg(&sender, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        drop(passed);
        rig.until_received(i + 1);
        // The end of the stream: nobody holds the other end any more.
        kept.set_nonblocking(true).unwrap();
        assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    drop(UnixDatagram::bind(&path).unwrap());
    assert!(path.exists());
    let mut rig = Rig::new(1);
    rig.listeners.open(&at(&path, &source())).unwrap();
    sender_to(&path).send(b"x").unwrap();
    rig.until_received(1);
}

#[test]
fn a_socket_file_that_a_live_process_serves_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, stream) = (dir.path().join("weir.sock"), dir.path().join("stream.sock"));
    let _alive = UnixDatagram::bind(&path).unwrap();
    let _streaming = UnixListener::bind(&stream).unwrap();
    let rig = Rig::new(1);
    for path in [&path, &stream] {
        let error = rig.listeners.open(&at(path, &source())).unwrap_err();
        assert!(matches!(error, IngestError::InUse { .. }), "{error}");
        assert!(fs::metadata(path).unwrap().file_type().is_socket());
    }
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    fs::write(&path, "words").unwrap();
    let rig = Rig::new(1);
    let error = rig.listeners.open(&at(&path, &source())).unwrap_err();
    assert!(matches!(error, IngestError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "words");
}

#[test]
fn a_path_that_cannot_be_bound_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new(1);
    for path in [dir.path().join("no/such/dir"), dir.path().join("x".repeat(200))] {
        let error = rig.listeners.open(&at(&path, &source())).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_socket_of_a_successor_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let mut rig = Rig::new(1);
    let first = source();
    rig.listeners.open(&at(&path, &first)).unwrap();
    fs::remove_file(&path).unwrap();
    let _successor = UnixDatagram::bind(&path).unwrap();
    rig.close(&first).unwrap();
    assert!(path.exists());
}

#[test]
fn a_close_of_a_unix_socket_delivers_what_it_holds_and_refuses_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let mut rig = Rig::new(1);
    let shared = source();
    rig.listeners.open(&at(&path, &shared)).unwrap();
    let sender = sender_to(&path);
    for _ in 0..5 {
        sender.send(b"x").unwrap();
    }
    let closed = rig.close(&shared).unwrap();
    assert_eq!((closed.kernel_dropped, closed.unread), (0, 0));
    assert_eq!(rig.seen.packets.len(), 5);
    assert!(sender.send(b"x").is_err());
}
