//! SIGHUP: another configuration is taken as a whole, or refused as a whole.
//!
//! ```text
//!  read, check    -> what differs           -> what needs a restart is refused
//!  prepare           new sockets are opened, new outputs started    whatever can fail does so here
//!  take              terms, limits, expiries; outputs and relays are exchanged; listeners are served
//!  let go            removed sockets are read until empty, removed outputs drained    beside the rest
//! ```
//! What stays is not touched: a listener is the same by its URL, an output by its name. A reload is
//! over when the last of what it removed has ended; the next one waits for that, a stop does not.

mod difference;
mod prepared;
mod reloads;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use aggregate::TotalSeries;
use api::KeptQueue;
use ingest::{Listeners, Store};
use ship::{Departed, Departing, Outputs};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout_at;
use tracing::{error, info, warn};

use crate::claims::Claims;
use crate::collector::{self, Collector, WayIn};
use crate::config::{Config, ConfigError, Limits};
use crate::flush::Message;
use crate::logging::Logging;
use crate::own::Own;
use crate::shared::Opened;
use crate::terms::Terms;
use crate::worker::{self, Request};
use difference::Difference;
use prepared::{Prepared, broken_off, in_one_line};
pub(crate) use reloads::Reloads;

/// The configuration that holds, and what is open because of it.
pub(crate) struct InForce {
    pub(crate) config: Config,
    /// The shared listeners, as they were opened.
    pub(crate) shared: Vec<Opened>,
    /// The listeners of streams.
    pub(crate) collectors: Vec<Collector>,
    parts: Parts,
    // What is being let go of.
    closing: Vec<JoinHandle<()>>,
    departing: Vec<JoinHandle<Vec<Departed>>>,
}

/// What a configuration is about.
pub(crate) struct Parts {
    pub(crate) ground: Ground,
    pub(crate) streams: collector::Roll,
    pub(crate) workers: Vec<worker::Handle>,
    pub(crate) terms: Terms,
    pub(crate) claims: Claims,
    pub(crate) total_series: TotalSeries,
    pub(crate) flush: mpsc::Sender<Message>,
    pub(crate) reloads: Reloads,
}

/// What another configuration is tried on. No stop waits for it, for a file or a name may hang.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) listeners: Listeners,
    pub(crate) store: Store,
    pub(crate) way_in: WayIn,
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) own: Own,
}

impl InForce {
    pub(crate) fn new(
        config: Config,
        shared: Vec<Opened>,
        collectors: Vec<Collector>,
        parts: Parts,
    ) -> Self {
        let (closing, departing) = (Vec::new(), Vec::new());
        Self { config, shared, collectors, parts, closing, departing }
    }

    /// Takes the configuration that is loaded, or says why it is refused; then nothing has changed.
    /// What it removes is yet to be [let go of](InForce::let_go). Given up in the middle, it was
    /// refused.
    pub(crate) async fn exchange(
        &mut self,
        load: impl FnOnce() -> Result<Config, ConfigError> + Send + 'static,
        logging: &Logging,
    ) -> Result<(), String> {
        let (ground, workers) = (self.parts.ground.clone(), self.parts.workers.len());
        let running = self.config.clone();
        let prepare = spawn_blocking(move || Prepared::new(&ground, workers, &running, load()));
        match prepare.await.unwrap_or_else(|_| Err(broken_off())) {
            Ok(prepared) => {
                self.take(prepared, logging);
                Ok(())
            }
            Err(error) => {
                let reason = in_one_line(&error);
                error!("the configuration is refused, the one before goes on to hold: {reason}");
                self.parts.reloads.refused(&reason);
                Err(reason)
            }
        }
    }

    fn take(&mut self, prepared: Prepared, logging: &Logging) {
        let Prepared { config, difference, mut shared, streams, outputs, inlets, level } = prepared;
        if let Some(level) = level {
            logging.set(level);
        }
        if difference.is_none() {
            info!("the configuration is taken: nothing in it has changed");
        } else {
            info!("the configuration is taken: {}", difference.keys.join(", "));
        }
        self.take_settings(&config);
        self.take_outputs(&config, outputs, &difference.removed, inlets);
        self.shared.append(&mut shared.take());
        self.collectors.extend(streams.into_iter().map(|bound| bound.start(&self.parts.streams)));
        self.close(&difference);
        let outputs: Vec<_> = difference.outputs.iter().map(|output| &*output.name).collect();
        self.parts.reloads.taken(&outputs);
        self.config = config;
    }

