//! Who has how many series, and by what names and tags they became so many.
//!
//! Workers only hand out the keys of their series, a few at a time and between two batches of
//! datagrams; what there is to count is counted here.

mod survey;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{CardinalityQuery, SourceCardinality, SourceKind};
use metric::{SeriesKey, Source};
use tokio::sync::{mpsc, oneshot};

use crate::ends::Now;
use crate::terms::Terms;
use crate::worker::{self, Request};
use survey::Survey;

/// One answer serves all who ask the same for so long.
const FRESH: Duration = Duration::from_secs(1);

/// How long series are looked through for one answer: who asks does not wait for ever.
const LONGEST: Duration = Duration::from_secs(3);

/// So many sources are looked into, the largest ones.
const MOST_SOURCES: usize = 100;

/// So many names and tag keys are told of each of several sources, and of a single one.
const MOST_LINES: usize = 10;
const MOST_LINES_OF_ONE: usize = 100;

/// Where series are asked for.
pub(crate) struct Cardinality {
    pub(crate) workers: Vec<worker::Handle>,
    pub(crate) terms: Terms,
}

/// What is known of a source before its series are looked at.
#[derive(Debug)]
struct Line {
    source: Arc<Source>,
    series: u64,
    over_series_limit: u64,
}

impl Cardinality {
    /// Answers whoever asks, until nobody can any more.
    pub(crate) async fn serve(self, mut queries: mpsc::Receiver<CardinalityQuery>) {
        let mut last: Option<(Instant, Option<String>, Arc<api::Cardinality>)> = None;
        while let Some(CardinalityQuery { container_id, tell }) = queries.recv().await {
            // Whoever asked has gone.
            if tell.is_closed() {
                continue;
            }
            let told = match &last {
                Some((at, of, told)) if at.elapsed() < FRESH && *of == container_id => told.clone(),
                Some(_) | None => {
                    let told = Arc::new(self.read(container_id.as_deref()).await);
                    last = Some((Instant::now(), container_id, told.clone()));
                    told
                }
            };
            let _ = tell.send(told);
        }
    }

    async fn read(&self, container_id: Option<&str>) -> api::Cardinality {
        let until = Instant::now() + LONGEST;
        let lines = self.lines().await;
        let series = lines.iter().map(|line| line.series).sum();
        let is_asked_for = |line: &Line| {
            container_id.is_none_or(|id| line.source.container_id().is_some_and(|it| &**it == id))
        };
        let mut asked_for: Vec<_> = lines.into_iter().filter(is_asked_for).collect();
        asked_for.sort_by_key(|line| std::cmp::Reverse((line.series, line.over_series_limit)));
        let (mut sources, mut complete) = (Vec::with_capacity(asked_for.len()), true);
        for (place, line) in asked_for.iter().enumerate() {
            let mut told = self.source(line);
            let is_looked_into = line.series > 0 && place < MOST_SOURCES;
            complete &= !is_looked_into || Instant::now() < until;
            if is_looked_into && complete {
                let (survey, is_whole) = self.survey(&line.source, until).await;
                let most = if container_id.is_some() { MOST_LINES_OF_ONE } else { MOST_LINES };
                told.details = Some(survey.details(&told.task_name, most));
                complete = is_whole;
            }
            sources.push(told);
        }
        let limit = self.terms.total_series() as u64;
        let now = Now::read().wall_ms;
        api::Cardinality { version: 1, now, series, limit, complete, sources }
    }

    // All sources that have series or were refused some. Several workers may know one.
    async fn lines(&self) -> Vec<Line> {
        let mut lines: HashMap<Arc<Source>, Line> = HashMap::new();
        for worker in &self.workers {
            let (accounts, answer) = oneshot::channel();
            worker.ask(Request::Accounts(accounts));
            let Ok(accounts) = answer.await else { continue };
            for account in accounts.sources.into_iter().filter(|account| !account.ended) {
                let source = account.source.clone();
                let new = || Line { source: account.source, series: 0, over_series_limit: 0 };
                let line = lines.entry(source).or_insert_with(new);
                line.series += account.series as u64;
                line.over_series_limit += account.counts.over_series_limit;
            }
        }
        lines.into_values().filter(|line| line.series + line.over_series_limit > 0).collect()
    }

    fn source(&self, line: &Line) -> SourceCardinality {
        let source = &line.source;
        let settings = self.terms.settings(source);
        SourceCardinality {
            source: match source.container_id() {
                Some(_) => SourceKind::Container,
                None => SourceKind::Listener,
            },
            container_id: source.container_id().cloned(),
            listener: source.listener().cloned(),
            task_name: settings.map(|settings| settings.task_name.clone()).unwrap_or_default(),
            series: line.series,
            limit: self.terms.series_limit(source).map(|limit| limit as u64),
            over_series_limit: line.over_series_limit,
            details: None,
        }
    }

    // Whether all of its series were looked at before the time was over.
    async fn survey(&self, source: &Arc<Source>, until: Instant) -> (Survey, bool) {
        let mut survey = Survey::default();
        for worker in &self.workers {
            let mut from = Some(0);
            while let Some(place) = from {
                if Instant::now() >= until {
                    return (survey, false);
                }
                let (keys, next) = keys(worker, source, place).await;
                for key in &keys {
                    survey.add(key);
                }
                from = next;
            }
        }
        (survey, true)
    }
}

async fn keys(
    worker: &worker::Handle,
    source: &Arc<Source>,
    from: usize,
) -> (Vec<SeriesKey>, Option<usize>) {
    let (keys, answer) = oneshot::channel();
    worker.ask(Request::Keys { source: source.clone(), from, keys });
    // One that ended has none any more.
    answer.await.unwrap_or_default()
}
