use serde::{Deserialize, Serialize};

/// What is dropped of the series of StatsD lines when they are first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TagRule {
    /// The metrics that it is about: a glob of names. Default `*`.
    pub(crate) metric: String,
    /// The tasks that it is about: a glob of their names. `*`, the default, are all, and whatever
    /// is no task's, too.
    pub(crate) task_name: String,
    /// Tags whose keys match one of these globs are left out.
    pub(crate) drop_tags: Vec<String>,
    /// The metrics are dropped whole.
    pub(crate) drop: bool,
}

impl Default for TagRule {
    fn default() -> Self {
        Self { metric: "*".into(), task_name: "*".into(), drop_tags: Vec::new(), drop: false }
    }
}

impl TagRule {
    /// Whether it does anything at all.
    pub(crate) fn is_of_use(&self) -> bool {
        self.drop || !self.drop_tags.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let globs = [&self.metric, &self.task_name].into_iter().chain(&self.drop_tags);
        if let Some(empty) = globs.into_iter().find(|glob| glob.is_empty()) {
            return Err(format!("tag_rule: {empty:?} matches nothing; write a glob, as \"*\""));
        }
        Ok(())
    }
}
