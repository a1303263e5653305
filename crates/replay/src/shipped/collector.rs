use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::frame::Frames;
use super::{LOOK, Shared};

/// How many senders are read at once.
const MOST_SENDERS: usize = 32;

const PIECE: usize = 1 << 20;

/// A listener that can be left.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes what senders send, each in a thread of its own, until it is over.
pub(super) fn collect(listener: &TcpListener, to: &Arc<Shared>) {
    let senders = Arc::new(AtomicUsize::new(0));
    while !to.is_over() {
        match listener.accept() {
            Ok((stream, peer)) => {
                if senders.fetch_add(1, Ordering::Relaxed) >= MOST_SENDERS {
                    senders.fetch_sub(1, Ordering::Relaxed);
                    to.complain(format!("{peer}: refused, {MOST_SENDERS} senders are connected"));
                    continue;
                }
                let (to, senders) = (Arc::clone(to), Arc::clone(&senders));
                let started = thread::Builder::new().spawn(move || {
                    if let Err(problem) = read(stream, &to) {
                        to.complain(format!("{peer}: {problem}"));
                    }
                    senders.fetch_sub(1, Ordering::Relaxed);
                });
                drop(started);
            }
            // Nobody asks; or whoever asked has left.
            Err(_) => thread::park_timeout(LOOK),
        }
    }
}

fn read(mut stream: TcpStream, to: &Shared) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    stream.set_nonblocking(false).map_err(failed)?;
    stream.set_read_timeout(Some(LOOK)).map_err(failed)?;
    let (mut frames, mut piece) = (Frames::default(), vec![0; PIECE]);
    while !to.is_over() {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                frames.feed(&piece[..read]);
                to.take(&mut frames)?;
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
