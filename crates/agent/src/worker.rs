//! One worker: takes datagrams from its sockets, reads them, adds up what they say.
//!
//! It owns its sockets, the series of their sources and their account; whoever else wants
//! something of these sends a [`Request`], which is answered between two batches of datagrams.

mod account;
mod reader;
mod relays;
mod tenants;

mod complaints;
mod peers;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aggregate::{Interval, Shard, ShardConfig, TotalSeries};
use ingest::{DropReading, Receiver, Waker};
use metric::{SeriesKey, Source};
use ship::{Backlog, Behind, Inlet};
use tokio::sync::oneshot;
use tracing::error;

use crate::claims::Claims;
use crate::flush;
use crate::terms::Terms;
use crate::watchdog::Beat;

pub(crate) use account::{Accounts, SourceAccount, SourceNotes};
use complaints::Complaints;
pub(crate) use complaints::{Trouble, Troubles};
use reader::Reader;

/// What a worker is asked.
pub(crate) enum Request {
    /// To give its interval for an empty one.
    Swap { empty: Box<Interval>, full: mpsc::SyncSender<Swapped> },
    /// To count what was noticed about a source's series after they had left the worker, if it has
    /// that source and no other worker has counted it.
    Note(Arc<SourceNotes>),
    /// For a copy of its accounts.
    Accounts(oneshot::Sender<Accounts>),
    /// Sources may have other terms: something became known of containers, or the operator has
    /// others.
    Unsettle,
    /// To relay lines no more to the relays of these names, and from now on to these.
    Relay { without: Arc<[String]>, inlets: Vec<Inlet>, done: oneshot::Sender<()> },
    /// For keys of a source's series, from a place on, and where to go on.
    Keys {
        source: Arc<Source>,
        from: usize,
        keys: oneshot::Sender<(Vec<SeriesKey>, Option<usize>)>,
    },
    /// To read each of its sockets until it was empty once, and then no more.
    Drain { deadline: Instant, drained: oneshot::Sender<()> },
    /// To show that it passes its loop.
    Beat(Beat),
}

/// What a worker gives at a swap.
#[derive(Debug)]
pub(crate) struct Swapped {
    pub(crate) interval: Interval,
    /// Of its sockets, for whoever takes them up after this process.
    pub(crate) readings: Vec<DropReading>,
}

/// How a worker is reached.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    // Few ask, each waits for its answer before it asks again.
    requests: mpsc::Sender<Request>,
    waker: Waker,
}

impl Handle {
    /// Sends a request; it is dropped, and with it the way for the answer, if the worker ended.
    pub(crate) fn ask(&self, request: Request) {
        if self.requests.send(request).is_ok() {
            self.waker.wake();
        }
    }
}

/// All workers, each on a thread of its own.
pub(crate) struct Pool {
    workers: Vec<(Handle, JoinHandle<()>)>,
}

impl Pool {
    /// Starts a worker for each receiver, with its inlets of relays. Each says in `backlog` when it
    /// is behind; `ended` is where the last of a closed source goes.
    pub(crate) fn start(
        receivers: Vec<(Receiver, Vec<Inlet>)>,
        total_series: &TotalSeries,
        (claims, terms): (&Claims, &Terms),
        backlog: &Backlog,
        ended: &mpsc::Sender<flush::Message>,
    ) -> io::Result<Self> {
        let complaints = complaints::start()?;
        let mut workers = Vec::with_capacity(receivers.len());
        for (number, (receiver, inlets)) in receivers.into_iter().enumerate() {
            let (requests, inbox) = mpsc::channel();
            let handle = Handle { requests, waker: receiver.waker() };
            let complaints = Complaints::new(complaints.clone());
            let taken_in = (claims.clone(), terms.clone());
            let total_series = total_series.clone();
            let shard = ShardConfig { number, total_series, ..ShardConfig::default() };
            let mut reader = Reader::new(Shard::new(shard), taken_in, complaints, ended.clone());
            reader.relay(&[], inlets);
            let worker = Worker { receiver, reader, inbox, behind: backlog.worker() };
            let name = format!("worker-{number}");
            let thread = thread::Builder::new().name(name).spawn(|| worker.run())?;
            workers.push((handle, thread));
        }
        Ok(Self { workers })
    }

