use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;

use metric::Source;
use rtrb::{Consumer, Producer, RingBuffer};

/// What one worker may be ahead of the relay: bytes of lines, and runs of lines of one source.
const BYTES: usize = 1 << 20;
const RUNS: usize = 4096;

/// Where one worker's lines enter a relay: a ring of bytes beside one that says whose they are,
/// each with one writer and one reader, neither of which ever waits.
#[derive(Debug)]
pub struct Inlet {
    output: Arc<str>,
    bytes: Producer<u8>,
    runs: Producer<Run>,
    open: Option<Run>,
    refused: Arc<AtomicU64>,
    relay: Thread,
}

/// Lines of one source, one after the other, each with a line feed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) source: Arc<Source>,
    pub(crate) bytes: usize,
    pub(crate) lines: u64,
}

/// The relay's side of it.
#[derive(Debug)]
pub(crate) struct Outflow {
    bytes: Consumer<u8>,
    runs: Consumer<Run>,
    refused: Arc<AtomicU64>,
}

/// Both sides of one; `relay` is the thread that has the other.
pub(crate) fn pair(output: &Arc<str>, relay: Thread) -> (Inlet, Outflow) {
    let (bytes, taken_bytes) = RingBuffer::new(BYTES);
    let (runs, taken_runs) = RingBuffer::new(RUNS);
    let refused = Arc::new(AtomicU64::new(0));
    let outflow = Outflow { bytes: taken_bytes, runs: taken_runs, refused: Arc::clone(&refused) };
    let output = Arc::clone(output);
    (Inlet { output, bytes, runs, open: None, refused, relay }, outflow)
}

impl Inlet {
    /// Copies a line that `source` sent. Without room it is dropped, and counted by the relay.
    // Hot path: runs once per relayed line.
    pub fn put(&mut self, source: &Arc<Source>, line: &[u8]) {
        if !self.open.as_ref().is_some_and(|run| Arc::ptr_eq(&run.source, source)) {
            self.end_run();
            if self.runs.is_full() {
                return self.refuse();
            }
            self.open = Some(Run { source: Arc::clone(source), bytes: 0, lines: 0 });
        }
        let bytes = line.len() + 1;
        let has_room = self.bytes.cached_slots() >= bytes || self.bytes.slots() >= bytes;
        let (Some(run), true) = (&mut self.open, has_room) else { return self.refuse() };
        // Neither can fail: there is room for both, and nobody else takes any.
        let _ = self.bytes.push_entire_slice(line);
        let _ = self.bytes.push(b'\n');
        run.bytes += bytes;
        run.lines += 1;
    }

    /// Hands over what was put; wakes the relay if it sleeps.
    // Hot path: runs once per batch.
    pub fn end_batch(&mut self) {
        if self.end_run() {
            self.relay.unpark();
        }
    }

    /// The name of the output that it leads to.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// Whether there is still a relay at the other end.
    pub fn is_open(&self) -> bool {
        !self.runs.is_abandoned()
    }

    fn end_run(&mut self) -> bool {
        let Some(run) = self.open.take().filter(|run| run.lines > 0) else { return false };
        // It cannot fail: there was room for it when it was begun.
        self.runs.push(run).is_ok()
    }

    #[cold]
    fn refuse(&mut self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Outflow {
    /// How many runs are there to be taken.
    pub(crate) fn runs(&self) -> usize {
        self.runs.slots()
    }

    /// Takes the next run; its bytes replace those of `lines`.
    pub(crate) fn take(&mut self, lines: &mut Vec<u8>) -> Option<Run> {
        let run = self.runs.pop().ok()?;
        lines.resize(run.bytes, 0);
        // They were written before the run was pushed.
        let _ = self.bytes.pop_entire_slice(lines);
        Some(run)
    }

    /// How many lines had no room since this was last asked.
    pub(crate) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use metric::{Origin, ReadAs};

    use super::*;

    fn source() -> Arc<Source> {
        Source::new(Origin::Container { container_id: "c".into() }, ReadAs::default())
    }

    fn both() -> (Inlet, Outflow) {
        pair(&"relay".into(), std::thread::current())
    }

    #[test]
    fn lines_come_out_in_order_with_the_source_that_sent_them() {
        let (mut inlet, mut outflow) = both();
        let (one, other) = (source(), source());
        for (source, line) in [(&one, "a:1|c"), (&one, "b:2|c"), (&other, "c:3|c"), (&one, "d")] {
            inlet.put(source, line.as_bytes());
        }
        assert_eq!(outflow.runs(), 2, "what is still being put is not handed over");
        inlet.end_batch();
        inlet.end_batch();
        let mut lines = Vec::new();
        for (source, text, number) in
            [(&one, "a:1|c\nb:2|c\n", 2), (&other, "c:3|c\n", 1), (&one, "d\n", 1)]
        {
            let run = outflow.take(&mut lines).unwrap();
            assert_eq!((&run.source, run.lines), (source, number));
            assert_eq!(lines, text.as_bytes());
        }
        assert!(outflow.take(&mut lines).is_none());
    }

    #[test]
    fn a_line_without_room_is_dropped_whole_and_counted() {
        let (mut inlet, mut outflow) = both();
        let source = source();
        let line = vec![b'x'; 65_535];
        for _ in 0..20 {
            inlet.put(&source, &line);
        }
        inlet.put(&source, b"short");
        inlet.end_batch();
        assert_eq!(outflow.take_refused(), 5, "sixteen of 65,536 bytes fill a mebibyte");
        assert_eq!(outflow.take_refused(), 0);
        let mut lines = Vec::new();
        assert_eq!(outflow.take(&mut lines).map(|run| (run.lines, run.bytes)), Some((16, BYTES)));
        inlet.put(&source, b"a");
        inlet.end_batch();
        assert_eq!(outflow.take(&mut lines).map(|run| run.lines), Some(1));
        assert_eq!(lines, b"a\n");
    }

    #[test]
    fn runs_without_room_are_dropped_and_counted() {
        let (mut inlet, mut outflow) = both();
        let sources = [source(), source()];
        for n in 0..RUNS + 10 {
            inlet.put(&sources[n % 2], b"a");
        }
        inlet.end_batch();
        // The last that was being put is one of those for which there was room.
        assert_eq!((outflow.runs(), outflow.take_refused()), (RUNS, 10));
        let mut lines = Vec::new();
        while let Some(run) = outflow.take(&mut lines) {
            assert_eq!((run.lines, &lines[..]), (1, &b"a\n"[..]));
        }
    }

    #[test]
    fn an_inlet_knows_when_its_relay_is_gone() {
        let (inlet, outflow) = both();
        assert!(inlet.is_open());
        drop(outflow);
        assert!(!inlet.is_open());
    }
}
