use std::fmt::{self, Write as _};

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
        self.sentences().iter().try_for_each(|(what, text)| writeln!(f, "{what}: {text}"))?;
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
    /// What became of all classes together, each sentence with what it is about.
    pub(crate) fn sentences(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("datagrams", self.told_datagrams())];
        let truncated = self.datagrams.truncated;
        if truncated > 0 {
            all.push(("cut by the kernel", format!("{} datagrams", count(truncated))));
        }
        all.extend(self.told_samples().map(|told| ("samples", told)));
        all.push(("series", self.told_series()));
        let points = &self.points;
        all.push((
            "points",
            format!(
                "{} read, {} missing, {} repeated, {} dropped by outputs",
                count(points.read),
                count(points.missing),
                count(points.repeated),
                count(points.dropped)
            ),
        ));
        if points.dropped > 0 {
            let text = "went with the points that were dropped";
            all.push(("what is lost beyond what did not arrive", text.to_owned()));
        }
        all
    }

    fn told_samples(&self) -> Option<String> {
        let samples = &self.samples;
        let by_rule = match samples.dropped_by_rule {
            0 => String::new(),
            dropped => format!(" ({} by a rule)", count(dropped)),
        };
        Some(format!(
            "{} sent, {} read: {} aggregated, {} refused{by_rule}, {} throttled, {} over a limit \
             of series; {} in datagrams that did not arrive",
            count(samples.sent),
            count(samples.received?),
            count(samples.aggregated?),
            count(samples.refused?),
            count(samples.throttled),
            count(samples.over_series_limit),
            samples.dropped,
        ))
    }

    fn told_series(&self) -> String {
        let series = &self.series;
        let mut told = format!(
            "{} sent, {} right, {} short, {} wrong",
            count(series.sent),
            count(series.right),
            count(series.short),
            count(series.wrong)
        );
        if series.unchecked > 0 {
            let _ = write!(told, ", {} cannot be told apart", count(series.unchecked));
        }
        if series.others > 0 {
            let _ = write!(told, "; {} statistics are of others", count(series.others));
        }
        told
    }

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
