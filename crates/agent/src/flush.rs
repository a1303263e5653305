//! The flush thread: at each flush it takes the workers' intervals, merges them, joins who said
//! it, and offers the batches to the outputs.

mod messages;
mod waiting;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aggregate::{Interval, Part};
use api::Latest;
use enrich::{Contexts, Measured};
use metric::{Batch, Note, Quantiles, Source, Tally};
use ship::Outputs;
use tokio::sync::oneshot;
use tracing::warn;

use crate::ends::{End, Ends, Now};
use crate::handover::{self, StateFile};
use crate::watchdog::Beat;
use crate::worker::{self, Request, SourceNotes};
use messages::Messages;
use waiting::{Waiting, WaitingBatch};

/// What the flush thread is told.
pub(crate) enum Message {
    /// A source's last socket was closed; its share of the running interval leaves at once.
    Ended(Box<Part>),
    /// What is not to be added up, and goes with the next flush as it is: what was measured, and
    /// what comes by a stream. Whoever waits for it to be offered sees `done` go.
    Measured { all: Vec<Measured>, done: Option<mpsc::SyncSender<()>> },
    /// The configuration has changed.
    Settings(Settings),
    /// The sockets are drained: to flush a last time, and end.
    Stop,
    /// To show that it passes its loop.
    Beat(Beat),
}

/// What may change while the flush thread runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) interval: Duration,
    /// Points that may wait for their container's context.
    pub(crate) waiting_limit: usize,
    pub(crate) gauge_expiry: Duration,
    pub(crate) series_expiry: Duration,
    pub(crate) total_expiry: Duration,
}

/// What the flush thread works with.
pub(crate) struct Flush {
    pub(crate) workers: Vec<worker::Handle>,
    pub(crate) merge: aggregate::Flush,
    pub(crate) contexts: Contexts,
    pub(crate) outputs: Arc<Outputs>,
    /// What is read over HTTP, if anything is.
    pub(crate) latest: Option<Latest>,
    pub(crate) quantiles: Arc<Quantiles>,
    pub(crate) settings: Settings,
    /// Where the number of points is shown that wait.
    pub(crate) waiting_points: Arc<AtomicU64>,
    /// Who is told how far the flushes came.
    pub(crate) keeper: handover::Tell,
    /// Where goes what is to outlive the process.
    pub(crate) state: StateFile,
}

/// The running flush thread.
pub(crate) struct Thread {
    messages: mpsc::Sender<Message>,
    flushed: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

/// The flush thread after the last flush: it saves what is to outlive the process.
pub(crate) struct Saving(JoinHandle<()>);

impl Thread {
    /// Starts it; `messages` is where it hears of sources that ended.
    pub(crate) fn start(
        flush: Flush,
        sender: mpsc::Sender<Message>,
        messages: Receiver<Message>,
    ) -> io::Result<Self> {
        let now = Now::read();
        let (tell_flushed, flushed) = oneshot::channel();
        let running = Running {
            waiting: Waiting::new(flush.settings.waiting_limit, flush.waiting_points),
            way_out: WayOut {
                contexts: flush.contexts,
                outputs: flush.outputs,
                latest: flush.latest,
                quantiles: flush.quantiles,
                next_seq: 0,
                clashes: HashMap::new(),
            },
            workers: flush.workers,
            merge: flush.merge,
            started: now.at,
            ends: Ends::new(flush.settings.interval, now),
            patience: patience(flush.settings.interval),
            spare: Vec::new(),
            messages: Messages::new(messages),
            is_stopping: false,
            keeper: flush.keeper,
            state: flush.state,
            complete_ms: now.wall_ms,
        };
        let run = move || {
            ship::be_nicer();
            running.run(tell_flushed);
        };
        let thread = thread::Builder::new().name("flush".to_owned()).spawn(run)?;
        Ok(Self { messages: sender, flushed, thread })
    }

