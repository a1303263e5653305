use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metric::{Counts, Received};
use serde_json::Value;

use super::*;
use crate::{
    ContainersCounts, KeptQueue, LatestCounts, Lost, PrometheusStatus, Refusals, Refused,
    ReloadRefusal, ReloadStatus, RemovedDropped, Restored, Traffic, TrafficCounts, UncleanStop,
};

/// Numbers of which no two are alike.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn received(&mut self) -> Received {
        Received { datagrams: self.next(), bytes: self.next(), samples: self.next() }
    }

    fn account(&mut self) -> Account {
        let mut counts = Counts {
            received: self.received(),
            aggregated: self.next(),
            throttled: self.received(),
            over_series_limit: self.next(),
            kernel_dropped: self.next(),
            truncated: self.next(),
            closed_unread: self.next(),
            ..Counts::default()
        };
        for reason in Reason::ALL {
            counts.rejected.add(reason, self.next());
        }
        for note in Note::ALL {
            counts.notes.add(note, self.next());
        }
        Account { counts, series: self.next() }
    }

    fn source(&mut self, container_id: Option<&str>, listener: Option<&str>) -> SourceStatus {
        SourceStatus {
            source: if container_id.is_some() {
                SourceKind::Container
            } else {
                SourceKind::Listener
            },
            container_id: container_id.map(Arc::from),
            listener: listener.map(Arc::from),
            port: None,
            unbound: false,
            ended: false,
            account: self.account(),
        }
    }

    fn traffic(&mut self) -> TrafficCounts {
        let traffic = Traffic::default();
        for event in Event::FAILURES.into_iter().chain([Event::Connection]) {
            (0..self.next() - 1000).for_each(|_| traffic.count(event));
        }
        traffic.read()
    }

    fn status(&mut self) -> Status {
        let output = OutputStatus {
            name: "file \"a\"".into(),
            unit: "points",
            offered: self.next(),
            acknowledged: self.next(),
            queued: self.next(),
            dropped: BTreeMap::from([("queue_full", self.next()), ("refused", self.next())]),
            retries: self.next(),
            last_error: None,
            removed_files: self.next(),
            recovered: self.next(),
            resent: self.next(),
            queue_bytes: self.next(),
            queue_degraded: true,
            damaged_records: self.next(),
            newer_files: self.next(),
        };
        let containers = ContainersCounts {
            registered: self.next(),
            unbound: self.next(),
            unsaved: self.next(),
            saved_late: self.next(),
            files_left: self.next(),
            refused: Refused {
                too_many: self.next(),
                no_port: self.next(),
                no_descriptor: self.next(),
            },
        };
        let prometheus = PrometheusStatus {
            scrapes: self.next(),
            busy: self.next(),
            samples: self.next(),
            refused: Refusals {
                type_clashes: self.next(),
                collisions: self.next(),
                reserved: self.next(),
                labels: self.next(),
                examples: Vec::new(),
            },
        };
        let poll = PollStatus {
            polls: self.next(),
            failures: self.next(),
            left_out: self.next(),
            last_error: None,
        };
        let stream = StreamStatus {
            listener: Some("avro+tcp://127.0.0.1:8124".into()),
            open: self.next() as usize,
            connections: self.next(),
            refused: self.next(),
            failed: self.next(),
            last_error: None,
        };
        let kept = KeptQueue { output: "o".into(), points: self.next(), bytes: self.next() };
        Status {
            version: 1,
            boot_id: "00ff00ff00ff00ff".into(),
            started: 1_000_500,
            now: 1_002_000,
            sources: vec![
                self.source(Some("a\nb"), None),
                self.source(Some("c"), Some("udp://127.0.0.1:8125")),
                self.source(None, Some("udp://127.0.0.1:8125")),
            ],
            total: self.account(),
            ended: Account::default(),
            lost_last_minute: Lost {
                samples: self.next(),
                datagrams: self.next(),
                points: self.next(),
                lines: self.next(),
            },
            settings_ignored: self.next(),
            waiting: self.next(),
            outputs: vec![output],
            removed_outputs_dropped: RemovedDropped { points: self.next(), lines: self.next() },
            polls: BTreeMap::from([("node", poll)]),
            streams: vec![stream],
            containers,
            latest: LatestCounts { series: self.next(), left_out: self.next() },
            http: self.traffic(),
            prometheus,
            reload: ReloadStatus {
                since: 1_000_900,
                taken: self.next(),
                refused: self.next(),
                refusal: None,
                kept_queues: vec![kept],
            },
            unclean_previous_stop: Some(UncleanStop { from: Some(1_000_100), to: 1_000_200 }),
            restored: Restored {
                sockets: self.next(),
                gauges: self.next(),
                totals: self.next(),
                files_set_aside: self.next(),
            },
        }
    }
}

fn written(status: &Status, each_container: bool) -> String {
    let mut text = Text::default();
    for family in FAMILIES {
        family.write(status, each_container, &mut text);
    }
    String::from_utf8(text.into_bytes()).unwrap()
}

