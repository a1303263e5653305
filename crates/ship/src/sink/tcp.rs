use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::lanes::{Lanes, Pace, Taken};
use crate::ledger::Account;
use crate::ocf::{self, STREAM_MARKER};
use crate::queue::Payload;
use crate::retry::Backoff;
use crate::sys::unacknowledged;
use crate::{Codec, Retry, Schema};

/// Streams blocks to a collector: the header once for each connection, then block after block.
///
/// A block is acknowledged when the peer's kernel has all of it. After a connection is lost, what
/// was not acknowledged when that was last read is sent again on the next one, and before it what
/// was acknowledged last, `resend` bytes: a peer that dies takes along what its program had not
/// read yet.
pub(crate) struct TcpSink {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) resend: u64,
    pub(crate) retry: Retry,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) account: Arc<Account>,
}

impl TcpSink {
    /// Sends until nothing more comes and nothing is left. Connects at once, whether there is
    /// anything to send or not.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new(self.retry);
        let mut pace = Pace::new();
        let mut again = VecDeque::new();
        loop {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = self.lanes.finished() => return,
            };
            let ended = match connected {
                Ok(stream) => {
                    let mut connection =
                        Connection::new(&stream, &self, std::mem::take(&mut again));
                    let ended = connection.carry(&mut pace, &mut backoff).await;
                    if ended.is_err() {
                        again = connection.lose();
                    }
                    ended
                }
                Err(error) => Err(error),
            };
            self.account.set_up(false);
            match ended {
                Ok(()) => return,
                Err(error) => {
                    self.lanes.fall_behind();
                    self.account.retry(&format!("{}:{}: {error}", self.host, self.port));
                }
            }
            if !self.lanes.pause(backoff.wait()).await {
                return;
            }
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let until = Instant::now() + self.retry.timeout;
        let looked_up = timeout_at(until, lookup_host((self.host.as_str(), self.port))).await;
        let addresses = looked_up.map_err(|_| late("no answer to the look-up of the name"))??;
        let stream = connect_to_one(&addresses.collect::<Vec<_>>(), until).await?;
        // A peer that vanished without a word is found within minutes, whether we write or not.
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, Duration::from_mins(1))?;
        sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(&stream, 4)?;
        sockopt::set_tcp_user_timeout(&stream, UNREAD_MOST.as_millis() as u32)?;
        // What is live waits for what is under way, but not for a full send buffer.
        SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_MOST)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Tries one address after the other, each for its share of the time that is left: one that says
/// nothing does not keep from the next.
async fn connect_to_one(addresses: &[SocketAddr], until: Instant) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = until.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = late("no answer to the attempt to connect"),
        }
    }
    Err(failed)
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// A connection on which the peer has taken nothing for so long is given up.
const UNREAD_MOST: Duration = Duration::from_mins(2);

/// The bytes that may wait in the send buffer beside those that are under way.
const UNSENT_MOST: u32 = 64 << 10;

/// How long a peer that closed its side has to acknowledge what it was sent before.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How soon after a block, and then how often at most, acknowledgements are looked for.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(200);

/// One connection and what is on it.
struct Connection<'a> {
    stream: &'a TcpStream,
    sink: &'a TcpSink,
    /// The blocks that are written whole, oldest first, back to `resend` bytes before what is
    /// acknowledged.
    sent: VecDeque<Sent>,
    /// What is written now, and how much of it is.
    writing: Option<(Block, usize)>,
    /// The bytes that the socket took.
    written: u64,
    /// Those of them that the peer's kernel has.
    acknowledged: u64,
    /// To be sent before anything else.
    again: VecDeque<Payload>,
    look_at: Instant,
    look_after: Duration,
}

struct Sent {
    block: Block,
    /// Where it ends in the stream.
    end: u64,
}

enum Block {
    Header(Payload),
    /// To be acknowledged.
    New(Taken),
    /// Acknowledged, on this connection or one before.
    Known(Payload),
}

impl Block {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Header(payload) | Self::Known(payload) => &payload.bytes,
            Self::New(taken) => &taken.payload.bytes,
        }
    }
}

impl<'a> Connection<'a> {
    fn new(stream: &'a TcpStream, sink: &'a TcpSink, again: VecDeque<Payload>) -> Self {
        let bytes = ocf::header(Schema::MetricList, Codec::Null, &STREAM_MARKER).into();
        Self {
            stream,
            sink,
            sent: VecDeque::new(),
            writing: Some((Block::Header(Payload { bytes, points: 0 }), 0)),
            written: 0,
            acknowledged: 0,
            again,
            look_at: Instant::now(),
            look_after: LOOK_FIRST,
        }
    }

