//! The datagrams of a run, all of them in memory before the first is sent.

mod capture;
mod packet;
mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use crate::error::ReplayError;
use crate::scenario::Scenario;

pub(crate) use packet::Passed;
pub(crate) use text::Packing;

/// The longest payload that a UDP datagram over IPv4 can have.
pub(crate) const LONGEST_DATAGRAM: usize = 65_507;

/// Datagrams in the order in which they are sent, each in a lane: a container or a captured port.
#[derive(Debug)]
pub(crate) struct Corpus {
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
    /// When each was captured, from the first one's time on; empty if nothing was.
    at: Vec<Duration>,
    lanes: usize,
    limit: usize,
    lines: u64,
}

/// Where a datagram lies, and what is known of it without reading it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    start: u32,
    len: u16,
    /// How many lines it holds; empty ones are not counted.
    pub(crate) lines: u16,
    /// Below [`Corpus::lanes`].
    pub(crate) lane: u32,
}

/// What is read into a corpus.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) corpus: Corpus,
    /// Set if the input is a scenario.
    pub(crate) scenario: Option<Scenario>,
    /// What a capture held that is not sent.
    pub(crate) passed: Passed,
}

/// How an input is read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The ports whose datagrams are taken from a capture; none: all.
    pub(crate) ports: Vec<u16>,
    /// How a text's lines are put into datagrams.
    pub(crate) packing: Packing,
    /// The most bytes of datagrams that are held.
    pub(crate) memory: usize,
}

impl Input {
    /// Reads a scenario (`.toml`), a capture (by its first bytes), or else lines of text; `-` is
    /// lines from standard input.
    pub(crate) fn read(path: &Path, reading: &Reading) -> Result<Self, ReplayError> {
        let corpus = Corpus::new(reading.memory);
        if path == Path::new("-") {
            let corpus = text::read(io::stdin().lock(), "standard input", corpus, reading.packing)?;
            return Self::of_corpus(path, corpus, None, Passed::default());
        }
        let failed = |source| ReplayError::Input { input: path.to_owned(), source };
        if path.extension().is_some_and(|extension| extension == "toml") {
            let scenario = Scenario::read(path)?;
            let corpus = scenario.render(corpus)?;
            return Self::of_corpus(path, corpus, Some(scenario), Passed::default());
        }
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        if capture::begins(file.fill_buf().map_err(failed)?) {
            let (corpus, passed) = capture::read(file, path, corpus, &reading.ports)?;
            return Self::of_corpus(path, corpus, None, passed);
        }
        let corpus = text::read(file, &path.display().to_string(), corpus, reading.packing)?;
        Self::of_corpus(path, corpus, None, Passed::default())
    }

    fn of_corpus(
        path: &Path,
        corpus: Corpus,
        scenario: Option<Scenario>,
        passed: Passed,
    ) -> Result<Self, ReplayError> {
        if corpus.datagrams.is_empty() {
            let input = path.to_owned();
            return Err(ReplayError::Empty { input, passed: passed.to_string() });
        }
        Ok(Self { corpus, scenario, passed })
    }
}