    /// How each of them is reached.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.workers.iter().map(|(handle, _)| handle.clone()).collect()
    }

    /// Has every socket read until it was empty once, and then no more.
    pub(crate) async fn drain(&self, deadline: Instant) {
        let ask = |(handle, _): &(Handle, JoinHandle<()>)| {
            let (drained, answer) = oneshot::channel();
            handle.ask(Request::Drain { deadline, drained });
            answer
        };
        let asked: Vec<_> = self.workers.iter().map(ask).collect();
        for answer in asked {
            // A worker that ended is drained.
            let _ = answer.await;
        }
    }

    /// Ends the threads, and waits for that until the deadline; their sockets are closed.
    pub(crate) async fn end(self, deadline: Instant) {
        let (handles, threads): (Vec<_>, Vec<_>) = self.workers.into_iter().unzip();
        drop(handles);
        // The last handles go with whoever else had some, and who is stuck keeps them.
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        let join = tokio::task::spawn_blocking(join);
        let _ = tokio::time::timeout_at(deadline.into(), join).await;
    }
}

struct Worker {
    receiver: Receiver,
    reader: Reader,
    inbox: mpsc::Receiver<Request>,
    behind: Behind,
}

impl Worker {
    fn run(mut self) {
        // It ends when nobody can ask it any more.
        while self.serve_requests() {
            // While there is something to tidy up, a turn does not wait; nor before it is known
            // that the worker has caught up.
            let is_busy = self.reader.tidy() || self.receiver.is_behind();
            let patience = is_busy.then_some(Duration::ZERO);
            if let Err(error) = self.receiver.turn(patience, &mut |event| self.reader.on(event)) {
                // Its own descriptors failed, which should be impossible; the ledger goes on.
                error!("a worker cannot wait for its sockets: {error}");
                let Ok(request) = self.inbox.recv() else { return };
                self.serve(request);
            }
            self.behind.set(self.receiver.is_behind());
        }
    }

    // Whether there may be more.
    fn serve_requests(&mut self) -> bool {
        loop {
            match self.inbox.try_recv() {
                Ok(request) => self.serve(request),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    // An answer that nobody waits for any more is no error.
    fn serve(&mut self, request: Request) {
        match request {
            Request::Swap { empty, full } => {
                self.count_kernel_drops();
                let readings = self.receiver.drop_readings();
                let _ = full.send(Swapped { interval: self.reader.swap(*empty), readings });
            }
            Request::Note(notes) => self.reader.note(&notes),
            Request::Unsettle => self.reader.unsettle(),
            Request::Relay { without, inlets, done } => {
                self.reader.relay(&without, inlets);
                let _ = done.send(());
            }
            Request::Keys { source, from, keys } => {
                let _ = keys.send(self.reader.keys(&source, from));
            }
            Request::Accounts(accounts) => {
                self.count_kernel_drops();
                let _ = accounts.send(self.reader.accounts());
            }
            Request::Drain { deadline, drained } => {
                self.receiver.drain_all(deadline, &mut |event| self.reader.on(event));
                self.behind.set(false);
                let _ = drained.send(());
                self.serve_only_requests();
            }
            Request::Beat(beat) => beat.pass(),
        }
    }

    fn count_kernel_drops(&mut self) {
        self.receiver.kernel_drops(|socket, _, dropped| {
            self.reader.count_kernel_drops(socket, dropped);
        });
    }

    // After the drain: what comes now is left in the sockets.
    fn serve_only_requests(&mut self) {
        while let Ok(request) = self.inbox.recv() {
            self.serve(request);
        }
    }
}
