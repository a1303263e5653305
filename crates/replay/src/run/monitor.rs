use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot::error::TryRecvError;

use super::Plan;
use super::session::{Meter, Session};
use crate::agent::process::Usage;
use crate::cli::Options;
use crate::error::ReplayError;
use crate::progress::Bar;
use crate::sender::{self, Job, Progress, Sent};

/// How often what happens is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How often it is written down, and the agent asked, which costs it something.
const MOMENT: Duration = Duration::from_millis(500);

/// In a long run more seldom: when this part of the time so far has passed again.
const PART: u32 = 30;

/// What was seen at one moment of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Moment {
    /// Since the beginning, in seconds.
    pub(crate) at: f64,
    /// Datagrams, as all that follow, since the beginning.
    pub(crate) sent: u64,
    pub(crate) received: Option<u64>,
    pub(crate) kernel_dropped: Option<u64>,
    /// Processor seconds of the agent.
    pub(crate) cpu: Option<f64>,
    /// Its memory, in bytes.
    pub(crate) memory: Option<u64>,
}

/// What came of sending.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: Sent,
    pub(crate) moments: Vec<Moment>,
    pub(crate) loss: Option<Loss>,
    pub(crate) cost: Option<Cost>,
}

impl Outcome {
    /// Itself, if it was sent for so long: what was stopped before shall not be gone on from.
    pub(super) fn through(self, time: Duration) -> Result<Self, ReplayError> {
        if self.sent.elapsed < time { Err(ReplayError::Interrupted) } else { Ok(self) }
    }
}

/// Datagrams that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Loss {
    pub(crate) datagrams: u64,
    /// Of those that were sent.
    pub(crate) share: f64,
}

/// What the agent spent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    /// Of those that arrived, as far as that is known.
    pub(crate) cpu_seconds_per_million_lines: f64,
    /// Of one processor, on average.
    pub(crate) cpu_share: f64,
    pub(crate) memory_before: u64,
    pub(crate) memory_most: u64,
    pub(crate) memory_after: u64,
    /// Processor seconds of its threads by their names, of those that live at the end.
    pub(crate) threads: BTreeMap<String, f64>,
}

/// Sends, and watches until all of it is received or lost.
pub(super) async fn send(
    options: &Options,
    session: &mut Session,
    plan: Plan,
) -> Result<Outcome, ReplayError> {
    let before = session.read_meter().await?;
    let (usage_before, threads_before) = (session.usage(), session.threads());
    let progress = Arc::new(Progress::default());
    let job = Job {
        corpus: Arc::clone(&session.corpus),
        wire: Arc::clone(&session.wire),
        pace: plan.pace,
        length: plan.length,
    };
    let bar = Bar::new(plan.length, options.quiet);
    let mut moments = Moments::new(before.clone(), usage_before);
    let mut done = sender::start(job, Arc::clone(&progress))?;
    let sent = loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // The rest is done as if that had been the end.
            () = session.interrupted() => progress.stop(),
        }
        match done.try_recv() {
            Ok(sent) => break sent?,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Closed) => return Err(ReplayError::Interrupted),
        }
        moments.look(session, progress.sent()).await;
        bar.show(moments.all.last(), progress.sent());
    };
    bar.end();
    // The last of sending, before what is on its way is waited for.
    let meter = session.try_meter().await.unwrap_or_default();
    moments.write_at(sent.elapsed, &meter, session.usage(), sent.datagrams);
    let after = session
        .await_received(&before, sent.datagrams, |meter| {
            if moments.is_due() {
                moments.write(meter, session.usage(), sent.datagrams);
            }
        })
        .await?;
    moments.write(&after, session.usage(), sent.datagrams);
    let loss = loss(&before, &after, sent.datagrams);
    let took = moments.began.elapsed();
    let lines = session.corpus.lines_of(arrived(sent.datagrams, loss));
    let cost = usage_before.zip(session.usage()).map(|(before, after)| {
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let of_thread = |(name, cpu): (String, Duration)| {
            let before = threads_before.get(&name).copied().unwrap_or_default();
            (name, cpu.saturating_sub(before).as_secs_f64())
        };
        Cost {
            threads: session.threads().into_iter().map(of_thread).collect(),
            cpu_seconds: cpu,
            cpu_seconds_per_million_lines: cpu / (lines.max(1) as f64 / 1e6),
            cpu_share: cpu / took.as_secs_f64(),
            memory_before: before.memory,
            memory_most: moments.memory_most.max(after.memory),
            memory_after: after.memory,
        }
    });
    Ok(Outcome { sent, moments: moments.all, loss, cost })
}