impl Corpus {
    /// An empty one that may hold so many bytes of datagrams.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            datagrams: Vec::new(),
            at: Vec::new(),
            lanes: 0,
            limit: limit.min(u32::MAX as usize),
            lines: 0,
        }
    }

    /// Appends a datagram.
    pub(crate) fn push(&mut self, lane: usize, payload: &[u8]) -> Result<(), ReplayError> {
        let len = u16::try_from(payload.len())
            .ok()
            .filter(|len| usize::from(*len) <= LONGEST_DATAGRAM)
            .ok_or(ReplayError::TooLong { bytes: payload.len() })?;
        // What is held is the datagrams and where they lie.
        let times = self.at.len() * size_of::<Duration>();
        let held = self.bytes.len() + (self.datagrams.len() + 1) * size_of::<Datagram>() + times;
        if held + payload.len() > self.limit {
            return Err(ReplayError::TooMuch { limit: self.limit });
        }
        let lines = statsd::lines(payload).count();
        self.lines += lines as u64;
        self.lanes = self.lanes.max(lane + 1);
        self.datagrams.push(Datagram {
            start: self.bytes.len() as u32,
            len,
            lines: lines as u16,
            lane: lane as u32,
        });
        self.bytes.extend_from_slice(payload);
        Ok(())
    }

    /// Appends a datagram that was captured so long after the first.
    pub(crate) fn push_at(
        &mut self,
        lane: usize,
        payload: &[u8],
        at: Duration,
    ) -> Result<(), ReplayError> {
        self.push(lane, payload)?;
        // A clock that was set back is no reason to send in another order.
        let at = self.at.last().map_or(at, |last| at.max(*last));
        self.at.push(at);
        Ok(())
    }

    /// The datagrams, in their order; at least one in that of an [`Input`].
    pub(crate) fn datagrams(&self) -> &[Datagram] {
        &self.datagrams
    }

    /// A datagram's bytes.
    pub(crate) fn payload(&self, datagram: Datagram) -> &[u8] {
        &self.bytes[datagram.start as usize..][..usize::from(datagram.len)]
    }

    /// The bytes of datagrams that follow one another.
    pub(crate) fn payloads(&self, datagrams: &[Datagram]) -> &[u8] {
        match (datagrams.first(), datagrams.last()) {
            (Some(first), Some(last)) => {
                &self.bytes[first.start as usize..last.start as usize + usize::from(last.len)]
            }
            _ => &[],
        }
    }

    /// How many lanes there are.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The lines of all datagrams.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// The bytes of all datagrams.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// When each datagram was captured; `None` if nothing was.
    pub(crate) fn times(&self) -> Option<&[Duration]> {
        (!self.at.is_empty()).then_some(&self.at)
    }

    /// The lines of so many datagrams, sent in order and from the first again after the last.
    pub(crate) fn lines_of(&self, datagrams: u64) -> u64 {
        let (passes, rest) = self.passes(datagrams);
        let rest: u64 = self.datagrams[..rest].iter().map(|it| u64::from(it.lines)).sum();
        passes * self.lines + rest
    }

    /// How often so many datagrams are all of them, and how many are left over.
    pub(crate) fn passes(&self, datagrams: u64) -> (u64, usize) {
        let all = self.datagrams.len() as u64;
        (datagrams / all, (datagrams % all) as usize)
    }
}

impl Datagram {
    /// Bytes.
    pub(crate) fn len(self) -> usize {
        usize::from(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_keep_their_order_their_lane_and_their_bytes() {
        let mut corpus = Corpus::new(1 << 20);
        corpus.push(1, b"a:1|c\nb:2|c\n\n").unwrap();
        corpus.push(0, b"c:3|c").unwrap();
        let all = corpus.datagrams().to_vec();
        assert_eq!(all.iter().map(|it| (it.lane, it.lines)).collect::<Vec<_>>(), [(1, 2), (0, 1)]);
        assert_eq!(corpus.payload(all[1]), b"c:3|c");
        assert_eq!(corpus.payloads(&all), b"a:1|c\nb:2|c\n\nc:3|c");
        assert_eq!((corpus.lanes(), corpus.lines()), (2, 3));
        assert_eq!((corpus.passes(5), corpus.lines_of(5)), ((2, 1), 8));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut corpus = Corpus::new(40);
        assert!(matches!(
            corpus.push(0, &vec![b'a'; 65_508]),
            Err(ReplayError::TooLong { bytes: 65_508 })
        ));
        corpus.push(0, &[b'a'; 20]).unwrap();
        assert!(matches!(corpus.push(0, &[b'a'; 20]), Err(ReplayError::TooMuch { limit: 40 })));
    }

    #[test]
    fn captured_times_never_go_back() {
        let mut corpus = Corpus::new(1 << 20);
        for at in [0, 5, 3] {
            corpus.push_at(0, b"a:1|c", Duration::from_secs(at)).unwrap();
        }
        let times = [0, 5, 5].map(Duration::from_secs);
        assert_eq!(corpus.times(), Some(&times[..]));
    }
}
