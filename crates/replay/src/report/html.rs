use std::fmt::Write as _;
use std::time::Duration;

use super::Report;
use super::plot::{Axis, Plot, Series};
use crate::run::{Moment, Probe, Search};
use crate::text::{bytes, count, percent, rate, seconds};
use crate::verify::Verdict;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a1a1a;--paper:#fff;--faint:#d8d8d8;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--paper:#161616;--faint:#3a3a3a;--bad:#ff8a80}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:86rem;\
margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}\
table.numbers td:not(:first-child),table.numbers th:not(:first-child){text-align:right}\
tr.bad td,p.bad{color:var(--bad);font-weight:600}code{font-size:.9em;overflow-wrap:anywhere}code span{display:inline-block}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(34rem,100%),1fr));gap:1rem}\
.plots>*{min-width:0}.wide{overflow-x:auto}\
figure{margin:0;overflow-x:auto}figcaption{font-weight:600}svg{width:100%;min-width:32rem;height:auto}\
.legend{margin:0}.legend span{white-space:nowrap;margin-right:1rem}\
.legend i{display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.4rem}\
svg text{font-size:11px;fill:var(--ink)}.grid{stroke:var(--faint);stroke-width:1}\
.mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:4 3}\
polyline{fill:none;stroke-width:1.5}\
[class^=c]{fill:var(--c);stroke:var(--c);background:var(--c)}\
.c0{--c:#1f77b4}.c1{--c:#d95f02}.c2{--c:#2ca02c}\
.c3{--c:#9467bd}.c4{--c:#c2185b}.c5{--c:#7f7f7f}\
polyline[class]{fill:none}";

/// The whole page: nothing in it is fetched from anywhere, and it needs no script.
pub(super) fn page(report: &Report) -> String {
    let title = format!("weir-replay: {}", report.input.name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escape(&title)
    );
    if let Some(about) = &report.input.about {
        let _ = writeln!(page, "<p>{}</p>", escape(about));
    }
    if let Some(verdict) = &report.verdict {
        write_verdict(verdict, &mut page);
    }
    write_summary(report, &mut page);
    page += "<h2>Plots</h2>\n<div class=\"plots\">\n";
    let drawn: Vec<String> = plots(report).iter().filter_map(Plot::draw).collect();
    page += &drawn.join("\n");
    page += if drawn.is_empty() { "<p>The run was too short for any.</p>" } else { "" };
    page += "\n</div>\n";
    if let Some(search) = &report.search {
        write_probes(search, &mut page);
    }
    page += "</body>\n</html>\n";
    page
}

/// Text as HTML has it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What was run, as a shell takes it; lines end between words only, if there is room.
fn command_line(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_./:,=%+@".contains(c);
        let quoted = if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        };
        format!("<span>{}</span>", escape(&quoted))
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn write_verdict(verdict: &Verdict, page: &mut String) {
    if verdict.is_good() {
        *page += "<p><strong>Verified: everything is accounted for.</strong></p>\n";
    }
    for sentence in &verdict.unexplained {
        let _ = writeln!(page, "<p class=\"bad\">Unexplained: {}</p>", escape(sentence));
    }
    *page += "<div class=\"wide\"><table class=\"numbers\"><tr><th>class</th><th>sent</th><th>arrived</th>\
              <th>refused</th><th>lost</th><th>unexplained</th></tr>\n";
    for class in &verdict.classes {
        let bad = if class.unexplained > 0 { " class=\"bad\"" } else { "" };
        let _ = writeln!(
            page,
            "<tr{bad}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&class.name),
            count(class.sent),
            class.arrived,
            count(class.refused),
            class.lost,
            count(class.unexplained)
        );
    }
    *page += "</table></div>\n<table>\n";
    for (what, text) in verdict.sentences() {
        let _ = writeln!(page, "<tr><th>{what}</th><td>{}</td></tr>", escape(&text));
    }
    *page += "</table>\n";
    if !verdict.examples.is_empty() {
        *page += "<ul>\n";
        for example in &verdict.examples {
            let _ = writeln!(page, "<li><code>{}</code></li>", escape(example));
        }
        *page += "</ul>\n";
    }
}

fn write_summary(report: &Report, page: &mut String) {
    let input = &report.input;
    let machine = &report.machine;
    let mut rows = vec![
        ("command", format!("<code>{}</code>", command_line(&report.command))),
        (
            "when",
            humantime::format_rfc3339_seconds(
                std::time::UNIX_EPOCH + Duration::from_millis(report.at),
            )
            .to_string(),
        ),
        (
            "machine",
            escape(&format!(
                "{} processors, {}, kernel {}",
                machine.processors, machine.processor, machine.kernel
            )),
        ),
        (
            "input",
            escape(&format!(
                "{} datagrams, {} lines, {}, {}",
                count(input.datagrams),
                count(input.lines),
                bytes(input.bytes),
                match input.lanes {
                    1 => "one container or port".to_owned(),
                    lanes => format!("{} containers or ports", count(lanes as u64)),
                }
            )),
        ),
        ("pace", escape(&report.pace)),
    ];
    let targets = report.targets.len();
    let first = report.targets.first().map_or("", String::as_str);
    let more = if targets > 1 { format!(" and {} more", targets - 1) } else { String::new() };
    let segments = if report.segments { ", in segments" } else { "" };
    rows.push(("to", escape(&format!("{first}{more}{segments}"))));
    rows.extend(report.sentences().into_iter().map(|(what, text)| (what, escape(&text))));
    *page += "<h2>The run</h2>\n<table>\n";
    for (what, text) in rows {
        let _ = writeln!(page, "<tr><th>{what}</th><td>{text}</td></tr>");
    }
    *page += "</table>\n";
}

fn write_probes(search: &Search, page: &mut String) {
    *page += "<h2>Probes</h2>\n<div class=\"wide\"><table class=\"numbers\"><tr><th>round</th><th>lines/s sent</th>\
              <th>lost</th><th>CPU s a million lines</th><th>memory</th></tr>\n";
    for (number, round) in search.rounds.iter().enumerate() {
        for probe in &round.probes {
            let bad = if probe.loss < search.limit { "" } else { " class=\"bad\"" };
            let cpu = probe.cpu_seconds_per_million_lines.map(|cpu| format!("{cpu:.3}"));
            let _ = writeln!(
                page,
                "<tr{bad}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                number + 1,
                count(probe.lines_per_second as u64),
                percent(probe.loss),
                cpu.unwrap_or_default(),
                probe.memory.map(bytes).unwrap_or_default()
            );
        }
    }
    *page += "</table></div>\n";
}

const RATE: Axis = Axis {
    name: "lines a second, as sent",
    write: rate,
    units: &[(1e6, " M"), (1e3, " k"), (1.0, "")],
    is_log: false,
};
const TIME: Axis = Axis {
    name: "time since the beginning",
    write: |it| seconds(Duration::try_from_secs_f64(it).unwrap_or_default()),
    units: &[(1.0, " s"), (1e-3, " ms")],
    is_log: false,
};
const LOST: Axis =
    Axis { name: "datagrams lost", write: percent, units: &[(0.01, " %")], is_log: false };
const CPU: Axis = Axis {
    name: "CPU seconds per million lines",
    write: |cpu| format!("{cpu:.3}"),
    units: &[(1.0, " s")],
    is_log: false,
};
const MEMORY: Axis = Axis {
    name: "resident memory",
    write: |it| bytes(it as u64),
    units: &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B")],
    is_log: false,
};

fn plots(report: &Report) -> Vec<Plot> {
    let mut plots = match &report.search {
        Some(search) => search_plots(search),
        None => moment_plots(report),
    };
    plots.push(Plot {
        title: "Latency of a flush, from the end of its interval until it was read",
        x: Axis { name: "time since the first", ..TIME },
        y: Axis { name: "latency", ..TIME },
        is_line: true,
        series: vec![Series { name: String::new(), points: latencies(report) }],
        mark: None,
    });
    plots
}

fn latencies(report: &Report) -> Vec<(f64, f64)> {
    let first = report.flushes.keys().next().copied().unwrap_or(0);
    let flushes = report.flushes.iter();
    flushes
        .map(|(end, flush)| {
            (end.saturating_sub(first) as f64 / 1000.0, flush.latency.as_secs_f64())
        })
        .collect()
}

fn search_plots(search: &Search) -> Vec<Plot> {
    let of_rounds = |y: fn(&Probe) -> Option<f64>| -> Vec<Series> {
        let series = search.rounds.iter().enumerate().map(|(number, round)| Series {
            name: format!("round {}", number + 1),
            points: round
                .probes
                .iter()
                .filter_map(|probe| Some((probe.lines_per_second, y(probe)?)))
                .collect(),
        });
        series.collect()
    };
    let mark = (search.median, format!("highest: {}", rate(search.median)));
    // From flat out to what arrives whole there may be orders of magnitude.
    let plot = |title, y, series| Plot {
        title,
        x: Axis { is_log: true, ..RATE },
        y,
        is_line: false,
        series,
        mark: Some(mark.clone()),
    };
    let memory: Vec<Series> = search
        .rounds
        .iter()
        .enumerate()
        .map(|(number, round)| Series {
            name: format!("round {}", number + 1),
            points: round
                .probes
                .iter()
                .enumerate()
                .filter_map(|(place, probe)| {
                    let at = (place + 1) as f64 * search.probe_seconds;
                    Some((at, probe.memory? as f64))
                })
                .collect(),
        })
        .collect();
    vec![
        plot("Loss by rate", LOST, of_rounds(|probe| Some(probe.loss))),
        plot("CPU by rate", CPU, of_rounds(|probe| probe.cpu_seconds_per_million_lines)),
        Plot {
            title: "Memory over a round",
            x: Axis { name: "time of sending in the round", ..TIME },
            y: MEMORY,
            is_line: true,
            series: memory,
            mark: None,
        },
    ]
}

fn moment_plots(report: &Report) -> Vec<Plot> {
    let of_a_datagram = report.input.lines as f64 / report.input.datagrams.max(1) as f64;
    let all = || report.moments.windows(2).map(|pair| (&pair[0], &pair[1]));
    // Behind the last one in which something was sent the rest was waited for.
    let end = all().rposition(|(from, to)| to.sent > from.sent).map_or(0, |place| place + 1);
    let steps: Vec<Step> =
        all().take(end).filter_map(|(from, to)| Step::between(from, to, of_a_datagram)).collect();
    let one = |points: Vec<(f64, f64)>| vec![Series { name: String::new(), points }];
    let lost = steps.iter().filter_map(|step| Some((step.lines_per_second, step.lost?))).collect();
    let cpu = steps.iter().filter_map(|step| Some((step.at, step.cpu?))).collect();
    let memory = report.moments.iter().filter_map(|it| Some((it.at, it.memory? as f64))).collect();
    let sent = steps.iter().map(|step| (step.at, step.lines_per_second)).collect();
    let received = steps.iter().filter_map(|step| Some((step.at, step.received?))).collect();
    let rates = vec![
        Series { name: "sent".to_owned(), points: sent },
        Series { name: "acknowledged".to_owned(), points: received },
    ];
    let over_time =
        |title, y, series| Plot { title, x: TIME, y, is_line: true, series, mark: None };
    vec![
        Plot {
            title: "Loss by rate",
            x: RATE,
            y: LOST,
            is_line: false,
            series: one(lost),
            mark: None,
        },
        over_time("Rate over time", Axis { name: "lines a second", ..RATE }, rates),
        over_time("CPU over time", CPU, one(cpu)),
        over_time("Memory over time", MEMORY, one(memory)),
    ]
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug)]
struct Step {
    at: f64,
    lines_per_second: f64,
    received: Option<f64>,
    lost: Option<f64>,
    cpu: Option<f64>,
}

impl Step {
    fn between(from: &Moment, to: &Moment, lines_of_a_datagram: f64) -> Option<Self> {
        let passed = to.at - from.at;
        if passed < 0.01 {
            return None;
        }
        let since =
            |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?) as f64);
        let sent = to.sent.saturating_sub(from.sent) as f64;
        let received = since(to.received, from.received);
        let dropped = since(to.kernel_dropped, from.kernel_dropped);
        let lines = received.unwrap_or(sent) * lines_of_a_datagram;
        Some(Self {
            at: to.at,
            lines_per_second: sent * lines_of_a_datagram / passed,
            received: received.map(|it| it * lines_of_a_datagram / passed),
            lost: dropped.map(|it| (it / sent.max(1.0)).min(1.0)),
            cpu: (to.cpu.zip(from.cpu))
                .filter(|_| lines > 0.0)
                .map(|(to, from)| (to - from) / (lines / 1e6)),
        })
    }
}