    /// Has everything flushed a last time, and waits for that until the deadline; tells whether it
    /// was done.
    pub(crate) async fn finish(self, deadline: Instant) -> (bool, Saving) {
        let _ = self.messages.send(Message::Stop);
        let flushed = tokio::time::timeout_at(deadline.into(), self.flushed).await;
        let is_done = matches!(flushed, Ok(Ok(())));
        if !is_done {
            warn!("the last flush is not done in time; what it did not offer is lost");
        }
        (is_done, Saving(self.thread))
    }
}

impl Saving {
    /// Waits until it is done, or the deadline.
    pub(crate) async fn wait(self, deadline: Instant) {
        let join = tokio::task::spawn_blocking(move || drop(self.0.join()));
        if tokio::time::timeout_at(deadline.into(), join).await.is_err() {
            warn!("gauges and running totals are not saved in time, and start anew");
        }
    }
}

struct Running {
    workers: Vec<worker::Handle>,
    merge: aggregate::Flush,
    started: Instant,
    ends: Ends,
    // How long one flush may wait for encoders.
    patience: Duration,
    waiting: Waiting,
    way_out: WayOut,
    // Intervals that were merged and emptied, for the next swap.
    spare: Vec<Interval>,
    messages: Messages,
    is_stopping: bool,
    keeper: handover::Tell,
    state: StateFile,
    // All that came before was offered to the outputs.
    complete_ms: i64,
}

impl Running {
    fn run(mut self, flushed: oneshot::Sender<()>) {
        while !self.is_stopping {
            match self.ends.wait(Now::read()) {
                None => self.flush(Ends::regular),
                Some(wait) => match self.messages.next(wait) {
                    Ok(message) => self.hear(message),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => self.is_stopping = true,
                },
            }
        }
        self.flush(Ends::last);
        self.release_waiting();
        self.way_out.outputs.end_flush();
        // Nobody waits if the grace period is over.
        let _ = flushed.send(());
        self.state.save(&self.merge, self.started.elapsed());
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Ended(part) => {
                self.end_source(*part, self.ends.of_one_source(Now::read()));
                self.way_out.outputs.end_flush();
            }
            Message::Measured { all, done } => {
                self.pass_on(all);
                drop(done);
            }
            Message::Settings(settings) => self.change(settings),
            Message::Stop => self.is_stopping = true,
            Message::Beat(beat) => beat.pass(),
        }
    }

    fn change(&mut self, settings: Settings) {
        let Settings { interval, waiting_limit, gauge_expiry, series_expiry, total_expiry } =
            settings;
        self.ends.set_interval(interval, Now::read());
        self.patience = patience(interval);
        self.waiting.set_limit(waiting_limit);
        self.merge.set_expiries(gauge_expiry, series_expiry, total_expiry);
        if let Some(latest) = &self.way_out.latest {
            latest.set_total_expiry(total_expiry);
        }
    }

    fn flush(&mut self, end: impl FnOnce(&mut Ends, Now) -> End) {
        let began_ms = Now::read().wall_ms;
        self.way_out.outputs.be_patient(self.patience);
        let intervals = self.swap();
        let end = self.tell(intervals, end);
        // What still waits is of this interval; what waited of the last one has gone.
        let complete_ms = began_ms.min(end.end_ms);
        let before_ms = std::mem::replace(&mut self.complete_ms, complete_ms);
        let complete_ms = if self.waiting.is_empty() { complete_ms } else { before_ms };
        self.keeper.flushed(complete_ms, &self.way_out.outputs);
    }

