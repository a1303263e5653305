//! The labels of a series: those of DC/OS.

use std::borrow::Cow;
use std::sync::Arc;

use metric::{Dimensions, Kind, SeriesKey};

use super::{names, text};

/// Who and what. Nothing that a client or a task says is written under one of these names.
const OURS: [&str; 8] = [
    "container_id",
    "dcos_cluster_id",
    "executor_name",
    "host",
    "metric_type",
    "quantile",
    "service_name",
    "task_name",
];

/// What all series of one source have in common.
#[derive(Debug)]
pub(super) struct Identity {
    dimensions: Arc<Dimensions>,
    is_measured: bool,
    /// Names and values, sorted; no value is empty, no two names are alike.
    pairs: Vec<(String, String)>,
    left_out: usize,
}

impl Identity {
    /// What is measured is no client's, and so has no `metric_type`.
    pub(super) fn new(dimensions: Arc<Dimensions>, is_measured: bool, host: Option<&str>) -> Self {
        let it = &*dimensions;
        let ours = [
            ("container_id", &*it.container_id),
            ("dcos_cluster_id", &it.cluster_id),
            ("executor_name", it.own_executor_name()),
            ("host", host.unwrap_or(&it.hostname)),
            ("service_name", &it.framework_name),
            ("task_name", &it.task_name),
        ];
        let mut pairs: Vec<_> =
            ours.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (key, value) in &it.labels {
            let name = names::label(key);
            let name = if is_ours(&name) { exported(&name) } else { name.into_owned() };
            pairs.push((name, value.clone()));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        let all = pairs.len();
        // Stable: of several with one name the first stays.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self { left_out: all - pairs.len(), dimensions, is_measured, pairs }
    }

    /// Writes the labels of one of its series, sorted by name; of a tag with several values all of
    /// them, with commas between. Gives how many labels were left out, because another has their
    /// name.
    pub(super) fn write(&self, key: &SeriesKey, to: &mut Vec<u8>) -> usize {
        let mut all: Vec<Label<'_>> = Vec::with_capacity(self.pairs.len() + 8);
        for (name, value) in &self.pairs {
            all.push(Label { name: name.into(), value: value.into(), tag: None });
        }
        if !self.is_measured {
            let value = metric_type(key.kind()).into();
            all.push(Label { name: "metric_type".into(), value, tag: None });
        }
        let values = key.tags().filter(|(_, value)| !value.is_empty());
        for (tag, value) in values {
            // The values of one tag follow each other.
            if let Some(last) = all.last_mut().filter(|last| last.tag == Some(tag)) {
                let values = last.value.to_mut();
                values.push(',');
                values.push_str(value);
            } else {
                let name = self.name_of(tag);
                all.push(Label { name, value: value.into(), tag: Some(tag) });
            }
        }
        // Stable, so of several with one name the first stays: ours, then by the tags' order.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let before = all.len();
        all.dedup_by(|later, first| later.name == first.name);
        to.clear();
        for Label { name, value, .. } in &all {
            text::label(name, value, to);
        }
        self.left_out + before - all.len()
    }

    fn name_of<'a>(&'a self, tag: &'a str) -> Cow<'a, str> {
        let name = match self.dimensions.exported(tag) {
            Cow::Borrowed(tag) => names::label(tag),
            Cow::Owned(tag) => Cow::Owned(names::label(&tag).into_owned()),
        };
        let is_taken = |name: &str| self.pairs.iter().any(|(taken, _)| taken == name);
        if is_ours(&name) || is_taken(&name) { Cow::Owned(exported(&name)) } else { name }
    }
}

#[derive(Debug)]
struct Label<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
    /// The client's own name for it.
    tag: Option<&'a str>,
}

fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

fn exported(name: &str) -> String {
    format!("exported_{name}")
}

/// The word that DC/OS has for a kind; it knew no distributions.
fn metric_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Timer => "timing",
        Kind::Counter | Kind::Gauge | Kind::Histogram | Kind::Distribution | Kind::Set => {
            kind.name()
        }
    }
}

#[cfg(test)]
mod tests {
    use metric::Tag;

