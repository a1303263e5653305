use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use aggregate::{Interval, Limits, Measure, Recorded, Remember, Shard, SourceIndex};
use ingest::{Event, SocketKey};
use metric::{Dimensions, Note, Notes, Packet, ReadAs, Reason, Sample, Source};
use statsd::{Measured, Skim};

use super::account::{Accounts, Ended, SourceAccount, SourceNotes};
use super::peers::Peers;
use crate::claims::Claims;
use crate::ends::Now;
use crate::flush;

/// What a worker does with what its sockets give: it reads lines and adds up samples.
pub(super) struct Reader {
    shard: Shard,
    // By their keys.
    sockets: Vec<Option<Socket>>,
    sources: HashMap<Arc<Source>, SourceIndex>,
    claims: Claims,
    peers: Peers,
    ended: Ended,
    flush: mpsc::Sender<flush::Message>,
}

#[derive(Clone, Debug)]
struct Socket {
    source: Arc<Source>,
    index: SourceIndex,
    // The kernel's count that is in the account already.
    kernel_dropped: u64,
}

/// Whose a line is, if it does not say so itself, and how it is read.
#[derive(Clone, Copy)]
struct Via<'a> {
    listener: &'a Source,
    index: SourceIndex,
    read_as: ReadAs,
    // In unix seconds.
    now: i64,
}

impl Reader {
    pub(super) fn new(shard: Shard, claims: Claims, flush: mpsc::Sender<flush::Message>) -> Self {
        Self {
            shard,
            sockets: Vec::new(),
            sources: HashMap::new(),
            claims,
            peers: Peers::default(),
            ended: Ended::default(),
            flush,
        }
    }