    // Merges what the workers gave, and tells it and the sources that have ended.
    fn tell(&mut self, intervals: Vec<Interval>, end: impl FnOnce(&mut Ends, Now) -> End) -> End {
        let now = Now::read();
        let end = end(&mut self.ends, now);
        // A source that ended before its worker was swapped ends here before the merge too, and its
        // share is of the interval that just ended. One that ended after that is heard after it.
        let of_ended = End { interval_ms: end.interval_ms, ..self.ends.of_one_source(now) };
        let mut ended_later = Vec::new();
        // Taken before any is heard: a stream sends its next when it is.
        for message in self.messages.all() {
            let Message::Ended(part) = message else {
                self.hear(message);
                continue;
            };
            if intervals.iter().any(|interval| part.is_later_than(interval)) {
                ended_later.push(part);
            } else {
                self.end_source(*part, of_ended);
            }
        }
        // What has waited since the last flush goes now, with what is known.
        self.release_waiting();
        let since_start = end.at.duration_since(self.started);
        let Self { merge, waiting, way_out, messages, .. } = self;
        let merged = merge.merge(intervals, since_start, &mut |source, datapoints| {
            let batch = WaitingBatch { source: source.clone(), end, datapoints };
            if let Some(batch) = waiting.take_in(batch, &way_out.contexts) {
                way_out.offer(batch, messages);
            }
        });
        self.spare = merged.intervals;
        self.way_out.outputs.end_flush();
        if let Some(latest) = &self.way_out.latest {
            latest.end_flush();
        }
        for (source, notes) in merged.notes {
            self.note(source, notes);
        }
        self.note_clashes();
        for part in ended_later {
            self.hear(Message::Ended(part));
        }
        end
    }

    // The workers' intervals, for empty ones. Each is asked before the first answer is awaited.
    fn swap(&mut self) -> Vec<Interval> {
        self.spare.resize_with(self.workers.len(), Interval::default);
        let ask = |(worker, empty): (&worker::Handle, Interval)| {
            let (full, answer) = mpsc::sync_channel(1);
            worker.ask(Request::Swap { empty: Box::new(empty), full });
            answer
        };
        let asked: Vec<_> = self.workers.iter().zip(self.spare.drain(..)).map(ask).collect();
        let mut intervals = Vec::with_capacity(asked.len());
        let mut readings = Vec::new();
        // A worker that ended has nothing any more.
        for swapped in asked.into_iter().filter_map(|answer| answer.recv().ok()) {
            intervals.push(swapped.interval);
            readings.extend(swapped.readings);
        }
        self.keeper.readings(readings);
        intervals
    }

    fn end_source(&mut self, part: Part, end: End) {
        let ended = self.merge.end(part, end.at.duration_since(self.started));
        for waited in self.waiting.of(&ended.source) {
            self.way_out.offer(waited, &mut self.messages);
        }
        let source = ended.source.clone();
        let last = WaitingBatch { source, end, datapoints: ended.datapoints };
        self.way_out.offer(last, &mut self.messages);
        if let Some(latest) = &self.way_out.latest {
            latest.source_ended(&ended.source);
        }
        self.note(ended.source, ended.notes);
        self.note_clashes();
    }

    // Past the aggregator: it has nothing to add up.
    fn pass_on(&mut self, all: Vec<Measured>) {
        let end = self.ends.moment(Now::read());
        for Measured { source, datapoints } in all {
            let batch = WaitingBatch { source, end, datapoints };
            if let Some(batch) = self.waiting.take_in(batch, &self.way_out.contexts) {
                self.way_out.offer(batch, &mut self.messages);
            }
        }
    }

    fn release_waiting(&mut self) {
        for waited in self.waiting.all() {
            self.way_out.offer(waited, &mut self.messages);
        }
        self.note_clashes();
    }

    fn note_clashes(&mut self) {
        for (source, notes) in std::mem::take(&mut self.way_out.clashes) {
            self.note(source, notes);
        }
    }

    // The worker that has the source's account counts them; which one that is it knows itself.
    fn note(&self, source: Arc<Source>, notes: Tally<Note>) {
        if notes.sum() > 0 {
            let notes = Arc::new(SourceNotes::new(source, notes));
            for worker in &self.workers {
                worker.ask(Request::Note(notes.clone()));
            }
        }
    }
}

