//! The heartbeat that the service manager wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ingest::Manager;
use tokio::time::interval;
use tracing::warn;

use crate::service;

/// Something with a loop.
pub(crate) type Ask = Box<dyn Fn(Beat) + Send + Sync>;

/// Whoever serves it has passed its loop; whoever drops it has not.
#[derive(Debug)]
pub(crate) struct Beat(Arc<AtomicUsize>);

impl Beat {
    /// One that is counted there when it is passed.
    pub(crate) fn of(passed: &Arc<AtomicUsize>) -> Self {
        Self(Arc::clone(passed))
    }

    /// Says so.
    pub(crate) fn pass(self) {
        // Relaxed: nothing else is told by it.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether all have passed their loops since they were asked last.
struct Round {
    passed: Arc<AtomicUsize>,
    asked: usize,
}

impl Round {
    fn ask(all: &[Ask]) -> Self {
        let passed = Arc::new(AtomicUsize::new(0));
        for ask in all {
            ask(Beat::of(&passed));
        }
        Self { passed, asked: all.len() }
    }

    fn is_over(&self) -> bool {
        self.passed.load(Ordering::Relaxed) == self.asked
    }
}

/// Sends the heartbeat, as often as it is wanted and every loop was passed in between. Never ends.
pub(crate) async fn run(manager: Arc<Manager>, within: Duration, loops: Vec<Ask>) {
    // Three times, so that one may be late.
    let mut ticks = interval((within / 3).max(Duration::from_millis(1)));
    let mut round = Round::ask(&loops);
    let mut late = 0;
    loop {
        ticks.tick().await;
        if round.is_over() {
            late = 0;
            service::notify(Some(&manager), "WATCHDOG=1");
            round = Round::ask(&loops);
        } else {
            late += 1;
            if late == 2 {
                let (passed, all) = (round.passed.load(Ordering::Relaxed), round.asked);
                warn!("{} of {all} threads are stuck: no heartbeat is sent", all - passed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::Mutex;

    use super::*;

    fn hear(socket: &UnixDatagram) -> usize {
        let mut came = [0; 64];
        std::iter::from_fn(|| socket.recv(&mut came).ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn the_heart_beats_only_while_every_loop_is_passed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = Arc::new(Manager::at(path.as_os_str()).unwrap());
        let stuck: Arc<Mutex<Option<Vec<Beat>>>> = Arc::default();
        let of_loop = Arc::clone(&stuck);
        let well: Ask = Box::new(Beat::pass);
        let other: Ask = Box::new(move |beat| match &mut *of_loop.lock().unwrap() {
            Some(waiting) => waiting.push(beat),
            None => beat.pass(),
        });
        let within = Duration::from_secs(30);
        tokio::spawn(run(manager, within, vec![well, other]));
        tokio::time::sleep(2 * within + within / 6).await;
        assert_eq!(hear(&socket), 7);

        *stuck.lock().unwrap() = Some(Vec::new());
        tokio::time::sleep(within).await;
        // The round that was under way.
        assert_eq!(hear(&socket), 1);
        tokio::time::sleep(10 * within).await;
        assert_eq!(hear(&socket), 0);
        let waiting = stuck.lock().unwrap().take().unwrap();
        assert_eq!(waiting.len(), 1, "who is stuck is not asked again and again");
        waiting.into_iter().for_each(Beat::pass);
        tokio::time::sleep(within).await;
        assert_eq!(hear(&socket), 3);
    }
}
