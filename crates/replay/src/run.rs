//! A run: everything but the sending itself, which has a thread of its own.

mod marks;
mod monitor;
mod search;
mod session;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::account::{Account, Reader};
use crate::agent::spawned::pin;
use crate::cli::Options;
use crate::corpus::{Input, Packing, Reading};
use crate::error::ReplayError;
use crate::pace::{Pace, Profile};
use crate::report::Report;
use crate::sender::{Length, span};
use crate::shipped::Shipped;
use crate::verify::{Evidence, Verdict};
use marks::Phase;

pub(crate) use monitor::{Cost, Loss, Moment, Outcome};
#[cfg(test)]
pub(crate) use search::Round;
pub(crate) use search::{Probe, Search};
pub(crate) use session::Session;

/// What a run found: 0 if nothing is left to explain.
pub(crate) fn run(options: &Options) -> Result<ExitCode, ReplayError> {
    if !options.pin.is_empty() {
        pin(&options.pin)?;
    }
    let input = Input::read(&options.input, &reading(options))?;
    let plan = Plan::of(options, &input)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ReplayError::Thread { source })?;
    let report = runtime.block_on(whole_run(options, input, plan))?;
    let _ = write!(io::stdout(), "{report}");
    report.write(options.json.as_deref(), options.html.as_deref())?;
    let is_good = report.verdict.as_ref().is_none_or(Verdict::is_good);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn reading(options: &Options) -> Reading {
    Reading {
        ports: options.port.clone(),
        packing: Packing { lines: options.lines.max(1), bytes: options.bytes },
        memory: options.memory,
    }
}

/// How fast and how long, where nobody searches.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) pace: Pace,
    pub(crate) length: Length,
}

impl Plan {
    fn of(options: &Options, input: &Input) -> Result<Self, ReplayError> {
        let pace = pace(options, input)?;
        let own_end = match &pace {
            Pace::Profile(profile) => profile.ends(),
            Pace::Captured { speed } => {
                input.corpus.times().map(|times| span(times).div_f64(*speed))
            }
            Pace::FlatOut => None,
        };
        let all = input.corpus.datagrams().len() as u64;
        let length = match (options.passes, options.duration, &pace) {
            (Some(passes), ..) => {
                Length { datagrams: Some(all.saturating_mul(passes)), time: None }
            }
            (None, Some(time), _) => Length { datagrams: None, time: Some(time) },
            // A scenario's own profile has an end; what else is sent once.
            (None, None, Pace::Profile(_)) if own_end.is_some() => {
                Length { datagrams: None, time: own_end }
            }
            (None, None, _) => Length { datagrams: Some(all), time: None },
        };
        Ok(Self { pace, length })
    }
}

fn pace(options: &Options, input: &Input) -> Result<Pace, ReplayError> {
    if options.flat_out || options.search.is_some() {
        return Ok(Pace::FlatOut);
    }
    if let Some(rate) = options.rate {
        return Ok(Pace::Profile(Profile::steady(rate, options.unit)));
    }
    if let (Some(ramp), Some(over)) = (options.ramp, options.duration) {
        return Ok(Pace::Profile(Profile::ramp(ramp, over, options.unit)));
    }
    let speed = options.speed.unwrap_or(1.0);
    if input.corpus.times().is_some() {
        return Ok(Pace::Captured { speed });
    }
    let own = input.scenario.as_ref().and_then(|scenario| scenario.pace.as_ref());
    match own.map(crate::scenario::ScenarioPace::points) {
        Some(Ok(points)) => Ok(Pace::Profile(Profile::through(points, speed))),
        Some(Err(_)) | None => {
            Err(ReplayError::NoTimes { input: options.input.display().to_string() })
        }
    }
}

/// Whatever happens, containers are removed and a started agent is stopped.
async fn whole_run(options: &Options, input: Input, plan: Plan) -> Result<Report, ReplayError> {
    // Before the agent is started: it may want to connect, and all its files are of this run.
    let shipped = options.shipped.as_ref().map(|place| Shipped::read(place, options.verify));
    let shipped = shipped.transpose()?;
    let mut session = Session::open(options, input).await?;
    let done = run_in(options, &mut session, shipped.as_ref(), plan).await;
    let closed = session.close().await;
    let report = done?;
    closed?;
    Ok(report)
}

async fn run_in(
    options: &Options,
    session: &mut Session,
    shipped: Option<&Shipped>,
    plan: Plan,
) -> Result<Report, ReplayError> {
    let mut report = Report::begin(options, session, &plan);
    let Some(shipped) = shipped.filter(|_| options.verify) else {
        if let Some(time) = options.warm_up {
            let length = Length { datagrams: None, time: Some(time) };
            let warm_up = Plan { length, ..plan.clone() };
            monitor::send(options, session, warm_up).await?.through(time)?;
        }
        // Of what was shipped only the times are looked at, from now on.
        shipped.inspect(|shipped| shipped.seen().begin());
        if let Some(limit) = options.search {
            report.search = Some(search::search(options, session, limit).await?);
        } else {
            report.take(monitor::send(options, session, plan).await?, session);
        }
        if let Some(shipped) = shipped {
            session.await_settled(shipped, options.patience).await?;
            report.flushes = shipped.seen().flushes.clone();
        }
        return Ok(report);
    };
    let began = unix_seconds();
    let is_fresh = session.is_fresh().await;
    if !is_fresh {
        // What is in the agent from before is flushed first; it is not of this run.
        marks::pass_through(session, shipped, Phase::Begin, options.patience).await?;
    }
    shipped.seen().begin();
    let before = session.read_meter().await?;
    let introduced = if is_fresh { marks::introduce(session).await? } else { 0 };
    let outcome = monitor::send(options, session, plan).await?;
    let ended = marks::pass_through(session, shipped, Phase::End, options.patience).await?;
    let marks = introduced + ended;
    session.await_settled(shipped, options.patience).await?;
    let after = session.read_meter().await?;
    report.verdict =
        Some(judge(options, session, shipped, &outcome, (&before, &after, marks), began));
    report.flushes = shipped.seen().flushes.clone();
    report.take(outcome, session);
    Ok(report)
}

fn judge(
    options: &Options,
    session: &Session,
    shipped: &Shipped,
    outcome: &Outcome,
    (before, after, marks): (&session::Meter, &session::Meter, u64),
    now: i64,
) -> Verdict {
    let reader = Reader {
        read_as: metric::ReadAs {
            gauge_sign: options.gauge_sign.into(),
            name_tags: options.name_tags,
            trust_container: false,
        },
        now,
        origins: &session.origins(),
    };
    let expected = Account::of(&session.corpus, outcome.sent.datagrams, reader);
    let status = after.status_since(before);
    let evidence = Evidence {
        expected: &expected,
        seen: &shipped.seen(),
        origins: &session.origin_names(),
        is_mixed: !session.has_containers() && session.wire.targets().len() > 1,
        marks,
        status: status.as_ref(),
        kernel_dropped: after.kernel_dropped_since(before),
        points_dropped: after.points_dropped_since(before),
        cut_short: outcome.sent.cut_short,
    };
    let mut verdict = Verdict::of(&evidence);
    if after.is_another_process(before) {
        verdict.unexplained.push("the agent was started anew during the run".to_owned());
    }
    verdict
}

fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}
