//! weir's own metrics: the numbers of one [`Status`], which is what `/status.json` shows.

use std::collections::HashMap;

use metric::{Note, Reason};

use super::text::{self, Text, Type};
use crate::{
    Account, Event, OutputStatus, PollStatus, SourceKind, SourceStatus, Status, StreamStatus,
};

/// One family of them.
pub(super) struct Family {
    pub(super) name: &'static str,
    kind: Type,
    help: &'static str,
    rows: fn(&Cut<'_>, &mut Row<'_>),
}

/// A status, and those of its sources that are shown one by one.
struct Cut<'a> {
    status: &'a Status,
    sources: Vec<&'a SourceStatus>,
}

/// Takes the labels and the value of one sample.
type Row<'a> = dyn FnMut(&[(&str, &str)], Number) + 'a;

enum Number {
    Count(u64),
    Seconds(f64),
}

use Number::{Count, Seconds};
use Type::{Counter, Gauge};

const fn family(
    name: &'static str,
    kind: Type,
    help: &'static str,
    rows: fn(&Cut<'_>, &mut Row<'_>),
) -> Family {
    Family { name, kind, help, rows }
}

/// All of them, in the order in which they are written.
#[rustfmt::skip] // a table
pub(super) static FAMILIES: &[Family] = &[
    family("weir_build_info", Gauge, "The version that runs, always 1.",
        |_, row| row(&[("version", env!("CARGO_PKG_VERSION"))], Count(1))),
    family("weir_start_time_seconds", Gauge, "When the process started, in unix time.",
        |cut, row| row(&[], seconds(cut.status.started))),
    family("weir_uptime_seconds", Gauge, "How long the process has run.",
        |cut, row| row(&[], seconds(cut.status.now - cut.status.started))),

    family("weir_reloads_total", Counter, "Reloads of the configuration, by what became of them.",
        |cut, row| {
            row(&[("result", "taken")], Count(cut.status.reload.taken));
            row(&[("result", "refused")], Count(cut.status.reload.refused));
        }),
    family("weir_config_last_reload_successful", Gauge, "0 if the last reload was refused, so that the file is not what holds, else 1.",
        |cut, row| row(&[], Count(cut.status.reload.refusal.is_none().into()))),
    family("weir_config_last_reload_success_timestamp_seconds", Gauge, "Since when the configuration holds that does now, in unix time.",
        |cut, row| row(&[], seconds(cut.status.reload.since))),
    family("weir_kept_queue_points", Gauge, "Points that an output left on disk which was removed since the start.",
        |cut, row| for kept in &cut.status.reload.kept_queues {
            row(&[("output", &kept.output)], Count(kept.points));
        }),
    family("weir_kept_queue_bytes", Gauge, "Bytes that an output left on disk which was removed since the start.",
        |cut, row| for kept in &cut.status.reload.kept_queues {
            row(&[("output", &kept.output)], Count(kept.bytes));
        }),

    family("weir_unclean_previous_stop", Gauge, "1 if the process before this one was killed or crashed, else 0.",
        |cut, row| row(&[], Count(cut.status.unclean_previous_stop.is_some().into()))),
    family("weir_unclean_previous_stop_from_seconds", Gauge, "From when on samples may be missing for that, in unix time; absent if it is not known.",
        |cut, row| if let Some(from) = cut.status.unclean_previous_stop.and_then(|it| it.from) {
            row(&[], seconds(from));
        }),
    family("weir_unclean_previous_stop_to_seconds", Gauge, "Until when samples may be missing for that, in unix time.",
        |cut, row| if let Some(unclean) = cut.status.unclean_previous_stop {
            row(&[], seconds(unclean.to));
        }),
    family("weir_restored_sockets", Gauge, "Sockets that were taken up from the service manager.",
        |cut, row| row(&[], Count(cut.status.restored.sockets))),
    family("weir_restored_gauges", Gauge, "Gauges whose last values were taken over from the process before.",
        |cut, row| row(&[], Count(cut.status.restored.gauges))),
    family("weir_restored_totals", Gauge, "Counters whose running totals were taken over from the process before.",
        |cut, row| row(&[], Count(cut.status.restored.totals))),
    family("weir_files_set_aside", Gauge, "Files of the process before that could not be used.",
        |cut, row| row(&[], Count(cut.status.restored.files_set_aside))),

    family("weir_received_datagrams_total", Counter, "Datagrams that came in.",
        |cut, row| total(cut, row, |it| it.counts.received.datagrams)),
    family("weir_received_bytes_total", Counter, "Bytes of the datagrams that came in.",
        |cut, row| total(cut, row, |it| it.counts.received.bytes)),
    family("weir_received_samples_total", Counter, "Samples that came in: aggregated, rejected, throttled and over the series limit together.",
        |cut, row| total(cut, row, |it| it.counts.received.samples)),
    family("weir_aggregated_samples_total", Counter, "Samples that became part of a series.",
        |cut, row| total(cut, row, |it| it.counts.aggregated)),
    family("weir_rejected_samples_total", Counter, "Samples that were refused.",
        |cut, row| reasons(&cut.status.total, &[], true, row)),
    family("weir_throttled_datagrams_total", Counter, "Datagrams that were dropped because their source sent more than its share.",
        |cut, row| total(cut, row, |it| it.counts.throttled.datagrams)),
    family("weir_throttled_bytes_total", Counter, "Bytes of the datagrams that were dropped because their source sent more than its share.",
        |cut, row| total(cut, row, |it| it.counts.throttled.bytes)),
    family("weir_throttled_samples_total", Counter, "Samples of the datagrams that were dropped because their source sent more than its share.",
        |cut, row| total(cut, row, |it| it.counts.throttled.samples)),
    family("weir_over_series_limit_samples_total", Counter, "Samples of new series that found their source at its limit of series.",
        |cut, row| total(cut, row, |it| it.counts.over_series_limit)),
    family("weir_noted_lines_total", Counter, "Lines that were kept with a remark.",
        |cut, row| notes(&cut.status.total, &[], true, row)),
    family("weir_kernel_dropped_datagrams_total", Counter, "Datagrams that the kernel dropped because a receive buffer was full.",
        |cut, row| total(cut, row, |it| it.counts.kernel_dropped)),
    family("weir_truncated_datagrams_total", Counter, "Datagrams that the kernel cut.",
        |cut, row| total(cut, row, |it| it.counts.truncated)),
    family("weir_closed_unread_datagrams_total", Counter, "Datagrams that were left in a socket when it had to be closed.",
        |cut, row| total(cut, row, |it| it.counts.closed_unread)),
    family("weir_series", Gauge, "Series that are live now.",
        |cut, row| total(cut, row, |it| it.series)),
    family("weir_waiting_points", Gauge, "Points that wait for the context of their container.",
        |cut, row| row(&[], Count(cut.status.waiting))),

    family("weir_lost_last_minute", Gauge, "What was lost of late, by kind, a relay's lines apart from points: counted from a reading that is 60 to 70 s old, or from the start.",
        |cut, row| {
            let lost = cut.status.lost_last_minute;
            row(&[("kind", "samples")], Count(lost.samples));
            row(&[("kind", "datagrams")], Count(lost.datagrams));
            row(&[("kind", "points")], Count(lost.points));
            row(&[("kind", "lines")], Count(lost.lines));
        }),
    family("weir_settings_ignored_total", Counter, "Settings of tasks, in their labels, that could not be taken.",
        |cut, row| row(&[], Count(cut.status.settings_ignored))),

    family("weir_source_received_datagrams_total", Counter, "Datagrams that came in, by source.",
        |cut, row| each(cut, row, |it| it.counts.received.datagrams)),
    family("weir_source_received_bytes_total", Counter, "Bytes of the datagrams that came in, by source.",
        |cut, row| each(cut, row, |it| it.counts.received.bytes)),
    family("weir_source_received_samples_total", Counter, "Samples that came in, by source.",
        |cut, row| each(cut, row, |it| it.counts.received.samples)),
    family("weir_source_aggregated_samples_total", Counter, "Samples that became part of a series, by source.",
        |cut, row| each(cut, row, |it| it.counts.aggregated)),
    family("weir_source_rejected_samples_total", Counter, "Samples that were refused, by source; reasons that were not met are left out.",
        |cut, row| for source in &cut.sources { reasons(&source.account, &whose(source), false, row) }),
    family("weir_source_throttled_datagrams_total", Counter, "Datagrams that were dropped because the source sent more than its share.",
        |cut, row| each(cut, row, |it| it.counts.throttled.datagrams)),
    family("weir_source_throttled_bytes_total", Counter, "Bytes of the datagrams that were dropped because the source sent more than its share.",
        |cut, row| each(cut, row, |it| it.counts.throttled.bytes)),
    family("weir_source_throttled_samples_total", Counter, "Samples of the datagrams that were dropped because the source sent more than its share.",
        |cut, row| each(cut, row, |it| it.counts.throttled.samples)),
    family("weir_source_over_series_limit_samples_total", Counter, "Samples of new series that found the source at its limit of series.",
        |cut, row| each(cut, row, |it| it.counts.over_series_limit)),
    family("weir_source_noted_lines_total", Counter, "Lines that were kept with a remark, by source; notes that were not met are left out.",
        |cut, row| for source in &cut.sources { notes(&source.account, &whose(source), false, row) }),
    family("weir_source_kernel_dropped_datagrams_total", Counter, "Datagrams that the kernel dropped because the source's receive buffer was full.",
        |cut, row| each(cut, row, |it| it.counts.kernel_dropped)),
    family("weir_source_truncated_datagrams_total", Counter, "Datagrams that the kernel cut, by source.",
        |cut, row| each(cut, row, |it| it.counts.truncated)),
    family("weir_source_closed_unread_datagrams_total", Counter, "Datagrams that were left in the source's socket when it had to be closed.",
        |cut, row| each(cut, row, |it| it.counts.closed_unread)),
    family("weir_source_series", Gauge, "Series of the source that are live now.",
        |cut, row| each(cut, row, |it| it.series)),

    family("weir_output_offered_points_total", Counter, "Points, of a relay lines, that an output was handed: acknowledged, queued and dropped together.",
        |cut, row| outputs(cut, row, |it| it.offered)),
    family("weir_output_acknowledged_points_total", Counter, "Points, of a relay lines, that the other side has.",
        |cut, row| outputs(cut, row, |it| it.acknowledged)),
    family("weir_output_queued_points", Gauge, "Points, of a relay lines, that wait to be delivered.",
        |cut, row| outputs(cut, row, |it| it.queued)),
    family("weir_output_dropped_points_total", Counter, "Points, of a relay lines, that were given up.",
        |cut, row| for output in &cut.status.outputs {
            for (reason, points) in &output.dropped {
                row(&[("output", &output.name), ("reason", reason)], Count(*points));
            }
        }),
    family("weir_removed_outputs_dropped_total", Counter, "What outputs had given up that were removed or replaced since the start, by unit.",
        |cut, row| {
            let removed = cut.status.removed_outputs_dropped;
            row(&[("unit", "points")], Count(removed.points));
            row(&[("unit", "lines")], Count(removed.lines));
        }),
    family("weir_output_retries_total", Counter, "Attempts to deliver that failed and were to be repeated.",
        |cut, row| outputs(cut, row, |it| it.retries)),
    family("weir_output_removed_files_total", Counter, "Files that were delivered, and since removed to keep a directory within its bounds.",
        |cut, row| outputs(cut, row, |it| it.removed_files)),
    family("weir_output_recovered_points_total", Counter, "Points that an earlier process had queued; they are among the offered.",
        |cut, row| outputs(cut, row, |it| it.recovered)),
    family("weir_output_resent_points_total", Counter, "Points that were sent again after a connection was lost, though acknowledged.",
        |cut, row| outputs(cut, row, |it| it.resent)),
    family("weir_output_queue_bytes", Gauge, "Bytes that wait, in memory and in the queue's files.",
        |cut, row| outputs(cut, row, |it| it.queue_bytes)),
    family("weir_output_queue_degraded", Gauge, "1 while the queue cannot be kept on disk, else 0.",
        |cut, row| outputs(cut, row, |it| it.queue_degraded.into())),
    family("weir_output_damaged_records_total", Counter, "Records of the queue that were skipped because they are damaged.",
        |cut, row| outputs(cut, row, |it| it.damaged_records)),
    family("weir_output_newer_files_total", Counter, "Files of the queue that a newer version wrote, set aside with points that are not counted.",
        |cut, row| outputs(cut, row, |it| it.newer_files)),

    family("weir_polls_total", Counter, "Looks at what is measured and at Mesos, whatever came of them.",
        |cut, row| polls(cut, row, |it| it.polls)),
    family("weir_poll_failures_total", Counter, "Looks that told nothing: refused, cut off, or not over in time.",
        |cut, row| polls(cut, row, |it| it.failures)),
    family("weir_poll_left_out_total", Counter, "What was left out of the other looks, as too much or not usable.",
        |cut, row| polls(cut, row, |it| it.left_out)),

    family("weir_stream_open_connections", Gauge, "Connections to a listener of Avro streams that are open.",
        |cut, row| streams(cut, row, |it| it.open as u64)),
    family("weir_stream_connections_total", Counter, "Connections that a listener of Avro streams took.",
        |cut, row| streams(cut, row, |it| it.connections)),
    family("weir_stream_refused_connections_total", Counter, "Connections that a listener of Avro streams refused, for too many were open.",
        |cut, row| streams(cut, row, |it| it.refused)),
    family("weir_stream_failed_connections_total", Counter, "Connections that weir ended, for a damaged or foreign stream, or one that stalled.",
        |cut, row| streams(cut, row, |it| it.failed)),

    family("weir_containers_registered", Gauge, "Containers that are registered now.",
        |cut, row| row(&[], Count(cut.status.containers.registered))),
    family("weir_containers_unbound", Gauge, "Registered containers that wait for their port.",
        |cut, row| row(&[], Count(cut.status.containers.unbound))),
    family("weir_containers_unsaved", Gauge, "Registered containers whose file is not on the disk as it should be.",
        |cut, row| row(&[], Count(cut.status.containers.unsaved))),
    family("weir_containers_saved_late_total", Counter, "Registrations and removals that were answered before they were on the disk.",
        |cut, row| row(&[], Count(cut.status.containers.saved_late))),
    family("weir_containers_files_left_total", Counter, "Files of removed containers that were left behind, because too many waited for the disk.",
        |cut, row| row(&[], Count(cut.status.containers.files_left))),
    family("weir_containers_refused_registrations_total", Counter, "Registrations that were refused.",
        |cut, row| {
            let refused = cut.status.containers.refused;
            row(&[("reason", "too_many")], Count(refused.too_many));
            row(&[("reason", "no_port")], Count(refused.no_port));
            row(&[("reason", "no_descriptor")], Count(refused.no_descriptor));
        }),

    family("weir_latest_series", Gauge, "Series whose newest value is held for /metrics and /v0.",
        |cut, row| row(&[], Count(cut.status.latest.series))),
    family("weir_latest_left_out_total", Counter, "Datapoints of series that were not held there, because there were too many.",
        |cut, row| row(&[], Count(cut.status.latest.left_out))),

    family("weir_http_connections_total", Counter, "Connections to weir's HTTP sockets.",
        |cut, row| row(&[], Count(cut.status.http.get(Event::Connection)))),
    family("weir_http_failures_total", Counter, "Connections and requests to weir's HTTP sockets that were not served.",
        |cut, row| for event in Event::FAILURES {
            row(&[("reason", event.name())], Count(cut.status.http.get(event)));
        }),

    family("weir_prometheus_scrapes_total", Counter, "Scrapes that were answered, or are being.",
        |cut, row| row(&[], Count(cut.status.prometheus.scrapes))),
    family("weir_prometheus_busy_total", Counter, "Scrapes that were turned away, because too many were under way or the status was not told.",
        |cut, row| row(&[], Count(cut.status.prometheus.busy))),
    family("weir_prometheus_samples", Gauge, "Samples of the last scrape, without weir's own.",
        |cut, row| row(&[], Count(cut.status.prometheus.samples))),
    family("weir_prometheus_refused_samples", Gauge, "Samples that were left out of the last scrape; /status.json shows some.",
        |cut, row| {
            let refused = &cut.status.prometheus.refused;
            row(&[("reason", "type_clash")], Count(refused.type_clashes));
            row(&[("reason", "collision")], Count(refused.collisions));
            row(&[("reason", "reserved")], Count(refused.reserved));
        }),
    family("weir_prometheus_refused_labels", Gauge, "Labels that were left out of the last scrape, because another of their series has the same name.",
        |cut, row| row(&[], Count(cut.status.prometheus.refused.labels))),
];

