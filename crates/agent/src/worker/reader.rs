use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use aggregate::{Interval, Measure, Recorded, Remember, Shard, Sought, SourceIndex};
use ingest::{Event, SocketKey};
use metric::{
    Dimensions, Note, Notes, Origin, Packet, ReadAs, Reason, Received, Sample, SeriesKey, Source,
    Tag,
};
use ship::Inlet;
use smallvec::SmallVec;
use statsd::{Measured, Skim};

use super::account::{Accounts, Ended, SourceAccount, SourceNotes};
use super::complaints::{Complaints, Trouble};
use super::peers::Peers;
use super::relays::Relays;
use super::tenants::Tenants;
use crate::claims::Claims;
use crate::ends::Now;
use crate::flush;
use crate::terms::{Judged, Terms};

/// What a worker does with what its sockets give: it reads lines and adds up samples.
pub(super) struct Reader {
    shard: Shard,
    // By their keys.
    sockets: Vec<Option<Socket>>,
    sources: HashMap<Arc<Source>, SourceIndex>,
    claims: Claims,
    peers: Peers,
    terms: Terms,
    tenants: Tenants,
    // Sources that clients named, with what they had received when they were last looked at.
    claimed: Vec<(Arc<Source>, u64, Instant)>,
    // Sources whose terms are to be looked up anew.
    unsettled: Vec<Arc<Source>>,
    complaints: Complaints,
    relays: Relays,
    ended: Ended,
    flush: mpsc::Sender<flush::Message>,
}

/// A source that a client named is closed when it has no series and was not named for so long.
const CLAIM_LIFE: Duration = Duration::from_mins(10);

/// So many sources' terms are looked up at once: some tens of microseconds.
const SETTLED_AT_ONCE: usize = 64;

/// So many keys are told at once: a few hundred microseconds, where each is a miss of the cache.
const KEYS_AT_ONCE: usize = 2048;

#[derive(Clone, Debug)]
struct Socket {
    source: Arc<Source>,
    index: SourceIndex,
    // The kernel's count that is in the account already.
    kernel_dropped: u64,
}

/// How the lines of a batch are read.
struct Batch<'a> {
    listener: &'a Source,
    read_as: ReadAs,
    // In unix seconds.
    now: i64,
    at: Instant,
}

/// Whose a line is, if it does not say so itself, and how it is read.
#[derive(Clone, Copy)]
struct Via<'a> {
    batch: &'a Batch<'a>,
    index: SourceIndex,
}

/// A line with what a look at it told, and the search for its series.
struct Line<'a> {
    text: &'a [u8],
    skim: Skim<'a>,
    via: Via<'a>,
    sought: Sought,
}

/// Lines that were looked at and not yet read.
struct Ahead<'a> {
    lines: SmallVec<[Line<'a>; AHEAD]>,
    /// With few series their memory is near, and each line is read at once.
    pays: bool,
}

/// So many lines wait for their series' memory together.
const AHEAD: usize = 32;

impl Reader {
    pub(super) fn new(
        shard: Shard,
        (claims, terms): (Claims, Terms),
        complaints: Complaints,
        flush: mpsc::Sender<flush::Message>,
    ) -> Self {
        Self {
            shard,
            sockets: Vec::new(),
            sources: HashMap::new(),
            claims,
            peers: Peers::default(),
            terms,
            tenants: Tenants::default(),
            claimed: Vec::new(),
            unsettled: Vec::new(),
            complaints,
            relays: Relays::default(),
            ended: Ended::default(),
            flush,
        }
    }

    /// From now on lines of which a sample is kept are put in there too, and no more into those of
    /// these outputs.
    pub(super) fn relay(&mut self, without: &[String], inlets: Vec<Inlet>) {
        self.relays.change(without, inlets);
    }

