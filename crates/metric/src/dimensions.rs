use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::SeriesKey;

/// The names of the identity dimensions, in the order in which they are written.
pub const IDENTITY: [&str; 13] = [
    "framework_id",
    "executor_id",
    "container_id",
    "agent_id",
    "cluster_id",
    "hostname",
    "parent_container_id",
    "executor_name",
    "framework_name",
    "framework_role",
    "framework_principal",
    "task_id",
    "task_name",
];

/// Who a source is, as far as it is known. An empty text means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the field's own words, explained in `IDENTITY`'s users
pub struct Dimensions {
    pub framework_id: String,
    pub executor_id: String,
    pub container_id: String,
    pub agent_id: String,
    pub cluster_id: String,
    pub hostname: String,
    pub parent_container_id: String,
    pub executor_name: String,
    pub framework_name: String,
    pub framework_role: String,
    pub framework_principal: String,
    pub task_id: String,
    pub task_name: String,
    /// The task's chosen labels and the operator's own, which beat a client's tags.
    pub labels: BTreeMap<String, String>,
}

impl Dimensions {
    /// The identity dimensions as pairs of name and value, in the order of [`IDENTITY`], unknown
    /// ones included.
    pub fn identity(&self) -> [(&'static str, &str); 13] {
        [
            ("framework_id", &self.framework_id),
            ("executor_id", &self.executor_id),
            ("container_id", &self.container_id),
            ("agent_id", &self.agent_id),
            ("cluster_id", &self.cluster_id),
            ("hostname", &self.hostname),
            ("parent_container_id", &self.parent_container_id),
            ("executor_name", &self.executor_name),
            ("framework_name", &self.framework_name),
            ("framework_role", &self.framework_role),
            ("framework_principal", &self.framework_principal),
            ("task_id", &self.task_id),
            ("task_name", &self.task_name),
        ]
    }

    /// The executor's name, if the task has an executor of its own: DC/OS does not know that a
    /// command has one.
    pub fn own_executor_name(&self) -> &str {
        let is_command = !self.executor_id.is_empty() && self.executor_id == self.task_id;
        if is_command { "" } else { &self.executor_name }
    }

    /// Whether a client's tag of this key is the name of an identity dimension.
    pub fn is_identity(key: &str) -> bool {
        IDENTITY.contains(&key)
    }

    /// The key under which a client's tag is written: its own, or `exported_<key>` where an
    /// identity dimension or a label has that name, for the socket says who speaks, not the line.
    pub fn exported<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if Self::is_identity(key) || self.labels.contains_key(key) {
            Cow::Owned(format!("exported_{key}"))
        } else {
            Cow::Borrowed(key)
        }
    }

    /// A series' own tags as they are written, in the order of its key.
    pub fn client_tags<'a>(
        &'a self,
        key: &'a SeriesKey,
    ) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        key.tags().map(|(key, value)| (self.exported(key), value))
    }

    /// How many of a series' tags have the name of one of these labels.
    pub fn label_clashes(&self, key: &SeriesKey) -> usize {
        if self.labels.is_empty() {
            return 0;
        }
        key.tags().filter(|(key, _)| self.labels.contains_key(*key)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Tag};

    #[test]
    fn a_tag_named_like_an_identity_or_a_label_is_exported() {
        let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        let dimensions = Dimensions { labels, ..Dimensions::default() };
        let tags =
            [Tag::new("container_id", "forged"), Tag::new("path", "/"), Tag::new("team", "red")];
        let key = SeriesKey::new(Kind::Counter, "n", &tags);
        let seen: Vec<_> = dimensions.client_tags(&key).map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(seen, ["exported_container_id=forged", "path=/", "exported_team=red"]);
        assert_eq!(dimensions.label_clashes(&key), 1);
    }

    #[test]
    fn the_list_of_names_is_that_of_the_fields() {
        let dimensions = Dimensions::default();
        assert_eq!(dimensions.identity().map(|(name, _)| name), IDENTITY);
    }
}