/// Whether this is the name of one of them.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with("weir_") && FAMILIES.iter().any(|family| family.name == name)
}

impl Family {
    /// Writes it; of containers one by one only if `each_container`.
    pub(super) fn write(&self, status: &Status, each_container: bool, text: &mut Text) {
        text.family(self.name, self.kind, self.help);
        let cut = Cut { status, sources: shown(status, each_container) };
        let mut labels = Vec::new();
        (self.rows)(&cut, &mut |pairs, number| {
            labels.clear();
            for (label, value) in pairs {
                text::label(label, value, &mut labels);
            }
            match number {
                Count(count) => text.count(self.name, &labels, count),
                Seconds(seconds) => text.sample(self.name, &labels, seconds),
            }
        });
    }
}

/// No two of these have the same labels: of a container that was registered again this
/// registration is shown, not an earlier one, so that a count never falls but to begin anew.
fn shown(status: &Status, each_container: bool) -> Vec<&SourceStatus> {
    let mut places = HashMap::new();
    let mut shown: Vec<&SourceStatus> = Vec::new();
    for source in &status.sources {
        match source.source {
            SourceKind::Container if !each_container => continue,
            SourceKind::Container | SourceKind::Listener => {}
        }
        let place = *places.entry(whose(source)).or_insert(shown.len());
        if place == shown.len() {
            shown.push(source);
        } else if shown[place].ended {
            shown[place] = source;
        }
    }
    shown
}

