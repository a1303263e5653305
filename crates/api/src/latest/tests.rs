use metric::{
    Datapoint, Dimensions, Kind, Origin, Quantiles, ReadAs, SeriesKey, Summary, UnixMillis, Value,
};
use tokio::time::advance;

use super::*;

const EXPIRY: Duration = Duration::from_secs(10);

fn latest(config: LatestConfig) -> Latest {
    Latest::new(LatestConfig { expiry: EXPIRY, ..config })
}

fn container(id: &str) -> Arc<Source> {
    Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
}

fn point(kind: Kind, name: &str, value: Value) -> Datapoint {
    Datapoint { key: SeriesKey::new(kind, name, &[]), timestamp: None, value }
}

fn gauge(name: &str, level: f64) -> Datapoint {
    point(Kind::Gauge, name, Value::Gauge(level))
}

fn counter(name: &str, sum: f64, total: f64) -> Datapoint {
    point(Kind::Counter, name, Value::Counter { sum, total })
}

fn timer(name: &str, count: f64, mean: f64) -> Datapoint {
    let summary = Summary {
        count,
        sum: count * mean,
        min: mean - 1.0,
        max: mean + 1.0,
        mean,
        stddev: 0.5,
        quantiles: [mean, mean + 1.0].into(),
    };
    point(Kind::Timer, name, Value::Summary(Box::new(summary)))
}

fn at(timestamp: i64, datapoint: Datapoint) -> Datapoint {
    Datapoint { timestamp: Some(UnixMillis::from_secs(timestamp)), ..datapoint }
}

fn batch(source: &Arc<Source>, end_ms: i64, datapoints: Vec<Datapoint>) -> Arc<Batch> {
    Arc::new(Batch {
        source: source.clone(),
        dimensions: Arc::default(),
        end_ms,
        interval_ms: 1000,
        first_seq: 0,
        quantiles: Arc::new(Quantiles::new(vec![0.5, 0.9])),
        datapoints,
    })
}

fn read(held: &Held) -> Vec<Seen> {
    let (mut place, mut seen) = (Place::default(), Vec::new());
    while held.read(&mut place, EXPIRY, &mut seen) {}
    seen
}

fn shown(latest: &Latest) -> Vec<String> {
    let all = latest.sources();
    let show = |seen: Seen| match seen.newest {
        Newest::Number(number) => format!("{}={number}@{}", seen.key.name(), seen.at),
        Newest::Summary(it) => {
            let (count, sum, min, max) = (it.count(), it.sum(), it.min(), it.max());
            let (mean, stddev, quantiles) = (it.mean(), it.stddev(), it.quantiles());
            let name = seen.key.name();
            format!("{name}={count} {sum} {min} {max} {mean} {stddev} {quantiles:?}@{}", seen.at)
        }
    };
    all.iter().flat_map(|held| read(held)).map(show).collect()
}

#[test]
fn a_series_has_its_newest_value_in_the_order_in_which_it_first_came() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    let set = |members| point(Kind::Set, "s", Value::Distinct(members));
    let first = vec![gauge("g", 5.0), timer("t", 2.0, 3.0), counter("c", 1.0, 1.0), set(7)];
    latest.take_in(&batch(&source, 10_999, first));
    latest.take_in(&batch(&source, 20_999, vec![counter("c", 2.0, 3.0), set(2)]));
    latest.take_in(&batch(&source, 30_999, vec![timer("t", 1.0, 9.0), gauge("new", 1.0)]));
    assert_eq!(
        shown(&latest),
        ["g=5@10", "t=3 15 8 10 9 0.5 [9.0, 10.0]@30", "c=3@20", "s=2@20", "new=1@30"]
    );
    assert_eq!(latest.counts(), LatestCounts { series: 5, left_out: 0 });
}

