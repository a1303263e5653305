use std::fmt;

use super::{Class, Range, Verdict};
use crate::text::{count, table};

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![
            ["class", "sent", "arrived", "refused", "lost", "unexplained"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(self.classes.iter().map(row));
        table(f, &rows)?;
        let datagrams = &self.datagrams;
        writeln!(f, "datagrams: {}", self.told_datagrams())?;
        if datagrams.truncated > 0 {
            writeln!(f, "cut by the kernel: {} datagrams", count(datagrams.truncated))?;
        }
        let samples = &self.samples;
        if let (Some(received), Some(aggregated), Some(refused)) =
            (samples.received, samples.aggregated, samples.refused)
        {
            writeln!(
                f,
                "samples: {} sent, {} read: {} aggregated, {} refused, {} throttled, {} over a \
                 limit of series; {} in datagrams that did not arrive",
                count(samples.sent),
                count(received),
                count(aggregated),
                count(refused),
                count(samples.throttled),
                count(samples.over_series_limit),
                samples.dropped,
            )?;
        }
        let series = &self.series;
        write!(
            f,
            "series: {} sent, {} right, {} short, {} wrong",
            count(series.sent),
            count(series.right),
            count(series.short),
            count(series.wrong)
        )?;
        if series.unchecked > 0 {
            write!(f, ", {} cannot be told apart", count(series.unchecked))?;
        }
        if series.others > 0 {
            write!(f, "; {} statistics are of others", count(series.others))?;
        }
        writeln!(f)?;
        let points = &self.points;
        writeln!(
            f,
            "points: {} read, {} missing, {} repeated, {} dropped by outputs",
            count(points.read),
            count(points.missing),
            count(points.repeated),
            count(points.dropped)
        )?;
        if points.dropped > 0 {
            writeln!(
                f,
                "what is lost beyond what did not arrive went with the points that were dropped"
            )?;
        }
        if self.is_good() {
            return writeln!(f, "verified: everything is accounted for");
        }
        for example in &self.examples {
            writeln!(f, "  {example}")?;
        }
        self.unexplained.iter().try_for_each(|sentence| writeln!(f, "UNEXPLAINED: {sentence}"))
    }
}

impl Verdict {
    fn told_datagrams(&self) -> String {
        let datagrams = &self.datagrams;
        let of = |count: u64, what: &str| format!("{} {what}", self::count(count));
        let mut parts = vec![of(datagrams.sent, "sent")];
        parts.extend(datagrams.received.map(|it| of(it, "received")));
        parts.extend(datagrams.kernel_dropped.map(|it| of(it, "dropped by the kernel")));
        if datagrams.closed_unread > 0 {
            parts.push(of(datagrams.closed_unread, "left in closed sockets"));
        }
        parts.join(", ")
    }
}

fn row(class: &Class) -> Vec<String> {
    vec![
        class.name.clone(),
        count(class.sent),
        class.arrived.to_string(),
        count(class.refused),
        class.lost.to_string(),
        count(class.unexplained),
    ]
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            f.write_str(&count(self.least))
        } else {
            write!(f, "{} to {}", count(self.least), count(self.most))
        }
    }
}
