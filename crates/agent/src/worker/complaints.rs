use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use aggregate::SourceIndex;
use metric::{Reason, Source};
use tracing::warn;

/// What samples are lost for, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Rejected(Reason),
    Throttled,
    /// The same of a stream.
    Discarded,
    OverSeriesLimit,
    /// A task's setting that cannot be taken: no samples.
    BadSetting,
}

impl Trouble {
    const ALL: usize = Reason::ALL.len() + 4;

    fn index(self) -> usize {
        match self {
            Self::Rejected(reason) => reason as usize,
            Self::Throttled => Reason::ALL.len(),
            Self::OverSeriesLimit => Reason::ALL.len() + 1,
            Self::BadSetting => Reason::ALL.len() + 2,
            Self::Discarded => Reason::ALL.len() + 3,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rejected(reason) => reason.name(),
            Self::Throttled | Self::Discarded => "throttled",
            Self::OverSeriesLimit => "over_series_limit",
            Self::BadSetting => "bad_setting",
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Rejected(_) => "samples were refused",
            Self::Throttled => "datagrams over bytes_per_second were dropped",
            Self::Discarded => "samples of a stream over its bytes a minute were dropped",
            Self::OverSeriesLimit => "samples of new series were refused",
            Self::BadSetting => "settings of its task were ignored",
        }
    }
}

/// One line of the log.
#[derive(Debug)]
pub(crate) struct Complaint {
    source: Arc<Source>,
    trouble: Trouble,
    count: u64,
    example: String,
}

/// Decides which troubles of this worker's sources are worth a line.
#[derive(Debug)]
pub(super) struct Complaints {
    // By the sources' places in the shard; only sources that had trouble take memory.
    of_sources: Vec<Option<Box<Troubles>>>,
    // A log that hangs must not hold up a worker.
    out: SyncSender<Complaint>,
}

/// The troubles of one source, of each of which one line is written in a minute, which says how
/// many more there were.
#[derive(Debug, Default)]
pub(crate) struct Troubles([Said; Trouble::ALL]);

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    last: Option<Instant>,
    // Since then.
    hidden: u64,
}

const PAUSE: Duration = Duration::from_mins(1);

/// So much of what a sender wrote is shown.
const EXAMPLE_BYTES: usize = 200;

/// So many lines may wait to be written.
const MOST_WAITING: usize = 256;

/// So many lines of all sources together are written in a minute.
const MOST_LINES: u32 = 1_000;

impl Complaints {
    pub(super) fn new(out: SyncSender<Complaint>) -> Self {
        Self { of_sources: Vec::new(), out }
    }

    /// Something of a source was lost: so many, `bytes` being one of them.
    pub(super) fn about(
        &mut self,
        (index, source): (SourceIndex, Option<&Arc<Source>>),
        (trouble, count): (Trouble, u64),
        bytes: &[u8],
        now: Instant,
    ) {
        let place = index.get();
        if place >= self.of_sources.len() {
            self.of_sources.resize_with(place + 1, || None);
        }
        let troubles = self.of_sources[place].get_or_insert_default();
        if !troubles.is_due(trouble, count, now) {
            return;
        }
        let Some(source) = source else { return };
        // If it cannot be written now its count is told with the next.
        if self.out.try_send(troubles.complaint(source, trouble, bytes)).is_ok() {
            troubles.is_told(trouble);
        }
    }

    /// A source was closed; another may take its place.
    pub(super) fn close(&mut self, index: SourceIndex) {
        if let Some(of_source) = self.of_sources.get_mut(index.get()) {
            *of_source = None;
        }
    }
}

impl Troubles {
    /// So many were lost; whether that is to be written.
    fn is_due(&mut self, trouble: Trouble, count: u64, now: Instant) -> bool {
        let said = &mut self.0[trouble.index()];
        said.hidden += count;
        if said.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            return false;
        }
        said.last = Some(now);
        true
    }

    fn complaint(&self, source: &Arc<Source>, trouble: Trouble, bytes: &[u8]) -> Complaint {
        let example = bytes[..bytes.len().min(EXAMPLE_BYTES)].escape_ascii().to_string();
        let count = self.0[trouble.index()].hidden;
        Complaint { source: Arc::clone(source), trouble, count, example }
    }

    fn is_told(&mut self, trouble: Trouble) {
        self.0[trouble.index()].hidden = 0;
    }

    /// So many were lost, `bytes` being one of them: the line to write, if one is due.
    pub(crate) fn about(
        &mut self,
        source: &Arc<Source>,
        (trouble, count): (Trouble, u64),
        bytes: &[u8],
        now: Instant,
    ) -> Option<Complaint> {
        let complaint =
            self.is_due(trouble, count, now).then(|| self.complaint(source, trouble, bytes))?;
        self.is_told(trouble);
        Some(complaint)
    }
}

