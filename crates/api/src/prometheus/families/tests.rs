use std::time::Duration;

use metric::{Dimensions, Kind};

use super::*;
use crate::prometheus::Clash;
use crate::prometheus::tests::{container, latest, listener, point, say, say_as, valued};

const EXPIRY: Duration = Duration::from_mins(2);

fn of(latest: &Latest, suffix: &str) -> (Families, Refusals) {
    let mut refusals = Refusals::default();
    let config = PrometheusConfig { counter_suffix: suffix.into(), ..PrometheusConfig::default() };
    (Families::of(latest, &config, &mut refusals), refusals)
}

fn written(families: &Families) -> String {
    let (mut text, mut progress) = (Text::default(), Progress::default());
    while families.write_some(&mut progress, &mut text) {}
    String::from_utf8(text.into_bytes()).unwrap()
}

/// The text without its heads, and what was refused.
fn samples(latest: &Latest) -> (Vec<String>, Refusals) {
    let (families, refusals) = of(latest, "");
    let text = written(&families);
    let samples: Vec<_> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    assert_eq!(samples.len() as u64, families.samples());
    (samples, refusals)
}

fn clash(name: &str, kept: &str, refused: &str) -> Clash {
    Clash { name: name.into(), kept: kept.into(), refused: refused.into() }
}

#[test]
fn every_kind_has_the_names_and_types_of_dcos() {
    let latest = latest();
    let all = Kind::ALL.map(|kind| point(kind, &format!("my.{kind}"), &[("page", "home")]));
    say(&latest, &container("c1"), all.into());
    let (families, refusals) = of(&latest, "");
    let expected = r#"# HELP my_counter counter my.counter
# TYPE my_counter counter
my_counter{container_id="c1",metric_type="counter",page="home"} 1
# HELP my_distribution distribution my.distribution
# TYPE my_distribution untyped
my_distribution{container_id="c1",metric_type="distribution",page="home",quantile="0.99"} 2.99
# HELP my_distribution_count distribution my.distribution
# TYPE my_distribution_count untyped
my_distribution_count{container_id="c1",metric_type="distribution",page="home"} 2
# HELP my_distribution_sum distribution my.distribution
# TYPE my_distribution_sum untyped
my_distribution_sum{container_id="c1",metric_type="distribution",page="home"} 4
# HELP my_distribution_lower distribution my.distribution
# TYPE my_distribution_lower untyped
my_distribution_lower{container_id="c1",metric_type="distribution",page="home"} 1
# HELP my_distribution_upper distribution my.distribution
# TYPE my_distribution_upper untyped
my_distribution_upper{container_id="c1",metric_type="distribution",page="home"} 3
# HELP my_distribution_mean distribution my.distribution
# TYPE my_distribution_mean untyped
my_distribution_mean{container_id="c1",metric_type="distribution",page="home"} 2
# HELP my_distribution_stddev distribution my.distribution
# TYPE my_distribution_stddev untyped
my_distribution_stddev{container_id="c1",metric_type="distribution",page="home"} 1
# HELP my_gauge gauge my.gauge
# TYPE my_gauge gauge
my_gauge{container_id="c1",metric_type="gauge",page="home"} 1
"#;
    let text = written(&families);
    assert!(text.starts_with(expected), "{text}");
    let set =
        "# TYPE my_set untyped\nmy_set{container_id=\"c1\",metric_type=\"set\",page=\"home\"} 1\n";
    assert!(text.contains(set), "{text}");
    let timer = "my_timer_upper{container_id=\"c1\",metric_type=\"timing\",page=\"home\"} 3\n";
    assert!(text.contains(timer), "{text}");
    assert_eq!(refusals, Refusals::default());
    assert_eq!(families.samples(), 3 + 3 * 7);
}

#[test]
fn what_is_measured_is_untyped_and_told_apart_from_what_clients_say() {
    let latest = latest();
    let resources = metric::Origin::Resources { container_id: "c1".into() };
    let resources = metric::Source::new(resources, metric::ReadAs::default());
    say(&latest, &resources, vec![point(Kind::Gauge, "cpus.limit", &[])]);
    say(&latest, &container("c1"), vec![point(Kind::Set, "cpus.limit", &[])]);
    let text = written(&of(&latest, "_total").0);
    let expected = "# HELP cpus_limit set cpus.limit\n# TYPE cpus_limit untyped\n\
                    cpus_limit{container_id=\"c1\",metric_type=\"set\"} 1\n\
                    cpus_limit{container_id=\"c1\"} 1\n";
    assert_eq!(text, expected);
}

