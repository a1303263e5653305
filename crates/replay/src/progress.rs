//! What is seen on a terminal while it runs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::Moment;
use crate::sender::Length;
use crate::text::{count, rate};

/// A bar with the rates and the losses; only on a terminal.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    length: Length,
    began: Instant,
    /// What the rates were reckoned from last.
    last: Cell<(Duration, u64, Option<u64>)>,
}

impl Bar {
    pub(crate) fn new(length: Length, quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(PARTS), target);
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, length, began: Instant::now(), last: Cell::default() }
    }

    /// Shows how far it is.
    pub(crate) fn show(&self, moment: Option<&Moment>, sent: u64) {
        let elapsed = self.began.elapsed();
        let by_time = self.length.time.map(|time| elapsed.as_secs_f64() / time.as_secs_f64());
        let by_count = self.length.datagrams.map(|all| sent as f64 / all.max(1) as f64);
        let part = by_time.or(by_count).unwrap_or(0.0).min(1.0);
        self.bar.set_position((part * PARTS as f64) as u64);
        let Some(moment) = moment else { return };
        let at = Duration::from_secs_f64(moment.at);
        let (last, sent_before, received_before) = self.last.get();
        // The agent did not answer: what it received meanwhile is told with the next answer.
        if moment.received.is_none() && received_before.is_some() {
            return;
        }
        let passed = at.saturating_sub(last).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        self.last.set((at, moment.sent, moment.received));
        let each_second = |now: u64, before: u64| rate(now.saturating_sub(before) as f64 / passed);
        let mut parts = vec![format!("sent {}", each_second(moment.sent, sent_before))];
        if let Some(received) = moment.received {
            let acknowledged = each_second(received, received_before.unwrap_or(0));
            parts.push(format!("acknowledged {acknowledged}"));
        }
        parts.push(match moment.kernel_dropped {
            Some(dropped) => format!("lost {}", count(dropped)),
            None => "losses unknown".to_owned(),
        });
        self.bar.set_message(parts.join(", ") + " (datagrams)");
    }

    /// Makes room for what follows.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

const PARTS: u64 = 1000;