/// How long one flush may wait for encoders: so that the next begins in time, and well within what a
/// watchdog bears without an answer.
fn patience(interval: Duration) -> Duration {
    Duration::from_secs(10).min(interval * 3 / 4)
}

/// The way of a batch to the outputs.
struct WayOut {
    contexts: Contexts,
    outputs: Arc<Outputs>,
    latest: Option<Latest>,
    quantiles: Arc<Quantiles>,
    next_seq: i64,
    // Tags that have the name of a label, by source, until they are counted.
    clashes: HashMap<Arc<Source>, Tally<Note>>,
}

impl WayOut {
    /// Joins who said it, numbers the points, and hands the batch out; pauses first, if workers are
    /// behind. The watchdog is answered: a flush that goes on is not stuck, however long it takes.
    fn offer(&mut self, batch: WaitingBatch, messages: &mut Messages) {
        messages.answer_watchdog();
        let WaitingBatch { source, end, datapoints } = batch;
        if datapoints.is_empty() {
            return;
        }
        self.outputs.backlog().give_way();
        let dimensions = self.contexts.dimensions(&source).dimensions;
        let clashes = datapoints.iter().filter(|it| dimensions.label_clashes(&it.key) > 0).count();
        if clashes > 0 {
            let of_source = self.clashes.entry(source.clone()).or_default();
            of_source.add(Note::TagClash, clashes as u64);
        }
        let batch = Batch {
            dimensions,
            source,
            end_ms: end.end_ms,
            interval_ms: end.interval_ms,
            first_seq: self.next_seq,
            quantiles: self.quantiles.clone(),
            datapoints,
        };
        self.next_seq += batch.len() as i64;
        let batch = Arc::new(batch);
        if let Some(latest) = &self.latest {
            latest.take_in(&batch);
        }
        self.outputs.offer(&batch);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aggregate::{FlushConfig, Limits, Shard, ShardConfig};
    use metric::{Datapoint, Kind, Origin, ReadAs, Sample, SeriesKey, Value, Values};
    use ship::OutputConfig;
    use ship::read::Reader;
    use tokio::runtime::Handle;

    use super::*;
    use crate::handover::Handover;

    fn source() -> Arc<Source> {
        Source::new(Origin::Listener { listener: "l".into() }, ReadAs::default())
    }

    /// To these outputs, from within a runtime.
    fn way_out(outputs: &[&str], queues: &Path) -> WayOut {
        let configs = outputs.iter().map(|url| OutputConfig::new(url.parse().unwrap())).collect();
        let outputs = Outputs::start(configs, queues, "0123456789abcdef", &Handle::current());
        WayOut {
            contexts: Contexts::new(enrich::Config::default()).unwrap().0,
            outputs: Arc::new(outputs.unwrap()),
            latest: None,
            quantiles: Arc::default(),
            next_seq: 0,
            clashes: HashMap::new(),
        }
    }

    #[tokio::test]
    async fn a_flush_answers_the_watchdog_with_each_batch_and_hears_the_rest_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut way_out = way_out(&[], dir.path());
        let end = Ends::new(Duration::from_secs(10), Now::read()).moment(Now::read());
        let gauge = || Datapoint {
            key: SeriesKey::new(Kind::Gauge, "g", &[]),
            timestamp: None,
            value: Value::Gauge(1.0),
        };
        let (tell, coming) = mpsc::channel();
        let mut messages = Messages::new(coming);
        let passed = Arc::new(AtomicUsize::new(0));
        tell.send(Message::Measured { all: vec![], done: None }).unwrap();
        for batches in 1..=3 {
            tell.send(Message::Beat(Beat::of(&passed))).unwrap();
            let batch = WaitingBatch { source: source(), end, datapoints: vec![gauge()] };
            way_out.offer(batch, &mut messages);
            assert_eq!(passed.load(Ordering::Relaxed), batches);
        }
        tell.send(Message::Stop).unwrap();
        let mut heard = || messages.next(Duration::ZERO);
        assert!(matches!(heard(), Ok(Message::Measured { .. })));
        assert!(matches!(heard(), Ok(Message::Stop)));
    }

