//! The hot side: one worker's sockets.

mod poll;
mod rest;

mod closing;
mod sockets;

mod seldom;

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use metric::Source;
use tracing::warn;

use crate::drops::Table;
use crate::listeners::Command;
use crate::sys::{BATCH, Batch};
use crate::{DropReading, Event, SocketKey, Waker};
use closing::Closing;
use poll::Poll;
use rest::Rest;
use seldom::Seldom;
use sockets::Sockets;

/// How many batches one socket may fill in a turn, so that a flood at it starves neither the
/// others nor whoever wants the worker's attention.
const BATCHES: usize = 8;

/// And for how long it is read in a turn, about: what is in a datagram may be much work.
const TURN: Duration = Duration::from_millis(2);

/// For how long a socket is left alone that the kernel refuses to read or to watch.
const PAUSE: Duration = Duration::from_millis(10);

/// One worker's side: the sockets that were given to it, and the thread that reads them.
///
/// Dropping it closes its sockets; what they hold is lost unless [`Receiver::drain_all`] came
/// first.
#[derive(Debug)]
pub struct Receiver {
    commands: mpsc::Receiver<Command>,
    poll: Poll,
    rest: Rest,
    sockets: Sockets,
    batch: Batch,
    closings: Vec<Closing>,
    paused: Vec<(SocketKey, Instant)>,
    // The last turn left something, as far as it saw.
    behind: bool,
    errors: u64,
    complaints: Seldom,
}

/// What came of reading a socket.
#[derive(Clone, Copy, Debug, Default)]
struct Served {
    received: usize,
    /// A batch was full: there may be much to do.
    full: bool,
    /// Nothing was left in it.
    emptied: bool,
}

impl Receiver {
    pub(crate) fn new(commands: mpsc::Receiver<Command>, max_rest: Duration) -> io::Result<Self> {
        Ok(Self {
            commands,
            poll: Poll::new()?,
            rest: Rest::new(max_rest),
            sockets: Sockets::default(),
            batch: Batch::new(),
            closings: Vec::new(),
            paused: Vec::new(),
            behind: false,
            errors: 0,
            complaints: Seldom::default(),
        })
    }

    /// Ends a wait of this worker from another thread.
    pub fn waker(&self) -> Waker {
        self.poll.waker().clone()
    }

    /// Waits for something to do, at most so long (`None`: for ever), does a bounded part of it
    /// and returns. It may return without an event: after a wake-up, and while the worker rests.
    ///
    /// An error is one of the worker's own descriptors and not of a socket, and will not pass.
    pub fn turn(
        &mut self,
        timeout: Option<Duration>,
        on: &mut impl FnMut(Event<'_>),
    ) -> io::Result<()> {
        self.behind = false;
        self.poll.wait(self.rest.until(), self.patience(timeout))?;
        let began = Instant::now();
        self.take_commands(on);
        self.go_on_closing(on);
        self.resume_paused(began);
        let (mut received, mut emptied) = (0, !self.poll.may_be_more());
        for i in 0..self.poll.ready().len() {
            let key = self.poll.ready()[i];
            let Some(socket) = self.sockets.get(key) else {
                continue;
            };
            let urgent = socket.urgent;
            let served = self.serve(key, on);
            if !urgent {
                received += served.received;
                emptied &= served.emptied;
            }
        }
        self.behind = received > 0 && !emptied;
        if received > 0 {
            // Counted from the beginning: the first socket has been filling up since then.
            self.rest.begin(began, emptied, self.sockets.smallest_buffer());
        }
        Ok(())
    }

    /// Whether a whole turn was not enough: the last one did not see every UDP socket empty that it
    /// read, or did not come to all that may have something.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// How long a wait may be.
    fn patience(&self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.closings.is_empty() {
            return Some(Duration::ZERO);
        }
        if self.paused.is_empty() {
            return timeout;
        }
        Some(timeout.map_or(PAUSE, |timeout| timeout.min(PAUSE)))
    }

    /// Tells of each socket how many datagrams the kernel has dropped at it since it was made;
    /// never less than before. A unix socket drops none: its senders wait, or get an error.
    pub fn kernel_drops(&mut self, mut on: impl FnMut(SocketKey, &Arc<Source>, u64)) {
        let table = Table::default();
        for (key, socket) in self.sockets.iter_mut() {
            let dropped = socket.kernel_dropped(&table);
            on(key, &socket.source, dropped);
        }
    }

    /// What is to be known of the sockets by whoever takes them up after this process: the counts
    /// of [`Receiver::kernel_drops`], as it read them last, of those that have any.
    pub fn drop_readings(&self) -> Vec<DropReading> {
        self.sockets.iter().filter_map(|(_, socket)| socket.drop_reading()).collect()
    }

    /// How often the kernel refused to read or to watch a socket. Such a socket is tried again.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Reads each socket until it was seen empty once, or has given as much as it holds, or the
    /// deadline is over: whether they all were seen empty. They stay open. Sockets that are being
    /// closed are finished.
    pub fn drain_all(&mut self, deadline: Instant, on: &mut impl FnMut(Event<'_>)) -> bool {
        self.take_commands(on);
        while !self.closings.is_empty() {
            self.go_on_closing(on);
        }
        let mut left: Vec<(SocketKey, usize)> =
            self.sockets.iter_mut().map(|(key, socket)| (key, socket.holds())).collect();
        let mut all_empty = true;
        while !left.is_empty() {
            if Instant::now() >= deadline {
                return false;
            }
            left.retain_mut(|(key, left)| {
                let served = self.serve(*key, on);
                *left = left.saturating_sub(served.received);
                let go_on = !served.emptied && served.full && *left > 0;
                all_empty &= served.emptied || go_on;
                go_on
            });
        }
        all_empty
    }

    fn take_commands(&mut self, on: &mut impl FnMut(Event<'_>)) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Open(socket) => {
                    let source = socket.source.clone();
                    let key = self.sockets.insert(*socket);
                    on(Event::Opened { socket: key, source: &source });
                    self.watch(key);
                }
                Command::Close { source, done } => {
                    let keys = self.sockets.of(&source);
                    for key in &keys {
                        if let Some(socket) = self.sockets.get_mut(*key) {
                            self.poll.unwatch(socket);
                            socket.cut_off();
                        }
                    }
                    self.paused.retain(|(key, _)| !keys.contains(key));
                    self.closings.push(Closing::new(keys, done));
                }
            }
        }
    }