fn leaves(of: &Value, into: &mut BTreeSet<String>) {
    match of {
        Value::Number(number) => drop(into.insert(number.to_string())),
        Value::Array(values) => values.iter().for_each(|value| leaves(value, into)),
        Value::Object(values) => values.values().for_each(|value| leaves(value, into)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn every_number_of_the_status_is_a_sample() {
    let status = Numbers(1000).status();
    let text = written(&status, true);
    let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
    let shown: BTreeSet<_> = samples.map(|(_, value)| value.to_owned()).collect();

    let mut expected = BTreeSet::new();
    leaves(&serde_json::to_value(&status).unwrap(), &mut expected);
    // The sum of sources that are long gone is in the total only, and times are in seconds.
    for (other, instead) in [
        ("0", "0"),
        ("1000500", "1000.5"),
        ("1002000", "1.5"),
        ("1000900", "1000.9"),
        ("1000100", "1000.1"),
        ("1000200", "1000.2"),
    ] {
        expected.remove(other);
        expected.extend((instead != "0").then(|| instead.to_owned()));
    }
    let missing: Vec<_> = expected.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:?} in {text}");
}

#[test]
fn families_are_written_once_with_help_and_type_and_named_by_the_rules() {
    let text = written(&Numbers(1000).status(), true);
    let mut names = BTreeSet::new();
    for Family { name, kind, help, .. } in FAMILIES {
        assert!(names.insert(*name), "{name} is there twice");
        assert!(text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name())));
        assert!(text.contains(&format!("\n{name} ")) || text.contains(&format!("\n{name}{{")));
        assert!(name.starts_with("weir_"), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
        assert!(help.ends_with('.'), "{help}");
    }
}

#[test]
fn the_documentation_has_all_of_them() {
    let documented = include_str!("../../../../../deploy/prometheus/README.md");
    let rows = documented.lines().filter(|line| line.starts_with("| `weir_"));
    let rows: Vec<Vec<_>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    assert_eq!(rows.len(), FAMILIES.len());
    for (row, Family { name, kind, help, .. }) in rows.iter().zip(FAMILIES) {
        assert_eq!(row[1], format!("`{name}`"));
        assert_eq!((row[2], row[4]), (kind.name(), *help), "{name}");
    }
}

#[test]
fn labels_say_of_whom_and_why() {
    let mut numbers = Numbers(1000);
    let status = numbers.status();
    let text = written(&status, true);
    for sample in [
        format!(
            "weir_source_received_bytes_total{{container_id=\"a\\nb\"}} {}",
            status.sources[0].account.counts.received.bytes
        ),
        format!(
            "weir_source_series{{container_id=\"c\",listener=\"udp://127.0.0.1:8125\"}} {}",
            status.sources[1].account.series
        ),
        format!(
            "weir_source_rejected_samples_total{{listener=\"udp://127.0.0.1:8125\",reason=\"bad_value\"}} {}",
            status.sources[2].account.counts.rejected.get(Reason::BadValue)
        ),
        format!(
            "weir_output_dropped_points_total{{output=\"file \\\"a\\\"\",reason=\"refused\"}} {}",
            status.outputs[0].dropped["refused"]
        ),
    ] {
        assert!(text.contains(&format!("\n{sample}\n")), "{sample} is not in {text}");
    }
    let few = written(&status, false);
    assert!(!few.contains("container_id"));
    assert!(few.contains("weir_source_series{listener=\"udp://127.0.0.1:8125\"}"));
    assert!(few.lines().count() < text.lines().count());
}

#[test]
fn of_a_container_that_was_registered_again_this_registration_is_shown() {
    let mut numbers = Numbers(1000);
    let mut status = numbers.status();
    status.sources = vec![
        SourceStatus { ended: true, ..numbers.source(Some("a"), None) },
        numbers.source(Some("a"), None),
        SourceStatus { ended: true, ..numbers.source(Some("a"), None) },
    ];
    let text = written(&status, true);
    let shown: Vec<_> =
        text.lines().filter(|line| line.starts_with("weir_source_series{")).collect();
    let expected = status.sources[1].account.series;
    assert_eq!(shown, [format!("weir_source_series{{container_id=\"a\"}} {expected}")]);
}

#[test]
fn a_reload_that_was_refused_is_seen() {
    let mut status = Numbers(1000).status();
    assert!(written(&status, true).contains("\nweir_config_last_reload_successful 1\n"));
    status.reload.refusal = Some(ReloadRefusal { at: 7, reason: "no".into() });
    assert!(written(&status, true).contains("\nweir_config_last_reload_successful 0\n"));
}

#[test]
fn reasons_that_were_not_met_are_shown_of_the_total_only() {
    let mut status = Numbers(1000).status();
    status.total = Account::default();
    status.sources.iter_mut().for_each(|source| source.account = Account::default());
    let text = written(&status, true);
    assert!(text.contains("\nweir_rejected_samples_total{reason=\"no_kind\"} 0\n"));
    assert!(text.contains("\nweir_noted_lines_total{note=\"meter\"} 0\n"));
    assert!(!text.contains("weir_source_rejected_samples_total{"));
    assert!(!text.contains("weir_source_noted_lines_total{"));
}