    use super::*;

    fn written(dimensions: Dimensions, kind: Kind, tags: &[(&str, &str)]) -> (String, usize) {
        let tags: Vec<_> = tags.iter().map(|(key, value)| Tag::new(key, value)).collect();
        let key = SeriesKey::new(kind, "n", &tags);
        let mut labels = Vec::new();
        let left_out = Identity::new(Arc::new(dimensions), false, None).write(&key, &mut labels);
        (String::from_utf8(labels).unwrap(), left_out)
    }

    fn cart() -> Dimensions {
        let labels = [("DCOS_SERVICE_NAME", "shop"), ("rack", "b7"), ("host", "forged")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Dimensions {
            container_id: "c1".into(),
            cluster_id: "cl".into(),
            agent_id: "S0".into(),
            hostname: "10.0.0.1".into(),
            executor_name: "Command".into(),
            framework_name: "marathon".into(),
            framework_id: "F0".into(),
            task_id: "cart.1".into(),
            task_name: "cart".into(),
            labels,
            ..Dimensions::default()
        }
    }

    #[test]
    fn a_series_has_the_labels_that_it_has_on_dcos() {
        let (labels, left_out) =
            written(cart(), Kind::Timer, &[("page", "home"), ("zone.id", "5")]);
        let expected = r#"DCOS_SERVICE_NAME="shop",container_id="c1",dcos_cluster_id="cl",executor_name="Command",exported_host="forged",host="10.0.0.1",metric_type="timing",page="home",rack="b7",service_name="marathon",task_name="cart",zone_id="5""#;
        assert_eq!((labels.as_str(), left_out), (expected, 0));
        let (labels, _) = written(Dimensions::default(), Kind::Distribution, &[]);
        assert_eq!(labels, r#"metric_type="distribution""#);
    }

    #[test]
    fn what_is_measured_has_no_metric_type_and_a_command_no_executor() {
        let key = SeriesKey::new(Kind::Gauge, "cpus.limit", &[]);
        let mut labels = Vec::new();
        let command = Dimensions {
            executor_id: "cart.1".into(),
            labels: std::collections::BTreeMap::default(),
            ..cart()
        };
        Identity::new(Arc::new(command), true, None).write(&key, &mut labels);
        let expected = r#"container_id="c1",dcos_cluster_id="cl",host="10.0.0.1",service_name="marathon",task_name="cart""#;
        assert_eq!(String::from_utf8(labels).unwrap(), expected);
    }

    #[test]
    fn no_tag_is_taken_for_ours_whatever_its_spelling() {
        let tags = [
            ("container.id", "forged"),
            ("executor_name", "forged"),
            ("host", "forged"),
            ("metric-type", "forged"),
            ("quantile", "0.5"),
            ("rack", "forged"),
            ("service_name", "forged"),
            ("task_name", "forged"),
        ];
        let known = Dimensions {
            labels: [("rack".to_owned(), "b7".to_owned())].into(),
            ..Dimensions::default()
        };
        let (labels, left_out) = written(known, Kind::Counter, &tags);
        let expected = r#"exported_container_id="forged",exported_executor_name="forged",exported_host="forged",exported_metric_type="forged",exported_quantile="0.5",exported_rack="forged",exported_service_name="forged",exported_task_name="forged",metric_type="counter",rack="b7""#;
        assert_eq!((labels.as_str(), left_out), (expected, 0));
    }

    #[test]
    fn of_labels_with_one_name_the_first_stays() {
        let labels = [("a.b", "1"), ("a_b", "2"), ("c", "")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let known = Dimensions { labels, ..Dimensions::default() };
        let tags = [
            ("c", "3"),
            ("d", ""),
            ("e.f", "4"),
            ("e/f", "5"),
            ("e_f", "6"),
            ("g", "7"),
            ("g", "8"),
        ];
        let (labels, left_out) = written(known, Kind::Set, &tags);
        assert_eq!(labels, r#"a_b="1",e_f="4",exported_c="3",g="7,8",metric_type="set""#);
        assert_eq!(left_out, 3);
    }
}