    fn go_on_closing(&mut self, on: &mut impl FnMut(Event<'_>)) {
        let mut closings = std::mem::take(&mut self.closings);
        closings.retain_mut(|closing| !self.step(closing, on));
        self.closings = closings;
    }

    /// Reads on at the sockets that are being closed: whether all of them are closed.
    fn step(&mut self, closing: &mut Closing, on: &mut impl FnMut(Event<'_>)) -> bool {
        while let Some(key) = closing.current() {
            let served = self.serve(key, on);
            if !served.emptied && !closing.is_late() {
                return false;
            }
            let Some(mut socket) = self.sockets.remove(key) else {
                continue;
            };
            let (kernel_dropped, unread) =
                (socket.kernel_dropped(&Table::default()), socket.discard(&mut self.batch));
            let last = closing.close(kernel_dropped, unread);
            let (source, port) = (Arc::clone(&socket.source), socket.port());
            socket.close();
            let source = &source;
            on(Event::Closed { socket: key, source, port, kernel_dropped, unread, last });
        }
        closing.finish();
        true
    }

    // Hot path: runs for each socket that has something.
    fn serve(&mut self, key: SocketKey, on: &mut impl FnMut(Event<'_>)) -> Served {
        let mut served = Served::default();
        let Some(socket) = self.sockets.get(key) else {
            return served;
        };
        let (began, mut most) = (Instant::now(), socket.batch.get());
        let mut batch_began = began;
        for _ in 0..BATCHES {
            match socket.receive(&mut self.batch, most) {
                Ok(received) => {
                    if received > 0 {
                        on(Event::Packets { socket: key, packets: self.batch.packets() });
                    }
                    served.received += received;
                    // A short batch means that the queue is empty: to ask again would only burn
                    // the core.
                    if received < most {
                        served.emptied = true;
                        return served;
                    }
                    served.full = true;
                    let now = Instant::now();
                    most = next_batch(received, now.duration_since(batch_began));
                    socket.batch.set(most);
                    batch_began = now;
                    if now.duration_since(began) >= TURN {
                        return served;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    served.emptied = true;
                    return served;
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::Interrupted {
                        self.pause(key, &error);
                    }
                    return served;
                }
            }
        }
        served
    }

    fn watch(&mut self, key: SocketKey) {
        let Some(socket) = self.sockets.get(key) else {
            return;
        };
        if let Err(error) = self.poll.watch(key, socket) {
            self.pause(key, &error);
        }
    }

    /// Leaves a socket alone for a moment, or its error would come back at once, and again.
    #[cold]
    fn pause(&mut self, key: SocketKey, error: &io::Error) {
        self.errors += 1;
        let Some(socket) = self.sockets.get(key) else {
            return;
        };
        if let Some(hidden) = self.complaints.may_speak(Instant::now()) {
            let origin = &socket.source.origin;
            warn!(%error, ?origin, hidden, "a socket cannot be read; it is tried again");
        }
        self.poll.unwatch(socket);
        if !socket.is_cut_off() {
            self.paused.retain(|(paused, _)| *paused != key);
            self.paused.push((key, Instant::now() + PAUSE));
        }
    }

    fn resume_paused(&mut self, now: Instant) {
        while let Some(at) = self.paused.iter().position(|(_, until)| *until <= now) {
            let (key, _) = self.paused.swap_remove(at);
            self.watch(key);
        }
    }
}

/// How many datagrams are asked for after a batch of `full` ones that took so long: no more than fit
/// into a turn if they go on being as much work as that.
fn next_batch(full: usize, took: Duration) -> usize {
    let fit = full as u128 * TURN.as_nanos() / took.as_nanos().max(1);
    // Not at once as many as usual: the next ones may be much work again.
    (fit.min(BATCH as u128) as usize).clamp(1, 2 * full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_that_are_much_work_are_taken_a_few_at_a_time_and_others_soon_as_many_as_usual() {
        let micros = Duration::from_micros;
        assert_eq!(next_batch(64, micros(90)), 64);
        assert_eq!(next_batch(64, micros(32_000)), 4);
        assert_eq!(next_batch(4, micros(2_000)), 4);
        assert_eq!(next_batch(4, micros(20_000)), 1);
        assert_eq!(next_batch(1, micros(20_000)), 1);
        assert_eq!(next_batch(4, micros(2)), 8);
        assert_eq!(next_batch(32, micros(0)), 64);
        assert_eq!(next_batch(64, micros(0)), 64);
    }
}
