use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metric::{Counts, Reason};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::{ContainersCounts, LatestCounts, PrometheusStatus, TrafficCounts};

/// The whole account of the process, as `/status.json` shows it. Times are in unix milliseconds.
///
/// The total is the sources plus `ended`, and all of it is of one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// The version of this form.
    pub version: u32,
    /// 16 hex digits for each process.
    pub boot_id: Arc<str>,
    /// When the process started.
    pub started: i64,
    /// When this was read.
    pub now: i64,
    /// Every source of now, and those that ended within the last hour.
    pub sources: Vec<SourceStatus>,
    /// The sum of all sources, `ended` included.
    pub total: Account,
    /// The sum of the sources that ended longer ago.
    pub ended: Account,
    /// What was lost of late: since the newest reading that is a minute old or older, and readings
    /// are made every ten seconds; since the start, if that is less.
    pub lost_last_minute: Lost,
    /// Settings of tasks, labels that begin with `DCOS_METRICS_WEIR_`, that could not be taken.
    pub settings_ignored: u64,
    /// Points that wait for the context of their container.
    pub waiting: u64,
    /// Where the points go.
    pub outputs: Vec<OutputStatus>,
    /// What outputs had dropped that were removed or replaced since the start.
    pub removed_outputs_dropped: RemovedDropped,
    /// How the regular looks go, by what is looked at: `contexts`, `resources` and `snapshot` at the
    /// Mesos agent, `node`. What is off has no polls.
    pub polls: BTreeMap<&'static str, PollStatus>,
    /// How the listeners of Avro streams fare.
    pub streams: Vec<StreamStatus>,
    /// How the registry of containers fares.
    pub containers: ContainersCounts,
    /// What is held for the readers of the newest values.
    pub latest: LatestCounts,
    /// What happened at the API's sockets.
    pub http: TrafficCounts,
    /// How the answers for Prometheus fare.
    pub prometheus: PrometheusStatus,
    /// How reloads of the configuration went.
    pub reload: ReloadStatus,
    /// Set if the process before this one was killed or crashed: when samples may be missing.
    pub unclean_previous_stop: Option<UncleanStop>,
    /// What was taken over from the process before this one.
    pub restored: Restored,
}

/// What outputs had dropped that are not there any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RemovedDropped {
    /// Points.
    pub points: u64,
    /// Lines, of relays.
    pub lines: u64,
}

/// How reloads of the configuration went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadStatus {
    /// Since when the configuration holds that does now: since the start, or the last reload that
    /// was taken.
    pub since: i64,
    /// Reloads that were taken.
    pub taken: u64,
    /// Reloads that were refused: what was before goes on to hold.
    pub refused: u64,
    /// Why the last reload was refused, if it was.
    pub refusal: Option<ReloadRefusal>,
    /// What outputs left that were removed since the start, and are not there again.
    pub kept_queues: Vec<KeptQueue>,
}

/// A reload that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReloadRefusal {
    /// When.
    pub at: i64,
    /// What is to be changed in the configuration.
    pub reason: String,
}

/// The queue on disk of an output that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptQueue {
    /// The output's name. One of the same name, and to the same kind of URL, delivers it.
    pub output: String,
    /// The points in it.
    pub points: u64,
    /// The bytes of its files.
    pub bytes: u64,
}

/// A stop of which the process before this one could not say that it was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UncleanStop {
    /// The end of the last flush whose points are all known to be safe; what came after it may be
    /// missing. `None` if that is not known.
    pub from: Option<i64>,
    /// When this process took up the sockets.
    pub to: i64,
}

/// What outlived a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Sockets that were taken up from the service manager.
    pub sockets: u64,
    /// Gauges whose last values were restored.
    pub gauges: u64,
    /// Counters whose running totals were restored.
    pub totals: u64,
    /// Files that could not be used and were set aside.
    pub files_set_aside: u64,
}

/// A container or a listener, and its account.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// What it is.
    pub source: SourceKind,
    /// The container that it is, or that the clients of a trusted listener named.
    pub container_id: Option<Arc<str>>,
    /// The listener that it is, or came through.
    pub listener: Option<Arc<str>>,
    /// The UDP port that it sends to; none of a unix socket.
    pub port: Option<u16>,
    /// Its port could not be had yet.
    pub unbound: bool,
    /// It is closed: nothing more comes of it.
    pub ended: bool,
    /// What it sent, and what became of it.
    #[serde(flatten)]
    pub account: Account,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// One container speaks.
    Container,
    /// Anybody may speak.
    Listener,
}

/// The account of one source, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Account {
    /// Everything that was received, and what became of it.
    #[serde(flatten)]
    pub counts: Counts,
    /// Series that are live now.
    pub series: u64,
}

