use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metric::Kind;

use super::record::{FlatPoint, List};

/// What the names of marks begin with: a counter that is sent behind everything else, so that all
/// before it is there when it is.
pub(crate) const MARK: &str = "weir_replay_mark_";

/// All that was shipped since the last beginning.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By [`Spelling`].
    pub(crate) numbers: HashMap<Box<[u8]>, Numbers>,
    /// What the gauges were before the beginning.
    pub(crate) levels: HashMap<Box<[u8]>, f64>,
    /// By name.
    pub(crate) marks: HashMap<String, Mark>,
    /// By the end of their interval, in unix milliseconds.
    pub(crate) flushes: BTreeMap<i64, Flushed>,
    /// Points that were read.
    pub(crate) points: u64,
    /// Numbers that were left out of the points' own numbering, and those that came again.
    pub(crate) missing: u64,
    pub(crate) repeated: u64,
    pub(crate) form: Option<Form>,
    /// Why something could not be read.
    pub(crate) problem: Option<String>,
    /// The last beginning, in unix milliseconds: intervals that ended before are not looked at.
    since_ms: i64,
    next: HashMap<String, i64>,
    last_block: Option<Instant>,
}

/// The schema that points come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `weir.v1.MetricPoint`.
    Points,
    /// `dcos.metrics.MetricList`, which has neither kinds nor numbers of points.
    Lists,
}

/// What came of one statistic of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) last: f64,
    /// Which number of all it was that came last.
    pub(crate) at: u64,
}

impl Numbers {
    /// What came under another spelling too.
    pub(crate) fn join(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        if other.at > self.at {
            (self.last, self.at) = (other.last, other.at);
        }
    }
}

/// A mark that came, and with it what is known of its source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    /// Whose it is; empty for a shared listener.
    pub(crate) container: String,
    /// The keys of the tags that are not the client's.
    pub(crate) source_tags: Vec<String>,
    /// The greatest sum that came of it.
    pub(crate) most: f64,
}

/// When a flush came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flushed {
    /// `None`: they were not counted.
    pub(crate) points: Option<u64>,
    /// From the end of the interval until the last of it was there to be read.
    pub(crate) latency: Duration,
}

/// Which statistic a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stat {
    /// A gauge's level, or anything in a list.
    Value,
    Count,
    Sum,
    Min,
    Max,
}

/// How a series' statistic is spelled in what is shipped, as bytes. No text holds the separators,
/// which are no UTF-8.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling<'a> {
    /// Of a list it is not known.
    pub(crate) kind: Option<Kind>,
    pub(crate) stat: Stat,
    /// Empty for a shared listener.
    pub(crate) container: &'a str,
    pub(crate) name: &'a str,
    /// The client's own time, where it makes another series of it.
    pub(crate) time: Option<i64>,
}

const PART: u8 = 0xff;
const PAIR: u8 = 0xfe;

