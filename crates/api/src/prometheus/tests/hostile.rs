//! Nothing that a client or a task can say breaks the text.

use std::time::Duration;

use metric::{Datapoint, Dimensions, Kind};
use proptest::collection::vec;
use proptest::prelude::*;

use super::parser::parse;
use super::{container, latest, listener, say_as, valued};
use crate::PrometheusConfig;
use crate::prometheus::Refusals;
use crate::prometheus::families::{Families, Progress};
use crate::prometheus::text::Text;

/// Few names, so that they clash, and any others.
fn name() -> impl Strategy<Value = String> {
    let clashing = [
        "a",
        "a.b",
        "a_b",
        "a/b",
        "a_b_count",
        "a.b.sum",
        "a_b_total",
        "5",
        "_5",
        "__name__",
        "le",
        "quantile",
        "host",
        "container_id",
        "metric_type",
        "weir_series",
        "weir.uptime_seconds",
        "\"",
        "\\",
        "\n",
        "#",
        "{}",
        "a b",
        "ü",
        "\0",
    ];
    prop_oneof![
        8 => proptest::sample::select(clashing.to_vec()).prop_map(str::to_owned),
        2 => "\\PC{1,8}",
        1 => any::<String>(),
        1 => Just("a\"\\\n".repeat(2_500)),
    ]
}

fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((name(), prop_oneof![3 => Just(String::new()), 5 => name()]), 0..5)
}

fn datapoint() -> impl Strategy<Value = Datapoint> {
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    let value = prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        Just(1e300),
    ];
    (kind, name(), tags(), value).prop_map(|(kind, name, tags, value)| {
        let tags: Vec<_> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        valued(kind, &name, &tags, value)
    })
}

fn dimensions() -> impl Strategy<Value = Dimensions> {
    (name(), name(), name(), vec((name(), name()), 0..4)).prop_map(
        |(hostname, task_name, framework_name, labels)| Dimensions {
            hostname,
            task_name,
            framework_name,
            labels: labels.into_iter().collect(),
            ..Dimensions::default()
        },
    )
}

/// How many samples a series would have alone.
fn samples(kind: Kind) -> u64 {
    if kind.is_summarised() { 7 } else { 1 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_text_is_well_formed_and_every_sample_is_shown_or_counted_as_refused(
        batches in vec((0..4_usize, dimensions(), vec(datapoint(), 1..8)), 1..5),
        suffix in proptest::sample::select(vec!["", "_total", "_count"]),
    ) {
        let latest = latest();
        let sources = [container("a"), container("b"), listener(), listener()];
        for (source, dimensions, datapoints) in batches {
            let source = &sources[source];
            let container_id = source.container_id().map(ToString::to_string).unwrap_or_default();
            let dimensions = Dimensions { container_id, ..dimensions };
            say_as(&latest, source, dimensions, datapoints);
        }
        let mut held = 0;
        for source in latest.sources() {
            let (mut place, mut seen) = Default::default();
            while source.read(&mut place, Duration::from_mins(2), &mut seen) {}
            held += seen.iter().map(|seen| samples(seen.key.kind())).sum::<u64>();
        }

        let mut refusals = Refusals::default();
        let config =
            PrometheusConfig { counter_suffix: suffix.into(), ..PrometheusConfig::default() };
        let families = Families::of(&latest, &config, &mut refusals);
        let (mut text, mut progress) = (Text::default(), Progress::default());
        while families.write_some(&mut progress, &mut text) {}
        let text = String::from_utf8(text.into_bytes()).unwrap();

        let read = parse(&text).map_err(TestCaseError::fail)?;
        let shown: usize = read.values().map(|family| family.samples.len()).sum();
        prop_assert_eq!(shown as u64, families.samples());
        let Refusals { type_clashes, collisions, reserved, .. } = refusals;
        prop_assert_eq!(shown as u64 + type_clashes + collisions + reserved, held);
    }
}