/// What was received, or made of it, and is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Samples that were rejected, but for what the operator's rules drop, throttled, or over a
    /// limit of series.
    pub samples: u64,
    /// Datagrams that the kernel dropped, or that were left in a socket.
    pub datagrams: u64,
    /// Points that outputs dropped, of all together, removed ones included.
    pub points: u64,
    /// Lines that outputs dropped which relay these: the same samples as points elsewhere, perhaps.
    pub lines: u64,
}

impl Lost {
    /// Whether nothing was.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What came to this since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(before.samples),
            datagrams: self.datagrams.saturating_sub(before.datagrams),
            points: self.points.saturating_sub(before.points),
            lines: self.lines.saturating_sub(before.lines),
        }
    }
}

impl Status {
    /// What was lost since the start.
    pub fn lost(&self) -> Lost {
        let counts = &self.total.counts;
        let dropped = |of_lines| -> u64 {
            let outputs = self.outputs.iter().filter(|it| it.counts_lines() == of_lines);
            outputs.flat_map(|output| output.dropped.values()).sum()
        };
        Lost {
            samples: counts.rejected.sum() - counts.rejected.get(Reason::DroppedByRule)
                + counts.throttled.samples
                + counts.over_series_limit,
            datagrams: counts.kernel_dropped + counts.closed_unread,
            points: dropped(false) + self.removed_outputs_dropped.points,
            lines: dropped(true) + self.removed_outputs_dropped.lines,
        }
    }
}

/// What became of the points, or the lines, that an output was offered: `offered` = `acknowledged` + `queued` +
/// all `dropped`.
#[derive(Clone, Debug, Serialize)]
pub struct OutputStatus {
    /// The output's name.
    pub name: String,
    /// What is counted: `points`, or `lines` of an output that relays these.
    pub unit: &'static str,
    /// Points, or lines, with those that its queue held at the start.
    pub offered: u64,
    /// Of these, the points that its queue held at the start.
    pub recovered: u64,
    /// Those that the other side has.
    pub acknowledged: u64,
    /// Those that wait.
    pub queued: u64,
    /// Those that were given up, by reason; every reason is there.
    pub dropped: BTreeMap<&'static str, u64>,
    /// How often something was sent again.
    pub retries: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Files that were delivered, and since removed to keep a directory within its bounds.
    pub removed_files: u64,
    /// Points that were sent again after a connection was lost, though acknowledged.
    pub resent: u64,
    /// The bytes that wait, in memory and in the queue's files.
    pub queue_bytes: u64,
    /// The queue cannot be kept on disk now.
    pub queue_degraded: bool,
    /// Records of the queue that were skipped because they are damaged.
    pub damaged_records: u64,
    /// Files of the queue that a newer version wrote, with points that are not counted.
    pub newer_files: u64,
}

impl OutputStatus {
    fn counts_lines(&self) -> bool {
        self.unit == "lines"
    }
}

/// How regular looks at something go.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PollStatus {
    /// Looks, whatever came of them.
    pub polls: u64,
    /// Those of them that told nothing: refused, cut off, or not over in time.
    pub failures: u64,
    /// What was left out of the others, as too much or not usable.
    pub left_out: u64,
    /// What went wrong last, if anything did in the last look.
    pub last_error: Option<String>,
}

/// How a listener of Avro streams fares; what the streams brought stands in its source's line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamStatus {
    /// The listener's address as configured.
    pub listener: Option<Arc<str>>,
    /// Connections that are open.
    pub open: usize,
    /// Connections that were taken, ever.
    pub connections: u64,
    /// Connections that were refused, for too many were open.
    pub refused: u64,
    /// Connections that weir ended: for a damaged or foreign stream, or one that stalled.
    pub failed: u64,
    /// Why it did so last.
    pub last_error: Option<String>,
}

/// Whoever sends a request here is sent the status of that moment.
pub type StatusFeed = mpsc::Sender<oneshot::Sender<Arc<Status>>>;

