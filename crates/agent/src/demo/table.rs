use std::collections::BTreeMap;
use std::io::{Write, stderr, stdout};
use std::net::TcpListener;

use serde::Deserialize;
use ship::read::{ReadError, Reader};
use tokio::sync::mpsc::Sender;

/// The statistics that a table shows, in the order of its columns; a `value` is a metric's only
/// number.
const COLUMNS: [&str; 6] = ["value", "count", "lower", "mean", "p95", "upper"];

/// A `dcos.metrics.MetricList`, as far as a table needs it.
#[derive(Deserialize)]
struct MetricList {
    tags: Vec<Tag>,
    datapoints: Vec<Datapoint>,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct Datapoint {
    name: String,
    time_ms: i64,
    value: f64,
}

/// Collects from one connection, and prints a table for each block, which is one flush; tells of
/// each.
pub(super) fn print(collector: &TcpListener, tables: &Sender<()>) {
    let collected = collector.accept().map_err(ReadError::Input).and_then(|(stream, _)| {
        let mut reader = Reader::open(stream)?;
        while let Some(block) = reader.next_block()? {
            let mut table = Table::default();
            for line in block {
                table.add(&line?);
            }
            // Whoever closed our output has seen enough.
            if table.print().is_err() || tables.blocking_send(()).is_err() {
                break;
            }
        }
        Ok(())
    });
    if let Err(error) = collected {
        let _ = writeln!(stderr().lock(), "weir: the demo's collector: {error}");
    }
}

#[derive(Default)]
struct Table {
    time_ms: i64,
    // By container, then by metric with its tags: the numbers by column.
    rows: BTreeMap<(String, String), [Option<f64>; COLUMNS.len()]>,
}

impl Table {
    fn add(&mut self, line: &str) {
        let Ok(list) = serde_json::from_str::<MetricList>(line) else { return };
        let mut container = String::from("(nobody)");
        let mut tags = String::new();
        for Tag { key, value } in list.tags {
            match key.as_str() {
                "container_id" => container = value,
                key if metric::Dimensions::is_identity(key) => {}
                _ => tags.extend([" ", &key, "=", &value]),
            }
        }
        for Datapoint { name, time_ms, value } in list.datapoints {
            self.time_ms = time_ms;
            let stat = COLUMNS[1..].iter().find_map(|column| {
                let name = name.strip_suffix(column)?.strip_suffix('.')?;
                Some((name.to_owned(), *column))
            });
            // The further statistics have no column.
            let is_further = [".sum", ".stddev", ".p50", ".p90", ".p99", ".p999"]
                .iter()
                .any(|further| name.ends_with(further));
            let (name, column) = match stat {
                Some(stat) => stat,
                None if is_further => continue,
                None => (name, COLUMNS[0]),
            };
            let row = self.rows.entry((container.clone(), name + &tags)).or_default();
            if let Some(place) = COLUMNS.iter().position(|known| *known == column) {
                row[place] = Some(value);
            }
        }
    }

    fn print(&self) -> std::io::Result<()> {
        let mut out = stdout().lock();
        write!(out, "\n{:<14} {:<26}", "container", "metric")?;
        for column in COLUMNS {
            write!(out, " {column:>8}")?;
        }
        writeln!(out, "   until {} ms", self.time_ms)?;
        for ((container, metric), numbers) in &self.rows {
            write!(out, "{container:<14} {metric:<26}")?;
            for number in numbers {
                let number = number.map(|number| format!("{}", (number * 100.0).round() / 100.0));
                write!(out, " {:>8}", number.unwrap_or_default())?;
            }
            writeln!(out)?;
        }
        out.flush()
    }
}