/// What is known to be lost: by the agent's word all that it did not receive, and what the kernel
/// dropped at least: somebody else may send too.
fn loss(before: &Meter, after: &Meter, sent: u64) -> Option<Loss> {
    let not_received =
        after.status_since(before).map(|status| sent.saturating_sub(status.received.datagrams));
    let datagrams = not_received.max(after.kernel_dropped_since(before))?;
    Some(Loss { datagrams, share: datagrams as f64 / sent.max(1) as f64 })
}

/// Of so many datagrams those that are not known to be lost.
fn arrived(sent: u64, loss: Option<Loss>) -> u64 {
    sent.saturating_sub(loss.map_or(0, |loss| loss.datagrams))
}

/// Writes down what is seen.
struct Moments {
    began: Instant,
    before: Meter,
    usage_before: Option<Usage>,
    memory_most: u64,
    last: Option<Instant>,
    all: Vec<Moment>,
}

impl Moments {
    fn new(before: Meter, usage_before: Option<Usage>) -> Self {
        Self {
            began: Instant::now(),
            before,
            usage_before,
            memory_most: 0,
            last: None,
            all: Vec::new(),
        }
    }

    async fn look(&mut self, session: &Session, sent: u64) {
        let usage = session.usage();
        self.memory_most = self.memory_most.max(usage.map_or(0, |usage| usage.memory));
        if self.is_due() {
            // A moment in which the agent does not answer has no account.
            let meter = session.try_meter().await.unwrap_or_default();
            self.write(&meter, usage, sent);
        }
    }

    fn is_due(&self) -> bool {
        let pause = MOMENT.max(self.began.elapsed() / PART);
        self.last.is_none_or(|last| last.elapsed() >= pause)
    }

    fn write(&mut self, meter: &Meter, usage: Option<Usage>, sent: u64) {
        self.write_at(self.began.elapsed(), meter, usage, sent);
    }

    fn write_at(&mut self, at: Duration, meter: &Meter, usage: Option<Usage>, sent: u64) {
        self.last = Some(Instant::now());
        let status = meter.status_since(&self.before);
        let cpu = usage
            .zip(self.usage_before)
            .map(|(now, before)| now.cpu.saturating_sub(before.cpu).as_secs_f64());
        self.all.push(Moment {
            // The sender's own watch may be a little behind.
            at: self.all.last().map_or(0.0, |last| last.at).max(at.as_secs_f64()),
            sent,
            received: status.as_ref().map(|status| status.received.datagrams),
            kernel_dropped: meter.kernel_dropped_since(&self.before),
            cpu,
            memory: usage.map(|usage| usage.memory),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::status::Account;

    #[test]
    fn what_others_send_hides_no_more_than_the_kernel_did_not_drop() {
        let before = Meter::of(Account::default());
        for (received, kernel_dropped, lost) in [(90, 10, 10), (98, 10, 10), (85, 10, 15)] {
            let mut account = Account::default();
            (account.received.datagrams, account.kernel_dropped) = (received, kernel_dropped);
            let loss = loss(&before, &Meter::of(account), 100).unwrap();
            assert_eq!(loss.datagrams, lost);
        }
        assert_eq!(loss(&Meter::default(), &Meter::default(), 100), None);
    }

    #[test]
    fn nothing_is_spent_on_what_was_lost_whoever_tells_of_it() {
        assert_eq!(arrived(100, Some(Loss { datagrams: 60, share: 0.6 })), 40);
        assert_eq!(arrived(100, None), 100);
        assert_eq!(arrived(100, Some(Loss { datagrams: 101, share: 1.01 })), 0);
    }
}