    /// Returns when nothing is left, or with the reason why the connection is lost.
    async fn carry(&mut self, pace: &mut Pace, backoff: &mut Backoff) -> io::Result<()> {
        let lanes = &self.sink.lanes;
        let mut is_finished = false;
        loop {
            if self.writing.is_none()
                && let Some(payload) = self.again.pop_front()
            {
                self.sink.account.resend(payload.points);
                self.writing = Some((Block::Known(payload), 0));
            }
            let is_writing = self.writing.is_some();
            if is_finished && !is_writing && !self.awaits_acknowledgement() {
                return Ok(());
            }
            tokio::select! {
                biased;
                lost = closed_by_peer(self.stream) => {
                    self.hear_last_words().await;
                    return Err(lost);
                }
                writable = self.stream.writable(), if is_writing => {
                    writable?;
                    if self.write()? {
                        self.sink.account.set_up(true);
                        backoff.succeeded();
                    }
                }
                taken = lanes.take(pace), if !is_writing && !is_finished => match taken {
                    Some(taken) => self.writing = Some((Block::New(taken), 0)),
                    None => is_finished = true,
                },
                () = sleep_until(self.look_at), if self.awaits_acknowledgement() => self.look(),
            }
        }
    }

    /// Writes what the socket takes; whether that was the end of the header.
    fn write(&mut self) -> io::Result<bool> {
        let Some((block, already)) = &mut self.writing else { return Ok(false) };
        match self.stream.try_write(&block.bytes()[*already..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                *already += written;
                self.written += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if *already < block.bytes().len() {
            return Ok(false);
        }
        let Some((block, _)) = self.writing.take() else { return Ok(false) };
        let is_header = matches!(block, Block::Header(_));
        self.sent.push_back(Sent { block, end: self.written });
        self.look_after = LOOK_FIRST;
        self.look_at = Instant::now() + LOOK_FIRST;
        Ok(is_header)
    }

    fn awaits_acknowledgement(&self) -> bool {
        self.sent.back().is_some_and(|sent| sent.end > self.acknowledged)
    }

    /// Reads what the peer's kernel has, and settles it.
    fn look(&mut self) {
        let before = self.acknowledged;
        // Read, and then seen to be connected still: else the number would mean nothing.
        if let (Ok(left), Ok(_)) = (unacknowledged(self.stream), self.stream.peer_addr()) {
            self.acknowledged = before.max(self.written.saturating_sub(left));
        }
        let has_moved = self.acknowledged > before;
        self.look_after = if has_moved { LOOK_FIRST } else { (self.look_after * 2).min(LOOK_LAST) };
        self.look_at = Instant::now() + self.look_after;

        let lanes = &self.sink.lanes;
        for sent in self.sent.iter_mut().filter(|sent| sent.end <= self.acknowledged) {
            if let Block::New(taken) = &sent.block {
                lanes.acknowledge(taken);
                sent.block = Block::Known(taken.payload.clone());
            }
        }
        let kept_from = self.acknowledged.saturating_sub(self.sink.resend);
        while self.sent.front().is_some_and(|sent| sent.end <= kept_from) {
            self.sent.pop_front();
        }
    }

    /// What the peer was sent before it closed its side may still be on its way.
    async fn hear_last_words(&mut self) {
        let until = Instant::now() + LAST_WORDS;
        while self.awaits_acknowledgement() && self.stream.peer_addr().is_ok() {
            self.look();
            if timeout_at(until, sleep_until(self.look_at)).await.is_err() {
                return;
            }
        }
    }

    /// Puts back what was not acknowledged; returns what is to be sent again though it was.
    fn lose(self) -> VecDeque<Payload> {
        let mut again = VecDeque::new();
        let writing = self.writing.map(|(block, _)| block);
        for block in self.sent.into_iter().map(|sent| sent.block).chain(writing) {
            match block {
                Block::Header(_) => {}
                Block::Known(payload) => again.push_back(payload),
                Block::New(taken) => self.sink.lanes.put_back(taken),
            }
        }
        again.extend(self.again);
        again
    }
}

/// Waits until the peer has closed the connection. It never has anything to say; if it does, that
/// is read and forgotten, so that its end is seen.
async fn closed_by_peer(stream: &TcpStream) -> io::Error {
    let mut heard = [0; 1024];
    loop {
        if let Err(error) = stream.readable().await {
            return error;
        }
        match stream.try_read(&mut heard) {
            Ok(0) => return io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the peer"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests;
