use std::collections::BTreeMap;
use std::sync::Arc;

use metric::Counts;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{ContainersCounts, TrafficCounts};

/// The whole account of the process, as `/status.json` shows it. Times are in unix milliseconds.
///
/// The total is the sources plus `ended`, and all of it is of one moment.
#[derive(Clone, Debug, Serialize)]
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
    /// Points that wait for the context of their container.
    pub waiting: u64,
    /// Where the points go.
    pub outputs: Vec<OutputStatus>,
    /// How the registry of containers fares.
    pub containers: ContainersCounts,
    /// What happened at the API's sockets.
    pub http: TrafficCounts,
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

/// What became of the points that an output was offered: `offered` = `acknowledged` + `queued` +
/// all `dropped`.
#[derive(Clone, Debug, Serialize)]
pub struct OutputStatus {
    /// The output's name.
    pub name: String,
    /// Points, with those that its queue held at the start.
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

/// Whoever sends a request here is sent the status of that moment.
pub type StatusFeed = mpsc::Sender<oneshot::Sender<Arc<Status>>>;

#[cfg(test)]
mod tests {
    use super::*;

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
        let output = OutputStatus {
            name: "file".into(),
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
        };
        let status = Status {
            version: 1,
            boot_id: "00ff00ff00ff00ff".into(),
            started: 1,
            now: 2,
            sources: vec![source],
            total: Account::default(),
            ended: Account::default(),
            waiting: 5,
            outputs: vec![output],
            containers: ContainersCounts::default(),
            http: TrafficCounts::default(),
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
            r#","waiting":5,"outputs":[{"name":"file","offered":3,"recovered":0,"acknowledged":1,"queued":1,"dropped":{"queue_full":1},"retries":0,"last_error":null,"removed_files":2,"#,
            r#""resent":0,"queue_bytes":4096,"queue_degraded":false,"damaged_records":0,"newer_files":0}],"#,
            r#""containers":{"registered":0,"#,
            r#""refused":{"too_many":0,"no_port":0}},"http":{"connections":0,"#,
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
