use std::collections::{BTreeMap, HashMap};

use metric::Dimensions;

use crate::answer::{Containers, Framework, Listed, State, Task};
use crate::labels::LabelRules;
use crate::settings;

// Mesos bounds ids at 255 bytes, but not names. A longer text is cut.
const TEXT_BYTES: usize = 1024;

// As deep as one reader follows an id.
const DEPTH: usize = 128;

/// What one poll told of all containers, by their ids.
#[derive(Debug)]
pub(crate) struct Census {
    tasks: Vec<Task>,
    launched: usize,
    listed: Vec<Listed>,
    places: HashMap<String, Place>,
    /// By framework and executor.
    executors: HashMap<(String, String), String>,
    frameworks: HashMap<String, Framework>,
    /// Tasks without an executor of their own, by framework and task: the command executor that
    /// Mesos makes for such a task is called like it.
    commanded: HashMap<(String, String), usize>,
    believed: bool,
}

/// What is known of the container with one id.
#[derive(Debug, Default)]
struct Place {
    parent: Option<String>,
    task: Option<usize>,
    listed: Option<usize>,
    /// A task whose container is nested in this one.
    nested_task: Option<usize>,
    /// Something that runs is here or nested in here.
    runs: bool,
}

/// What one poll told of one container.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    /// Without this node's and the operator's; labels are the chosen ones of the task.
    pub(crate) dimensions: Dimensions,
    /// Those of the task's labels that are settings.
    pub(crate) settings: BTreeMap<String, String>,
    /// Nothing more is to be expected: its task is known, or it has none.
    pub(crate) complete: bool,
    /// How many labels were left out.
    pub(crate) left_out: u64,
}

impl Census {
    /// Of the answers of one poll; `None` is one that failed.
    pub(crate) fn new(state: Option<State>, containers: Option<Containers>) -> Self {
        // Mesos refuses every call until it has recovered its containers, so an answer is of all of
        // them. An empty list is believed only if the agent's state was told beside it: each
        // container must be missing there too.
        let believed = match &containers {
            Some(containers) => {
                containers.unread == 0 && (state.is_some() || !containers.listed.is_empty())
            }
            None => false,
        };
        let state = state.unwrap_or_default();
        let mut census = Self {
            executors: HashMap::new(),
            frameworks: HashMap::new(),
            places: HashMap::new(),
            commanded: HashMap::new(),
            tasks: state.tasks,
            launched: state.launched,
            listed: containers.unwrap_or_default().listed,
            believed,
        };
        for executor in state.executors {
            let key = (executor.framework_id, executor.id);
            census.executors.entry(key).or_insert(executor.name);
        }
        for framework in state.frameworks {
            census.frameworks.entry(framework.id.clone()).or_insert(framework);
        }
        census.place_tasks();
        census.place_listed();
        census
    }

    fn place_tasks(&mut self) {
        for (index, task) in self.tasks.iter().enumerate() {
            if task.executor_id.is_empty() && !task.id.is_empty() {
                let key = (task.framework_id.clone(), task.id.clone());
                self.commanded.entry(key).or_insert(index);
            }
            let Some(container) = &task.container else { continue };
            let mut chain = container.chain().peekable();
            let mut is_leaf = true;
            while let Some(id) = chain.next() {
                let place = self.places.entry(id.to_owned()).or_default();
                place.set_parent(chain.peek().copied());
                place.runs |= index < self.launched;
                let task = if is_leaf { &mut place.task } else { &mut place.nested_task };
                task.get_or_insert(index);
                is_leaf = false;
            }
        }
    }

    fn place_listed(&mut self) {
        for (index, listed) in self.listed.iter().enumerate() {
            if !listed.executor_id.is_empty() {
                let key = (listed.framework_id.clone(), listed.executor_id.clone());
                let name = self.executors.entry(key).or_default();
                if name.is_empty() {
                    name.clone_from(&listed.executor_name);
                }
            }
            let mut chain = listed.container.chain().peekable();
            let mut is_leaf = true;
            while let Some(id) = chain.next() {
                let place = self.places.entry(id.to_owned()).or_default();
                place.set_parent(chain.peek().copied());
                place.runs = true;
                if is_leaf {
                    place.listed.get_or_insert(index);
                }
                is_leaf = false;
            }
        }
    }

