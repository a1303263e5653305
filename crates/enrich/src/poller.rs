use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::answer::{Containers, Numbers};
use crate::census::Census;
use crate::contexts::Contexts;
use crate::identity::Found;
use crate::mesos::Mesos;
use crate::resources::{Resources, Snapshots};
use crate::{Config, Error, Measured};

mod bucket;
mod timetable;

use timetable::{Look, Timetable, jittered};

const LOG_EVERY: Duration = Duration::from_mins(1);

/// Finds out who is who, for [`Contexts`], and what Mesos measures, as long as it runs.
///
/// A new container is asked about soon, at the pace of one token bucket for all of them. Everything
/// is looked at again at each refresh. One call is under way at a time, so none overlaps with
/// another, and an answer that serves two purposes is asked for once. Whatever Mesos does, it can
/// only be late: what was known stays known, and what is not measured is not told.
#[derive(Debug)]
pub struct Poller {
    contexts: Contexts,
    config: Config,
    mesos: Option<Mesos>,
    retire: mpsc::Sender<String>,
    resources: Resources,
    snapshots: Snapshots,
    contexts_log: Log,
    resources_log: Log,
    snapshot_log: Log,
}

impl Poller {
    pub(crate) fn new(
        contexts: Contexts,
        config: Config,
        mesos: Option<Mesos>,
        retire: mpsc::Sender<String>,
    ) -> Self {
        Self {
            contexts,
            config,
            mesos,
            retire,
            resources: Resources::default(),
            snapshots: Snapshots::default(),
            contexts_log: Log::of("who containers are"),
            resources_log: Log::of("what containers use"),
            snapshot_log: Log::of("its own metrics"),
        }
    }

    /// Runs until it is cancelled. Wants a runtime with I/O and time. What was measured is handed
    /// over as it comes, all of one answer together.
    pub async fn run(
        mut self,
        cancel: CancellationToken,
        mut measured: impl FnMut(Vec<Measured>) + Send,
    ) {
        let mut mesos = self.mesos.take();
        let (contexts, config) = (self.contexts.clone(), self.config.clone());
        let node = look_around(&contexts, &config);
        let containers = async {
            if let Some(mesos) = &mut mesos {
                self.ask(mesos, &mut measured).await;
            }
        };
        let both = Box::pin(async { tokio::join!(node, containers) });
        cancel.run_until_cancelled(both).await;
    }

    async fn ask(&mut self, mesos: &mut Mesos, measured: &mut impl FnMut(Vec<Measured>)) {
        let mut timetable = Timetable::new(&self.config, Instant::now());
        loop {
            let wanted = self.contexts.wanted();
            tokio::select! {
                () = sleep_until(timetable.next(wanted)) => {}
                // Somebody may wish for an earlier one.
                () = self.contexts.woken() => continue,
            }
            let turn = timetable.take(wanted, Instant::now());
            if let Some(look) = turn.contexts {
                measured(self.poll(mesos, look, turn.resources).await);
            } else if turn.resources {
                let (told, containers) = self.measure(mesos.containers().await).await;
                self.resources_log.note(containers.err().map(|error| error.to_string()));
                measured(told);
            }
            if turn.snapshot {
                let told = self.measure_agent(mesos.snapshot().await);
                measured(Vec::from_iter(told));
            }
        }
    }

    async fn poll(&mut self, mesos: &mut Mesos, look: Look, with_resources: bool) -> Vec<Measured> {
        let began = Instant::now();
        self.contexts.asking();
        let mut errors = Vec::new();
        let state = mesos.state().await.map_err(|error| errors.push(error.to_string())).ok();
        let mut containers = mesos.containers().await;
        let mut measured = Vec::new();
        if with_resources {
            (measured, containers) = self.measure(containers).await;
        }
        let containers = containers.map_err(|error| errors.push(error.to_string())).ok();
        let whole = errors.is_empty();
        if self.config.identity.agent_id.is_empty()
            && (look == Look::Refresh || self.contexts.identity().agent_id.is_empty())
        {
            match mesos.agent().await {
                Ok(agent) => self.contexts.learn(|found| found.hear(agent)),
                Err(error) => errors.push(error.to_string()),
            }
        }
        // An agent may have had thousands of tasks.
        let census = tokio::task::spawn_blocking(|| Census::new(state, containers)).await;
        if let Ok(census) = census {
            self.contexts.take(&census, &self.config.labels, began, whole);
            if let Some(rule) = self.config.reconcile {
                self.contexts.reconcile(&census, rule, &self.retire);
            }
        }
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        self.contexts_log.note(error.clone());
        self.contexts.polled(!whole, error);
        measured
    }

    // What containers use by this answer, and the answer.
    async fn measure(
        &mut self,
        answer: Result<Containers, Error>,
    ) -> (Vec<Measured>, Result<Containers, Error>) {
        let read = async {
            let containers = answer?;
            let mut resources = std::mem::take(&mut self.resources);
            let read = move || {
                let measured = resources.measure(&containers);
                (resources, containers, measured)
            };
            let failed = |error: tokio::task::JoinError| Error::Call {
                call: "GET_CONTAINERS",
                reason: error.to_string(),
            };
            tokio::task::spawn_blocking(read).await.map_err(failed)
        };
        let (answer, (measured, left_out)) = match read.await {
            Ok((resources, containers, measured)) => {
                self.resources = resources;
                (Ok(containers), measured)
            }
            Err(error) => (Err(error), (Vec::new(), 0)),
        };
        let ids = measured.iter().filter_map(|measured| measured.source.container_id());
        self.contexts.listed(ids.map(AsRef::as_ref));
        self.contexts.measured(|health| health.resources.note(&answer, left_out));
        (measured, answer)
    }

    fn measure_agent(&mut self, answer: Result<Numbers, Error>) -> Option<Measured> {
        let (measured, left_out) =
            answer.as_ref().map_or((None, 0), |numbers| self.snapshots.measure(numbers));
        self.contexts.measured(|health| health.snapshot.note(&answer, left_out));
        self.snapshot_log.note(answer.err().map(|error| error.to_string()));
        measured
    }
}

/// Tells in the log how one thing goes.
#[derive(Debug)]
struct Log {
    what: &'static str,
    /// Whether the last that was logged is a failure, and when that was.
    logged: Option<(bool, Instant)>,
}

impl Log {
    fn of(what: &'static str) -> Self {
        Self { what, logged: None }
    }

    // A change is told, and a failure again and again, but once a minute at most.
    fn note(&mut self, error: Option<String>) {
        let (now, fails) = (Instant::now(), error.is_some());
        let (failed, recent) = match self.logged {
            Some((failed, at)) => (failed, now < at + LOG_EVERY),
            None => (false, false),
        };
        if recent || !fails && !failed {
            return;
        }
        if let Some(error) = error {
            warn!(error, "the Mesos agent does not tell {}", self.what);
        } else {
            info!("the Mesos agent tells {} again", self.what);
        }
        self.logged = Some((fails, now));
    }
}

async fn look_around(contexts: &Contexts, config: &Config) {
    let mut found = Found::default();
    loop {
        found.look_around(&config.identity).await;
        contexts.learn(|all| {
            all.address = found.address;
            all.cluster_id.clone_from(&found.cluster_id);
        });
        contexts.forget();
        sleep(jittered(config.refresh)).await;
    }
}
