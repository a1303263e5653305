use std::collections::BTreeMap;
use std::ops::{Add, Sub};

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::http::Endpoint;
use crate::error::ReplayError;

/// What is used of `/status.json`; whatever else it holds is left aside.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Status {
    /// New at each start of the agent.
    pub(crate) boot_id: String,
    sources: Vec<Source>,
    total: Account,
    #[serde(default)]
    waiting: u64,
    #[serde(default)]
    outputs: Vec<Output>,
    #[serde(default)]
    restored: Restored,
}

/// What an agent has of the one before it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Restored {
    gauges: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Source {
    container_id: Option<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(flatten)]
    account: Account,
}

/// What became of what some sources sent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Account {
    pub(crate) received: Received,
    pub(crate) aggregated: u64,
    pub(crate) rejected: BTreeMap<String, u64>,
    pub(crate) throttled: Received,
    pub(crate) over_series_limit: u64,
    notes: BTreeMap<String, u64>,
    pub(crate) kernel_dropped: u64,
    pub(crate) truncated: u64,
    pub(crate) closed_unread: u64,
}

/// Datagrams, and what they held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Received {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    pub(crate) samples: u64,
}

/// What became of an output's points.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Output {
    name: String,
    /// `points`, or `lines` of one that relays these.
    unit: String,
    queued: u64,
    dropped: BTreeMap<String, u64>,
}

impl Output {
    fn ships_points(&self) -> bool {
        self.unit != "lines"
    }
}

/// Whose account is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Registered containers.
    Containers(Vec<String>),
    /// Whoever sent to these ports.
    Ports(Vec<u16>),
}

impl Status {
    /// Asks for it.
    pub(crate) async fn read(from: &Endpoint) -> Result<Self, ReplayError> {
        let path = "/status.json";
        let answer = from.ask(Method::GET, path, Vec::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(ReplayError::Answer {
                endpoint: from.to_string(),
                request: format!("GET {path}"),
                status: answer.status.as_u16(),
                body: shown(&answer.body),
            });
        }
        serde_json::from_slice(&answer.body).map_err(|error| ReplayError::Http {
            endpoint: from.to_string(),
            problem: format!("its /status.json is not weir's: {error}"),
        })
    }

    /// The account of some sources.
    pub(crate) fn account(&self, whose: &Whose) -> Account {
        let is_theirs = |source: &&Source| match whose {
            Whose::Containers(ids) => {
                source.container_id.as_ref().is_some_and(|id| ids.contains(id))
            }
            Whose::Ports(ports) => source.port.is_some_and(|port| ports.contains(&port)),
        };
        let theirs = self.sources.iter().filter(is_theirs);
        theirs.fold(Account::default(), |sum, source| sum + source.account.clone())
    }

    /// Whether the agent has received nothing yet, and has no gauges' levels of the one before it.
    pub(crate) fn is_fresh(&self) -> bool {
        self.total.received.datagrams == 0 && self.restored.gauges == 0
    }

    /// Whether it tells of a source at each of these ports.
    pub(crate) fn tells_of(&self, ports: &[u16]) -> bool {
        ports.iter().all(|port| self.sources.iter().any(|source| source.port == Some(*port)))
    }

    /// Whether no point is on its way to an output.
    pub(crate) fn is_settled(&self) -> bool {
        let mut outputs = self.outputs.iter().filter(|output| output.ships_points());
        self.waiting == 0 && outputs.all(|output| output.queued == 0)
    }

    /// How many points each output dropped so far, by its name.
    pub(crate) fn points_dropped(&self) -> BTreeMap<String, u64> {
        let outputs = self.outputs.iter().filter(|output| output.ships_points());
        outputs.map(|it| (it.name.clone(), it.dropped.values().sum())).collect()
    }
}

impl Account {
    /// Samples that were refused, by reason, those of bad lines and those over a limit.
    pub(crate) fn rejected_in_all(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Whether each sample that was received is accounted for.
    pub(crate) fn adds_up(&self) -> bool {
        let known = self.aggregated
            + self.rejected_in_all()
            + self.throttled.samples
            + self.over_series_limit;
        self.received.samples == known
    }
}

impl Add for Account {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, |one, other| one + other)
    }
}