    /// A flush thread without workers, whose interval began five seconds ago, and the end of its
    /// messages; it writes files there.
    fn running(points: &Path, queues: &Path) -> (Running, mpsc::Sender<Message>) {
        let (tell, messages) = mpsc::channel();
        let now = Now::read();
        let began = Now {
            wall_ms: now.wall_ms - INTERVAL.as_millis() as i64,
            at: now.at.checked_sub(INTERVAL).unwrap(),
        };
        let running = Running {
            workers: Vec::new(),
            merge: aggregate::Flush::new(FlushConfig::default()),
            started: began.at,
            ends: Ends::new(Duration::from_hours(1), began),
            patience: Duration::ZERO,
            waiting: Waiting::new(0, Arc::default()),
            way_out: way_out(&[&format!("file:{}", points.display())], queues),
            spare: Vec::new(),
            messages: Messages::new(messages),
            is_stopping: false,
            keeper: handover::Tell::default(),
            state: Handover::take_up(queues, now).state_file(),
            complete_ms: 0,
        };
        (running, tell)
    }

    const INTERVAL: Duration = Duration::from_secs(5);

    fn record(shard: &mut Shard, source: aggregate::SourceIndex, kind: Kind, value: f64) {
        let sample = Sample {
            name: "it",
            kind,
            values: Values::Numbers(&[value]),
            relative: false,
            rate: 1.0,
            tags: &[],
            timestamp: None,
            container_id: None,
        };
        shard.record(source, &sample, None);
    }

    /// The points that were written, in their order.
    fn written(running: &Running, points: &Path) -> Vec<serde_json::Value> {
        running.way_out.outputs.stop(Duration::from_mins(1));
        let file = fs::read_dir(points).unwrap().next().unwrap().unwrap().path();
        let mut reader = Reader::open(File::open(file).unwrap()).unwrap();
        let mut written = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            written.extend(block.map(|point| serde_json::from_str(&point.unwrap()).unwrap()));
        }
        written
    }

    #[tokio::test]
    async fn what_a_source_that_ended_right_before_a_flush_said_is_of_the_whole_interval() {
        let dir = tempfile::tempdir().unwrap();
        let points = dir.path().join("points");
        let (mut running, ended) = running(&points, dir.path());
        let mut shard = Shard::new(ShardConfig::default());
        let opened = shard.open_source(source(), Limits::default());
        record(&mut shard, opened, Kind::Counter, 3.0);
        let part = shard.close_source(opened).unwrap();
        ended.send(Message::Ended(Box::new(part))).unwrap();
        running.flush(Ends::last);
        let [point] = &written(&running, &points)[..] else { panic!("not one point") };
        assert_eq!(point["value"], 3.0);
        assert!(point["interval_ms"].as_i64().unwrap() >= INTERVAL.as_millis() as i64, "{point}");
    }

    #[tokio::test]
    async fn a_source_that_ended_after_its_worker_was_swapped_ends_behind_that_interval() {
        let dir = tempfile::tempdir().unwrap();
        let points = dir.path().join("points");
        let (mut running, ended) = running(&points, dir.path());
        let mut shard = Shard::new(ShardConfig::default());
        let opened = shard.open_source(source(), Limits::default());
        record(&mut shard, opened, Kind::Gauge, 1.0);
        let interval = shard.swap(Interval::default());
        record(&mut shard, opened, Kind::Gauge, 2.0);
        let part = shard.close_source(opened).unwrap();
        ended.send(Message::Ended(Box::new(part))).unwrap();
        running.tell(vec![interval], Ends::last);
        let written = written(&running, &points);
        let of = |key: &str| written.iter().map(|it| it[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("value"), [1.0, 2.0]);
        assert!(of("ts")[0].as_i64() < of("ts")[1].as_i64(), "{written:?}");
    }
}