impl Complaint {
    pub(crate) fn write(self) {
        let Self { source, trouble, count, example } = self;
        let (name, reason, told) = (shown(&source), trouble.name(), trouble.told());
        warn!(source = %name, reason, count, %example, "{told}");
    }
}

/// Starts the thread that writes complaints, until there is nobody left who could complain.
pub(super) fn start() -> io::Result<SyncSender<Complaint>> {
    let (out, complaints) = sync_channel(MOST_WAITING);
    thread::Builder::new().name("complaints".to_owned()).spawn(move || write(&complaints))?;
    Ok(out)
}

fn write(complaints: &Receiver<Complaint>) {
    let (mut since, mut lines, mut left_out) = (Instant::now(), 0, 0u64);
    while let Ok(complaint) = complaints.recv() {
        if since.elapsed() >= PAUSE {
            if left_out > 0 {
                warn!(left_out, "more sources had trouble than there are lines for in a minute");
            }
            (since, lines, left_out) = (Instant::now(), 0, 0);
        }
        if lines >= MOST_LINES {
            left_out += 1;
            continue;
        }
        lines += 1;
        complaint.write();
    }
}

// What clients claim may be any text.
fn shown(source: &Source) -> String {
    let name = match (source.container_id(), source.listener()) {
        (Some(id), None) => format!("container {id}"),
        (Some(id), Some(listener)) => format!("container {id} of {listener}"),
        (None, Some(listener)) => listener.to_string(),
        (None, None) => String::new(),
    };
    name.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use aggregate::{Limits, Shard, ShardConfig};
    use metric::{Origin, ReadAs};

    use super::*;

    #[test]
    fn each_source_and_reason_has_one_line_a_minute_that_tells_of_the_others() {
        let mut shard = Shard::new(ShardConfig::default());
        let source = |id: &str| {
            Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
        };
        let sources = ["a", "b\n"].map(source);
        let indices = sources.clone().map(|source| shard.open_source(source, Limits::NONE));
        let (out, written) = sync_channel(3);
        let mut complaints = Complaints::new(out);
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut complain = |who: usize, trouble, bytes: &[u8], secs| {
            let of = (indices[who], Some(&sources[who]));
            complaints.about(of, (trouble, 2), bytes, at(secs));
            let said = written.try_recv().ok();
            said.map(|said| (said.trouble, said.count, said.example, shown(&said.source)))
        };
        let refused = Trouble::Rejected(Reason::NoKind);
        let line = |trouble, count, example: &str, who: &str| {
            Some((trouble, count, example.to_owned(), who.to_owned()))
        };
        assert_eq!(
            complain(0, refused, b"a\x1b\xff\n:1", 0),
            line(refused, 2, "a\\x1b\\xff\\n:1", "container a")
        );
        assert_eq!(complain(0, refused, b"x", 1), None);
        assert_eq!(complain(0, refused, b"x", 59), None);
        let long = "x".repeat(1_000);
        let over = Trouble::OverSeriesLimit;
        assert_eq!(
            complain(0, over, long.as_bytes(), 1),
            line(over, 2, &long[..200], "container a")
        );
        assert_eq!(complain(1, refused, b"y", 1), line(refused, 2, "y", "container b\\n"));
        assert_eq!(complain(0, refused, b"z", 60), line(refused, 6, "z", "container a"));
        assert_eq!(complain(0, refused, b"z", 61), None);
        // Nobody writes: nobody waits either.
        for secs in 0..10 {
            complaints.about(
                (indices[1], Some(&sources[1])),
                (refused, 1),
                b"",
                at(1_000 * secs + 1_000),
            );
        }
        assert_eq!(written.try_iter().count(), 3);
        complaints.about((indices[1], Some(&sources[1])), (refused, 1), b"", at(100_000));
        assert_eq!(written.try_recv().unwrap().count, 8);
    }
}
