use super::random::{Random, Zipf};
use super::series::{Maker, Series, write_value};
use super::{Choice, Scenario};
use crate::corpus::{Corpus, Packing};
use crate::error::ReplayError;

/// Lines of which nothing can be kept, each wrong in another way.
const BAD: [&[u8]; 8] = [
    b"GET /index.html HTTP/1.1",
    b"service.requests.count",
    b"service.requests.count:17",
    b"service.requests.count:17|",
    b"service.requests.count:17|x|#env:production",
    b"service.requests.count:seventeen|c|#env:production",
    b"service.requests.count:1e999|c|#env:production",
    b":17|c|#env:production",
];

/// Puts the datagrams of one pass into the corpus.
pub(super) fn render(scenario: &Scenario, corpus: Corpus) -> Result<Corpus, ReplayError> {
    let mut random = Random::new(scenario.seed);
    let mut maker = Maker::new(scenario);
    let series: Vec<Series> = (0..scenario.series).map(|number| maker.make(number)).collect();
    let mut next = Chooser::new(scenario, &mut random);
    let open = (0..scenario.containers).map(|_| Open::default()).collect();
    let mut lanes = Lanes { packing: scenario.packing(), open, corpus };
    let mut line = Vec::new();
    for place in 0..scenario.lines() {
        let number = next.choose(place, &mut random);
        // A series is one container's.
        let container = number % scenario.containers;
        line.clear();
        if random.is(scenario.malformed) {
            line.extend_from_slice(BAD[random.below(BAD.len() as u64) as usize]);
        } else {
            let series = &series[number];
            line.extend_from_slice(series.head.as_bytes());
            write_value(scenario, series.kind, &mut random, &mut line);
            line.extend_from_slice(series.tail.as_bytes());
        }
        lanes.add(container, &line)?;
    }
    lanes.finish()
}

/// Says which series is next.
enum Chooser {
    Each(Vec<u32>),
    Even(u64),
    Zipf(Zipf),
}

impl Chooser {
    fn new(scenario: &Scenario, random: &mut Random) -> Self {
        match scenario.choice {
            Choice::Each => {
                let mut order: Vec<u32> = (0..scenario.series as u32).collect();
                random.shuffle(&mut order);
                Self::Each(order)
            }
            Choice::Even => Self::Even(scenario.series as u64),
            Choice::Zipf(power) => Self::Zipf(Zipf::new(scenario.series, power)),
        }
    }

    fn choose(&mut self, place: usize, random: &mut Random) -> usize {
        match self {
            Self::Each(order) => order[place % order.len()] as usize,
            Self::Even(series) => random.below(*series) as usize,
            Self::Zipf(zipf) => zipf.choose(random),
        }
    }
}

/// A datagram for each container, until it is full.
struct Lanes {
    packing: Packing,
    open: Vec<Open>,
    corpus: Corpus,
}

#[derive(Debug, Default)]
struct Open {
    payload: Vec<u8>,
    lines: usize,
}

impl Lanes {
    fn add(&mut self, container: usize, line: &[u8]) -> Result<(), ReplayError> {
        let open = &mut self.open[container];
        if !self.packing.has_room(open.lines, open.payload.len(), line.len()) {
            self.corpus.push(container, &open.payload)?;
            open.payload.clear();
            open.lines = 0;
        }
        if open.lines > 0 {
            open.payload.push(b'\n');
        }
        open.payload.extend_from_slice(line);
        open.lines += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Corpus, ReplayError> {
        for (lane, open) in self.open.iter().enumerate().filter(|(_, open)| open.lines > 0) {
            self.corpus.push(lane, &open.payload)?;
        }
        Ok(self.corpus)
    }
}
