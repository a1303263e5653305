use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Config;
use crate::census::Census;
use crate::contexts::Contexts;
use crate::identity::Found;
use crate::mesos::Mesos;

mod bucket;

use bucket::Bucket;

const LOG_EVERY: Duration = Duration::from_mins(1);

// A clock has an end, and nothing may panic there.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Finds out who is who, for [`Contexts`], as long as it runs.
///
/// A new container is asked about soon, at the pace of one token bucket for all of them. Everything
/// is looked at again at each refresh. One call is under way at a time. Whatever Mesos does, it can
/// only be late: what was known stays known.
#[derive(Debug)]
pub struct Poller {
    contexts: Contexts,
    config: Config,
    mesos: Option<Mesos>,
    retire: mpsc::Sender<String>,
    /// Whether the last that was logged is a failure, and when that was.
    logged: Option<(bool, Instant)>,
}

impl Poller {
    pub(crate) fn new(
        contexts: Contexts,
        config: Config,
        mesos: Option<Mesos>,
        retire: mpsc::Sender<String>,
    ) -> Self {
        Self { contexts, config, mesos, retire, logged: None }
    }

    /// Runs until it is cancelled. Wants a runtime with I/O and time.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut mesos = self.mesos.take();
        let (contexts, config) = (self.contexts.clone(), self.config.clone());
        let node = look_around(&contexts, &config);
        let containers = async {
            if let Some(mesos) = &mut mesos {
                self.ask(mesos).await;
            }
        };
        let both = Box::pin(async { tokio::join!(node, containers) });
        cancel.run_until_cancelled(both).await;
    }

    async fn ask(&mut self, mesos: &mut Mesos) {
        let mut bucket = Bucket::new(self.config.burst, self.config.every, Instant::now());
        let mut refresh = Instant::now();
        loop {
            let wanted = self.contexts.wanted().map(|due| due.max(bucket.ready()));
            let next = wanted.map_or(refresh, |due| due.min(refresh));
            tokio::select! {
                () = sleep_until(next) => {}
                // Somebody may wish for an earlier one.
                () = self.contexts.woken() => continue,
            }
            let now = Instant::now();
            let refreshes = now >= refresh;
            if refreshes {
                refresh = now + jittered(self.config.refresh);
            } else {
                bucket.take(now);
            }
            self.poll(mesos, refreshes).await;
        }
    }

    async fn poll(&mut self, mesos: &mut Mesos, refreshes: bool) {
        let began = Instant::now();
        self.contexts.asking();
        let mut errors = Vec::new();
        let state = mesos.state().await.map_err(|error| errors.push(error.to_string())).ok();
        let containers =
            mesos.containers().await.map_err(|error| errors.push(error.to_string())).ok();
        let whole = errors.is_empty();
        if self.config.identity.agent_id.is_empty()
            && (refreshes || self.contexts.identity().agent_id.is_empty())
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
        self.tell(&errors);
        self.contexts.polled(!whole, (!errors.is_empty()).then(|| errors.join("; ")));
    }

    // A change is told, and a failure again and again, but once a minute at most.
    fn tell(&mut self, errors: &[String]) {
        let (now, fails) = (Instant::now(), !errors.is_empty());
        let (failed, recent) = match self.logged {
            Some((failed, at)) => (failed, now < at + LOG_EVERY),
            None => (false, false),
        };
        if recent || !fails && !failed {
            return;
        }
        if fails {
            warn!(error = errors.join("; "), "the Mesos agent does not tell who containers are");
        } else {
            info!("the Mesos agent answers again");
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

// Up to a tenth longer, so that a cluster's nodes do not all ask at once; never shorter, for
// reconciling counts on the time between two.
fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    time.min(LONGEST).mul_f64(1.0 + random / 10.0)
}