    /// Whether the container is surely gone: the list of containers was had, and neither it nor the
    /// agent's state has it.
    pub(crate) fn lacks(&self, container_id: &str) -> bool {
        self.believed && !self.sees(container_id)
    }

    /// Whether the container is surely there.
    pub(crate) fn sees(&self, container_id: &str) -> bool {
        self.places.get(container_id).is_some_and(|place| place.runs)
    }

    /// What is known of a container; `None` if Mesos did not mention it.
    pub(crate) fn find(&self, container_id: &str, rules: &LabelRules) -> Option<Finding> {
        let place = self.places.get(container_id)?;
        let task = self.task_of(place);
        let mut found = Dimensions {
            parent_container_id: place.parent.clone().unwrap_or_default(),
            ..Dimensions::default()
        };
        self.find_executor(place, task, &mut found);
        if let Some(framework) = self.frameworks.get(&found.framework_id) {
            found.framework_name.clone_from(&framework.name);
            found.framework_role.clone_from(&framework.role);
            found.framework_principal.clone_from(&framework.principal);
        }
        let (mut left_out, mut settings) = (0, BTreeMap::new());
        if let Some(task) = task {
            found.task_id.clone_from(&task.id);
            found.task_name.clone_from(&task.name);
            (found.labels, left_out) = rules.choose(&task.labels);
            settings = settings::among(&task.labels);
        }
        let is_standalone = found.framework_id.is_empty()
            && self.with_ancestors(place).last().is_some_and(|root| root.listed.is_some());
        let complete = task.is_some() || place.nested_task.is_some() || is_standalone;
        bound(&mut found);
        Some(Finding { dimensions: found, settings, complete, left_out })
    }

    fn task_of(&self, place: &Place) -> Option<&Task> {
        let by_command = || {
            let listed = &self.listed[place.listed?];
            let is_root = place.parent.is_none();
            let key = (listed.framework_id.clone(), listed.executor_id.clone());
            is_root.then(|| self.commanded.get(&key).copied()).flatten()
        };
        place.task.or_else(by_command).map(|index| &self.tasks[index])
    }

    // Framework and executor are the container's own, or else those of the nearest ancestor that
    // has some.
    fn find_executor(&self, place: &Place, task: Option<&Task>, found: &mut Dimensions) {
        let of_task = |task: &'_ Task| (task.framework_id.clone(), task.executor_id.clone());
        let mut claims = Vec::from_iter(task.map(of_task));
        for place in self.with_ancestors(place) {
            let listed = place.listed.map(|index| &self.listed[index]);
            claims.extend(place.task.map(|index| of_task(&self.tasks[index])));
            claims.extend(listed.map(|it| (it.framework_id.clone(), it.executor_id.clone())));
            claims.extend(place.nested_task.map(|index| of_task(&self.tasks[index])));
        }
        for (framework_id, executor_id) in claims {
            if found.framework_id.is_empty() {
                found.framework_id.clone_from(&framework_id);
            }
            if found.executor_id.is_empty() && framework_id == found.framework_id {
                found.executor_id = executor_id;
            }
        }
        let executor = (found.framework_id.clone(), found.executor_id.clone());
        if let Some(name) = self.executors.get(&executor) {
            found.executor_name.clone_from(name);
        }
    }

    // The place and those that it is nested in. The bound ends a circle, which Mesos never says.
    fn with_ancestors<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Place> {
        let outer = |place: &&'a Place| self.places.get(place.parent.as_deref()?);
        std::iter::successors(Some(place), outer).take(DEPTH)
    }
}

impl Place {
    fn set_parent(&mut self, parent: Option<&str>) {
        if self.parent.is_none() {
            self.parent = parent.map(str::to_owned);
        }
    }
}

fn bound(found: &mut Dimensions) {
    for text in [
        &mut found.parent_container_id,
        &mut found.framework_id,
        &mut found.framework_name,
        &mut found.framework_role,
        &mut found.framework_principal,
        &mut found.executor_id,
        &mut found.executor_name,
        &mut found.task_id,
        &mut found.task_name,
    ] {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
    }
}

#[cfg(test)]
mod tests;
