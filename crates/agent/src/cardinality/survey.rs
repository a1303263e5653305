use std::cmp::Reverse;
use std::collections::HashMap;

use aggregate::Distinct;
use api::{NameCardinality, SourceDetails, TagCardinality};
use metric::SeriesKey;
use toml::Value;

/// What the series of one source are. Takes some megabytes at most, whatever they are.
#[derive(Debug, Default)]
pub(super) struct Survey {
    names: Tops,
    // Names in which a piece is a number or an id.
    patterns: Tops,
    tags: HashMap<Box<str>, TagKey>,
}

/// Of so many tag keys the values are counted.
const MOST_TAGS: usize = 1024;

/// Counts texts, and finds those that come most often without keeping all.
#[derive(Debug, Default)]
struct Tops(HashMap<Box<str>, u64>);

/// So many texts are kept.
const MOST_TEXTS: usize = 4096;

#[derive(Debug, Default)]
struct TagKey {
    series: u64,
    values: Distinct,
    names: Distinct,
    // A name that has the key, and how many more of the key's series have it than have not, by the
    // vote of Boyer and Moore: no other has as many.
    name: Box<str>,
    lead: u64,
}

impl Tops {
    fn add(&mut self, text: &str) {
        if let Some(count) = self.0.get_mut(text) {
            *count += 1;
            return;
        }
        // What comes often survives this, a little understated (Misra and Gries).
        while self.0.len() >= MOST_TEXTS {
            self.0.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
        self.0.insert(text.into(), 1);
    }

    fn most(&self, most: usize) -> Vec<NameCardinality> {
        let mut texts: Vec<_> = self.0.iter().collect();
        texts.sort_unstable_by_key(|(text, count)| (Reverse(**count), *text));
        let told = texts.into_iter().take(most);
        told.map(|(text, count)| NameCardinality { name: text.to_string(), series: *count })
            .collect()
    }
}

impl TagKey {
    fn add(&mut self, value: &str, name: &str) {
        self.series += 1;
        self.values.add(value);
        self.names.add(name);
        if *self.name == *name {
            self.lead += 1;
        } else if self.lead == 0 {
            self.name = name.into();
            self.lead = 1;
        } else {
            self.lead -= 1;
        }
    }

    // How many series fewer there would be without it, if no other tag differs with it.
    fn saves(&self) -> u64 {
        let left = (self.series / self.values.count().max(1)).max(self.names.count());
        self.series.saturating_sub(left)
    }

    // The name that at least half of its series have.
    fn usual_name(&self) -> Option<&str> {
        (self.lead >= self.series / 2).then_some(&*self.name)
    }
}

impl Survey {
    /// Looks at one more series.
    pub(super) fn add(&mut self, key: &SeriesKey) {
        self.names.add(key.name());
        if let Some(pattern) = pattern(key.name()) {
            self.patterns.add(&pattern);
        }
        for (tag, value) in key.tags() {
            if let Some(known) = self.tags.get_mut(tag) {
                known.add(value, key.name());
                continue;
            }
            if self.tags.len() >= MOST_TAGS {
                self.tags.retain(|_, tag| tag.series > 1);
            }
            if self.tags.len() < MOST_TAGS {
                self.tags.entry(tag.into()).or_default().add(value, key.name());
            }
        }
    }

    /// What there is to tell, so many lines of each sort.
    pub(super) fn details(&self, task_name: &str, most: usize) -> SourceDetails {
        let mut tags: Vec<_> = self.tags.iter().collect();
        tags.sort_by_cached_key(|(key, tag)| (Reverse((tag.values.count(), tag.series)), *key));
        let told = tags.into_iter().take(most).map(|(key, tag)| TagCardinality {
            key: key.to_string(),
            values: tag.values.count(),
            series: tag.series,
        });
        SourceDetails {
            names: self.names.most(most),
            tags: told.collect(),
            rule: self.rule(task_name),
        }
    }