    fn take_settings(&self, config: &Config) {
        let parts = &self.parts;
        let Limits {
            // Of each container, and so among its terms.
            bytes_per_second: _,
            burst_bytes: _,
            series: _,
            interval_bytes: _,
            trusted_sources,
            total_series,
            // With the flush's settings.
            waiting_points: _,
        } = config.limits;
        parts.claims.set_limit(trusted_sources);
        parts.total_series.set_most(total_series);
        let has_other_terms =
            config.limits != self.config.limits || config.tag_rules != self.config.tag_rules;
        if has_other_terms {
            parts.terms.change(&config.limits, &config.tag_rules);
            parts.workers.iter().for_each(|worker| worker.ask(Request::Unsettle));
        }
        parts.ground.own.configure(&config.listeners);
        // It ends after the last reload.
        let _ = parts.flush.send(Message::Settings(config.to_flush_settings()));
    }

    fn take_outputs(
        &mut self,
        config: &Config,
        prepared: Vec<ship::Prepared>,
        removed: &[String],
        inlets: Vec<Vec<ship::Inlet>>,
    ) {
        let departing = self.parts.ground.outputs.exchange(prepared, removed);
        if departing.is_empty() && inlets.iter().all(Vec::is_empty) {
            return;
        }
        let without: Arc<[String]> = departing.iter().map(|it| it.name().to_owned()).collect();
        let mut relayed = Vec::new();
        for (worker, inlets) in self.parts.workers.iter().zip(inlets) {
            let (done, is_done) = oneshot::channel();
            worker.ask(Request::Relay { without: without.clone(), inlets, done });
            relayed.push(is_done);
        }
        let end = end(self.parts.ground.outputs.clone(), relayed, departing, config.shutdown_grace);
        self.departing.push(tokio::spawn(end));
    }

    fn close(&mut self, difference: &Difference) {
        for opened in self.shared.extract_if(.., |it| difference.closed.contains(&it.url)) {
            let closing = self.parts.ground.listeners.close(&opened.source);
            self.closing.push(tokio::spawn(async move {
                if let Some(closed) = closing.await {
                    let (url, unread) = (&opened.url, closed.unread);
                    info!(unread, "{url} is read until empty and closed");
                }
            }));
        }
        let deadline = Instant::now() + self.config.shutdown_grace;
        for collector in self.collectors.extract_if(.., |it| difference.closed.contains(&it.url)) {
            let close = collector.close(self.parts.streams.clone(), deadline);
            self.closing.push(tokio::spawn(close));
        }
    }

    /// Waits until all has ended that was removed. May be given up and waited for again.
    pub(crate) async fn let_go(&mut self) {
        while let Some(closing) = self.closing.last_mut() {
            let _ = closing.await;
            self.closing.pop();
        }
        while let Some(departing) = self.departing.last_mut() {
            let all = departing.await;
            self.departing.pop();
            for departed in all.unwrap_or_default() {
                self.has_departed(departed);
            }
        }
    }

    fn has_departed(&mut self, departed: Departed) {
        let Departed { name: output, is_taken_over, kept, error } = departed;
        if let Some(error) = error {
            let what = if is_taken_over { "goes on as it was" } else { "has ended" };
            let reason = format!("output {output} {what}: {error}");
            error!("{reason}");
            self.parts.reloads.failed(&reason);
            // So that the next reload tries it again.
            self.config.outputs.retain(|it| it.name != output);
        }
        if !is_taken_over && kept.points > 0 {
            let (points, bytes) = (kept.points, kept.bytes);
            warn!(output, points, bytes, "the queue of an output that was removed is kept");
            self.parts.reloads.kept(KeptQueue { output, points, bytes });
        }
    }

    /// Closes the listeners of streams, and waits for those that are being closed.
    pub(crate) async fn stop(self, deadline: Instant) {
        for collector in self.collectors {
            collector.stop(deadline).await;
        }
        for closing in self.closing {
            // Whatever takes longer is told by those who close it.
            let _ = timeout_at(deadline.into(), closing).await;
        }
    }
}

/// Lets outputs end that were taken out: when no worker puts lines into those among them that are
/// relays any more, all at the same time.
async fn end(
    outputs: Arc<Outputs>,
    relayed: Vec<oneshot::Receiver<()>>,
    departing: Vec<Departing>,
    grace: Duration,
) -> Vec<Departed> {
    for is_done in relayed {
        // A worker that has ended puts nothing in.
        let _ = is_done.await;
    }
    let end = |departing| {
        let outputs = outputs.clone();
        spawn_blocking(move || outputs.finish(departing, grace))
    };
    let ending: Vec<_> = departing.into_iter().map(end).collect();
    let mut departed = Vec::with_capacity(ending.len());
    for ended in ending {
        departed.extend(ended.await.ok());
    }
    departed
}
