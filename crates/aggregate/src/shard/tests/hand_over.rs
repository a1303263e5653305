//! The orders in which workers and the flush thread can meet, run through by loom: what they
//! exchange is what the agent's exchange, the shards and the flush side are the real ones.
//!
//! A place is used again only when the flush side hears first that it is free. Else it takes one
//! series for another, in an order of things that is rare enough to be never met by chance; so one
//! test leaves the waiting out and sees to it that these models meet it.

use std::collections::{BTreeMap, VecDeque};

use loom::model::Builder;
use loom::sync::{Arc as Shared, Condvar, Mutex};
use loom::thread;

use super::*;
use crate::Part;
use crate::pile::Pile;

/// What a worker does by itself. Sources are told apart by letters.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open(char),
    /// Counts in the series of this name, each time another number.
    Count(char, &'static str),
    Close(char),
}

use Step::{Close, Count, Open};

/// When a place that was given up is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// When the shard sees fit.
    Confirmed,
    /// As soon as it is given up.
    AtOnce,
}

enum Request {
    Swap(Box<Interval>),
    End,
}

/// What the flush thread is told unasked.
enum Message {
    Ended(Box<Part>),
    /// A worker has taken its last step.
    Done,
}

/// A channel between two threads. To loom's own, looking whether something came is nothing that
/// another thread could come before or after.
struct Channel<T> {
    waiting: Mutex<VecDeque<T>>,
    came: Condvar,
}

impl<T> Channel<T> {
    fn new() -> Shared<Self> {
        Shared::new(Self { waiting: Mutex::new(VecDeque::new()), came: Condvar::new() })
    }

    fn send(&self, item: T) {
        self.waiting.lock().unwrap().push_back(item);
        self.came.notify_one();
    }

    fn try_receive(&self) -> Option<T> {
        self.waiting.lock().unwrap().pop_front()
    }

    fn receive(&self) -> T {
        let mut waiting = self.waiting.lock().unwrap();
        loop {
            if let Some(item) = waiting.pop_front() {
                return item;
            }
            waiting = self.came.wait(waiting).unwrap();
        }
    }
}

/// How a worker is reached, and answers.
#[derive(Clone)]
struct Handle {
    requests: Shared<Channel<Request>>,
    swapped: Shared<Channel<Interval>>,
}

struct Worker {
    number: usize,
    shard: Shard,
    sources: BTreeMap<char, Arc<Source>>,
    open: BTreeMap<char, SourceIndex>,
    reuse: Reuse,
    handle: Handle,
    messages: Shared<Channel<Message>>,
}

impl Worker {
    /// Takes its steps, and serves requests between them; then only those.
    fn run(mut self, steps: &[Step]) {
        for (nth, step) in steps.iter().enumerate() {
            while let Some(request) = self.handle.requests.try_receive() {
                self.serve(request);
            }
            self.take(nth, *step);
            self.tidy();
        }
        self.messages.send(Message::Done);
        while self.serve(self.handle.requests.receive()) {
            self.tidy();
        }
    }

    fn take(&mut self, nth: usize, step: Step) {
        match step {
            Open(letter) => {
                let source = Arc::clone(&self.sources[&letter]);
                self.open.insert(letter, self.shard.open_source(source, Limits::default()));
            }
            Count(letter, name) => {
                let value = [value_of(self.number, nth)];
                let sample = sample(name, Kind::Counter, Values::Numbers(&value));
                assert_eq!(self.shard.record(self.open[&letter], &sample, None), ACCEPTED);
            }
            Close(letter) => {
                let index = self.open.remove(&letter).unwrap();
                let part = self.shard.close_source(index).unwrap();
                self.messages.send(Message::Ended(Box::new(part)));
            }
        }
    }

    // Whether there may be more.
    fn serve(&mut self, request: Request) -> bool {
        let Request::Swap(empty) = request else { return false };
        self.handle.swapped.send(self.shard.swap(*empty));
        true
    }

    fn tidy(&mut self) {
        while self.shard.tidy() {}
        if self.reuse == Reuse::AtOnce {
            self.shard.tidy.next_interval(Pile::default(), 0);
            while self.shard.tidy() {}
        }
    }
}

struct Flusher {
    flush: Flush,
    spare: Vec<Interval>,
    now: Duration,
    workers: Vec<Handle>,
    busy_workers: usize,
    messages: Shared<Channel<Message>>,
    told: Told,
}

impl Flusher {
    /// Flushes so many times while workers may still be at their steps, and once after that.
    fn run(mut self, rounds: usize) -> Told {
        for _ in 0..rounds {
            self.round();
        }
        while self.busy_workers > 0 {
            let message = self.messages.receive();
            self.hear(message);
        }
        self.round();
        for worker in &self.workers {
            worker.requests.send(Request::End);
        }
        self.told
    }

    fn round(&mut self) {
        self.now += Duration::from_secs(1);
        self.spare.resize_with(self.workers.len(), Interval::default);
        for (worker, empty) in self.workers.iter().zip(self.spare.drain(..)) {
            worker.requests.send(Request::Swap(Box::new(empty)));
        }
        let intervals = self.workers.iter().map(|worker| worker.swapped.receive()).collect();
        while let Some(message) = self.messages.try_receive() {
            self.hear(message);
        }
        let Self { flush, now, told, .. } = self;
        let mut tell = |source: &Arc<Source>, datapoints| told.take_in(source, datapoints);
        self.spare = flush.merge(intervals, *now, &mut tell).intervals;
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Ended(part) => {
                let ended = self.flush.end(*part, self.now);
                self.told.take_in(&ended.source, ended.datapoints);
            }
            Message::Done => self.busy_workers -= 1,
        }
    }
}

