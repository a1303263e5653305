use std::collections::{HashMap, HashSet};

use metric::{Kind, ReadAs};

use super::*;

const PLAIN: &str = "about = \"a\"\nseries = 100\nkinds = { c = 1 }\n";

fn scenario(toml: &str) -> Result<Scenario, String> {
    let scenario: Scenario = toml::from_str(toml).map_err(|error| error.to_string())?;
    scenario.check()?;
    Ok(scenario)
}

fn rendered(toml: &str) -> Corpus {
    scenario(toml).unwrap().render(Corpus::new(1 << 30)).unwrap()
}

fn lines(corpus: &Corpus) -> Vec<Vec<u8>> {
    let datagrams = corpus.datagrams().iter();
    datagrams.flat_map(|it| statsd::lines(corpus.payload(*it)).map(<[u8]>::to_vec)).collect()
}

/// Those that come with the benches.
fn shipped(name: &str) -> Scenario {
    let path = format!("{}/../../benches/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Scenario::read(Path::new(&path)).unwrap()
}

#[test]
fn a_seed_is_the_same_bytes_every_time_and_another_seed_is_others() {
    let toml = "about = \"a\"\nseries = 300\nkinds = { c = 2, g = 1, s = 1 }\ntags = 2\n\
                choice = { zipf = 1.2 }\nmalformed = 0.1\nchanges = 0.5\ncontainers = 3\nlines = 500\n";
    let of = |seed: &str| {
        let corpus = rendered(&format!("{toml}seed = {seed}\n"));
        corpus.payloads(corpus.datagrams()).to_vec()
    };
    assert_eq!(of("1"), of("1"));
    assert_ne!(of("1"), of("2"));
    // As they were when this was written: captures and figures name scenarios.
    let digest = of("1").iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    assert_eq!(format!("{digest:016x}"), "72eacf6f89971a62");
}

#[test]
fn every_line_is_good_but_for_the_malformed_share() {
    let kinds = "kinds = { c = 5, g = 4, ms = 3, h = 2, d = 1, s = 1 }";
    let toml = format!(
        "about = \"a\"\nseries = 2000\n{kinds}\ntags = 9\nchanges = 0.3\nmalformed = 0.02\n\
         choice = \"even\"\nlines = 20000\nrates = [{{ kind = \"ms\", share = 0.25, rate = 0.5 }}]\n"
    );
    let (mut good, mut bad, mut sampled) = (0, 0, 0);
    let mut of_kind: HashMap<Kind, u32> = HashMap::new();
    for line in lines(&rendered(&toml)) {
        let reading = statsd::read(&line, ReadAs::default(), 0);
        if let Some(sample) = reading.samples().next() {
            assert!(reading.rejects().is_empty() && reading.notes().is_empty(), "{line:?}");
            assert_eq!(sample.tags.len(), 9);
            *of_kind.entry(sample.kind).or_default() += 1;
            sampled += u32::from(sample.kind == Kind::Timer && sample.rate == 0.5);
            good += 1;
        } else {
            bad += 1;
        }
    }
    assert_eq!(good + bad, 20_000);
    assert!((350..450).contains(&bad), "{bad}");
    let share = |kind| f64::from(of_kind[&kind]) / f64::from(good) * 16.0;
    assert!((share(Kind::Counter) - 5.0).abs() < 0.3 && (share(Kind::Set) - 1.0).abs() < 0.2);
    let sampled = f64::from(sampled) / f64::from(of_kind[&Kind::Timer]);
    assert!((sampled - 0.25).abs() < 0.05, "{sampled}");
}

#[test]
fn w1_to_w4_are_what_they_say() {
    for (name, series, length, lines_of_a_datagram) in [
        ("w1", 1_000, 36.0..36.01, 1.0..1.01),
        ("w2", 10_000, 78.0..78.01, 1.0..1.01),
        ("w3", 10_000, 77.5..78.5, 17.7..17.9),
    ] {
        let scenario = shipped(name);
        let corpus = scenario.render(Corpus::new(1 << 30)).unwrap();
        let lines = lines(&corpus);
        let bytes: usize = lines.iter().map(Vec::len).sum();
        let mean = bytes as f64 / lines.len() as f64;
        assert!(length.contains(&mean), "{name}: {mean}");
        let packed = lines.len() as f64 / corpus.datagrams().len() as f64;
        assert!(lines_of_a_datagram.contains(&packed), "{name}: {packed}");
        assert!(corpus.datagrams().iter().all(|it| it.len() <= 1432));
        let heads: HashSet<_> =
            lines.iter().map(|line| line.split(|b| *b == b':').next()).collect();
        assert_eq!((heads.len(), lines.len()), (series, series), "{name}: each once");
    }
    let fourth = Scenario { series: 10_000, about: shipped("w3").about, ..shipped("w4") };
    let third = Scenario { seed: fourth.seed, ..shipped("w3") };
    assert_eq!(fourth, third, "W4 is W3 with more series");
    assert_eq!(shipped("w4").series, 1_000_000);
}

#[test]
fn a_tenth_of_w3s_counters_are_sampled() {
    let corpus = shipped("w3").render(Corpus::new(1 << 30)).unwrap();
    let lines = lines(&corpus);
    let is_counter = |line: &&Vec<u8>| line.windows(3).any(|it| it == b"|c|");
    let counters = lines.iter().filter(is_counter).count();
    let sampled = lines.iter().filter(|line| line.windows(7).any(|it| it == b"|c|@0.1")).count();
    assert_eq!(counters, 5_000);
    assert_eq!(sampled, 500);
}

#[test]
fn the_flood_and_the_quiet_day_have_their_containers() {
    for (name, containers) in [("mixed-flood", 20), ("quiet-day", 100)] {
        let scenario = shipped(name);
        let corpus = scenario.render(Corpus::new(1 << 30)).unwrap();
        assert_eq!((corpus.lanes(), scenario.containers), (containers, containers));
    }
    let pace = shipped("quiet-day").pace.unwrap().points().unwrap();
    assert_eq!(pace.last().unwrap().0, Duration::from_hours(24));
}

#[test]
fn a_series_is_of_one_container_only() {
    let corpus = rendered(
        "about = \"a\"\nseries = 50\ncontainers = 7\nkinds = { c = 1 }\nchoice = \"even\"\nlines = 900\n",
    );
    let mut lane_of: HashMap<Vec<u8>, u32> = HashMap::new();
    for datagram in corpus.datagrams() {
        for line in statsd::lines(corpus.payload(*datagram)) {
            let name = line.split(|byte| *byte == b':').next().unwrap().to_vec();
            assert_eq!(*lane_of.entry(name).or_insert(datagram.lane), datagram.lane);
        }
    }
    assert_eq!(lane_of.len(), 50);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_does() {
    for (line, says) in [
        ("series = 0", "series: expected"),
        ("kinds = { c = 0 }", "kinds: expected"),
        ("kinds = { x = 1 }", "\"x\" is none of"),
        ("containers = 101", "containers: expected"),
        ("tags = 21", "tags: expected"),
        ("line_bytes = 5", "line_bytes: expected"),
        ("line_bytes = [90, 80]", "line_bytes: expected"),
        ("malformed = 2.0", "malformed: expected"),
        ("rates = [{ kind = \"g\", share = 0.1, rate = 0.1 }]", "rates: expected"),
        ("choice = { zipf = 0.0 }", "choice: expected"),
        ("choice = \"odd\"", "unknown variant"),
        ("datagram = { lines = 0 }", "datagram.lines"),
        ("pace = { profile = [[\"1s\", 1.0], [\"2s\", 1.0]] }", "pace.profile"),
        ("pace = { profile = [[\"0s\", 1.0], [\"x\", 1.0]] }", "pace.profile"),
        ("colour = 1", "unknown field"),
    ] {
        let key = line.split(' ').next().unwrap();
        let mut lines: Vec<&str> = PLAIN.lines().filter(|it| !it.starts_with(key)).collect();
        lines.push(line);
        let error = scenario(&lines.join("\n")).unwrap_err();
        assert!(error.contains(says), "{line}: {error}");
    }
    assert!(scenario(PLAIN).is_ok());
}