impl Sub for Account {
    type Output = Self;

    /// What was added since `before`.
    fn sub(self, before: Self) -> Self {
        self.each(before, u64::saturating_sub)
    }
}

impl Account {
    /// Whether sets may have been estimated from fewer registers than usual.
    pub(crate) fn is_coarse(&self) -> bool {
        self.notes.get("coarse_sketch").is_some_and(|lines| *lines > 0)
    }

    fn each(mut self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        for (counts, others) in
            [(&mut self.rejected, other.rejected), (&mut self.notes, other.notes)]
        {
            for (reason, count) in others {
                let mine = counts.entry(reason).or_default();
                *mine = of(*mine, count);
            }
        }
        let received = |one: Received, other: Received| Received {
            datagrams: of(one.datagrams, other.datagrams),
            bytes: of(one.bytes, other.bytes),
            samples: of(one.samples, other.samples),
        };
        Self {
            received: received(self.received, other.received),
            aggregated: of(self.aggregated, other.aggregated),
            rejected: self.rejected,
            notes: self.notes,
            throttled: received(self.throttled, other.throttled),
            over_series_limit: of(self.over_series_limit, other.over_series_limit),
            kernel_dropped: of(self.kernel_dropped, other.kernel_dropped),
            truncated: of(self.truncated, other.truncated),
            closed_unread: of(self.closed_unread, other.closed_unread),
        }
    }
}

/// The beginning of an answer, for people.
pub(crate) fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"version":1,"boot_id":"00ff","started":1,"now":2,"new":[],"sources":[
        {"source":"listener","container_id":null,"listener":"udp://127.0.0.1:8125","port":8125,
         "received":{"datagrams":3,"bytes":30,"samples":7},"aggregated":5,
         "rejected":{"bad_value":2,"no_kind":0},"kernel_dropped":4,"new":1},
        {"source":"container","container_id":"a","port":31000,"ended":true,
         "received":{"datagrams":1,"bytes":5,"samples":1},"aggregated":1,"rejected":{}}],
        "total":{"received":{"datagrams":4,"bytes":35,"samples":8}},"ended":{},"waiting":0,
        "outputs":[{"name":"file","offered":3,"queued":1,"dropped":{"queue_full":1}}]}"#;

    #[test]
    fn what_is_used_of_a_status_is_read_whatever_else_it_holds() {
        let status: Status = serde_json::from_str(STATUS).unwrap();
        let port = status.account(&Whose::Ports(vec![8125]));
        assert_eq!((port.received.samples, port.kernel_dropped, port.aggregated), (7, 4, 5));
        assert_eq!(port.rejected_in_all(), 2);
        assert!(port.adds_up());
        let container = status.account(&Whose::Containers(vec!["a".to_owned()]));
        assert_eq!(container.received.datagrams, 1);
        assert_eq!((port.clone() + container.clone()) - port, {
            let mut expected = container;
            expected.rejected = [("bad_value".to_owned(), 0), ("no_kind".to_owned(), 0)].into();
            expected
        });
        assert!(!status.is_fresh());
        assert!(!status.is_settled());
        assert!(status.tells_of(&[31_000, 8125]));
        assert!(!status.tells_of(&[8125, 9125]));
    }

    #[test]
    fn an_agent_with_gauges_of_the_one_before_it_is_not_fresh() {
        let status = |gauges: u64| -> Status {
            let text = format!(
                r#"{{"boot_id":"1","sources":[],"total":{{}},"restored":{{"gauges":{gauges}}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        assert!(status(0).is_fresh());
        assert!(!status(1).is_fresh());
    }

    #[test]
    fn what_a_relay_drops_and_holds_is_no_point() {
        let status: Status = serde_json::from_str(
            r#"{"boot_id":"1","sources":[],"total":{},"outputs":[
                {"name":"file","unit":"points","queued":0,"dropped":{"queue_full":1,"age":2}},
                {"name":"relay","unit":"lines","queued":5,"dropped":{"queue_full":7}}]}"#,
        )
        .unwrap();
        assert!(status.is_settled());
        assert_eq!(status.points_dropped(), [("file".to_owned(), 3)].into());
    }
}
