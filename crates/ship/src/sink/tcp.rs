use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ledger::Account;
use crate::ocf::{self, STREAM_MARKER};
use crate::queue::Queue;
use crate::retry::Backoff;
use crate::{Codec, Retry, Schema};

/// Streams blocks to a collector: the header once for each connection, then block after block.
///
/// A payload is acknowledged when it was written whole to the socket. One whose writing failed is
/// sent again, whole, on the next connection; what a dying peer had in its buffers is not known.
pub(crate) struct TcpSink {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) retry: Retry,
    pub(crate) queue: Arc<Queue>,
    pub(crate) account: Arc<Account>,
}

impl TcpSink {
    /// Sends until the queue is closed and empty. Connects at once, whether there is anything to
    /// send or not.
    pub(crate) async fn run(self) {
        let header = ocf::header(Schema::MetricList, Codec::Null, &STREAM_MARKER);
        let mut backoff = Backoff::new(self.retry);
        loop {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = self.queue.finished() => return,
            };
            let ended = match connected {
                Ok(stream) => self.stream(&stream, &header, &mut backoff).await,
                Err(error) => Err(error),
            };
            self.account.set_up(false);
            match ended {
                Ok(()) => return,
                Err(error) => {
                    self.account.retry(&format!("{}:{}: {error}", self.host, self.port));
                }
            }
            if !self.queue.pause(backoff.wait()).await {
                return;
            }
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = timeout(self.retry.timeout, connecting).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "no answer to the attempt to connect")
        })??;
        // A peer that vanished without a word is found within minutes, whether we write or not.
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, Duration::from_mins(1))?;
        sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(&stream, 4)?;
        sockopt::set_tcp_user_timeout(&stream, UNREAD_MOST.as_millis() as u32)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Returns when the queue is closed and empty, or with the reason why the connection is lost.
    async fn stream(
        &self,
        stream: &TcpStream,
        header: &[u8],
        backoff: &mut Backoff,
    ) -> io::Result<()> {
        write_all(stream, header).await?;
        self.account.set_up(true);
        backoff.succeeded();
        loop {
            let taken = tokio::select! {
                biased;
                lost = closed_by_peer(stream) => return Err(lost),
                taken = self.queue.take() => taken,
            };
            let Some(payload) = taken else { return Ok(()) };
            if let Err(error) = write_all(stream, &payload.bytes).await {
                self.queue.put_back(payload);
                return Err(error);
            }
            self.account.acknowledge(payload.points);
        }
    }
}

/// A connection on which the peer has taken nothing for so long is given up.
const UNREAD_MOST: Duration = Duration::from_mins(2);

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        tokio::select! {
            biased;
            lost = closed_by_peer(stream) => return Err(lost),
            writable = stream.writable() => writable?,
        }
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