impl Spelling<'_> {
    /// With these tags, in this order.
    pub(crate) fn with<K: AsRef<str>, V: AsRef<str>>(
        self,
        tags: impl Iterator<Item = (K, V)>,
    ) -> Box<[u8]> {
        let kind = self.kind.map_or(Kind::ALL.len() as u8, |kind| kind as u8);
        let mut bytes = vec![kind, self.stat as u8];
        bytes.extend_from_slice(self.container.as_bytes());
        bytes.push(PART);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.push(PART);
        bytes.extend_from_slice(self.time.map(|it| it.to_string()).unwrap_or_default().as_bytes());
        for (key, value) in tags {
            bytes.push(PART);
            bytes.extend_from_slice(key.as_ref().as_bytes());
            bytes.push(PAIR);
            bytes.extend_from_slice(value.as_ref().as_bytes());
        }
        bytes.into()
    }

    /// The same without the tags of these keys.
    pub(crate) fn without(spelled: &[u8], keys: &[String]) -> Box<[u8]> {
        let mut parts = spelled[2..].split(|byte| *byte == PART);
        let mut kept = spelled[..2].to_vec();
        for part in parts.by_ref().take(3) {
            kept.extend_from_slice(part);
            kept.push(PART);
        }
        for tag in parts {
            let key = tag.split(|byte| *byte == PAIR).next().unwrap_or_default();
            if !keys.iter().any(|taken| taken.as_bytes() == key) {
                kept.extend_from_slice(tag);
                kept.push(PART);
            }
        }
        kept.pop();
        kept.into()
    }

    /// Whose it is.
    pub(crate) fn container(spelled: &[u8]) -> String {
        Self::part(spelled, 0)
    }

    /// The name of what is spelled, for people and to tell statistics of lists.
    pub(crate) fn name(spelled: &[u8]) -> String {
        Self::part(spelled, 1)
    }

    fn part(spelled: &[u8], place: usize) -> String {
        let part = spelled[2..].split(|byte| *byte == PART).nth(place).unwrap_or_default();
        String::from_utf8_lossy(part).into_owned()
    }
}

impl Seen {
    /// Forgets what came until now, but for the levels of gauges and for how far points are
    /// numbered: what is told from now on is of the run.
    pub(crate) fn begin(&mut self) {
        let gauges = self.numbers.drain().filter(|(spelled, _)| {
            // In a list anything may be a gauge.
            spelled[1] == Stat::Value as u8
        });
        self.levels = gauges.map(|(spelled, numbers)| (spelled, numbers.last)).collect();
        self.flushes.clear();
        self.since_ms = unix_ms(SystemTime::now());
        (self.points, self.missing, self.repeated) = (0, 0, 0);
    }

    /// Since when nothing came; `None` if nothing ever did.
    pub(crate) fn quiet(&self) -> Option<Duration> {
        self.last_block.map(|at| at.elapsed())
    }

    /// The end of the latest interval of which something came, in unix milliseconds.
    pub(crate) fn last_flush(&self) -> Option<i64> {
        self.flushes.keys().next_back().copied()
    }

    /// How many flushes came of later intervals.
    pub(crate) fn flushes_after(&self, end_ms: Option<i64>) -> usize {
        let from = end_ms.map_or(i64::MIN, |end_ms| end_ms.saturating_add(1));
        self.flushes.range(from..).count()
    }

    pub(super) fn end_block(&mut self) {
        self.last_block = Some(Instant::now());
    }