    pub(super) fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Opened { socket, source } => self.open(socket, source),
            Event::Packets { socket, packets } => self.read(socket, packets),
            Event::Closed { socket, source, kernel_dropped, unread, last } => {
                self.count_kernel_drops(socket, kernel_dropped);
                self.close(socket, source, unread, last);
            }
        }
    }

    /// Takes the kernel's count of a socket, since it was opened, into the account.
    pub(super) fn count_kernel_drops(&mut self, socket: SocketKey, total: u64) {
        if let Some(Some(socket)) = self.sockets.get_mut(socket.index()) {
            let more = total - socket.kernel_dropped;
            socket.kernel_dropped = total;
            self.shard.counts_mut(socket.index).kernel_dropped += more;
        }
    }

    /// Forgets a little of what is to be forgotten; whether there is more.
    pub(super) fn tidy(&mut self) -> bool {
        self.shard.tidy()
    }

    /// Exchanges the running interval.
    pub(super) fn swap(&mut self, empty: Interval) -> Interval {
        self.shard.swap(empty)
    }

    /// Counts what the flush side noticed about a source, if it is one of this worker.
    pub(super) fn note(&mut self, notes: &SourceNotes) {
        match self.sources.get(&notes.source) {
            Some(index) => notes.count_once(self.shard.counts_mut(*index)),
            None => {
                if let Some(counts) = self.ended.find(&notes.source) {
                    notes.count_once(counts);
                }
            }
        }
    }

    /// A copy of the accounts.
    pub(super) fn accounts(&mut self) -> Accounts {
        let (mut sources, ended) = self.ended.accounts(Instant::now());
        sources.extend(self.shard.accounts().map(|(source, counts, series)| SourceAccount {
            source: source.clone(),
            counts: *counts,
            series,
            ended: false,
        }));
        Accounts { sources, ended }
    }

    fn open(&mut self, socket: SocketKey, source: &Arc<Source>) {
        let index = index_of(&mut self.sources, &mut self.shard, source);
        if self.sockets.len() <= socket.index() {
            self.sockets.resize(socket.index() + 1, None);
        }
        self.sockets[socket.index()] =
            Some(Socket { source: source.clone(), index, kernel_dropped: 0 });
    }

    fn close(&mut self, socket: SocketKey, source: &Arc<Source>, unread: u64, last: bool) {
        self.sockets[socket.index()] = None;
        let Some(index) = self.sources.get(source).copied() else { return };
        self.shard.counts_mut(index).closed_unread += unread;
        if last {
            self.sources.remove(source);
            if let Some(part) = self.shard.close_source(index) {
                self.ended.add(source.clone(), &part.counts, Instant::now());
                // At the very end there is no flush thread any more, and nothing to tell it.
                let _ = self.flush.send(flush::Message::Ended(Box::new(part)));
            }
        }
    }

    // Hot path: runs once per batch.
    fn read<'a>(&mut self, socket: SocketKey, packets: impl Iterator<Item = Packet<'a>>) {
        let Some(Some(Socket { source, index, .. })) = self.sockets.get(socket.index()).cloned()
        else {
            return;
        };
        let now = Now::read();
        let own = Via {
            listener: &source,
            index,
            read_as: source.read_as,
            now: now.wall_ms.div_euclid(1000),
        };
        let mut received = metric::Received::default();
        for packet in packets {
            received.datagrams += 1;
            received.bytes += packet.bytes.len() as u64;
            let via = match packet.sender {
                Some(pid) if own.read_as.trust_container => {
                    Via { index: self.of_process(own, pid, now.at), ..own }
                }
                Some(_) | None => own,
            };
            if packet.truncated {
                let (whole, _cut) = statsd::split_cut(packet.bytes);
                self.read_lines(whole, via);
                let counts = self.shard.counts_mut(via.index);
                counts.truncated += 1;
                counts.reject(Reason::Truncated, 1);
            } else {
                self.read_lines(packet.bytes, via);
            }
        }
        self.shard.counts_mut(index).received += received;
    }

    fn read_lines(&mut self, bytes: &[u8], via: Via<'_>) {
        for line in statsd::lines(bytes) {
            self.read_line(line, via);
        }
    }

    // Hot path: runs once per line. Known bytes cost one look-up and one addition.
    fn read_line(&mut self, line: &[u8], via: Via<'_>) {
        let skim = statsd::skim(line);
        let measured = skim.as_ref().and_then(|skim| skim.measure(via.read_as, via.now));
        // A sample with a time of its own is no part of the running interval's series.
        let plain = measured.filter(|measured| measured.timestamp.is_none());
        match (skim, plain) {
            (Some(skim), Some(measured)) => {
                if !self.add_known(&skim, &measured, via) {
                    self.read_in_full(line, Some(&skim), via);
                }
            }
            (None | Some(_), _) => self.read_in_full(line, None, via),
        }
    }

    // Whether the line's bytes were known.
    fn add_known(&mut self, skim: &Skim<'_>, measured: &Measured<'_>, via: Via<'_>) -> bool {
        let Some(known) = self.shard.recall(via.index, &skim.spelling) else { return false };
        let measure = match measured.value {
            statsd::Measure::Number(value) => {
                Measure::Number { value, rate: measured.rate, relative: measured.relative }
            }
            statsd::Measure::Member(member) => Measure::Member(member),
        };
        let notes = self.shard.add(known, measure);
        let counts = self.shard.counts_mut(known.source());
        counts.received.samples += 1;
        counts.note(known.notes().union(measured.notes).union(notes));
        true
    }

    #[cold]
    fn read_in_full(&mut self, line: &[u8], skim: Option<&Skim<'_>>, via: Via<'_>) {
        let reading = statsd::read(line, via.read_as, via.now);
        let index = match reading.container_id() {
            Some(id) if via.read_as.trust_container => self.claimed(via, id),
            Some(_) | None => via.index,
        };
        let counts = self.shard.counts_mut(index);
        counts.received.samples += reading.received();
        for reject in reading.rejects() {
            counts.rejected.add(reject.reason, 1);
        }
        if reading.event().is_some() || reading.check().is_some() {
            counts.rejected.add(Reason::NotCarried, 1);
        }
        let mut clash = Notes::NONE;
        if reading.samples().next().is_some_and(has_identity_tag) {
            clash.insert(Note::TagClash);
        }
        let remember = skim.filter(|_| reading.is_one_sample()).map(|skim| Remember {
            via: via.index,
            spelling: skim.spelling,
            notes: reading.spelling_notes().union(clash),
        });
        let mut kept = reading.event().is_some() || reading.check().is_some();
        let mut notes = reading.notes().union(clash);
        for sample in reading.samples() {
            match self.shard.record(index, &sample, remember.as_ref()) {
                Recorded::Aggregated(of_it) => {
                    kept = true;
                    notes = notes.union(of_it);
                }
                Recorded::OverSeriesLimit => {}
            }
        }
        // A note tells of something that was kept.
        if kept {
            self.shard.counts_mut(index).note(notes);
        }
    }

    /// The source of a container that a line names; the line's own if there are too many.
    fn claimed(&mut self, via: Via<'_>, container_id: &str) -> SourceIndex {
        match self.claims.source(via.listener, container_id) {
            Some(source) => index_of(&mut self.sources, &mut self.shard, &source),
            None => via.index,
        }
    }

    /// The source of the container that a process runs in; the socket's if it runs in none.
    fn of_process(&mut self, via: Via<'_>, pid: u32, now: Instant) -> SourceIndex {
        match self.peers.container(pid, now) {
            Some(id) => self.claimed(via, &id),
            None => via.index,
        }
    }
}

fn index_of(
    sources: &mut HashMap<Arc<Source>, SourceIndex>,
    shard: &mut Shard,
    source: &Arc<Source>,
) -> SourceIndex {
    // No limit of its own but the shard's: what an honest service needs is not known yet.
    *sources
        .entry(source.clone())
        .or_insert_with(|| shard.open_source(source.clone(), Limits::NONE))
}

fn has_identity_tag(sample: Sample<'_>) -> bool {
    sample.tags.iter().any(|tag| Dimensions::is_identity(&tag.key))
}
