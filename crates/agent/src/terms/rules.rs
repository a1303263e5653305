use std::sync::Arc;

use metric::{Sample, Tag};

use crate::config::TagRule;
use crate::glob;

/// The rules that are about one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Vec<Arc<TagRule>>);

/// What the rules make of a sample.
#[derive(Debug, PartialEq)]
pub(crate) enum Judged<'a> {
    /// Nothing.
    Unchanged,
    /// Only these of its tags are left.
    Fewer(Vec<Tag<'a>>),
    /// It is dropped.
    Dropped,
}

impl Rules {
    /// Those that are about a task of this name, or, if it is empty, about what is no task's.
    pub(crate) fn of_task(rules: &[Arc<TagRule>], task_name: &str) -> Self {
        let is_about_it = |rule: &&Arc<TagRule>| glob::matches(&rule.task_name, task_name);
        Self(rules.iter().filter(is_about_it).cloned().collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these do the same.
    pub(crate) fn are(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Judges a sample, and with it all others of its line: name and tags are theirs too.
    pub(crate) fn judge<'a>(&self, sample: &Sample<'a>) -> Judged<'a> {
        if self.is_empty() {
            return Judged::Unchanged;
        }
        let is_about_it = |rule: &&Arc<TagRule>| glob::matches(&rule.metric, sample.name);
        let rules = || self.0.iter().filter(is_about_it);
        if rules().any(|rule| rule.drop) {
            return Judged::Dropped;
        }
        let goes = |tag: &Tag<'_>| {
            let mut globs = rules().flat_map(|rule| &rule.drop_tags);
            globs.any(|glob| glob::matches(glob, &tag.key))
        };
        if !sample.tags.iter().any(goes) {
            return Judged::Unchanged;
        }
        Judged::Fewer(sample.tags.iter().filter(|tag| !goes(tag)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use metric::{Kind, Values};

    use super::*;

    fn rule(metric: &str, task_name: &str, drop_tags: &[&str], drop: bool) -> Arc<TagRule> {
        let drop_tags = drop_tags.iter().map(ToString::to_string).collect();
        Arc::new(TagRule { metric: metric.into(), task_name: task_name.into(), drop_tags, drop })
    }

    #[test]
    fn all_rules_about_a_metric_of_a_task_apply() {
        let rules = [
            rule("http.*", "*", &["user_*", "session"], false),
            rule("*", "cart", &["k"], false),
            rule("debug.*", "cart*", &[], true),
            rule("http.debug", "*", &["never"], true),
        ];
        let tags = [Tag::new("k", "1"), Tag::new("session", "2"), Tag::new("user_id", "3")];
        for (task, name, left) in [
            ("cart", "http.time", Some(&tags[..0])),
            ("", "http.time", Some(&tags[..1])),
            ("cart", "cpu", Some(&tags[1..])),
            ("", "cpu", Some(&tags[..])),
            ("", "debug.x", Some(&tags[..])),
            ("cart.2", "debug.x", None),
            ("", "http.debug", None),
        ] {
            let sample = Sample {
                name,
                kind: Kind::Counter,
                values: Values::Numbers(&[1.0]),
                relative: false,
                rate: 1.0,
                tags: &tags,
                timestamp: None,
                container_id: None,
            };
            let judged = Rules::of_task(&rules, task).judge(&sample);
            let expected = match left {
                None => Judged::Dropped,
                Some(left) if left.len() == tags.len() => Judged::Unchanged,
                Some(left) => Judged::Fewer(left.to_vec()),
            };
            assert_eq!(judged, expected, "{task} {name}");
        }
    }

    #[test]
    fn the_rules_of_two_tasks_are_the_same_if_the_same_ones_are_about_them() {
        let rules = [rule("*", "a*", &["k"], false), rule("*", "ab", &["k"], false)];
        let of = |task| Rules::of_task(&rules, task);
        assert!(of("a").are(&of("ac")));
        assert!(!of("a").are(&of("ab")));
        assert!(!of("a").are(&of("")));
        assert!(of("").are(&of("b")) && of("").is_empty());
    }
}
