use std::collections::HashSet;
use std::time::Duration;

use enrich::fuzzing::{Poll, agent, log_in, poll};
use metric::{Dimensions, Value, check_container_id};

const NOW: Duration = Duration::from_hours(500_000);

/// What anybody may answer in the place of a Mesos agent: bodies with a zero byte between them, for
/// `GET_STATE`, `GET_CONTAINERS`, a snapshot, `GET_AGENT` and a log-in. Nothing of them gets past
/// the bounds of what points may carry, and read again they say the same.
pub(crate) fn mesos(input: &[u8]) {
    let mut bodies = input.split(|byte| *byte == 0);
    let mut body = || bodies.next().unwrap_or_default();
    let (state, containers, snapshot) = (body(), body(), body());
    let told = poll(state, containers, snapshot);
    for container in &told.containers {
        assert!(!(container.is_seen && container.is_lacking), "{container:?}");
        is_bounded(&container.dimensions);
        assert!(container.settings.len() <= 16);
        let settings = container.settings.iter();
        assert!(settings.flat_map(|(key, value)| [key, value]).all(|text| text.len() <= 64));
    }
    is_sound(&told);
    let again = poll(state, containers, snapshot);
    assert_eq!(again.containers, told.containers);
    let points = |poll: &Poll| poll.measured.iter().map(|it| it.datapoints.len()).sum::<usize>();
    assert_eq!(points(&again), points(&told));

    agent(body());
    let (life, refusal) = log_in(body(), NOW);
    assert!(life.is_none_or(|life| life <= Duration::from_hours(24 * 30)));
    assert!(refusal.len() <= 66 && refusal.is_ascii());
}

fn is_bounded(dimensions: &Dimensions) {
    for text in [
        &dimensions.parent_container_id,
        &dimensions.framework_id,
        &dimensions.framework_name,
        &dimensions.framework_role,
        &dimensions.framework_principal,
        &dimensions.executor_id,
        &dimensions.executor_name,
        &dimensions.task_id,
        &dimensions.task_name,
    ] {
        assert!(text.len() <= 1024);
    }
    assert!(dimensions.labels.len() <= 64);
    for (name, value) in &dimensions.labels {
        assert!((1..=256).contains(&name.len()) && value.len() <= 256);
        assert!(!Dimensions::is_identity(name));
    }
}

/// Each series of a source is told once, as a number, and in the time of a calendar.
fn is_sound(told: &Poll) {
    let mut sources = HashSet::new();
    for measured in &told.measured {
        let container_id = measured.source.container_id();
        assert!(container_id.is_none_or(|id| check_container_id(id).is_ok()));
        assert!(sources.insert(container_id), "{container_id:?} is told twice");
        let mut keys = HashSet::new();
        for datapoint in &measured.datapoints {
            assert!(keys.insert(&datapoint.key), "{datapoint:?} is told twice");
            assert!(datapoint.key.name().len() <= 1024);
            assert!(datapoint.key.tags().all(|(_, value)| value.len() <= 1024));
            assert!(matches!(datapoint.value, Value::Gauge(value) if value.is_finite()));
        }
        assert!(!keys.is_empty());
    }
}
