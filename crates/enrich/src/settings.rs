use std::collections::BTreeMap;

use crate::labels::cut;

/// What a label begins with that is a setting of weir and no label of points.
pub(crate) const PREFIX: &str = "DCOS_METRICS_WEIR_";

// Of one task; names are short, and a longer value is none that anything takes.
const MOST: usize = 16;
const NAME_BYTES: usize = 64;
const VALUE_BYTES: usize = 64;

/// What a task decides of how it is treated: by its name, and by its settings, which are labels
/// that begin with `DCOS_METRICS_WEIR_`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The task's name; empty as long as it is not known.
    pub task_name: String,
    /// The values of its settings by their names, which stand behind the prefix. As written, and
    /// not judged: at most 16, their names and values cut at 64 bytes.
    pub labels: BTreeMap<String, String>,
}

/// The settings among a task's labels. Of two with one name the later counts.
pub(crate) fn among(labels: &[(String, String)]) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (label, value) in labels {
        let Some(name) = label.strip_prefix(PREFIX) else { continue };
        let name = cut(name, NAME_BYTES);
        if settings.len() < MOST || settings.contains_key(name) {
            settings.insert(name.to_owned(), cut(value, VALUE_BYTES).to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_bounded_in_number_and_length_and_the_later_of_two_counts() {
        let long = "x".repeat(100);
        let mut labels: Vec<_> =
            (0..20).map(|n| (format!("{PREFIX}{n:02}"), "1".to_owned())).collect();
        labels.push((format!("{PREFIX}03"), long.clone()));
        labels.push(("DCOS_METRICS_OTHER".into(), "v".into()));
        let settings = among(&labels);
        assert_eq!(settings.len(), 16);
        assert_eq!(settings["03"], long[..64]);
        assert_eq!(
            among(&[(format!("{PREFIX}{long}"), "v".into())]).keys().next(),
            Some(&long[..64].to_owned())
        );
        assert!(among(&[]).is_empty());
    }
}