fn whose(source: &SourceStatus) -> [(&str, &str); 2] {
    [
        ("container_id", source.container_id.as_deref().unwrap_or_default()),
        ("listener", source.listener.as_deref().unwrap_or_default()),
    ]
}

fn seconds(milliseconds: i64) -> Number {
    Seconds(milliseconds as f64 / 1000.0)
}

fn total(cut: &Cut<'_>, row: &mut Row<'_>, count: fn(&Account) -> u64) {
    row(&[], Count(count(&cut.status.total)));
}

fn each(cut: &Cut<'_>, row: &mut Row<'_>, count: fn(&Account) -> u64) {
    for source in &cut.sources {
        row(&whose(source), Count(count(&source.account)));
    }
}

fn outputs(cut: &Cut<'_>, row: &mut Row<'_>, count: fn(&OutputStatus) -> u64) {
    for output in &cut.status.outputs {
        row(&[("output", &output.name)], Count(count(output)));
    }
}

fn polls(cut: &Cut<'_>, row: &mut Row<'_>, count: fn(&PollStatus) -> u64) {
    for (poll, status) in &cut.status.polls {
        row(&[("poll", poll)], Count(count(status)));
    }
}

fn streams(cut: &Cut<'_>, row: &mut Row<'_>, count: fn(&StreamStatus) -> u64) {
    for stream in &cut.status.streams {
        let listener = stream.listener.as_deref().unwrap_or_default();
        row(&[("listener", listener)], Count(count(stream)));
    }
}

fn reasons(account: &Account, whose: &[(&str, &str)], zeros: bool, row: &mut Row<'_>) {
    for reason in Reason::ALL {
        let samples = account.counts.rejected.get(reason);
        if zeros || samples > 0 {
            row(&[whose, &[("reason", reason.name())]].concat(), Count(samples));
        }
    }
}

fn notes(account: &Account, whose: &[(&str, &str)], zeros: bool, row: &mut Row<'_>) {
    for note in Note::ALL {
        let lines = account.counts.notes.get(note);
        if zeros || lines > 0 {
            row(&[whose, &[("note", note.name())]].concat(), Count(lines));
        }
    }
}

#[cfg(test)]
mod tests;
