//! The sending thread.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{ClockId, NanosleepRelativeResult, clock_nanosleep_relative};
use rustix::time::Timespec;
use tokio::sync::oneshot;

use crate::corpus::{Corpus, Datagram};
use crate::error::ReplayError;
use crate::pace::{Pace, Unit};
use crate::wire::{BATCH, Wire};

/// The shortest sleep: what is due sooner is sent together.
const SHORTEST_SLEEP: Duration = Duration::from_micros(50);

/// The longest sleep, so that a stop is heard.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// What is sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) corpus: Arc<Corpus>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) pace: Pace,
    pub(crate) length: Length,
}

/// When it ends: at whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Length {
    pub(crate) datagrams: Option<u64>,
    pub(crate) time: Option<Duration>,
}

/// What the sender has done so far, for others to look at.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    sent: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Datagrams.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Asks the sender to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What was sent in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sent {
    /// Datagrams that the kernel took.
    pub(crate) datagrams: u64,
    /// From the first to the last.
    pub(crate) elapsed: Duration,
    /// How often the kernel would not take the next one: see [`crate::wire::Taken`].
    pub(crate) cut_short: u64,
    /// The share of the pace that was kept up; 1 if nothing was late.
    pub(crate) kept: f64,
}

/// Starts to send in a thread of its own.
pub(crate) fn start(
    job: Job,
    progress: Arc<Progress>,
) -> Result<oneshot::Receiver<Result<Sent, ReplayError>>, ReplayError> {
    let (done, sent) = oneshot::channel();
    thread::Builder::new()
        .name("sender".to_owned())
        // If nobody waits any more, nobody wants to know.
        .spawn(move || drop(done.send(send(&job, &progress))))
        .map_err(|source| ReplayError::Thread { source })?;
    Ok(sent)
}

/// Sends until the job's length is reached or a stop is asked for.
fn send(job: &Job, progress: &Progress) -> Result<Sent, ReplayError> {
    // The default slack of 50 µs would be as long as the shortest sleep; without it they are only
    // less even.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000));
    let mut schedule = Schedule::new(job);
    let mut cut_short = 0;
    let began = Instant::now();
    let mut elapsed = Duration::ZERO;
    while !progress.stop.load(Ordering::Relaxed)
        && job.length.time.is_none_or(|time| elapsed < time)
    {
        let left = job.length.datagrams.map_or(u64::MAX, |most| most - schedule.sent);
        if left == 0 {
            break;
        }
        let ready = schedule.ready(elapsed).min(left as usize);
        if ready > 0 {
            let batch = &schedule.upcoming()[..ready];
            match job.wire.send(&job.corpus, batch) {
                Ok(taken) => {
                    schedule.advance(taken.datagrams);
                    cut_short += u64::from(taken.is_cut_short);
                }
                // No room in the kernel for the moment.
                Err(error) if is_passing(&error) => sleep(SHORTEST_SLEEP),
                Err(source) => return Err(ReplayError::Send { source }),
            }
            progress.sent.store(schedule.sent, Ordering::Relaxed);
        } else {
            let until_end =
                job.length.time.map_or(LONGEST_SLEEP, |time| time.saturating_sub(elapsed));
            sleep(schedule.wait(elapsed).min(until_end));
        }
        elapsed = began.elapsed();
    }
    let kept = schedule.kept(elapsed);
    Ok(Sent { datagrams: schedule.sent, elapsed, cut_short, kept })
}

fn is_passing(error: &io::Error) -> bool {
    let no_buffers = rustix::io::Errno::NOBUFS.raw_os_error();
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
        || error.raw_os_error() == Some(no_buffers)
}

fn sleep(wish: Duration) {
    let wish = wish.clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
    let Ok(request) = Timespec::try_from(wish) else { return };
    // Woken early it looks again at what is due.
    match clock_nanosleep_relative(ClockId::Monotonic, &request) {
        NanosleepRelativeResult::Ok
        | NanosleepRelativeResult::Interrupted(_)
        | NanosleepRelativeResult::Err(_) => {}
    }
}

