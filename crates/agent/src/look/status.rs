//! `weir status`: where every sample and every point went, as a table.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Whom, grouped, list, number, plain, source, table, text};

/// The exit status says whether anything is lost now: 0 if nothing was lost in the last minute, 1
/// if something was, 2 if no agent answered.
///
/// Lost are samples that were rejected (but for what a tag_rule drops), throttled or over a limit of
/// series; datagrams that the kernel dropped, or that were left in a socket; points that an output
/// dropped, and lines that an output dropped which relays these.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // these texts are the program's help, not Markdown
pub(crate) struct Options {
    #[command(flatten)]
    whom: Whom,
}

/// Prints the account of a running agent.
pub(crate) fn run(options: &Options) -> ExitCode {
    options.whom.show("/status.json", |status| {
        let lost = ["samples", "datagrams", "points", "lines"];
        let is_losing =
            lost.iter().any(|of| number(status, &format!("/lost_last_minute/{of}")) > 0);
        (show(status), if is_losing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

fn show(status: &Value) -> String {
    let up = number(status, "/now").saturating_sub(number(status, "/started")) / 1000;
    let up = humantime::format_duration(Duration::from_secs(up));
    let lost = |of: &str| grouped(number(status, &format!("/lost_last_minute/{of}")));
    let mut shown = format!(
        "weir {}, up {up}\nlost in the last minute: {} samples, {} datagrams, {} points, {} lines\n\n",
        text(status, "/boot_id"),
        lost("samples"),
        lost("datagrams"),
        lost("points"),
        lost("lines"),
    );
    shown += &sources(status);
    shown.push('\n');
    shown += &outputs(status);
    shown += &reload(status);
    let mut further = |count: u64, what: &str| {
        if count > 0 {
            let _ = write!(shown, "\n{} {what}\n", grouped(count)); // writing to a String cannot fail
        }
    };
    further(number(status, "/waiting"), "points wait for their container's labels");
    further(number(status, "/containers/unbound"), "containers wait for their port");
    further(number(status, "/settings_ignored"), "settings of tasks were ignored: see the log");
    shown
}

/// What of an account is lost, in samples and in datagrams.
fn lost(account: &Value) -> (u64, u64) {
    let rejected: u64 = reasons(account).map(|(_, count)| count).sum();
    let samples =
        rejected + number(account, "/throttled/samples") + number(account, "/over_series_limit");
    (samples, number(account, "/kernel_dropped") + number(account, "/closed_unread"))
}

// For what samples were rejected, but for what the operator wants dropped.
fn reasons(account: &Value) -> impl Iterator<Item = (&str, u64)> {
    let rejected = account.get("rejected").and_then(Value::as_object).into_iter().flatten();
    let counted = rejected.map(|(reason, count)| (&**reason, count.as_u64().unwrap_or_default()));
    counted.filter(|(reason, count)| *count > 0 && *reason != "dropped_by_rule")
}

fn sources(status: &Value) -> String {
    let heading = [
        "LOST",
        "RECEIVED",
        "AGGREGATED",
        "REJECTED",
        "THROTTLED",
        "OVER LIMIT",
        "BY RULE",
        "KERNEL DROPPED",
        "UNREAD",
        "SERIES",
        "SOURCE",
    ];
    let mut sources: Vec<_> = list(status, "/sources").collect();
    sources.sort_by_cached_key(|of| {
        let (samples, datagrams) = lost(of);
        Reverse((samples + datagrams, number(of, "/received/samples")))
    });
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(sources.into_iter().map(|of| row(of, name(of))));
    for (key, name) in [("ended", "ended more than an hour ago"), ("total", "all")] {
        let account = &status[key];
        if key == "total" || number(account, "/received/datagrams") > 0 {
            rows.push(row(account, name.to_owned()));
        }
    }
    table::of(&rows)
}

fn row(account: &Value, name: String) -> Vec<String> {
    let by_rule = number(account, "/rejected/dropped_by_rule");
    let mut row: Vec<_> = [
        lost(account).0,
        number(account, "/received/samples"),
        number(account, "/aggregated"),
        reasons(account).map(|(_, count)| count).sum(),
        number(account, "/throttled/samples"),
        number(account, "/over_series_limit"),
        by_rule,
        number(account, "/kernel_dropped"),
        number(account, "/closed_unread"),
        number(account, "/series"),
    ]
    .map(grouped)
    .to_vec();
    row.push(name);
    row
}

// Which source it is, what is the matter with it, and why samples were rejected.
fn name(of: &Value) -> String {
    let mut name = source(of);
    if let Some(port) = of["port"].as_u64().filter(|_| !of["container_id"].is_null()) {
        let _ = write!(name, " :{port}"); // writing to a String cannot fail
    }
    for (key, word) in [("ended", "ended"), ("unbound", "waits for its port")] {
        if of[key] == true {
            let _ = write!(name, ", {word}");
        }
    }
    let mut reasons: Vec<_> = reasons(of).collect();
    reasons.sort_by_key(|(_, count)| Reverse(*count));
    let reasons: Vec<_> = reasons
        .into_iter()
        .map(|(reason, count)| format!("{} {}", plain(reason), grouped(count)))
        .collect();
    if !reasons.is_empty() {
        let _ = write!(name, " ({})", reasons.join(", "));
    }
    name
}

fn outputs(status: &Value) -> String {
    let heading = ["DROPPED", "OFFERED", "ACKNOWLEDGED", "QUEUED", "RETRIES", "OUTPUT"];
    let dropped = |of: &Value| -> u64 {
        let by_reason = of["dropped"].as_object().into_iter().flatten();
        by_reason.filter_map(|(_, count)| count.as_u64()).sum()
    };
    let mut outputs: Vec<_> = list(status, "/outputs").collect();
    outputs.sort_by_key(|of| Reverse(dropped(of)));
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(outputs.into_iter().map(|of| {
        let offered = ["/offered", "/acknowledged", "/queued", "/retries"];
        let [offered, acknowledged, queued, retries] =
            offered.map(|path| grouped(number(of, path)));
        let mut name = text(of, "/name");
        if of["unit"] == "lines" {
            name.push_str(", in lines");
        }
        let last_error = text(of, "/last_error");
        if !last_error.is_empty() {
            let _ = write!(name, ": {last_error}"); // writing to a String cannot fail
        }
        vec![grouped(dropped(of)), offered, acknowledged, queued, retries, name]
    }));
    table::of(&rows)
}

// What an operator is to know of reloads: a refused one, and what removed outputs left.
fn reload(status: &Value) -> String {
    let mut shown = String::new();
    let reload = &status["reload"];
    if let Some(at) = reload.pointer("/refusal/at").and_then(Value::as_u64) {
        let ago = number(status, "/now").saturating_sub(at) / 1000;
        let ago = humantime::format_duration(Duration::from_secs(ago));
        let reason = text(reload, "/refusal/reason");
        // Writing to a String cannot fail.
        let _ = write!(shown, "\nthe last reload, {ago} ago, was refused: {reason}\n");
    }
    for kept in list(reload, "/kept_queues") {
        let points = grouped(number(kept, "/points"));
        let output = text(kept, "/output");
        let _ = write!(
            shown,
            "\n{points} points are kept in the queue of {output}, which was removed\n"
        );
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_lost_most_comes_first_with_the_reasons() {
        let source = |id: &str, received, rejected: Value, kernel_dropped| {
            json!({"source": "container", "container_id": id, "listener": null, "port": 31000,
                "ended": false, "unbound": false, "received": {"datagrams": 1, "samples": received},
                "aggregated": 1, "rejected": rejected, "throttled": {"samples": 0},
                "over_series_limit": 0, "kernel_dropped": kernel_dropped, "closed_unread": 0,
                "series": 1})
        };
        let account = json!({"received": {"datagrams": 3, "samples": 3010}, "aggregated": 3,
            "rejected": {"bad_value": 7, "no_kind": 1_200}, "throttled": {"samples": 0},
            "over_series_limit": 0, "kernel_dropped": 2, "closed_unread": 0, "series": 3});
        let status = json!({
            "boot_id": "00ff", "started": 1_000, "now": 3_661_000,
            "sources": [
                source("quiet", 2, json!({"bad_value": 0}), 0),
                source("loud", 3_000, json!({"bad_value": 7, "no_kind": 1_200, "dropped_by_rule": 9}), 0),
                source("ill\u{1b}", 8, json!({}), 2),
            ],
            "reload": {"refusal": {"at": 3_601_000, "reason": "workers needs\na restart"},
                "kept_queues": [{"output": "old", "points": 1_234, "bytes": 9}]},
            "total": account, "ended": {}, "waiting": 4, "settings_ignored": 0,
            "lost_last_minute": {"samples": 5, "datagrams": 0, "points": 0, "lines": 3},
            "outputs": [{"name": "file", "offered": 3, "acknowledged": 2, "queued": 0,
                "dropped": {"too_large": 1}, "retries": 0, "last_error": "no\nroom"}],
        });
        let expected = "\
weir 00ff, up 1h 1m
lost in the last minute: 5 samples, 0 datagrams, 0 points, 3 lines

 LOST  RECEIVED  AGGREGATED  REJECTED  THROTTLED  OVER LIMIT  BY RULE  KERNEL DROPPED  UNREAD  SERIES  SOURCE
1,207     3,000           1     1,207          0           0        9               0       0       1  container loud :31000 (no_kind 1,200, bad_value 7)
    0         8           1         0          0           0        0               2       0       1  container ill\\u{1b} :31000
    0         2           1         0          0           0        0               0       0       1  container quiet :31000
1,207     3,010           3     1,207          0           0        0               2       0       3  all

DROPPED  OFFERED  ACKNOWLEDGED  QUEUED  RETRIES  OUTPUT
      1        3             2       0        0  file: no\\nroom

the last reload, 1m ago, was refused: workers needs\\na restart

1,234 points are kept in the queue of old, which was removed

4 points wait for their container's labels
";
        assert_eq!(show(&status), expected);
    }
}