#[test]
fn the_series_of_a_family_stand_together_whoever_said_them() {
    let latest = latest();
    for source in [container("b"), listener(), container("a")] {
        let points = [("x", "1"), ("x", "2")].map(|tag| point(Kind::Gauge, "b", &[tag]));
        say(&latest, &source, points.into());
        say(&latest, &source, vec![point(Kind::Gauge, "a", &[]), point(Kind::Gauge, "c", &[])]);
    }
    let (samples, refusals) = samples(&latest);
    let names: String = samples.iter().map(|sample| &sample[..1]).collect();
    assert_eq!(names, "aaabbbbbbccc");
    assert_eq!(samples[0], r#"a{metric_type="gauge"} 1"#);
    assert_eq!(samples[1], r#"a{container_id="a",metric_type="gauge"} 1"#);
    assert_eq!(samples[8], r#"b{container_id="b",metric_type="gauge",x="2"} 1"#);
    assert_eq!(refusals, Refusals::default());
}

#[test]
fn of_two_types_of_one_name_that_of_the_older_series_stays() {
    let latest = latest();
    let (a, b) = (container("a"), container("b"));
    say(&latest, &b, vec![point(Kind::Gauge, "n.x", &[])]);
    say(&latest, &a, vec![point(Kind::Counter, "n_x", &[]), point(Kind::Gauge, "n/x", &[])]);
    // A timer's own name and its count's, which are untyped.
    say(&latest, &b, vec![point(Kind::Timer, "t", &[]), point(Kind::Set, "t", &[])]);
    say(&latest, &a, vec![point(Kind::Gauge, "t_count", &[]), point(Kind::Set, "t_sum", &[])]);
    for _ in 0..2 {
        let (samples, refusals) = samples(&latest);
        let expected = [
            r#"n_x{container_id="a",metric_type="gauge"} 1"#,
            r#"n_x{container_id="b",metric_type="gauge"} 1"#,
            r#"t{container_id="b",metric_type="set"} 1"#,
            r#"t{container_id="b",metric_type="timing",quantile="0.99"} 2.99"#,
            r#"t_count{container_id="b",metric_type="timing"} 2"#,
            r#"t_sum{container_id="b",metric_type="timing"} 4"#,
            r#"t_sum{container_id="a",metric_type="set"} 1"#,
            r#"t_lower{container_id="b",metric_type="timing"} 1"#,
            r#"t_upper{container_id="b",metric_type="timing"} 3"#,
            r#"t_mean{container_id="b",metric_type="timing"} 2"#,
            r#"t_stddev{container_id="b",metric_type="timing"} 1"#,
        ];
        assert_eq!(samples, expected);
        assert_eq!(refusals.type_clashes, 2);
        let examples = [
            clash("n_x", "gauge n.x", "counter n_x"),
            clash("t_count", "timer t", "gauge t_count"),
        ];
        assert_eq!(refusals.examples, examples);
    }
}

#[test]
fn of_two_series_with_one_name_and_the_same_labels_the_older_stays() {
    let latest = latest();
    let (a, other) = (listener(), listener());
    say(&latest, &a, vec![valued(Kind::Gauge, "a_b", &[("x.y", "1")], 1.0)]);
    let later = [("a.b", "x.y"), ("a.b", "x_y"), ("a_b", "x_y")];
    say(&latest, &a, later.map(|(name, tag)| valued(Kind::Gauge, name, &[(tag, "1")], 2.0)).into());
    // An empty label is none to Prometheus.
    say(&latest, &a, vec![valued(Kind::Timer, "t", &[("x", "")], 1.0)]);
    say(&latest, &other, vec![valued(Kind::Timer, "t", &[], 5.0)]);
    let (samples, refusals) = samples(&latest);
    assert_eq!(samples[0], r#"a_b{metric_type="gauge",x_y="1"} 1"#);
    assert_eq!(samples[2], r#"t_count{metric_type="timing"} 2"#);
    assert_eq!(samples.len(), 1 + 7);
    assert_eq!((refusals.collisions, refusals.type_clashes), (3 + 7, 0));
    assert_eq!(refusals.examples.len(), 4);
    assert!(refusals.examples.contains(&clash("a_b", "gauge a_b", "gauge a.b")));
    assert!(refusals.examples.contains(&clash("t", "timer t", "timer t")));
}

#[test]
fn weirs_own_names_are_not_given_away() {
    let latest = latest();
    let points = ["weir.series", "weir_other"].map(|name| point(Kind::Gauge, name, &[]));
    say(&latest, &container("a"), points.into());
    let (samples, refusals) = samples(&latest);
    assert_eq!(samples, [r#"weir_other{container_id="a",metric_type="gauge"} 1"#]);
    assert_eq!(refusals.reserved, 1);
    assert_eq!(refusals.examples, [clash("weir_series", "weir's own", "gauge weir.series")]);
}

#[test]
fn a_suffix_is_given_to_counters_that_have_it_not() {
    let latest = latest();
    let points = ["a", "b.total", "a_total"].map(|name| point(Kind::Counter, name, &[]));
    say(&latest, &listener(), points.into());
    say(
        &latest,
        &listener(),
        vec![point(Kind::Gauge, "a.total", &[]), point(Kind::Gauge, "a", &[])],
    );
    let (families, refusals) = of(&latest, "_total");
    let text = written(&families);
    let expected = "a_total{metric_type=\"counter\"} 1\n";
    assert!(text.contains(expected) && text.contains("\nb_total{"), "{text}");
    assert!(text.contains("\na{metric_type=\"gauge\"} 1\n"), "{text}");
    assert_eq!((refusals.type_clashes, refusals.collisions), (1, 1));
    let examples = [
        clash("a_total", "counter a", "counter a_total"),
        clash("a_total", "counter a", "gauge a.total"),
    ];
    assert_eq!(refusals.examples, examples);
}

#[test]
fn what_is_left_out_is_shown_by_a_few_examples() {
    let latest = latest();
    let names = |n: char| (0..50).map(move |i| point(Kind::Gauge, &format!("a{n}{i}"), &[]));
    say(&latest, &listener(), names('.').collect());
    say(&latest, &listener(), names('/').collect());
    let (_, refusals) = samples(&latest);
    assert_eq!((refusals.collisions, refusals.examples.len()), (50, 10));
}

#[test]
fn a_label_that_has_the_name_of_another_is_counted() {
    let latest = latest();
    let tags = [("a.b", "1"), ("a/b", "2"), ("a_b", "3")];
    say(&latest, &listener(), vec![point(Kind::Timer, "t", &tags)]);
    let (samples, refusals) = samples(&latest);
    assert_eq!(samples[1], r#"t_count{a_b="1",metric_type="timing"} 2"#);
    assert_eq!((refusals.labels, refusals.collisions), (2, 0));
}

#[test]
fn an_ended_source_is_shown_until_it_was_written_whole_and_then_no_more() {
    let latest = latest();
    let (old, stays) = (container("a"), container("b"));
    say(&latest, &old, vec![valued(Kind::Counter, "n", &[], 7.0), point(Kind::Gauge, "g", &[])]);
    say(&latest, &stays, vec![point(Kind::Gauge, "g", &[])]);
    let before = of(&latest, "").0;
    latest.source_ended(&old);
    // This one was copied before the end.
    before.were_told();
    // The container is registered again, and counts from the beginning.
    let again = container("a");
    say(&latest, &again, vec![valued(Kind::Counter, "n", &[], 1.0)]);
    let cut_short = of(&latest, "").0;
    drop(cut_short);

    let (last, refusals) = of(&latest, "");
    assert!(written(&last).contains("n{container_id=\"a\",metric_type=\"counter\"} 7\n"));
    assert_eq!(last.samples(), 3);
    assert_eq!(refusals, Refusals::default(), "it is its own successor, no stranger");
    last.were_told();
    let (after, _) = of(&latest, "");
    assert!(written(&after).contains("n{container_id=\"a\",metric_type=\"counter\"} 1\n"));
    assert_eq!(after.samples(), 2);
    latest.end_flush();
    assert_eq!(latest.counts().series, 2);
}

#[tokio::test(start_paused = true)]
async fn a_series_that_was_not_seen_for_its_expiry_disappears() {
    let latest = latest();
    let source = container("a");
    let points = || vec![point(Kind::Gauge, "stays", &[])];
    say(&latest, &source, vec![point(Kind::Gauge, "goes", &[])]);
    say(&latest, &source, points());
    tokio::time::advance(EXPIRY).await;
    say(&latest, &source, points());
    assert_eq!(samples(&latest).0.len(), 2);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(samples(&latest).0, [r#"stays{container_id="a",metric_type="gauge"} 1"#]);
}

#[test]
fn a_quantile_that_is_not_computed_is_not_shown() {
    let latest = latest();
    let source = listener();
    say(&latest, &source, vec![point(Kind::Timer, "t", &[])]);
    let mut batch = metric::Batch {
        source,
        dimensions: Arc::new(Dimensions::default()),
        end_ms: 2_000_000,
        interval_ms: 1000,
        first_seq: 0,
        quantiles: Arc::new(metric::Quantiles::new(vec![0.5])),
        datapoints: vec![point(Kind::Timer, "t", &[])],
    };
    let metric::Value::Summary(summary) = &mut batch.datapoints[0].value else { unreachable!() };
    summary.quantiles = [2.0].into();
    latest.take_in(&Arc::new(batch));
    // So a gauge may have the name.
    say(&latest, &container("a"), vec![point(Kind::Gauge, "t", &[])]);
    let (samples, refusals) = samples(&latest);
    assert_eq!(samples[0], r#"t{container_id="a",metric_type="gauge"} 1"#);
    assert_eq!((samples.len(), refusals), (7, Refusals::default()));
}

#[test]
fn many_series_of_one_name_are_all_written() {
    let latest = latest();
    let of = |n: usize| point(Kind::Gauge, "g", &[("n", &n.to_string())]);
    say(&latest, &listener(), (0..1000).map(of).collect());
    say_as(
        &latest,
        &listener(),
        Dimensions { task_name: "x".into(), ..Dimensions::default() },
        (0..PIECE).map(of).collect(),
    );
    let text = written(&super::tests::of(&latest, "").0);
    assert_eq!(text.matches("# TYPE").count(), 1);
    assert_eq!(text.lines().count(), 2 + 1000 + PIECE);
}