#[test]
fn a_series_is_found_whatever_comes_before_and_after_it() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    let all: Vec<_> = (0..6).map(|i| gauge(&format!("g{i}"), 0.0)).collect();
    let flush = |places: &[usize], level: f64| {
        // The very keys of the first flush, as the intake has them.
        let point = |place: &usize| Datapoint { value: Value::Gauge(level), ..all[*place].clone() };
        latest.take_in(&batch(&source, 1000, places.iter().map(point).collect()));
        shown(&latest).join(" ").replace("@1", "")
    };
    assert_eq!(flush(&[0, 1, 2, 3, 4, 5], 1.0), "g0=1 g1=1 g2=1 g3=1 g4=1 g5=1");
    assert_eq!(flush(&[0, 1, 2, 3, 4, 5], 2.0), "g0=2 g1=2 g2=2 g3=2 g4=2 g5=2");
    assert_eq!(flush(&[1, 2, 4, 5, 0], 3.0), "g0=3 g1=3 g2=3 g3=2 g4=3 g5=3");
    assert_eq!(flush(&[3, 3, 0], 4.0), "g0=4 g1=3 g2=3 g3=4 g4=3 g5=3");
    // The same series in another allocation.
    latest.take_in(&batch(&source, 1000, vec![gauge("g1", 5.0), all[2].clone()]));
    assert_eq!(flush(&[], 0.0), "g0=4 g1=5 g2=0 g3=4 g4=3 g5=3");
}

