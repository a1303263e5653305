use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::labels::cut;

mod lenient;
mod statistics;

pub(crate) use lenient::Numbers;
use lenient::{Entries, Lenient};
pub(crate) use statistics::Statistics;

/// What `GET_STATE` says.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Launched ones first, then terminated, completed, queued and pending ones.
    pub(crate) tasks: Vec<Task>,
    /// How many of the tasks, from the first on, run.
    pub(crate) launched: usize,
    pub(crate) executors: Vec<Executor>,
    pub(crate) frameworks: Vec<Framework>,
}

#[derive(Debug, Default)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Empty if the task has none of its own.
    pub(crate) executor_id: String,
    pub(crate) framework_id: String,
    pub(crate) labels: Vec<(String, String)>,
    /// Its first status' that has one.
    pub(crate) container: Option<ContainerId>,
}

#[derive(Debug, Default)]
pub(crate) struct Executor {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) framework_id: String,
}

#[derive(Debug, Default)]
pub(crate) struct Framework {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Several are joined by a comma.
    pub(crate) role: String,
    pub(crate) principal: String,
}

/// A container that `GET_CONTAINERS` lists.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) container: ContainerId,
    /// Empty if it is standalone.
    pub(crate) framework_id: String,
    pub(crate) executor_id: String,
    pub(crate) executor_name: String,
    /// Its resource statistics as they stand, for [`Statistics::read`].
    pub(crate) statistics: Option<Box<RawValue>>,
}

/// What `GET_AGENT` says.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    /// Empty until the agent has registered with its master.
    pub(crate) id: String,
    pub(crate) hostname: String,
}

/// A container's id with those that it is nested in.
// Read strictly, so that one reader's recursion limit bounds the depth.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ContainerId {
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) parent: Option<Box<ContainerId>>,
}

impl ContainerId {
    /// The id and its ancestors', from the leaf up.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self), |id| id.parent.as_deref()).map(|id| id.value.as_str())
    }
}

/// What `GET_CONTAINERS` says.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    pub(crate) listed: Vec<Listed>,
    /// How many entries could not be read: who is not among the others may be one of them.
    pub(crate) unread: usize,
}

/// Reads a `GET_STATE` answer; what in it is of another shape is as if it were not there.
pub(crate) fn state(body: &[u8]) -> Result<State, String> {
    let text = String::from_utf8_lossy(body);
    let state: GetState = object(read(&text, "GET_STATE")?.get_state)?;
    let tasks = state.get_tasks.0;
    let lists = [
        tasks.launched_tasks.0,
        tasks.terminated_tasks.0,
        tasks.completed_tasks.0,
        tasks.queued_tasks.0,
        tasks.pending_tasks.0,
    ];
    let launched = lists[0].read.len();
    let executors = state.get_executors.0;
    let executors = [executors.executors.0, executors.completed_executors.0];
    let frameworks = state.get_frameworks.0;
    let frameworks = [frameworks.frameworks.0, frameworks.completed_frameworks.0];
    Ok(State {
        tasks: lists.into_iter().flat_map(|list| list.read).map(Task::from).collect(),
        launched,
        executors: executors.into_iter().flat_map(|list| list.read).map(Executor::from).collect(),
        frameworks: { frameworks.into_iter() }
            .flat_map(|list| list.read)
            .map(Framework::from)
            .collect(),
    })
}

/// Reads a `GET_CONTAINERS` answer, in the same way, but a list that is none is an error: it must not
/// pass for an empty one.
pub(crate) fn containers(body: &[u8]) -> Result<Containers, String> {
    let text = String::from_utf8_lossy(body);
    let answer: GetContainers = object(read(&text, "GET_CONTAINERS")?.get_containers)?;
    let mut unread = answer.containers.unread;
    let listed = answer.containers.read.into_iter().filter_map(|container| {
        unread += usize::from(container.container_id.0.is_none());
        Some(Listed {
            container: container.container_id.0?,
            framework_id: container.framework_id.0.value,
            executor_id: container.executor_id.0.value,
            executor_name: container.executor_name.0,
            statistics: container.resource_statistics,
        })
    });
    Ok(Containers { listed: listed.collect(), unread })
}

/// Reads a `GET_AGENT` answer, in the same way as a `GET_STATE` one.
pub(crate) fn agent(body: &[u8]) -> Result<Agent, String> {
    let text = String::from_utf8_lossy(body);
    let answer: GetAgent = object(read(&text, "GET_AGENT")?.get_agent)?;
    let info = answer.agent_info.0;
    Ok(Agent { id: info.id.0.value, hostname: info.hostname.0 })
}

