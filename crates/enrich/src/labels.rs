use std::collections::BTreeMap;

use metric::Dimensions;

use crate::settings;

/// A longer value is cut.
const VALUE_BYTES: usize = 256;

/// A longer name is left out: cut it would be another name.
const NAME_BYTES: usize = 256;

/// What one task may have.
const LABELS: usize = 64;

/// Which labels of a task its points carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRules {
    /// Kept as they are. Looked through first. Default `DCOS_SERVICE_NAME`.
    pub whitelist: Vec<String>,
    /// Kept without the first of these that they begin with, if something remains. Default
    /// `DCOS_METRICS_`.
    pub prefixes: Vec<String>,
}

impl Default for LabelRules {
    fn default() -> Self {
        Self { whitelist: vec!["DCOS_SERVICE_NAME".into()], prefixes: vec!["DCOS_METRICS_".into()] }
    }
}

impl LabelRules {
    /// The chosen ones of a task's labels, with how many of these were left out: because they have
    /// the name of an identity dimension or too long a name, or are more than 64. Of two with one
    /// name the later counts.
    pub(crate) fn choose(&self, labels: &[(String, String)]) -> (BTreeMap<String, String>, u64) {
        let mut chosen = BTreeMap::new();
        let mut left_out = 0;
        for (label, value) in labels {
            let Some(name) = self.name(label) else { continue };
            let is_known = chosen.contains_key(name);
            let has_room = is_known || chosen.len() < LABELS;
            if Dimensions::is_identity(name) || name.len() > NAME_BYTES || !has_room {
                left_out += 1;
            } else {
                chosen.insert(name.to_owned(), cut(value, VALUE_BYTES).to_owned());
            }
        }
        (chosen, left_out)
    }

    fn name<'a>(&self, label: &'a str) -> Option<&'a str> {
        if label.is_empty() || label.starts_with(settings::PREFIX) {
            return None;
        }
        if self.whitelist.iter().any(|kept| kept == label) {
            return Some(label);
        }
        let stripped = self.prefixes.iter().find_map(|prefix| label.strip_prefix(prefix.as_str()));
        stripped.filter(|name| !name.is_empty())
    }
}

/// The text's first `bytes` bytes, or a few less: a character is not cut.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(rules: &LabelRules, labels: &[(&str, &str)]) -> (Vec<(String, String)>, u64) {
        let labels: Vec<_> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let (chosen, left_out) = rules.choose(&labels);
        (chosen.into_iter().collect(), left_out)
    }

    #[test]
    fn labels_are_chosen_as_dcos_chooses_them() {
        let rules = LabelRules {
            whitelist: vec!["DCOS_SERVICE_NAME".into(), "DCOS_METRICS_KEPT".into()],
            prefixes: vec!["DCOS_METRICS_".into(), "DCOS_".into()],
        };
        for (label, name) in [
            ("DCOS_SERVICE_NAME", Some("DCOS_SERVICE_NAME")),
            ("DCOS_METRICS_KEPT", Some("DCOS_METRICS_KEPT")),
            ("DCOS_METRICS_FOO", Some("FOO")),
            ("DCOS_SPACE", Some("SPACE")),
            // The first prefix decides, even where nothing remains and another would leave more.
            ("DCOS_METRICS_", None),
            ("DCOS_METRICS_WEIR_DROP", None),
            ("dcos_metrics_foo", None),
            ("OTHER", None),
            ("", None),
        ] {
            let (chosen, left_out) = choose(&rules, &[(label, "v")]);
            let names: Vec<_> = chosen.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, Vec::from_iter(name), "{label}");
            assert_eq!(left_out, 0, "{label}");
        }
    }

    #[test]
    fn a_label_cannot_take_the_name_of_an_identity_dimension() {
        let labels = [("DCOS_METRICS_container_id", "forged"), ("DCOS_METRICS_a", "b")];
        assert_eq!(choose(&LabelRules::default(), &labels), (vec![("a".into(), "b".into())], 1));
    }

    #[test]
    fn of_two_labels_with_one_name_the_later_counts() {
        let labels = [("DCOS_METRICS_a", "1"), ("DCOS_METRICS_a", "2")];
        assert_eq!(choose(&LabelRules::default(), &labels).0, [("a".into(), "2".into())]);
    }

    #[test]
    fn a_value_is_cut_between_characters_and_a_long_name_is_left_out() {
        let value = format!("{}ü", "x".repeat(255));
        let name = format!("DCOS_METRICS_{}", "n".repeat(257));
        let (chosen, left_out) =
            choose(&LabelRules::default(), &[("DCOS_METRICS_a", &value), (&name, "v")]);
        assert_eq!(chosen, [("a".into(), "x".repeat(255))]);
        assert_eq!(left_out, 1);
    }

    #[test]
    fn a_task_has_at_most_64_labels() {
        let names: Vec<_> = (0..70).map(|i| format!("DCOS_METRICS_{i:02}")).collect();
        let labels: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
        let (chosen, left_out) = choose(&LabelRules::default(), &labels);
        assert_eq!((chosen.len(), left_out), (64, 6));
    }
}