#[test]
fn a_value_with_a_time_of_its_own_does_not_replace_a_newer_one() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    let points = vec![at(9, gauge("g", 1.0)), at(8, gauge("g", 2.0)), gauge("h", 3.0)];
    latest.take_in(&batch(&source, 10_000, points));
    assert_eq!(shown(&latest), ["g=1@9", "h=3@10"]);
    // One of a time to come is of now, and the next one replaces it.
    let points = vec![at(9_999_999_999, gauge("g", 4.0)), at(-1, gauge("h", 5.0))];
    latest.take_in(&batch(&source, 20_000, points));
    assert_eq!(shown(&latest), ["g=4@20", "h=3@10"]);
    let points = vec![at(21, gauge("g", 6.0)), at(3, counter("c", 1.0, 7.0))];
    latest.take_in(&batch(&source, 30_000, points));
    // A total is a total, whenever its last share was.
    latest.take_in(&batch(&source, 40_000, vec![at(2, counter("c", 1.0, 8.0))]));
    assert_eq!(shown(&latest), ["g=6@21", "h=3@10", "c=8@3"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_seen_for_its_expiry_is_not_shown_and_then_forgotten() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    // Its own time is long ago, but weir saw it now.
    latest.take_in(&batch(&source, 10_000, vec![at(1, gauge("old", 1.0)), gauge("kept", 2.0)]));
    advance(EXPIRY).await;
    latest.take_in(&batch(&source, 20_000, vec![gauge("kept", 3.0)]));
    assert_eq!(shown(&latest), ["old=1@1", "kept=3@20"]);
    advance(Duration::from_millis(100)).await;
    assert_eq!(shown(&latest), ["kept=3@20"]);
    assert_eq!(latest.counts().series, 2);
    latest.end_flush();
    assert_eq!(latest.counts().series, 1);
    assert!(latest.sources()[0].is_live(EXPIRY));
    // It comes again, after those that were there before.
    latest.take_in(&batch(&source, 20_000, vec![gauge("old", 4.0)]));
    assert_eq!(shown(&latest), ["kept=3@20", "old=4@20"]);

    advance(EXPIRY * 2).await;
    assert!(!latest.sources()[0].is_live(EXPIRY));
    latest.end_flush();
    assert!(latest.sources().is_empty());
    assert_eq!(latest.counts().series, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_measured_is_never_missing_between_two_polls() {
    let polls = Polls { node: EXPIRY * 2, ..Polls::default() };
    let latest = latest(LatestConfig { polls, ..LatestConfig::default() });
    let node = Source::new(Origin::Node, ReadAs::default());
    for source in [&node, &container("a")] {
        latest.take_in(&batch(source, 10_000, vec![gauge("g", 1.0)]));
    }
    advance(EXPIRY * 4).await;
    latest.end_flush();
    assert_eq!((shown(&latest), latest.counts().series), (vec!["g=1@10".to_owned()], 1));
    let held = &latest.sources()[0];
    assert!(held.is_live(EXPIRY) && held.has(&gauge("g", 1.0).key, EXPIRY));
    advance(Duration::from_secs(1)).await;
    latest.end_flush();
    assert!(latest.sources().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_value_after_the_expiry_is_the_newest_whatever_its_time() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    let points = vec![gauge("g", 1.0), gauge("1", 0.0), gauge("2", 0.0), gauge("3", 0.0)];
    latest.take_in(&batch(&source, 100_000, points));
    advance(EXPIRY).await;
    let points = vec![gauge("1", 0.0), gauge("2", 0.0), gauge("3", 0.0), gauge("4", 0.0)];
    latest.take_in(&batch(&source, 110_000, points));
    advance(Duration::from_secs(1)).await;
    latest.end_flush();
    assert_eq!(latest.counts().series, 5, "one of five is not looked for the others' places");
    latest.take_in(&batch(&source, 111_000, vec![at(5, gauge("g", 9.0))]));
    assert_eq!(shown(&latest)[0], "g=9@5");
}

#[tokio::test(start_paused = true)]
async fn after_the_wall_clock_stepped_back_values_are_the_newest_again_within_the_expiry() {
    let latest = latest(LatestConfig::default());
    let resources = Origin::Resources { container_id: "a".into() };
    let (source, measured) = (container("a"), Source::new(resources, ReadAs::default()));
    let say = |timestamp: i64, level: f64| {
        for source in [&source, &measured] {
            let points = vec![at(timestamp, gauge("g", level))];
            // The ends of intervals do not step back.
            latest.take_in(&batch(source, 5_000_000, points));
        }
    };
    say(5_000, 1.0);
    advance(EXPIRY).await;
    say(1_000, 2.0);
    assert_eq!(shown(&latest), ["g=1@5000", "g=2@1000"]);
    advance(Duration::from_millis(100)).await;
    say(1_001, 3.0);
    assert_eq!(shown(&latest), ["g=3@1001", "g=3@1001"]);
}

#[tokio::test(start_paused = true)]
async fn the_running_totals_of_a_distribution_outlive_it_for_their_own_expiry() {
    let total_expiry = Duration::from_mins(1);
    let latest = latest(LatestConfig { total_expiry, ..LatestConfig::default() });
    let source = container("a");
    latest.take_in(&batch(&source, 10_000, vec![timer("t", 2.0, 3.0)]));
    for (pause, expected) in [(50, "t=3 9 2 4 3 0.5"), (59, "t=4 12 2"), (60, "t=1 3 2 4 3 0.5")] {
        advance(Duration::from_secs(pause)).await;
        latest.end_flush();
        assert_eq!(latest.counts().series, 0);
        assert_eq!(shown(&latest), [""; 0]);
        latest.take_in(&batch(&source, 10_000, vec![timer("t", 1.0, 3.0)]));
        assert!(shown(&latest)[0].starts_with(expected), "{:?}", shown(&latest));
    }
}

#[tokio::test(start_paused = true)]
async fn an_ended_source_is_forgotten_at_once_or_after_it_was_told_once_more() {
    for keeps_ended in [false, true] {
        let latest = latest(LatestConfig { keeps_ended, ..LatestConfig::default() });
        let (a, b) = (container("a"), container("b"));
        latest.take_in(&batch(&a, 10_000, vec![gauge("a", 1.0), timer("t", 1.0, 1.0)]));
        latest.take_in(&batch(&b, 10_000, vec![gauge("b", 1.0)]));
        latest.source_ended(&a);
        let held = latest.of_container("a").remove(0);
        assert!(held.has_ended());
        assert_eq!(held.was_told_last(), !keeps_ended);
        latest.end_flush();
        assert_eq!(latest.counts().series, if keeps_ended { 3 } else { 1 });
        for held in latest.sources() {
            held.tell_last();
        }
        advance(Duration::from_secs(1)).await;
        latest.end_flush();
        assert_eq!(latest.counts().series, 1, "b has not ended");
        assert!(latest.of_container("a").is_empty());
        // Nobody need tell it.
        latest.source_ended(&b);
        advance(EXPIRY * 2).await;
        latest.end_flush();
        assert!(latest.sources().is_empty());
    }
}

#[test]
fn a_source_that_speaks_after_its_end_has_not_ended() {
    let latest = latest(LatestConfig::default());
    let source = container("a");
    latest.take_in(&batch(&source, 10_000, vec![gauge("g", 1.0)]));
    latest.source_ended(&source);
    latest.take_in(&batch(&source, 10_000, vec![gauge("h", 1.0)]));
    latest.end_flush();
    assert!(!latest.sources()[0].has_ended());
    assert_eq!(shown(&latest), ["g=1@10", "h=1@10"]);
}

#[test]
fn sources_come_by_container_and_then_in_the_order_of_their_first_word() {
    let latest = latest(LatestConfig::default());
    let listener = Source::new(Origin::Listener { listener: "l".into() }, ReadAs::default());
    let sources = [container("b"), container("ab"), container("b"), listener, container("a")];
    for (i, source) in sources.iter().enumerate() {
        latest.take_in(&batch(source, 1000, vec![gauge(&format!("g{i}"), 0.0)]));
    }
    assert_eq!(shown(&latest), ["g3=0@1", "g4=0@1", "g1=0@1", "g0=0@1", "g2=0@1"]);
    let of = |id| latest.of_container(id).len();
    assert_eq!([of("a"), of("b"), of("ab"), of("")], [1, 2, 1, 0]);
}

#[test]
fn no_more_series_are_held_than_may_be_and_the_rest_is_counted() {
    let latest = latest(LatestConfig { most_series: 2, ..LatestConfig::default() });
    let (a, b) = (container("a"), container("b"));
    latest.take_in(&batch(&a, 1000, vec![gauge("1", 1.0)]));
    latest.take_in(&batch(&b, 1000, vec![gauge("2", 2.0), gauge("3", 3.0)]));
    latest.take_in(&batch(&b, 2000, vec![gauge("2", 4.0), gauge("3", 5.0)]));
    assert_eq!(shown(&latest), ["1=1@1", "2=4@2"]);
    assert_eq!(latest.counts(), LatestCounts { series: 2, left_out: 2 });
}

#[test]
fn a_reader_has_every_series_once_though_others_come_and_go_meanwhile() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    let names = |range: std::ops::Range<usize>| range.map(|i| gauge(&format!("{i:04}"), 0.0));
    latest.take_in(&batch(&source, 1000, names(0..1000).collect()));
    let held = latest.sources().remove(0);
    let (mut place, mut seen) = (Place::default(), Vec::new());
    assert!(held.read(&mut place, EXPIRY, &mut seen));
    assert!(seen.len() < 500, "a piece is bounded");
    latest.take_in(&batch(&source, 1000, names(1000..1100).collect()));
    while held.read(&mut place, EXPIRY, &mut seen) {}
    let seen: Vec<_> = seen.iter().map(|seen| seen.key.name().to_owned()).collect();
    assert_eq!(seen, (0..1100).map(|i| format!("{i:04}")).collect::<Vec<_>>());
}

#[test]
fn other_quantiles_begin_with_the_next_interval() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    latest.take_in(&batch(&source, 1000, vec![timer("t", 1.0, 3.0)]));
    let mut other = (*batch(&source, 2000, vec![gauge("g", 1.0)])).clone();
    other.quantiles = Arc::new(Quantiles::new(vec![0.99]));
    latest.take_in(&Arc::new(other.clone()));
    assert_eq!(shown(&latest)[0], "t=1 3 2 4 3 0.5 []@1");
    other.datapoints = vec![timer("t", 1.0, 3.0)];
    let Value::Summary(summary) = &mut other.datapoints[0].value else { unreachable!() };
    summary.quantiles = [8.0].into();
    latest.take_in(&Arc::new(other));
    assert_eq!(shown(&latest)[0], "t=2 6 2 4 3 0.5 [8.0]@2");
}

#[test]
fn who_a_source_is_is_what_its_last_batch_said() {
    let (latest, source) = (latest(LatestConfig::default()), container("a"));
    latest.take_in(&batch(&source, 1000, vec![gauge("g", 1.0)]));
    let mut known = (*batch(&source, 2000, vec![gauge("g", 1.0)])).clone();
    let task_name = "cart".to_owned();
    known.dimensions = Arc::new(Dimensions { task_name, ..Dimensions::default() });
    latest.take_in(&Arc::new(known));
    assert_eq!(latest.sources()[0].dimensions().task_name, "cart");
}