/// What each series of each source came to.
#[derive(Debug, Default, PartialEq)]
struct Told(BTreeMap<(String, String), f64>);

impl Told {
    fn take_in(&mut self, source: &Source, datapoints: Vec<metric::Datapoint>) {
        for datapoint in datapoints {
            let metric::Value::Counter { sum, total } = datapoint.value else {
                panic!("only counters were sent: {datapoint:?}")
            };
            let container_id = source.container_id().unwrap().to_string();
            let so_far = self.0.entry((container_id, datapoint.key.name().to_owned())).or_default();
            *so_far += sum;
            assert_eq!(*so_far, total, "another series' total: {datapoint:?}");
        }
    }
}

/// A digit for each step, so that nothing told twice makes up for what is missing.
fn value_of(worker: usize, step: usize) -> f64 {
    8_f64.powi((8 * worker + step) as i32)
}

fn opened_first(steps: &[Step]) -> usize {
    steps.iter().take_while(|step| matches!(step, Open(_))).count()
}

fn sent(workers: &[&[Step]]) -> Told {
    let mut sent = Told::default();
    for (worker, steps) in workers.iter().enumerate() {
        for (nth, step) in steps[opened_first(steps)..].iter().enumerate() {
            if let Count(letter, name) = step {
                let series = sent.0.entry((letter.to_string(), (*name).to_owned())).or_default();
                *series += value_of(worker, nth);
            }
        }
    }
    sent
}

/// Workers that take these steps beside a flush thread with so many rounds, in every order with at
/// most so many preemptions.
fn check(workers: &'static [&'static [Step]], rounds: usize, preemptions: usize, reuse: Reuse) {
    let mut builder = Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let sources: BTreeMap<_, _> = ('a'..='c')
            .map(|letter| {
                let container_id = letter.to_string().into();
                (letter, Source::new(Origin::Container { container_id }, ReadAs::default()))
            })
            .collect();
        let messages = Channel::new();
        let mut flusher = Flusher {
            flush: Flush::new(FlushConfig {
                series_expiry: Duration::from_secs(1),
                ..FlushConfig::default()
            }),
            spare: Vec::new(),
            now: Duration::ZERO,
            workers: Vec::new(),
            busy_workers: workers.len(),
            messages: messages.clone(),
            told: Told::default(),
        };
        let (mut running, mut first) = (Vec::new(), Vec::new());
        for (number, steps) in workers.iter().enumerate() {
            let handle = Handle { requests: Channel::new(), swapped: Channel::new() };
            flusher.workers.push(handle.clone());
            let mut worker = Worker {
                number,
                shard: Shard::new(ShardConfig { number, ..ShardConfig::default() }),
                sources: sources.clone(),
                open: BTreeMap::new(),
                reuse,
                handle,
                messages: messages.clone(),
            };
            // What is open from the start is known to both sides.
            let (at_start, steps) = steps.split_at(opened_first(steps));
            for step in at_start {
                worker.take(0, *step);
            }
            first.push(worker.shard.swap(Interval::default()));
            running.push((worker, steps));
        }
        flusher.spare = flusher.flush.merge(first, flusher.now, &mut |_, _| ()).intervals;
        let run = |(worker, steps): (Worker, _)| thread().spawn(move || worker.run(steps)).unwrap();
        let threads: Vec<_> = running.into_iter().map(run).collect();
        let flusher = thread().spawn(move || flusher.run(rounds)).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(flusher.join().unwrap(), sent(workers));
    });
}

// Loom's threads have 32 KiB of stack if nothing is said.
fn thread() -> thread::Builder {
    const STACK_WORDS: usize = 1 << 16;
    thread::Builder::new().stack_size(STACK_WORDS)
}

/// A source's only series is forgotten, or used again before it is; its block is another source's
/// when it comes back.
const IDLE: &[Step] = &[
    Open('a'),
    Open('b'),
    Open('c'),
    Count('a', "x"),
    Count('a', "x"),
    Count('b', "y"),
    Count('c', "z"),
    Count('a', "x"),
];
/// A source takes the place of one that ended.
const ENDING: &[Step] =
    &[Open('a'), Count('a', "x"), Close('a'), Open('b'), Count('b', "x"), Close('b')];
/// One source in two shards, which ends in one of them.
const SHARED: &[&[Step]] =
    &[&[Open('a'), Count('a', "x"), Close('a')], &[Open('a'), Count('a', "x")]];

#[test]
fn what_falls_idle_while_the_other_side_flushes_is_told_once_and_of_its_own_series() {
    check(&[IDLE], 3, 3, Reuse::Confirmed);
}

#[test]
fn what_ends_while_the_other_side_flushes_is_told_once_and_of_its_own_source() {
    check(&[ENDING], 2, 3, Reuse::Confirmed);
}

#[test]
fn what_two_workers_count_of_one_source_is_told_once() {
    check(SHARED, 2, 1, Reuse::Confirmed);
}

#[test]
#[should_panic(expected = "another series' total")]
fn without_confirmation_one_series_is_taken_for_another() {
    check(&[IDLE], 3, 3, Reuse::AtOnce);
}
