//! The account of the whole process, put together from those of its parts.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::{
    Account, Containers, Latest, Lost, OutputStatus, PollStatus, Prometheus, RemovedDropped,
    Restored, SourceKind, SourceStatus, Status, StreamStatus, Traffic, UncleanStop,
};
use enrich::{Contexts, PollHealth};
use ingest::{Address, Listeners, Store};
use metric::{Origin, Source};
use ship::{OutputLedger, Outputs};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::collector::{Roll, Streams};
use crate::ends::Now;
use crate::looks::Looks;
use crate::reload::Reloads;
use crate::terms::Terms;
use crate::worker::{self, Accounts, Request, SourceAccount};

/// One cut serves all readers for so long.
const FRESH: Duration = Duration::from_millis(100);

/// How often it is noted what was lost so far.
const LOSSES_EVERY: Duration = Duration::from_secs(10);

/// What counts as of late.
const OF_LATE: Duration = Duration::from_mins(1);

/// Where the accounts of the parts are.
pub(crate) struct Ledger {
    pub(crate) boot_id: Arc<str>,
    /// In unix milliseconds.
    pub(crate) started: i64,
    pub(crate) workers: Vec<worker::Handle>,
    pub(crate) listeners: Listeners,
    pub(crate) containers: Containers,
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) waiting_points: Arc<AtomicU64>,
    pub(crate) latest: Option<Latest>,
    pub(crate) prometheus: Option<Prometheus>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) contexts: Contexts,
    pub(crate) looks: Looks,
    pub(crate) streams: Roll,
    pub(crate) reloads: Reloads,
    pub(crate) terms: Terms,
    pub(crate) unclean_previous_stop: Option<UncleanStop>,
    /// Without the sockets, of which more may come.
    pub(crate) restored: Restored,
    pub(crate) store: Store,
}

impl Ledger {
    /// Answers whoever asks, until nobody can any more.
    pub(crate) async fn serve(self, mut readers: mpsc::Receiver<oneshot::Sender<Arc<Status>>>) {
        let mut last: Option<(Instant, Arc<Status>)> = None;
        let mut losses = Losses::default();
        let mut ticks = tokio::time::interval(LOSSES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let reader = tokio::select! {
                reader = readers.recv() => reader,
                _ = ticks.tick() => {
                    losses.note(Instant::now(), self.read().await.lost());
                    continue;
                }
            };
            let Some(reader) = reader else { return };
            let status = match &last {
                Some((at, status)) if at.elapsed() < FRESH => status.clone(),
                Some(_) | None => {
                    let mut status = self.read().await;
                    status.lost_last_minute = losses.of_late(Instant::now(), status.lost());
                    let status = Arc::new(status);
                    last = Some((Instant::now(), status.clone()));
                    status
                }
            };
            // A reader that went away is no error.
            let _ = reader.send(status);
        }
    }

    /// One cut through everything but time: nothing of late is lost yet.
    pub(crate) async fn read(&self) -> Status {
        let accounts = self.accounts().await;
        let ports = self.ports();
        let streams = self.streams.read(Instant::now());
        let mut ended = streams.before;
        let mut lines = Lines::default();
        for worker in accounts {
            ended += worker.ended;
            worker.sources.into_iter().for_each(|account| lines.add(account));
        }
        // No worker has part in these.
        for (all, ended) in [(&streams.open, false), (&streams.closed, true)] {
            for streams in all {
                let none = SourceAccount::none_yet(streams.source().clone());
                lines.add(SourceAccount { counts: streams.counts(), ended, ..none });
            }
        }
        let (outputs, removed) = self.outputs.accounts();
        let registered = self.containers.sources();
        // No worker knows one whose port is taken, nor one whose socket it is yet to take over.
        for container in &registered {
            lines.add(SourceAccount::none_yet(container.source.clone()));
        }
        let unbound: HashSet<Arc<Source>> =
            registered.into_iter().filter(|it| it.unbound).map(|it| it.source).collect();
        let mut total = Account { counts: ended, series: 0 };
        for line in &lines.all {
            total.counts += line.counts;
            total.series += line.series as u64;
        }
        Status {
            version: 1,
            boot_id: self.boot_id.clone(),
            started: self.started,
            now: Now::read().wall_ms,
            sources: lines.all.iter().map(|line| source(line, &ports, &unbound)).collect(),
            total,
            ended: Account { counts: ended, series: 0 },
            lost_last_minute: Lost::default(),
            settings_ignored: self.terms.ignored(),
            waiting: self.waiting_points.load(Ordering::Relaxed),
            outputs: outputs.into_iter().map(output).collect(),
            removed_outputs_dropped: RemovedDropped {
                points: removed.points,
                lines: removed.lines,
            },
            containers: self.containers.counts(),
            polls: self.polls(),
            streams: streams.open.iter().map(stream).collect(),
            latest: self.latest.as_ref().map(Latest::counts).unwrap_or_default(),
            http: self.traffic.read(),
            prometheus: self.prometheus.as_ref().map(Prometheus::status).unwrap_or_default(),
            reload: self.reloads.read(),
            unclean_previous_stop: self.unclean_previous_stop,
            restored: Restored { sockets: self.store.taken(), ..self.restored },
        }
    }