/// What is next, and when.
struct Schedule<'a> {
    corpus: &'a Corpus,
    pace: &'a Pace,
    /// Datagrams, of all passes.
    sent: u64,
    /// In the pace's unit.
    weight: u64,
    /// The place of the next in this pass.
    place: usize,
    /// When this pass began, by the captured times.
    pass: Duration,
}

impl<'a> Schedule<'a> {
    fn new(job: &'a Job) -> Self {
        let (corpus, pace) = (&*job.corpus, &job.pace);
        Self { corpus, pace, sent: 0, weight: 0, place: 0, pass: Duration::ZERO }
    }

    /// The rest of this pass.
    fn upcoming(&self) -> &'a [Datagram] {
        &self.corpus.datagrams()[self.place..]
    }

    /// How many of the upcoming ones are due, at most a batch.
    // Hot path: runs once per batch.
    fn ready(&self, elapsed: Duration) -> usize {
        let upcoming = self.upcoming();
        let batch = &upcoming[..upcoming.len().min(BATCH)];
        match self.pace {
            Pace::FlatOut => batch.len(),
            Pace::Captured { .. } => {
                (0..batch.len()).take_while(|next| self.captured(*next) <= elapsed).count()
            }
            Pace::Profile(profile) => {
                let due = profile.due(elapsed);
                let mut weight = self.weight;
                let is_due = |it: &&Datagram| {
                    let is_due = (weight as f64) < due;
                    weight += weigh(**it, profile.unit());
                    is_due
                };
                batch.iter().take_while(is_due).count()
            }
        }
    }

    /// When the next is due, from now.
    fn wait(&self, elapsed: Duration) -> Duration {
        match self.pace {
            Pace::FlatOut => Duration::ZERO,
            Pace::Captured { .. } => self.captured(0).saturating_sub(elapsed),
            Pace::Profile(profile) => {
                let (mut early, mut late) = (Duration::ZERO, LONGEST_SLEEP);
                while late.saturating_sub(early) > SHORTEST_SLEEP / 4 {
                    let middle = (early + late) / 2;
                    if profile.due(elapsed + middle) > self.weight as f64 {
                        late = middle;
                    } else {
                        early = middle;
                    }
                }
                late
            }
        }
    }

    /// When this of the upcoming ones is due.
    fn captured(&self, next: usize) -> Duration {
        let Pace::Captured { speed } = self.pace else { return Duration::ZERO };
        let times = self.corpus.times().unwrap_or(&[]);
        let at = times.get(self.place + next).copied().unwrap_or_default();
        (self.pass + at).div_f64(*speed)
    }

    /// How much was sent of what was due.
    fn kept(&self, elapsed: Duration) -> f64 {
        let (done, due) = match self.pace {
            Pace::FlatOut => return 1.0,
            Pace::Captured { .. } => (self.captured(0).as_secs_f64(), elapsed.as_secs_f64()),
            // Rounded up, as datagrams are whole.
            Pace::Profile(profile) => (self.weight as f64 + 1.0, profile.due(elapsed)),
        };
        if due > 0.0 { (done / due).min(1.0) } else { 1.0 }
    }

    fn advance(&mut self, sent: usize) {
        if let Pace::Profile(profile) = self.pace {
            let unit = profile.unit();
            self.weight += self.upcoming()[..sent].iter().map(|it| weigh(*it, unit)).sum::<u64>();
        }
        self.sent += sent as u64;
        self.place += sent;
        if self.place == self.corpus.datagrams().len() {
            self.place = 0;
            self.pass += self.corpus.times().map_or(Duration::ZERO, span);
        }
    }
}

/// How long a capture is, with a gap behind its last datagram as they are on average between them.
pub(crate) fn span(times: &[Duration]) -> Duration {
    let last = times.last().copied().unwrap_or_default();
    match times.len() {
        0 | 1 => Duration::from_secs(1),
        count => last + last / (count as u32 - 1),
    }
}

fn weigh(datagram: Datagram, unit: Unit) -> u64 {
    match unit {
        Unit::Lines => u64::from(datagram.lines),
        Unit::Datagrams => 1,
    }
}

#[cfg(test)]
mod tests;