/// Reads a `/metrics/snapshot`: its numbers. What is none is as if it were not there.
pub(crate) fn snapshot(body: &[u8]) -> Result<Numbers, String> {
    serde_json::from_str(&String::from_utf8_lossy(body)).map_err(unreadable)
}

fn read<'a>(text: &'a str, kind: &str) -> Result<Answer<'a>, String> {
    let answer: Answer<'_> = serde_json::from_str(text).map_err(unreadable)?;
    match answer.kind.0.as_str() {
        found if found == kind || found.is_empty() => Ok(answer),
        found => Err(format!("the answer is {:?}, not {kind}", cut(found, 64))),
    }
}

// A derived struct would take an array, too.
fn object<T: DeserializeOwned>(raw: Option<&RawValue>) -> Result<T, String> {
    match raw {
        Some(raw) if raw.get().starts_with('{') => {
            serde_json::from_str(raw.get()).map_err(unreadable)
        }
        _ => Err("the answer is empty".to_owned()),
    }
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn unreadable(error: serde_json::Error) -> String {
    format!("the answer cannot be read: {error}")
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(rename = "type", default)]
    kind: Text,
    #[serde(borrow)]
    get_state: Option<&'a RawValue>,
    #[serde(borrow)]
    get_containers: Option<&'a RawValue>,
    #[serde(borrow)]
    get_agent: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_field_names)] // Mesos's names
struct GetState {
    get_tasks: Lenient<GetTasks>,
    get_executors: Lenient<GetExecutors>,
    get_frameworks: Lenient<GetFrameworks>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_field_names)] // Mesos's names
struct GetTasks {
    launched_tasks: List<TaskAnswer>,
    terminated_tasks: List<TaskAnswer>,
    completed_tasks: List<TaskAnswer>,
    queued_tasks: List<TaskAnswer>,
    pending_tasks: List<TaskAnswer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TaskAnswer {
    name: Text,
    task_id: Lenient<Id>,
    executor_id: Lenient<Id>,
    framework_id: Lenient<Id>,
    labels: Lenient<Labels>,
    statuses: List<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    container_status: Lenient<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    container_id: Lenient<Option<ContainerId>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Labels {
    labels: List<Label>,
}

#[derive(Deserialize)]
struct Label {
    key: String,
    #[serde(default)]
    value: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GetExecutors {
    executors: List<ExecutorAnswer>,
    completed_executors: List<ExecutorAnswer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExecutorAnswer {
    executor_info: Lenient<ExecutorInfo>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExecutorInfo {
    executor_id: Lenient<Id>,
    framework_id: Lenient<Id>,
    name: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GetFrameworks {
    frameworks: List<FrameworkAnswer>,
    completed_frameworks: List<FrameworkAnswer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FrameworkAnswer {
    framework_info: Lenient<FrameworkInfo>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FrameworkInfo {
    id: Lenient<Id>,
    name: Text,
    role: Text,
    roles: List<String>,
    principal: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GetContainers {
    containers: Entries<ContainerAnswer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerAnswer {
    container_id: Lenient<Option<ContainerId>>,
    framework_id: Lenient<Id>,
    executor_id: Lenient<Id>,
    executor_name: Text,
    resource_statistics: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GetAgent {
    agent_info: Lenient<AgentInfo>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AgentInfo {
    id: Lenient<Id>,
    hostname: Text,
}

#[derive(Default, Deserialize)]
struct Id {
    value: String,
}

impl From<TaskAnswer> for Task {
    fn from(task: TaskAnswer) -> Self {
        let labels = task.labels.0.labels.0.read.into_iter();
        let statuses = task.statuses.0.read.into_iter();
        Self {
            id: task.task_id.0.value,
            name: task.name.0,
            executor_id: task.executor_id.0.value,
            framework_id: task.framework_id.0.value,
            labels: labels.map(|label| (label.key, label.value.0)).collect(),
            container: { statuses }.find_map(|status| status.container_status.0.container_id.0),
        }
    }
}

impl From<ExecutorAnswer> for Executor {
    fn from(executor: ExecutorAnswer) -> Self {
        let info = executor.executor_info.0;
        Self {
            id: info.executor_id.0.value,
            name: info.name.0,
            framework_id: info.framework_id.0.value,
        }
    }
}

impl From<FrameworkAnswer> for Framework {
    fn from(framework: FrameworkAnswer) -> Self {
        let info = framework.framework_info.0;
        let role = if info.role.0.is_empty() { info.roles.0.read.join(",") } else { info.role.0 };
        Self { id: info.id.0.value, name: info.name.0, role, principal: info.principal.0 }
    }
}

type Text = Lenient<String>;
type List<T> = Lenient<Entries<T>>;

#[cfg(test)]
mod tests;