    pub(super) fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Opened { socket, source } => self.open(socket, source),
            Event::Packets { socket, packets } => self.read(socket, packets),
            Event::Closed { socket, source, port, kernel_dropped, unread, last } => {
                self.count_kernel_drops(socket, kernel_dropped);
                self.close(socket, source, port, unread, last);
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

    /// Forgets a little of what is to be forgotten, and looks up a few terms; whether there is more.
    pub(super) fn tidy(&mut self) -> bool {
        self.settle();
        self.shard.tidy() || !self.unsettled.is_empty()
    }

    /// Other terms may hold: those of all are looked up anew, little by little.
    pub(super) fn unsettle(&mut self) {
        self.unsettled = self.sources.keys().cloned().collect();
    }

    /// Keys of a source's series, in parts: see [`Shard::keys`].
    pub(super) fn keys(&self, source: &Source, from: usize) -> (Vec<SeriesKey>, Option<usize>) {
        match self.sources.get(source) {
            Some(index) => self.shard.keys(*index, from, KEYS_AT_ONCE),
            None => (Vec::new(), None),
        }
    }

    /// Exchanges the running interval.
    pub(super) fn swap(&mut self, empty: Interval) -> Interval {
        self.close_idle_claims(Instant::now());
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
            port: None,
        }));
        Accounts { sources, ended }
    }

    fn open(&mut self, socket: SocketKey, source: &Arc<Source>) {
        let index = self.index_of(source);
        if self.sockets.len() <= socket.index() {
            self.sockets.resize(socket.index() + 1, None);
        }
        self.sockets[socket.index()] =
            Some(Socket { source: source.clone(), index, kernel_dropped: 0 });
    }

    fn close(
        &mut self,
        socket: SocketKey,
        source: &Arc<Source>,
        port: Option<u16>,
        unread: u64,
        last: bool,
    ) {
        self.sockets[socket.index()] = None;
        let Some(index) = self.sources.get(source).copied() else { return };
        self.shard.counts_mut(index).closed_unread += unread;
        if last {
            self.close_source(source, index, port);
        }
    }

    fn close_source(&mut self, source: &Arc<Source>, index: SourceIndex, port: Option<u16>) {
        self.sources.remove(source);
        self.tenants.close(index);
        self.complaints.close(index);
        if let Some(part) = self.shard.close_source(index) {
            self.ended.add(source.clone(), port, &part.counts, Instant::now());
            // At the very end there is no flush thread any more, and nothing to tell it.
            let _ = self.flush.send(flush::Message::Ended(Box::new(part)));
        }
    }

    // Nobody tells that a container ended which only its clients spoke of.
    fn close_idle_claims(&mut self, now: Instant) {
        let mut claimed = std::mem::take(&mut self.claimed);
        claimed.retain_mut(|(source, received, since)| {
            let Some(index) = self.sources.get(source).copied() else { return false };
            let samples = self.shard.counts_mut(index).received.samples;
            if samples != *received || self.shard.series(index) > 0 {
                (*received, *since) = (samples, now);
            }
            let is_idle = now.saturating_duration_since(*since) >= CLAIM_LIFE;
            if is_idle {
                self.close_source(source, index, None);
                self.claims.closed(source);
            }
            !is_idle
        });
        self.claimed = claimed;
    }

    // Hot path: runs once per batch.
    fn read<'a>(&mut self, socket: SocketKey, packets: impl Iterator<Item = Packet<'a>>) {
        let Some(Some(Socket { source, index, .. })) = self.sockets.get(socket.index()).cloned()
        else {
            return;
        };
        let now = Now::read();
        let batch = Batch {
            listener: &source,
            read_as: source.read_as,
            now: now.wall_ms.div_euclid(1000),
            at: now.at,
        };
        let own = Via { batch: &batch, index };
        let pays = self.shard.outgrows_the_cache();
        let mut ahead = Ahead { lines: SmallVec::new(), pays };
        let mut received = Received::default();
        for packet in packets {
            let via = match packet.sender {
                Some(pid) if batch.read_as.trust_container => {
                    Via { index: self.of_process(own, pid, now.at), ..own }
                }
                Some(_) | None => own,
            };
            if !self.tenants.admits(via.index, packet.bytes.len(), now.at) {
                self.throttle(&packet, via);
                continue;
            }
            received.datagrams += 1;
            received.bytes += packet.bytes.len() as u64;
            if packet.truncated {
                let (whole, cut) = statsd::split_cut(packet.bytes);
                self.read_lines(whole, via, &mut ahead);
                let counts = self.shard.counts_mut(via.index);
                counts.truncated += 1;
                counts.reject(Reason::Truncated, 1);
                self.complain(via, via.index, Trouble::Rejected(Reason::Truncated), 1, cut);
            } else {
                self.read_lines(packet.bytes, via, &mut ahead);
            }
        }
        self.read_ahead(&mut ahead);
        self.shard.counts_mut(index).received += received;
        self.relays.end_batch();
    }

    // A datagram that is over its source's share of bytes: its samples are counted, no more.
    #[cold]
    fn throttle(&mut self, packet: &Packet<'_>, via: Via<'_>) {
        let (whole, cut) = if packet.truncated {
            statsd::split_cut(packet.bytes)
        } else {
            (packet.bytes, &[][..])
        };
        let count = |line| statsd::count(line, via.batch.read_as, via.batch.now);
        // The line that was cut would have been refused.
        let samples = statsd::lines(whole).map(count).sum::<u64>() + u64::from(packet.truncated);
        let throttled = Received { datagrams: 1, bytes: packet.bytes.len() as u64, samples };
        let counts = self.shard.counts_mut(via.index);
        counts.truncated += u64::from(packet.truncated);
        counts.received += throttled;
        counts.throttled += throttled;
        let example = if whole.is_empty() { cut } else { whole };
        self.complain(via, via.index, Trouble::Throttled, 1, example);
    }

    // Looks at the lines of a datagram; those ahead are read when they are many enough.
    fn read_lines<'a>(&mut self, bytes: &'a [u8], via: Via<'a>, ahead: &mut Ahead<'a>) {
        for (text, skim) in statsd::skims(bytes) {
            let Some(skim) = skim else {
                // What came before it is read before it.
                self.read_ahead(ahead);
                self.read_in_full(text, None, via);
                continue;
            };
            let sought = self.shard.seek(via.index, &skim.spelling);
            if !ahead.pays {
                self.read_line(text, &skim, &via, sought);
                continue;
            }
            ahead.lines.push(Line { text, skim, via, sought });
            if ahead.lines.len() == AHEAD {
                self.read_ahead(ahead);
            }
        }
    }

    // Hot path: runs once per group of lines.
    fn read_ahead(&mut self, ahead: &mut Ahead<'_>) {
        self.shard.fetch(&mut ahead.lines, |line| &mut line.sought);
        for line in &ahead.lines {
            self.read_line(line.text, &line.skim, &line.via, line.sought);
        }
        ahead.lines.clear();
    }

    // Hot path: runs once per line. Known bytes cost one look-up and one addition.
    #[inline]
    fn read_line(&mut self, line: &[u8], skim: &Skim<'_>, via: &Via<'_>, sought: Sought) {
        // A sample with a time of its own is no part of the running interval's series.
        let measured = skim.measure(via.batch.read_as, via.batch.now);
        let Some(measured) = measured.filter(|measured| measured.timestamp.is_none()) else {
            return self.read_in_full(line, None, *via);
        };
        if !self.add_known(line, skim, &measured, via.index, sought)
            && !self.drop_known(skim, via.index)
        {
            self.read_in_full(line, Some(skim), *via);
        }
    }

    // Whether the line's bytes were known.
    #[inline]
    fn add_known(
        &mut self,
        line: &[u8],
        skim: &Skim<'_>,
        measured: &Measured<'_>,
        via: SourceIndex,
        sought: Sought,
    ) -> bool {
        let known = self.shard.recall_sought(sought, via, &skim.spelling);
        let Some(known) = known else { return false };
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
        self.relays.put(&self.shard, known.source(), line);
        true
    }

    // Whether the line's bytes were known as those of a metric that is dropped.
    fn drop_known(&mut self, skim: &Skim<'_>, via: SourceIndex) -> bool {
        let Some(index) = self.tenants.whose_dropped(via, &skim.spelling) else {
            return false;
        };
        self.shard.counts_mut(index).reject(Reason::DroppedByRule, 1);
        true
    }

    #[cold]
    fn read_in_full(&mut self, line: &[u8], skim: Option<&Skim<'_>>, via: Via<'_>) {
        let reading = statsd::read(line, via.batch.read_as, via.batch.now);
        let index = match reading.container_id() {
            Some(id) if via.batch.read_as.trust_container => self.claimed(via, id),
            Some(_) | None => via.index,
        };
        let counts = self.shard.counts_mut(index);
        counts.received.samples += reading.received();
        for reject in reading.rejects() {
            counts.rejected.add(reject.reason, 1);
        }
        let is_other = reading.event().is_some() || reading.check().is_some();
        if is_other {
            counts.rejected.add(Reason::NotCarried, 1);
            self.complain(via, index, Trouble::Rejected(Reason::NotCarried), 1, line);
        }
        for reject in reading.rejects() {
            self.complain(via, index, Trouble::Rejected(reject.reason), 1, line);
        }
        let spelled = skim.filter(|_| reading.is_one_sample()).map(|skim| skim.spelling);
        let judged =
            reading.samples().next().map(|sample| self.tenants.rules(index).judge(&sample));
        let fewer = match &judged {
            None | Some(Judged::Unchanged) => None,
            Some(Judged::Fewer(tags)) => Some(&tags[..]),
            Some(Judged::Dropped) => {
                let values = reading.samples().map(|sample| sample.values.count() as u64).sum();
                self.shard.counts_mut(index).rejected.add(Reason::DroppedByRule, values);
                if let Some(spelling) = &spelled {
                    self.tenants.remember_dropped(via.index, spelling, index);
                }
                return;
            }
        };
        let samples = || reading.samples().map(|sample| with_tags(sample, fewer));
        let mut clash = Notes::NONE;
        if samples().next().is_some_and(has_identity_tag) {
            clash.insert(Note::TagClash);
        }
        let remember = spelled.map(|spelling| Remember {
            via: via.index,
            spelling,
            notes: reading.spelling_notes().union(clash),
        });
        let mut is_aggregated = false;
        let mut notes = reading.notes().union(clash);
        for sample in samples() {
            match self.shard.record(index, &sample, remember.as_ref()) {
                Recorded::Aggregated(of_it) => {
                    is_aggregated = true;
                    notes = notes.union(of_it);
                }
                Recorded::OverSeriesLimit => {
                    let count = sample.values.count() as u64;
                    self.complain(via, index, Trouble::OverSeriesLimit, count, line);
                }
            }
        }
        // A note tells of something that was kept.
        if is_aggregated || is_other {
            self.shard.counts_mut(index).note(notes);
        }
        if is_aggregated {
            self.relays.put(&self.shard, index, line);
        }
    }

    // Something of this source was lost that came this way.
    #[cold]
    fn complain(
        &mut self,
        via: Via<'_>,
        index: SourceIndex,
        trouble: Trouble,
        count: u64,
        bytes: &[u8],
    ) {
        let source = self.shard.source(index);
        self.complaints.about((index, source), (trouble, count), bytes, via.batch.at);
    }

    /// The source of a container that a line names; the line's own if none may be called so, or there
    /// are too many.
    fn claimed(&mut self, via: Via<'_>, container_id: &str) -> SourceIndex {
        match self.claims.source(via.batch.listener, container_id) {
            Some(source) => self.index_of(&source),
            None => via.index,
        }
    }

    /// The place of a source, which is opened if it is new.
    fn index_of(&mut self, source: &Arc<Source>) -> SourceIndex {
        if let Some(index) = self.sources.get(source) {
            return *index;
        }
        let grounds = self.terms.grounds(source);
        let terms = self.terms.of(source, &grounds);
        let index = self.shard.open_source(source.clone(), terms.limits);
        self.tell_ignored(index, source, &terms.ignored);
        self.tenants.open(index, grounds, terms);
        self.sources.insert(source.clone(), index);
        if let Origin::Claimed { .. } = source.origin {
            self.claims.opened(source);
            self.claimed.push((source.clone(), 0, Instant::now()));
        }
        index
    }

    // Looks up the terms of a few sources anew.
    fn settle(&mut self) {
        for _ in 0..SETTLED_AT_ONCE {
            let Some(source) = self.unsettled.pop() else { return };
            let Some(index) = self.sources.get(&source).copied() else { continue };
            let grounds = self.terms.grounds(&source);
            if self.tenants.is_settled(index, &grounds) {
                continue;
            }
            let terms = self.terms.of(&source, &grounds);
            self.shard.set_limits(index, terms.limits);
            if self.tenants.ignores_others(index, &terms) {
                self.tell_ignored(index, &source, &terms.ignored);
            }
            if self.tenants.change(index, grounds, terms) {
                self.shard.relearn(index);
            }
        }
    }

    fn tell_ignored(&mut self, index: SourceIndex, source: &Arc<Source>, ignored: &[String]) {
        if ignored.is_empty() {
            return;
        }
        self.terms.count_ignored(ignored.len());
        let (trouble, texts) = (Trouble::BadSetting, ignored.join("; "));
        let count = ignored.len() as u64;
        let of = (index, Some(source));
        self.complaints.about(of, (trouble, count), texts.as_bytes(), Instant::now());
    }

    /// The source of the container that a process runs in; the socket's if it runs in none.
    fn of_process(&mut self, via: Via<'_>, pid: u32, now: Instant) -> SourceIndex {
        match self.peers.container(pid, now) {
            Some(id) => self.claimed(via, &id),
            None => via.index,
        }
    }
}

// A sample with these tags in the place of its own.
fn with_tags<'a>(sample: Sample<'a>, tags: Option<&'a [Tag<'a>]>) -> Sample<'a> {
    Sample { tags: tags.unwrap_or(sample.tags), ..sample }
}

fn has_identity_tag(sample: Sample<'_>) -> bool {
    sample.tags.iter().any(|tag| Dimensions::is_identity(&tag.key))
}

#[cfg(test)]
mod tests;