    // Each worker is asked before the first answer is awaited, so that they are of one moment.
    async fn accounts(&self) -> Vec<Accounts> {
        let ask = |worker: &worker::Handle| {
            let (accounts, answer) = oneshot::channel();
            worker.ask(Request::Accounts(accounts));
            answer
        };
        let asked: Vec<_> = self.workers.iter().map(ask).collect();
        let mut accounts = Vec::with_capacity(asked.len());
        for answer in asked {
            accounts.extend(answer.await.ok());
        }
        accounts
    }

    fn polls(&self) -> BTreeMap<&'static str, PollStatus> {
        let mesos = self.contexts.health();
        let contexts = PollHealth {
            polls: mesos.polls,
            failures: mesos.failures,
            left_out: mesos.labels_left_out,
            last_error: mesos.last_error,
        };
        let polls = [
            ("contexts", contexts),
            ("resources", mesos.resources),
            ("snapshot", mesos.snapshot),
            ("node", self.looks.health()),
        ];
        polls.map(|(name, health)| (name, poll(health))).into()
    }

    fn ports(&self) -> HashMap<Arc<Source>, u16> {
        let port = |address| match address {
            Address::Udp(address) => Some(address.port()),
            Address::Unixgram(_) => None,
        };
        let open = self.listeners.sockets();
        open.into_iter().filter_map(|it| Some((it.source, port(it.opened.address)?))).collect()
    }
}

/// What was lost by when.
#[derive(Default)]
struct Losses(VecDeque<(Instant, Lost)>);

impl Losses {
    fn note(&mut self, now: Instant, lost: Lost) {
        self.0.push_back((now, lost));
        // The first one stays that is old enough to begin with.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= OF_LATE) {
            self.0.pop_front();
        }
    }

    /// What was lost since the newest reading that is old enough, or the start.
    fn of_late(&self, now: Instant, lost: Lost) -> Lost {
        let is_old = |(at, _): &&(Instant, Lost)| now.duration_since(*at) >= OF_LATE;
        let before = self.0.iter().rev().find(is_old);
        lost.since(&before.map(|(_, lost)| *lost).unwrap_or_default())
    }
}

/// The lines of the account: one for each source, though several workers may know it.
#[derive(Default)]
struct Lines {
    all: Vec<SourceAccount>,
    places: HashMap<Arc<Source>, usize>,
}

impl Lines {
    fn add(&mut self, account: SourceAccount) {
        if let Some(place) = self.places.get(&account.source) {
            let line = &mut self.all[*place];
            line.counts += account.counts;
            line.series += account.series;
            line.ended &= account.ended;
            line.port = line.port.or(account.port);
        } else {
            self.places.insert(account.source.clone(), self.all.len());
            self.all.push(account);
        }
    }
}

fn source(
    line: &SourceAccount,
    ports: &HashMap<Arc<Source>, u16>,
    unbound: &HashSet<Arc<Source>>,
) -> SourceStatus {
    SourceStatus {
        source: match line.source.origin {
            // What is measured was not received, and has no line; it is what it is of.
            Origin::Container { .. } | Origin::Claimed { .. } | Origin::Resources { .. } => {
                SourceKind::Container
            }
            Origin::Listener { .. } | Origin::Node | Origin::MesosAgent => SourceKind::Listener,
        },
        container_id: line.source.container_id().cloned(),
        listener: line.source.listener().cloned(),
        port: ports.get(&line.source).copied().or(line.port),
        unbound: unbound.contains(&line.source),
        ended: line.ended,
        account: Account { counts: line.counts, series: line.series as u64 },
    }
}

fn stream(streams: &Streams) -> StreamStatus {
    let (fares, open) = streams.fares();
    StreamStatus {
        listener: streams.source().listener().cloned(),
        open,
        connections: fares.connections,
        refused: fares.refused,
        failed: fares.failed,
        last_error: fares.last_error,
    }
}

fn poll(health: PollHealth) -> PollStatus {
    PollStatus {
        polls: health.polls,
        failures: health.failures,
        left_out: health.left_out,
        last_error: health.last_error,
    }
}

fn output(ledger: OutputLedger) -> OutputStatus {
    OutputStatus {
        name: ledger.name,
        unit: ledger.unit.name(),
        offered: ledger.offered,
        recovered: ledger.recovered,
        acknowledged: ledger.acknowledged,
        queued: ledger.queued,
        dropped: ledger.dropped.iter().map(|(reason, n)| (reason.name(), n)).collect(),
        retries: ledger.retries,
        last_error: ledger.last_error,
        removed_files: ledger.removed_files,
        resent: ledger.resent,
        queue_bytes: ledger.queue_bytes,
        queue_degraded: ledger.queue_degraded,
        damaged_records: ledger.damaged_records,
        newer_files: ledger.newer_files,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_of_late_is_counted_from_a_reading_a_minute_ago() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let lost = |samples| Lost { samples, ..Lost::default() };
        let mut losses = Losses::default();
        assert_eq!(losses.of_late(at(5), lost(3)), lost(3), "since the start");
        for tick in 0..30 {
            losses.note(at(10 * tick), lost(10 * tick));
            assert!(losses.0.len() <= 7);
        }
        assert_eq!(losses.of_late(at(290), lost(300)), lost(70), "since 230");
        assert_eq!(losses.of_late(at(299), lost(300)), lost(70));
        assert_eq!(losses.of_late(at(300), lost(300)), lost(60), "since 240");
        assert_eq!(losses.of_late(at(400), lost(290)), lost(0));
    }
}
