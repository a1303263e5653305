//! Lines of clients, the same every time.

use std::fmt::Write as _;

use metric::Kind;

/// The order of the lines is by chance, but the same every time.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A counter without tags, about 36 bytes, for each of so many series, scattered.
pub fn untagged(series: usize) -> Vec<Vec<u8>> {
    scattered(series)
        .map(|number| format!("service.requests.{number:06}.count:17|c").into())
        .collect()
}

/// A line of this kind with three tags, about 79 bytes, for each of so many series, scattered.
pub fn tagged(kind: Kind, series: usize) -> Vec<Vec<u8>> {
    scattered(series).map(|number| line(kind, number, "").into()).collect()
}

/// Lines as `tagged`, of every kind: of twenty, ten are counters (one of them sampled), four gauges, four
/// timers, one a histogram and one a set.
pub fn mixed(series: usize) -> Vec<Vec<u8>> {
    let of = |number: usize| match number % 20 {
        0 => line(Kind::Counter, number, "|@0.1"),
        1..10 => line(Kind::Counter, number, ""),
        10..14 => line(Kind::Gauge, number, ""),
        14..18 => line(Kind::Timer, number, ""),
        18 => line(Kind::Histogram, number, ""),
        _ => line(Kind::Set, number, ""),
    };
    scattered(series).map(|number| of(number).into()).collect()
}

/// Three tags and eight values in each line.
pub fn packed(series: usize) -> Vec<Vec<u8>> {
    let of = |number| {
        let mut line = format!("svc.latency.{number:06}");
        for value in 0..8 {
            let _ = write!(line, ":{}.{value}", 10 + number % 80);
        }
        line + "|d|#env:production,host:node-017,zone:eu-1"
    };
    scattered(series).map(|number| of(number).into()).collect()
}

/// Lines of which nothing can be kept, each wrong in another way.
pub fn bad() -> Vec<Vec<u8>> {
    let lines: [&[u8]; 8] = [
        b"GET /index.html HTTP/1.1",
        b"service.requests.count",
        b"service.requests.count:17",
        b"service.requests.count:17|",
        b"service.requests.count:17|x|#env:production",
        b"service.requests.count:seventeen|c|#env:production",
        b"service.requests.count:1e999|c|#env:production",
        b":17|c|#env:production,host:node-017,zone:eu-1",
    ];
    lines.map(<[u8]>::to_vec).into()
}

/// Packs lines into datagrams of at most 1,432 bytes, which is what fits an Ethernet frame.
pub fn datagrams(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        match datagrams.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= 1_432 => {
                last.push(b'\n');
                last.extend_from_slice(line);
            }
            Some(_) | None => datagrams.push(line.clone()),
        }
    }
    datagrams
}

/// All numbers below this one, shuffled.
fn scattered(series: usize) -> impl Iterator<Item = usize> {
    let mut numbers: Vec<usize> = (0..series).collect();
    let mut state = SEED;
    for place in (1..series).rev() {
        // xorshift64: chance enough for an order.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(place, (state % (place as u64 + 1)) as usize);
    }
    numbers.into_iter()
}

fn line(kind: Kind, number: usize, rate: &str) -> String {
    let node = number % 200;
    let value = match kind {
        Kind::Set => format!("user-{}", number % 97),
        Kind::Counter => "1".to_owned(),
        Kind::Gauge | Kind::Timer | Kind::Histogram | Kind::Distribution => {
            format!("{}.5", number % 900)
        }
    };
    let code = kind.code();
    let tags = format!("env:production,host:node-{node:03},zone:eu-central-1");
    format!("svc.req.{number:06}:{value}|{code}{rate}|#{tags}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_one_line_and_every_line_reads_as_it_should() {
        for (lines, kept) in [
            (untagged(1_000), 1),
            (tagged(Kind::Timer, 1_000), 1),
            (mixed(1_000), 1),
            (packed(1_000), 8),
        ] {
            let mut names = std::collections::HashSet::new();
            for line in &lines {
                let reading = statsd::read(line, metric::ReadAs::default(), 0);
                assert_eq!((reading.received(), reading.rejects().len()), (kept, 0));
                assert!(names.insert(reading.samples().next().unwrap().name.to_owned()));
            }
            assert_eq!(names.len(), 1_000);
        }
    }

    #[test]
    fn of_bad_lines_nothing_is_kept() {
        for line in bad() {
            let reading = statsd::read(&line, metric::ReadAs::default(), 0);
            assert_eq!(reading.samples().count(), 0);
            assert_eq!(reading.rejects().len(), 1);
        }
    }

    #[test]
    fn datagrams_hold_all_lines_and_fit_a_frame() {
        let lines = mixed(1_000);
        let datagrams = datagrams(&lines);
        assert!(datagrams.iter().all(|datagram| datagram.len() <= 1_432));
        let split: Vec<_> = datagrams.iter().flat_map(|datagram| statsd::lines(datagram)).collect();
        assert_eq!(split, lines);
    }
}
