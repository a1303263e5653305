//! Fifty containers send whatever they like, faster than it can be taken: every sample and every
//! datagram is accounted for, at every reading and at rest.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::Value;

use crate::bounds::of;
use crate::harness::{Agent, Start, send};
use crate::stand_in::{Mesos, World, task};

const CONTAINERS: usize = 50;

/// What a container sends: each of its datagrams has as many samples as any other of it, so that
/// what was received tells how many samples that must have been, whichever ones the kernel dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sends {
    /// Good lines, five samples.
    Good,
    /// Nothing but what is refused, six samples.
    Malformed,
    /// Long datagrams, a name in them that is too long: 2,001 samples.
    Oversized,
    /// New series without end, three samples.
    NewSeries,
    /// More bytes than it may, two samples.
    Much,
}

impl Sends {
    const ALL: [Self; 5] =
        [Self::Good, Self::Malformed, Self::Oversized, Self::NewSeries, Self::Much];

    fn of(container: usize) -> Self {
        Self::ALL[container % Self::ALL.len()]
    }

    fn samples(self) -> u64 {
        match self {
            Self::Good => 5,
            Self::Malformed => 6,
            Self::Oversized => 2_001,
            Self::NewSeries => 3,
            Self::Much => 2,
        }
    }

    fn datagram(self, n: u64) -> String {
        match self {
            Self::Good => "c:1|c|#a:b\nt:1:2|ms|@0.5\ng:+1|g\ns:u|s".to_owned(),
            Self::Malformed => "no\nq:1|q\n:1|c\nn:1:x|g|@\n_sc|x|0\n".replace("1:x", "y:x"),
            Self::Oversized => format!("{}:1|c\n{}", "n".repeat(1_025), "c:1|c\n".repeat(2_000)),
            Self::NewSeries => format!("n{n}:1|c\nm:1|c|#n:{n}\nk:1|c|T{n}"),
            Self::Much => format!("{}:1|c\nc:1|c", "n".repeat(900)),
        }
    }
}

fn number(account: &Value, path: &str) -> u64 {
    account.pointer(path).unwrap().as_u64().unwrap()
}