    // To drop metrics is worse than to drop a tag, so it has to save much more.
    fn rule(&self, task_name: &str) -> Option<String> {
        let tag = self.tags.iter().max_by_key(|(key, tag)| (tag.saves(), Reverse(*key)));
        let tag = tag.filter(|(_, tag)| tag.saves() > 0);
        let names = self.patterns.most(1).pop().filter(|names| names.series > 1);
        let task_name = if task_name.is_empty() { "*" } else { task_name };
        let rule = |metric: &str, action: &str| {
            let [metric, task_name] = [metric, task_name].map(quoted);
            format!("[[tag_rule]]\nmetric = {metric}\ntask_name = {task_name}\n{action}\n")
        };
        match (tag, names) {
            (tag, Some(names)) if tag.is_none_or(|(_, tag)| tag.saves() < names.series / 2) => {
                Some(rule(&names.name, "drop = true"))
            }
            (Some((key, tag)), _) => {
                let metric = tag.usual_name().unwrap_or("*");
                Some(rule(metric, &format!("drop_tags = [{}]", quoted(key))))
            }
            (None, _) => None,
        }
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

// A name with all of its numbers and ids replaced: each piece, from its first digit on, by `*`.
// Nothing if there is none, or nothing else.
fn pattern(name: &str) -> Option<String> {
    if !name.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut pattern = String::with_capacity(name.len());
    let mut is_id = false;
    for character in name.chars() {
        if !character.is_alphanumeric() {
            is_id = false;
        } else if character.is_ascii_digit() && !is_id {
            is_id = true;
            pattern.push('*');
        }
        if !is_id {
            pattern.push(character);
        }
    }
    pattern.contains(|character: char| character.is_alphanumeric()).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use metric::{Kind, Tag};

    use super::*;
    use crate::config::TagRule;
    use crate::glob;

    fn key(name: &str, tags: &[(&str, &str)]) -> SeriesKey {
        let tags: Vec<_> = tags.iter().map(|(key, value)| Tag::new(key, value)).collect();
        SeriesKey::new(Kind::Counter, name, &tags)
    }

    fn survey(keys: impl IntoIterator<Item = SeriesKey>) -> Survey {
        let mut survey = Survey::default();
        keys.into_iter().for_each(|key| survey.add(&key));
        survey
    }

    fn rule(details: &SourceDetails) -> TagRule {
        #[derive(serde::Deserialize)]
        struct File {
            tag_rule: Vec<TagRule>,
        }
        let file: File = toml::from_str(details.rule.as_deref().unwrap()).unwrap();
        file.tag_rule.into_iter().next().unwrap()
    }

    #[test]
    fn the_names_and_tags_that_make_most_series_are_told_and_how_to_drop_the_worst() {
        let requests = (0..500).map(|n| {
            let (user, page) = (format!("u{n}"), format!("p{}", n % 5));
            key("http.time", &[("page", &page), ("user \"id\"", &user)])
        });
        let others = (0..40).map(|n| key("cpu", &[("core", &n.to_string())]));
        let pages = (0..9).map(|n| key("views", &[("page", &format!("q{n}"))]));
        let details = survey(requests.chain(others).chain(pages)).details("cart", 2);
        let names: Vec<_> = details.names.iter().map(|it| (&*it.name, it.series)).collect();
        assert_eq!(names, [("http.time", 500), ("cpu", 40)]);
        let tags: Vec<_> = details.tags.iter().map(|it| (&*it.key, it.series)).collect();
        assert_eq!(tags, [("user \"id\"", 500), ("core", 40)]);
        assert!((400..600).contains(&details.tags[0].values), "{}", details.tags[0].values);
        assert_eq!(details.tags[1].values, 40);
        let expected = TagRule {
            metric: "http.time".into(),
            task_name: "cart".into(),
            drop_tags: vec!["user \"id\"".into()],
            drop: false,
        };
        assert_eq!(rule(&details), expected);
    }

    #[test]
    fn a_tag_of_many_metrics_is_dropped_from_all_and_one_with_one_value_from_none() {
        let keys = |values: usize| {
            let key = move |n: usize| {
                let (name, pod) = (["a", "b", "c"][n % 3], (n % values).to_string());
                key(name, &[("pod", &pod), ("n", &format!("{}", n % 2))])
            };
            survey((0..300).map(key)).details("", 10)
        };
        assert_eq!(rule(&keys(300)).drop_tags, ["pod"]);
        assert_eq!((&*rule(&keys(300)).metric, &*rule(&keys(300)).task_name), ("*", "*"));
        assert_eq!(rule(&keys(1)).drop_tags, ["n"]);
        let plain = survey([key("a", &[]), key("b", &[("k", "v")])]).details("", 10);
        assert_eq!(plain.rule, None);
    }

    #[test]
    fn names_that_hold_ids_are_dropped_by_what_they_have_in_common() {
        let details = survey(
            (0..300).map(|n| key(&format!("job.{n}x.done"), &[("zone", ["a", "b"][n % 2])])),
        )
        .details("", 10);
        assert_eq!((&*rule(&details).metric, rule(&details).drop), ("job.*.done", true));
        assert!(glob::matches(&rule(&details).metric, "job.17x.done"));
        for (name, expected) in [
            ("a.b", None),
            ("n17", Some("n*")),
            ("17", None),
            ("a.17-9.b2c", Some("a.*-*.b*")),
            ("µ7.ü", Some("µ*.ü")),
        ] {
            assert_eq!(pattern(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn whatever_the_series_are_a_survey_stays_small_and_finds_the_largest() {
        let keys = (0..60_000).map(|n: u32| {
            let (id, tag) = (format!("x{n}"), format!("k{n}"));
            if n.is_multiple_of(3) { key("often", &[("t", &id)]) } else { key(&id, &[(&tag, "v")]) }
        });
        let survey = survey(keys);
        assert!(survey.names.0.len() <= MOST_TEXTS && survey.patterns.0.len() <= MOST_TEXTS);
        assert!(survey.tags.len() <= MOST_TAGS);
        let details = survey.details("", 1);
        assert_eq!((&*details.names[0].name, &*details.tags[0].key), ("often", "t"));
        assert!((19_000..=20_000).contains(&details.names[0].series));
        assert_eq!(details.tags[0].series, 20_000);
    }
}