/// How long a reader of the status waits for it.
pub(crate) const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// The status of this moment, if it comes in time.
pub(crate) async fn read_status(feed: &StatusFeed) -> Option<Arc<Status>> {
    let (tell, told) = oneshot::channel();
    let reading = async {
        feed.send(tell).await.ok()?;
        told.await.ok()
    };
    timeout(STATUS_PATIENCE, reading).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> OutputStatus {
        OutputStatus {
            name: "file".into(),
            unit: "points",
            offered: 3,
            recovered: 0,
            acknowledged: 1,
            queued: 1,
            dropped: BTreeMap::from([("queue_full", 1)]),
            retries: 0,
            last_error: None,
            removed_files: 2,
            resent: 0,
            queue_bytes: 4096,
            queue_degraded: false,
            damaged_records: 0,
            newer_files: 0,
        }
    }

    #[test]
    fn what_relays_lost_is_lines_and_what_others_lost_is_points() {
        let relay = OutputStatus {
            unit: "lines",
            dropped: BTreeMap::from([("refused", 2), ("queue_full", 3)]),
            ..output()
        };
        let status = Status {
            outputs: vec![output(), relay],
            removed_outputs_dropped: RemovedDropped { points: 4, lines: 6 },
            ..Status::default()
        };
        assert_eq!(status.lost(), Lost { samples: 0, datagrams: 0, points: 5, lines: 11 });
    }

    #[test]
    fn the_status_has_its_keys_in_their_order() {
        let source = SourceStatus {
            source: SourceKind::Container,
            container_id: Some("a".into()),
            listener: None,
            port: Some(31000),
            unbound: false,
            ended: true,
            account: Account { series: 7, ..Account::default() },
        };
        let status = Status {
            version: 1,
            boot_id: "00ff00ff00ff00ff".into(),
            started: 1,
            now: 2,
            sources: vec![source],
            total: Account::default(),
            ended: Account::default(),
            lost_last_minute: Lost { samples: 9, datagrams: 8, points: 7, lines: 6 },
            settings_ignored: 6,
            waiting: 5,
            outputs: vec![output()],
            removed_outputs_dropped: RemovedDropped { points: 4, lines: 6 },
            polls: BTreeMap::from([("node", PollStatus::default())]),
            streams: vec![StreamStatus::default()],
            containers: ContainersCounts::default(),
            latest: LatestCounts { series: 9, left_out: 1 },
            http: TrafficCounts::default(),
            prometheus: PrometheusStatus::default(),
            reload: ReloadStatus {
                since: 1,
                taken: 2,
                refused: 3,
                refusal: Some(ReloadRefusal { at: 4, reason: "no".into() }),
                kept_queues: vec![KeptQueue { output: "o".into(), points: 5, bytes: 6 }],
            },
            unclean_previous_stop: Some(UncleanStop { from: Some(3), to: 4 }),
            restored: Restored { sockets: 1, ..Restored::default() },
        };
        let written = serde_json::to_string(&status).unwrap();
        let none = r#"{"datagrams":0,"bytes":0,"samples":0}"#;
        let place =
            |text: &str| written.find(text).unwrap_or_else(|| panic!("{text} is not in {written}"));
        let in_order = [
            r#"{"version":1,"boot_id":"00ff00ff00ff00ff","started":1,"now":2,"sources":[{"source":"container","#,
            r#""container_id":"a","listener":null,"port":31000,"unbound":false,"ended":true,"received":{"#,
            r#""closed_unread":0,"series":7}],"total":{"received":"#,
            r#","ended":{"received":"#,
            r#","lost_last_minute":{"samples":9,"datagrams":8,"points":7,"lines":6},"settings_ignored":6,"waiting":5,"outputs":[{"name":"file","unit":"points","offered":3,"recovered":0,"acknowledged":1,"queued":1,"dropped":{"queue_full":1},"retries":0,"last_error":null,"removed_files":2,"#,
            r#""resent":0,"queue_bytes":4096,"queue_degraded":false,"damaged_records":0,"newer_files":0}],"removed_outputs_dropped":{"points":4,"lines":6},"#,
            r#""polls":{"node":{"polls":0,"failures":0,"left_out":0,"last_error":null}},"#,
            r#""streams":[{"listener":null,"open":0,"connections":0,"refused":0,"failed":0,"last_error":null}],"#,
            r#""containers":{"registered":0,"#,
            r#""refused":{"too_many":0,"no_port":0,"no_descriptor":0}},"latest":{"series":9,"left_out":1},"http":{"connections":0,"#,
            r#""prometheus":{"scrapes":0,"busy":0,"samples":0,"refused":{"type_clashes":0,"collisions":0,"reserved":0,"labels":0,"examples":[]}},"#,
            r#""reload":{"since":1,"taken":2,"refused":3,"refusal":{"at":4,"reason":"no"},"kept_queues":[{"output":"o","points":5,"bytes":6}]},"#,
            r#""unclean_previous_stop":{"from":3,"to":4},"restored":{"sockets":1,"gauges":0,"totals":0,"files_set_aside":0}}"#,
        ];
        assert!(in_order.is_sorted_by_key(|text| place(text)));
        assert_eq!(
            written
                .matches(&format!(
                    r#""received":{none},"aggregated":0,"rejected":{{"bad_value":0,"#
                ))
                .count(),
            3
        );
        assert_eq!(
            written
                .matches(&format!(
                    r#""throttled":{none},"over_series_limit":0,"notes":{{"bad_name_tag":0,"#
                ))
                .count(),
            3
        );
        assert_eq!(
            written
                .matches(r#""kernel_dropped":0,"truncated":0,"closed_unread":0,"series":"#)
                .count(),
            3
        );
    }
}