fn rejected(account: &Value) -> u64 {
    account["rejected"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum()
}

/// The identities of one account.
fn check(account: &Value) {
    let kept = number(account, "/aggregated") + rejected(account);
    let refused = number(account, "/throttled/samples") + number(account, "/over_series_limit");
    assert_eq!(number(account, "/received/samples"), kept + refused, "{account}");
    for of in ["datagrams", "bytes", "samples"] {
        let [received, throttled] =
            ["received", "throttled"].map(|which| number(account, &format!("/{which}/{of}")));
        assert!(received >= throttled, "{account}");
    }
}

/// All of a status' identities.
fn check_all(status: &Value) {
    let sources = status["sources"].as_array().unwrap();
    sources.iter().for_each(check);
    check(&status["total"]);
    check(&status["ended"]);
    for path in [
        "/received/datagrams",
        "/received/bytes",
        "/received/samples",
        "/aggregated",
        "/throttled/datagrams",
        "/throttled/bytes",
        "/throttled/samples",
        "/over_series_limit",
        "/kernel_dropped",
        "/truncated",
        "/closed_unread",
        "/series",
    ] {
        let sum: u64 = sources.iter().chain([&status["ended"]]).map(|it| number(it, path)).sum();
        assert_eq!(number(&status["total"], path), sum, "{path}");
    }
    for output in status["outputs"].as_array().unwrap() {
        let dropped: u64 =
            output["dropped"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
        let known = number(output, "/acknowledged") + number(output, "/queued") + dropped;
        assert_eq!(number(output, "/offered"), known, "{output}");
    }
}

fn id(container: usize) -> String {
    format!("c{container:02}")
}

// The terms of those that are to be throttled come with their tasks.
fn tell_terms(agent: &Agent, mesos: &Mesos, ports: &[SocketAddr], sent: &[AtomicU64]) {
    let labels =
        [("DCOS_METRICS_WEIR_BYTES_PER_SECOND", "1000"), ("DCOS_METRICS_WEIR_BURST_BYTES", "5000")];
    let throttled = (0..CONTAINERS).filter(|it| Sends::of(*it) == Sends::Much);
    let tasks = throttled.clone().map(|it| task(&format!("t{it}.1"), None, &[&id(it)], &labels));
    mesos.knows(World::running(tasks));
    mesos.told();
    for container in throttled {
        agent.status_when(|status| {
            for _ in 0..10 {
                send(ports[container], Sends::Much.datagram(0));
            }
            sent[container].fetch_add(10, Ordering::Relaxed);
            number(&of(status, &id(container)), "/throttled/datagrams") > 0
        });
    }
}

#[test]
fn everything_that_was_sent_is_in_the_ledger_or_was_counted_by_the_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let mesos = Mesos::start(World::default());
    let config = format!(
        "workers = 2\nreceive_buffer = 4096\nflush_interval = \"100ms\"\nseries_expiry = \"300ms\"\n\
         {}[limits]\nseries = 20\n",
        mesos.config()
    );
    let agent = Start::in_dir(&dir).config(&config).start();
    let ports: Vec<_> = (0..CONTAINERS).map(|it| agent.register(&id(it))).collect();
    let sent: Vec<_> = (0..CONTAINERS).map(|_| AtomicU64::new(0)).collect();
    tell_terms(&agent, &mesos, &ports, &sent);

    let flooding = AtomicBool::new(true);
    thread::scope(|scope| {
        for half in 0..2 {
            let (flooding, ports, sent) = (&flooding, &ports, &sent);
            scope.spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let mut n = 0;
                while flooding.load(Ordering::Relaxed) {
                    n += 1;
                    for container in (half..CONTAINERS).step_by(2) {
                        let datagram = Sends::of(container).datagram(n);
                        socket.send_to(datagram.as_bytes(), ports[container]).unwrap();
                        sent[container].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let result = std::panic::catch_unwind(|| {
            let mut last = 0;
            for _ in 0..20 {
                let status = agent.status();
                check_all(&status);
                let received = number(&status["total"], "/received/samples");
                assert!(received >= last, "a total fell from {last} to {received}");
                last = received;
            }
            // Until each of them has met what it is here to meet.
            agent.status_when(|status| {
                check_all(status);
                (0..CONTAINERS).all(|it| {
                    let account = of(status, &id(it));
                    number(&account, "/received/datagrams") > 20
                }) && number(&status["total"], "/kernel_dropped") > 0
            });
        });
        flooding.store(false, Ordering::Relaxed);
        result.unwrap();
    });

    let sent: Vec<u64> = sent.iter().map(|it| it.load(Ordering::Relaxed)).collect();
    let arrived = |account: &Value| {
        number(account, "/received/datagrams") + number(account, "/kernel_dropped")
    };
    let status = agent.status_when(|status| {
        check_all(status);
        (0..CONTAINERS).all(|it| arrived(&of(status, &id(it))) == sent[it])
    });
    check_all(&status);
    for container in 0..CONTAINERS {
        let (sends, account) = (Sends::of(container), of(&status, &id(container)));
        let samples = number(&account, "/received/samples");
        let datagrams = number(&account, "/received/datagrams");
        assert_eq!(samples, datagrams * sends.samples(), "{sends:?}: {account}");
        match sends {
            Sends::Good => assert_eq!(number(&account, "/aggregated"), samples),
            Sends::Malformed => {
                assert_eq!(rejected(&account), samples);
                for reason in ["no_value", "unknown_kind", "empty_name", "not_carried"] {
                    assert_eq!(account["rejected"][reason], datagrams, "{reason}: {account}");
                }
                assert_eq!(account["rejected"]["bad_value"], 2 * datagrams);
            }
            Sends::Oversized => {
                assert_eq!(account["rejected"]["too_long"], datagrams);
                assert_eq!(number(&account, "/aggregated"), 2_000 * datagrams);
            }
            Sends::NewSeries => {
                let refused = number(&account, "/over_series_limit");
                assert!(refused > 0, "{account}");
                assert_eq!(number(&account, "/aggregated") + refused, samples);
                assert!(number(&account, "/series") <= 20, "{account}");
            }
            Sends::Much => {
                let throttled = number(&account, "/throttled/datagrams");
                assert!(throttled > 0, "{account}");
                assert_eq!(number(&account, "/throttled/samples"), 2 * throttled);
                assert_eq!(number(&account, "/aggregated"), 2 * (datagrams - throttled));
            }
        }
    }
    // What was counted is what is in the files.
    let good = (0..CONTAINERS).filter(|it| Sends::of(*it) == Sends::Oversized);
    let counted: u64 =
        good.map(|it| 2_000 * number(&of(&status, &id(it)), "/received/datagrams")).sum();
    let points = agent.stop();
    let oversized = |point: &&Value| {
        let of_it = point["container_id"].as_str().and_then(|id| id[1..].parse().ok());
        of_it.is_some_and(|it| Sends::of(it) == Sends::Oversized)
    };
    let sum: f64 = points.0.iter().filter(oversized).map(|it| it["value"].as_f64().unwrap()).sum();
    assert_eq!(sum, counted as f64);
}
