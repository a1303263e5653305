//! What must come out: the simplest model of what was sent.

mod expected;

use std::collections::{BTreeMap, HashMap};

use metric::{Kind, ReadAs, Sample, SeriesKey, Values};

use crate::corpus::{Corpus, Datagram};

pub(crate) use expected::{Expected, Span, Total};

/// What was sent, series by series, and how much of it must be refused.
///
/// It is a monoid: what one stretch says and what the next says combine, in their order, into what
/// both say. So a pass that is sent a thousand times is read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) series: HashMap<Key, Expected>,
    /// Refused values, samples and lines, by reason; with events and checks, which are read but
    /// not carried.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Of all kinds and the refused ones.
    pub(crate) samples: u64,
    pub(crate) datagrams: u64,
    /// The fewest and the most samples of a datagram.
    pub(crate) of_a_datagram: Option<(u64, u64)>,
}

/// What tells series apart: who says it, which series, and the client's own time for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) origin: usize,
    pub(crate) series: SeriesKey,
    /// Of a gauge only: a counter's points add up whatever their time.
    pub(crate) time: Option<i64>,
}

/// How datagrams are read to be accounted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) read_as: ReadAs,
    /// In unix seconds: decides which times are believed.
    pub(crate) now: i64,
    /// Who each lane is.
    pub(crate) origins: &'a [usize],
}

impl Account {
    /// Of the first so many datagrams of a corpus that is sent again and again.
    pub(crate) fn of(corpus: &Corpus, datagrams: u64, reader: Reader<'_>) -> Self {
        let (passes, rest) = corpus.passes(datagrams);
        let mut account = Self::default();
        if passes > 0 {
            account.read_all(corpus, corpus.datagrams(), reader);
            account.repeat(passes);
        }
        if rest > 0 {
            let mut begun = Self::default();
            begun.read_all(corpus, &corpus.datagrams()[..rest], reader);
            account.then(begun);
        }
        account
    }

    fn read_all(&mut self, corpus: &Corpus, datagrams: &[Datagram], reader: Reader<'_>) {
        for datagram in datagrams {
            let origin = reader.origins[datagram.lane as usize];
            self.read(origin, corpus.payload(*datagram), reader);
        }
    }

    fn read(&mut self, origin: usize, payload: &[u8], reader: Reader<'_>) {
        let before = self.samples;
        for line in statsd::lines(payload) {
            let reading = statsd::read(line, reader.read_as, reader.now);
            self.samples += reading.received();
            for reject in reading.rejects() {
                *self.refused.entry(reject.reason.name()).or_default() += 1;
            }
            if reading.event().is_some() || reading.check().is_some() {
                *self.refused.entry(metric::Reason::NotCarried.name()).or_default() += 1;
            }
            for sample in reading.samples() {
                self.add(origin, &sample);
            }
        }
        self.datagrams += 1;
        self.see_datagram(self.samples - before);
    }

    fn add(&mut self, origin: usize, sample: &Sample<'_>) {
        let series = SeriesKey::new(sample.kind, sample.name, sample.tags);
        let time = sample.timestamp.filter(|_| sample.kind == Kind::Gauge);
        let expected = self.series.entry(Key { origin, series, time });
        let expected = expected.or_insert_with(|| Expected::nothing(sample.kind));
        match sample.values {
            Values::Numbers(numbers) => {
                for value in numbers {
                    expected.add(*value, sample.rate, sample.relative);
                }
            }
            Values::Member(member) => expected.add_member(member),
        }
    }

    fn see_datagram(&mut self, samples: u64) {
        let (fewest, most) = self.of_a_datagram.unwrap_or((samples, samples));
        self.of_a_datagram = Some((fewest.min(samples), most.max(samples)));
    }

    fn repeat(&mut self, times: u64) {
        self.series.values_mut().for_each(|expected| expected.repeat(times));
        self.refused.values_mut().for_each(|count| *count *= times);
        self.samples *= times;
        self.datagrams *= times;
    }

    fn then(&mut self, later: Self) {
        for (key, more) in later.series {
            match self.series.entry(key) {
                std::collections::hash_map::Entry::Occupied(mut known) => {
                    known.get_mut().then(more);
                }
                std::collections::hash_map::Entry::Vacant(new) => {
                    new.insert(more);
                }
            }
        }
        for (reason, count) in later.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        self.samples += later.samples;
        self.datagrams += later.datagrams;
        if let Some((fewest, most)) = later.of_a_datagram {
            self.see_datagram(fewest);
            self.see_datagram(most);
        }
    }
}

#[cfg(test)]
mod tests;