    pub(super) fn take_point(&mut self, point: &FlatPoint, arrived: SystemTime, whole: bool) {
        self.form = Some(Form::Points);
        if point.interval_ms > 0 {
            self.time(point.ts, arrived, whole.then_some(1));
        }
        if !whole {
            return;
        }
        self.points += 1;
        self.number(&point.boot_id, point.seq);
        if point.name.starts_with(MARK) {
            let source_tags = point.tags.keys().cloned().collect();
            let container = point.container_id.clone();
            let mark = Mark { container, source_tags, most: point.value };
            return self.mark(&point.name, mark);
        }
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == point.kind) else {
            return;
        };
        let stat = match point.stat.as_str() {
            "value" => Stat::Value,
            "count" => Stat::Count,
            "sum" => Stat::Sum,
            "min" => Stat::Min,
            "max" => Stat::Max,
            // What else is told of a summary follows from the rest, or is an estimate.
            _ => return,
        };
        let has_own_time = kind == Kind::Gauge && point.interval_ms == 0;
        let spelling = Spelling {
            kind: Some(kind),
            stat,
            container: &point.container_id,
            name: &point.name,
            time: has_own_time.then_some(point.ts / 1000),
        };
        self.add(spelling.with(point.tags.iter()), point.value);
    }

    pub(super) fn take_list(&mut self, list: &List, arrived: SystemTime, whole: bool) {
        self.form = Some(Form::Lists);
        if let Some(first) = list.datapoints.first() {
            self.time(first.time_ms, arrived, whole.then_some(list.datapoints.len() as u64));
        }
        if !whole {
            return;
        }
        let container = list.tags.iter().find(|tag| tag.key == "container_id");
        let container = container.map_or("", |tag| tag.value.as_str());
        for point in &list.datapoints {
            self.points += 1;
            if point.name.starts_with(MARK) {
                let source_tags = list.tags.iter().map(|tag| tag.key.clone()).collect();
                let container = container.to_owned();
                self.mark(&point.name, Mark { container, source_tags, most: point.value });
                continue;
            }
            let spelling = Spelling {
                kind: None,
                stat: Stat::Value,
                container,
                name: &point.name,
                time: None,
            };
            let tags = list.tags.iter().map(|tag| (&tag.key, &tag.value));
            self.add(spelling.with(tags), point.value);
        }
    }

    fn add(&mut self, spelled: Box<[u8]>, value: f64) {
        let one = Numbers {
            count: 1,
            sum: value,
            least: value,
            most: value,
            last: value,
            at: self.points,
        };
        self.numbers.entry(spelled).and_modify(|numbers| numbers.join(one)).or_insert(one);
    }

    /// A mark, of which more may be known than when it came last.
    fn mark(&mut self, name: &str, mut mark: Mark) {
        mark.most = self.marks.get(name).map_or(mark.most, |known| known.most.max(mark.most));
        self.marks.insert(name.to_owned(), mark);
    }

    /// A point's number, which follows the one before it.
    fn number(&mut self, boot_id: &str, seq: i64) {
        let next = seq.saturating_add(1);
        let Some(expected) = self.next.get_mut(boot_id) else {
            self.next.insert(boot_id.to_owned(), next);
            return;
        };
        match seq.saturating_sub(std::mem::replace(expected, next)) {
            0 => {}
            gap if gap > 0 => self.missing += gap.unsigned_abs(),
            back => self.repeated += back.unsigned_abs(),
        }
    }

    fn time(&mut self, end_ms: i64, arrived: SystemTime, points: Option<u64>) {
        if end_ms < self.since_ms {
            return;
        }
        let latency = unix_ms(arrived).saturating_sub(end_ms).max(0).unsigned_abs();
        let latency = Duration::from_millis(latency);
        let flush = self.flushes.entry(end_ms).or_insert(Flushed { points: None, latency });
        if let Some(points) = points {
            *flush.points.get_or_insert(0) += points;
        }
        flush.latency = latency;
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn point(name: &str, kind: &str, stat: &str, value: f64, seq: i64) -> FlatPoint {
        FlatPoint {
            ts: 1_700_000_000_000,
            interval_ms: 10_000,
            name: name.to_owned(),
            kind: kind.to_owned(),
            stat: stat.to_owned(),
            value,
            container_id: "c1".to_owned(),
            tags: [("label", "x"), ("t", "y")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            boot_id: "00".to_owned(),
            seq,
        }
    }

    fn spelled(kind: Kind, stat: Stat, name: &str, tags: &[(&str, &str)]) -> Box<[u8]> {
        let spelling = Spelling { kind: Some(kind), stat, container: "c1", name, time: None };
        spelling.with(tags.iter().copied())
    }

    #[test]
    fn numbers_add_up_by_series_and_statistic() {
        let mut seen = Seen::default();
        seen.take_point(&point("a", "counter", "sum", 2.0, 0), NOW, true);
        seen.take_point(&point("a", "counter", "sum", 5.0, 1), NOW, true);
        seen.take_point(&point("a", "timer", "p99", 5.0, 2), NOW, true);
        let key = spelled(Kind::Counter, Stat::Sum, "a", &[("label", "x"), ("t", "y")]);
        let numbers = Numbers { count: 2, sum: 7.0, least: 2.0, most: 5.0, last: 5.0, at: 2 };
        assert_eq!(seen.numbers, [(key.clone(), numbers)].into());
        let bare = spelled(Kind::Counter, Stat::Sum, "a", &[("t", "y")]);
        assert_eq!(Spelling::without(&key, &["label".to_owned()]), bare);
        assert_eq!(Spelling::without(&key, &[]), key);
        assert_eq!((Spelling::container(&key), Spelling::name(&key)), ("c1".into(), "a".into()));
        assert_eq!((seen.points, seen.missing, seen.repeated), (3, 0, 0));
    }

    #[test]
    fn a_list_and_a_mark_are_read_with_what_is_known_of_their_source() {
        use super::super::record::{Datapoint, Tag};
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        let datapoint = |name: &str| Datapoint { name: name.to_owned(), time_ms: 1, value: 3.0 };
        let list = List {
            tags: vec![tag("container_id", "c1"), tag("team", "x")],
            datapoints: vec![datapoint("a.lower"), datapoint("weir_replay_mark_1")],
        };
        let mut seen = Seen::default();
        seen.take_list(&list, NOW, true);
        let spelling = Spelling {
            kind: None,
            stat: Stat::Value,
            container: "c1",
            name: "a.lower",
            time: None,
        };
        let key = spelling.with([("container_id", "c1"), ("team", "x")].into_iter());
        assert_eq!(seen.numbers.keys().collect::<Vec<_>>(), [&key]);
        let mark = &seen.marks["weir_replay_mark_1"];
        assert_eq!(mark.source_tags, ["container_id", "team"]);
        assert_eq!((mark.container.as_str(), mark.most), ("c1", 3.0));
        assert_eq!(seen.form, Some(Form::Lists));
    }

    #[test]
    fn numbers_that_are_left_out_or_come_again_are_counted() {
        let mut seen = Seen::default();
        for seq in [5, 6, 9, 8] {
            seen.take_point(&point("a", "gauge", "value", seq as f64, seq), NOW, true);
        }
        assert_eq!((seen.missing, seen.repeated), (2, 2));
    }

    #[test]
    fn a_beginning_forgets_all_but_the_levels_of_gauges() {
        let mut seen = Seen::default();
        seen.take_point(&point("a", "counter", "sum", 2.0, 0), NOW, true);
        seen.take_point(&point("g", "gauge", "value", 4.0, 1), NOW, true);
        seen.begin();
        let key = spelled(Kind::Gauge, Stat::Value, "g", &[("label", "x"), ("t", "y")]);
        assert_eq!(seen.levels, [(key, 4.0)].into());
        assert!(seen.numbers.is_empty() && seen.flushes.is_empty());
        seen.take_point(&point("g", "gauge", "value", 4.0, 2), NOW, true);
        assert_eq!((seen.points, seen.missing), (1, 0));
    }

    #[test]
    fn a_flush_is_timed_by_its_last_block_and_only_if_it_is_of_the_run() {
        let mut seen = Seen::default();
        let after = |ms: u64| UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + ms);
        for (ms, whole) in [(20, true), (70, true)] {
            seen.take_point(&point("a", "counter", "sum", 2.0, 0), after(ms), whole);
        }
        let flushed = |points, ms| Flushed { points, latency: Duration::from_millis(ms) };
        assert_eq!(seen.flushes, [(1_700_000_000_000, flushed(Some(2), 70))].into());
        assert_eq!((seen.flushes_after(None), seen.flushes_after(seen.last_flush())), (1, 0));
        seen.flushes.clear();
        seen.take_point(&point("a", "counter", "sum", 2.0, 0), after(20), false);
        assert_eq!(seen.flushes, [(1_700_000_000_000, flushed(None, 20))].into());
        seen.begin();
        seen.take_point(&point("a", "counter", "sum", 2.0, 1), SystemTime::now(), true);
        assert_eq!(seen.flushes, [].into());
    }
}
