//! The whole way: `weir-replay` drives `weir`, and beside it a bare recvmmsg loop, over the
//! scenarios, and says how fast each may go and what it costs.
//!
//! It needs both programs as they are measured: `cargo build --release -p agent -p replay` first.
//! With `--test` it runs the debug ones for a moment, and fails if anything is unaccounted for;
//! never for being slow.
#![forbid(unsafe_code)]

mod mesos;
mod saved;

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::available_parallelism;

use mesos::Mesos;
use saved::Saved;
use serde_json::Value;

const USAGE: &str = "\
usage: cargo bench -p benches --bench end_to_end -- PART ... [--save MACHINE] [--quick] [--no-search]
PART is w1, w2, w3, w4, flush, mixed-flood, quiet-day, hundred or node, or all of them: all, some two
hours. --save MACHINE keeps the run under benches/runs/DATE-MACHINE: reports, agents' configurations, and in
its README.md what was run, on what machine, of which revision, and what came of it. MACHINE is a name
of letters, digits, `-` and `.`. --quick tries each rate for a second only. --no-search leaves
out the highest rates: they mean little on a machine that others use as well.

It needs both programs as they are measured: cargo build --release -p agent -p replay. With --test it
runs the debug ones, all parts for a moment: cargo build -p agent -p replay.";

/// Those whose highest rate is looked for, with the rates of lines at which the cost is measured.
const SEARCHED: [(&str, &[&str]); 4] =
    [("w1", &["50k"]), ("w2", &["50k"]), ("w3", &["200k"]), ("w4", &["200k", "1M"])];

/// Those that are sent to registered containers at their pace, and verified.
const VERIFIED: [(&str, &[&str]); 2] =
    [("mixed-flood", &["--rate", "200k"]), ("quiet-day", &["--speed", "1440x"])];

/// Whether a flush of many series costs samples: of w3 at this rate of lines, half of what is wanted of a
/// worker.
const FLUSH: (&str, &str) = ("flush", "4M");

/// What is sent beside it, so that a million series are told at every flush.
const FLUSHED: (&str, &str) = ("w4", "100k");

/// How the floor adds up, and rests as the agent at most by default.
const ADDING: &str = "--add --rest 2ms";

/// Containers that say little: what is spent on waking up.
const HUNDRED: &str = "hundred";

/// As many as its scenario has.
const HUNDRED_PORTS: u16 = 100;

/// So many of them while it is looked.
const FLUSHES: f64 = 2.0;

/// The one that is sent to registered containers of a node on which Mesos tells who they are and what
/// they use.
const NODE: &str = "node";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let done = Options::read().and_then(|options| {
        if options.wants_nothing() {
            return Ok(writeln!(io::stdout(), "end_to_end: nothing to do\n{USAGE}")?);
        }
        Bench::prepare(options)?.run()
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "end_to_end: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Default)]
struct Options {
    parts: Vec<String>,
    /// Word by word.
    asked: Vec<String>,
    machine: Option<String>,
    is_quick: bool,
    is_test: bool,
    without_search: bool,
}

impl Options {
    fn read() -> Result<Self> {
        let asked = env::args().skip(1).filter(|it| it != "--bench").collect();
        let mut options = Self { asked, ..Self::default() };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // What cargo says to every bench.
                "--bench" => {}
                "--test" => options.is_test = true,
                "--quick" => options.is_quick = true,
                "--no-search" => options.without_search = true,
                "--save" => {
                    let machine = arguments.next().filter(|name| is_machine(name)).ok_or(USAGE)?;
                    options.machine = Some(machine);
                }
                "--help" => return Err(USAGE.into()),
                // Or a filter or an option that is meant for the other benches.
                name => options.parts.push(name.to_owned()),
            }
        }
        Ok(options)
    }

    /// Nothing was named, or what was is another bench's.
    fn wants_nothing(&self) -> bool {
        let searched = SEARCHED.iter().map(|(name, _)| *name);
        let verified = VERIFIED.iter().map(|(name, _)| *name);
        let others = [FLUSH.0, HUNDRED, NODE];
        !self.is_test && !searched.chain(verified).chain(others).any(|name| self.wants(name))
    }

    fn wants(&self, name: &str) -> bool {
        self.parts.iter().any(|it| it == name || it == "all")
    }
}

fn is_machine(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
}

/// Where everything is.
struct Bench {
    options: Options,
    weir: PathBuf,
    replay: PathBuf,
    scenarios: PathBuf,
    directory: tempfile::TempDir,
    /// Where the run is kept.
    saved: Option<Saved>,
    /// Sender and receiver on processors of their own, where there are two.
    pins: bool,
}

/// What a line costs who is flooded, in processor seconds a million.
struct Flooded {
    whole: f64,
    /// Of that the thread that reads.
    worker: f64,
}

/// Several of the same.
#[derive(Default)]
struct Costs(Vec<f64>);

impl Bench {
    fn prepare(options: Options) -> Result<Self> {
        // target/PROFILE/deps/end_to_end-...
        let own = env::current_exe()?;
        let target = own.ancestors().nth(3).ok_or("this program is not where cargo puts it")?;
        let profile = if options.is_test { "debug" } else { "release" };
        let program = |name: &str| {
            let path = target.join(profile).join(name);
            if path.exists() {
                return Ok(path);
            }
            let flag = if options.is_test { "" } else { " --release" };
            Err(format!("{} is not there: cargo build{flag} -p agent -p replay", path.display()))
        };
        let (weir, replay) = (program("weir")?, program("weir-replay")?);
        let begin = |machine: &String| Saved::begin(machine, &options.asked, &[&weir, &replay]);
        let saved = options.machine.as_ref().map(begin);
        Ok(Self {
            weir,
            replay,
            saved: saved.transpose()?,
            scenarios: Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"),
            directory: tempfile::tempdir()?,
            pins: available_parallelism().is_ok_and(|processors| processors.get() >= 2),
            options,
        })
    }

    fn run(&self) -> Result<()> {
        if self.options.is_test {
            return self.smoke();
        }
        for (name, rates) in SEARCHED {
            if self.options.wants(name) {
                if !self.options.without_search {
                    self.search(name)?;
                }
                self.flood(name)?;
                for rate in rates {
                    self.cost(name, rate)?;
                }
            }
        }
        if self.options.wants(FLUSH.0) {
            self.flush()?;
        }
        for (name, pace) in VERIFIED {
            if self.options.wants(name) {
                self.verify(name, pace, "10s")?;
            }
        }
        if self.options.wants(HUNDRED) {
            self.hundred(if self.options.is_quick { "10s" } else { "60s" })?;
        }
        if self.options.wants(NODE) {
            self.node(if self.options.is_quick { "30s" } else { "10m" })?;
        }
        Ok(())
    }

    /// Tells it, and keeps it with the run.
    fn say(&self, line: &str) -> Result<()> {
        writeln!(io::stdout(), "{line}")?;
        self.saved.as_ref().map_or(Ok(()), |saved| saved.write(&format!("    {line}\n")))
    }

    /// Everything once, for a moment.
    fn smoke(&self) -> Result<()> {
        // W4 alone would take longer to be made up than all the others to run.
        for name in ["w1", "w2", "w3", "mixed-flood", "quiet-day"] {
            self.verify(name, &["--rate", "20k", "--duration", "200ms"], "100ms")?;
        }
        let brief = ["--rate", "20k", "--warm-up", "100ms", "--duration", "200ms"];
        self.lost(FLUSH.0, &brief, ("w2", "1k"), &self.agent("w3", FLUSH.0, "")?.receiver)?;
        self.hundred("200ms")?;
        self.node("200ms")?;
        self.search("w1")
    }

    /// The highest rates: of the floor, of the agent, and of the agent that never rests.
    fn search(&self, name: &str) -> Result<()> {
        let floor = self.highest(name, "floor", &self.floor("")?)?;
        for (which, rest) in [("weir", "2ms"), ("weir, max_rest 0", "0s")] {
            let top = format!("max_rest = \"{rest}\"\nflush_interval = \"2s\"\n");
            let agent = self.agent(name, which, &top)?;
            let highest = self.highest(name, which, &agent.receiver)?;
            self.say(&format!(
                "{name}: {which} reaches {:.0} % of the floor",
                100.0 * highest / floor
            ))?;
        }
        Ok(())
    }

    fn highest(&self, name: &str, which: &str, receiver: &Receiver) -> Result<f64> {
        let (rounds, probe) = match (self.options.is_test, self.options.is_quick) {
            (true, _) => ("1", "100ms"),
            (false, true) => ("3", "1s"),
            (false, false) => ("3", "10s"),
        };
        // A smoke on a machine that is busy with something else loses more, and shall not search.
        let loss = if self.options.is_test { "99%" } else { "0.1%" };
        let arguments =
            ["--segments", "--search", loss, "--search-rounds", rounds, "--duration", probe];
        let report = self.replay(name, which, &arguments, receiver)?;
        let number = |key: &str| report["search"][key].as_f64().ok_or("no search in the report");
        let (median, least, most) = (number("median")?, number("least")?, number("most")?);
        self.say(&format!("{name}: {which}: {median:.0} lines/s, from {least:.0} to {most:.0}"))?;
        Ok(median)
    }

    /// What a line costs a receiver that is sent more than it can take: the floor, the floor that
    /// adds up, and the agent, in turn. It is processor time, so it says what one processor could
    /// take even if others use it as well; what these do to the caches is in it all the same, and
    /// least in the best.
    fn flood(&self, name: &str) -> Result<()> {
        // Flooded, a worker is not expected to rest at all; where lines are fewest it is shown.
        let settings: &[(&str, &str)] = match name {
            "w1" => &[("weir", ""), ("weir, max_rest 0", "max_rest = \"0s\"\n")],
            _ => &[("weir", "")],
        };
        let [mut floors, mut adding] = <[Costs; 2]>::default();
        let mut agents: Vec<[Costs; 2]> = settings.iter().map(|_| Default::default()).collect();
        for round in 1..=if self.options.is_quick { 1 } else { 5 } {
            for (which, how, costs) in
                [("floor", "", &mut floors), ("adding floor", "--add", &mut adding)]
            {
                let which = format!("flood {which} {round}");
                costs.0.push(self.flooded(name, &which, &self.floor(how)?)?.whole);
            }
            for ((which, top), [whole, worker]) in settings.iter().zip(&mut agents) {
                let which = format!("flood {which} {round}");
                let agent = self.agent(name, &which, top)?;
                let flooded = self.flooded(name, &which, &agent.receiver)?;
                whole.0.push(flooded.whole);
                worker.0.push(flooded.worker);
            }
        }
        for ((which, _), [whole, worker]) in settings.iter().zip(&agents) {
            for (what, of) in
                [("median", Costs::median as fn(&Costs) -> f64), ("best", Costs::best)]
            {
                let [floor, adding, whole, worker] =
                    [of(&floors), of(&adding), of(whole), of(worker)];
                self.say(&format!(
                    "{name}: {which} flooded, {what}: floor {floor:.3}, adding up {adding:.3}, weir \
                     {whole:.3}, its worker {worker:.3} CPU s a million lines; the worker takes \
                     {:.2} million lines/s of a processor: {:.0} % of the floor, {:.0} % of adding up",
                    1.0 / worker,
                    100.0 * floor / worker,
                    100.0 * adding / worker
                ))?;
            }
        }
        Ok(())
    }

    fn flooded(&self, name: &str, which: &str, receiver: &Receiver) -> Result<Flooded> {
        let (warm_up, duration) = if self.options.is_quick { ("1s", "1s") } else { ("5s", "10s") };
        let arguments = ["--segments", "--flat-out", "--warm-up", warm_up, "--duration", duration];
        let report = self.replay(name, which, &arguments, receiver)?;
        let whole = of_cost(&report, "cpu_seconds_per_million_lines")?;
        // The floor has none.
        let worker = report["cost"]["threads"]["worker-0"].as_f64().unwrap_or_default();
        Ok(Flooded { whole, worker: whole * worker / of_cost(&report, "cpu_seconds")? })
    }

    /// What the agent spends at a rate, beside the floor that adds up and rests as long.
    fn cost(&self, name: &str, rate: &str) -> Result<()> {
        let (warm_up, duration) = if self.options.is_quick { ("1s", "2s") } else { ("6s", "20s") };
        let paced = ["--rate", rate, "--warm-up", warm_up, "--duration", duration];
        let floor = self.floor(ADDING)?;
        let floor = self.replay(name, &format!("{rate} floor"), &paced, &floor)?;
        let agent = self.agent(name, rate, "")?;
        let points = agent.points.display().to_string();
        let arguments = [&["--shipped", &points], &paced[..]].concat();
        let report = self.replay(name, rate, &arguments, &agent.receiver)?;
        self.say(&format!(
            "{name}: at {rate} lines/s {:.2} CPU s a million lines, {:.2} the floor that adds up and \
             rests; {:.0} MB at most, {} lost",
            of_cost(&report, "cpu_seconds_per_million_lines")?,
            of_cost(&floor, "cpu_seconds_per_million_lines")?,
            of_cost(&report, "memory_most")? / 1e6,
            report["loss"]["datagrams"]
        ))
    }

    /// What is lost of a rate while a million other series are flushed every ten seconds on the
    /// worker's own processor, of the same lines when none is flushed meanwhile, and of the same by
    /// the floor that adds up.
    fn flush(&self) -> Result<()> {
        let (name, rate) = FLUSH;
        // All series are known and were flushed once.
        let at = ["--rate", rate, "--warm-up", "25s", "--duration", "20s"];
        let rounds = if self.options.is_quick { 1 } else { 5 };
        for round in 1..=rounds {
            let before = Stolen::read();
            let lost = |which: &str, receiver: &Receiver| self.lost(which, &at, FLUSHED, receiver);
            let (floor, _) = lost(&format!("{name} floor {round}"), &self.floor(ADDING)?)?;
            let of_agent = |which: &str, interval: &str| {
                let which = format!("{name} {which} {round}");
                let top = format!("flush_interval = \"{interval}\"\n");
                lost(&which, &self.agent("w3", &which, &top)?.receiver)
            };
            let (without, _) = of_agent("never", "1h")?;
            let (with, report) = of_agent("twice", "10s")?;
            let of = |thread: &str| {
                report["cost"]["threads"][thread].as_f64().unwrap_or_default() / FLUSHES
            };
            self.say(&format!(
                "{name}: {with:.2} % of w3 at {rate} lines/s lost beside flushes of w4's series, \
                 {without:.2} % without a flush, {floor:.2} % by the floor that adds up; a flush and \
                 its encoding take {:.2} and {:.2} CPU s; other machines took {:.0} % of this one's \
                 time",
                of("flush"),
                of("ship-encode"),
                Stolen::read().since(before)
            ))?;
        }
        Ok(())
    }

    /// Percent of w3 at a pace that is lost beside another scenario at a rate, and the report on w3.
    fn lost(
        &self,
        which: &str,
        at: &[&str],
        beside: (&str, &str),
        receiver: &Receiver,
    ) -> Result<(f64, Value)> {
        let mut sender = self.sender(beside, receiver.port)?;
        let report = self.replay("w3", which, &[&["--segments"], at].concat(), receiver);
        sender.kill()?;
        sender.wait()?;
        let report = report?;
        let lost = report["loss"]["share"].as_f64().ok_or("no loss in the report")?;
        Ok((100.0 * lost, report))
    }

    /// Sends a scenario at a rate, whoever listens there, until it is killed.
    fn sender(&self, (scenario, rate): (&str, &str), port: u16) -> io::Result<Child> {
        let mut command = Command::new(&self.replay);
        command.arg(self.scenarios.join(format!("{scenario}.toml")));
        command.args(["--rate", rate, "--quiet", "--status", "none", "--duration", "1h"]);
        command.arg("--to").arg(format!("127.0.0.1:{port}"));
        if self.pins {
            command.args(["--pin", "0"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// What the agent takes of a processor where a hundred containers send a datagram now and then,
    /// beside a loop that receives at as many ports and rests as long.
    fn hundred(&self, duration: &str) -> Result<()> {
        let ports = HUNDRED_PORTS;
        let floor = self.floor_at(free_ports(ports)?, &format!("--rest 2ms --ports {ports}"));
        let to = floor.port + 1..floor.port + ports;
        let to: Vec<String> = to.map(|port| format!("127.0.0.1:{port}")).collect();
        let mut arguments = vec!["--duration", duration];
        arguments.extend(to.iter().flat_map(|to| ["--to", to]));
        let floor = self.replay(HUNDRED, "floor", &arguments, &floor)?;
        let agent = self.agent(HUNDRED, "cost", "")?;
        let arguments = ["--register", "--duration", duration];
        let report = self.replay(HUNDRED, "cost", &arguments, &agent.receiver)?;
        self.say(&format!(
            "{HUNDRED}: {:.2} % of a core, {:.2} % a loop that receives and rests; {} lost",
            of_cost(&report, "cpu_share")? * 100.0,
            of_cost(&floor, "cpu_share")? * 100.0,
            report["loss"]["datagrams"]
        ))
    }

    /// What the agent takes of an ordinary node.
    fn node(&self, duration: &str) -> Result<()> {
        let mesos = Mesos::bind()?;
        // As in deploy/dcos/agent.toml. Over TCP, where DC/OS ships to, nothing is compressed either.
        let rest = "max_rest = \"5ms\"\n";
        let output = "[[output]]\nurl = \"file:POINTS\"\ncodec = \"null\"\n";
        let agent = self.agent(NODE, "cost", &[rest, &mesos.config()?, output].concat())?;
        mesos.serve(agent.containers);
        let points = agent.points.display().to_string();
        let arguments = ["--register", "--duration", duration, "--shipped", &points];
        let report = self.replay(NODE, "cost", &arguments, &agent.receiver)?;
        self.say(&format!(
            "{NODE}: {:.2} % of a core, {:.0} MB at most, {} lost",
            of_cost(&report, "cpu_share")? * 100.0,
            of_cost(&report, "memory_most")? / 1e6,
            report["loss"]["datagrams"]
        ))
    }

    /// That everything is accounted for.
    fn verify(&self, name: &str, pace: &[&str], flush_interval: &str) -> Result<()> {
        let top = format!("flush_interval = \"{flush_interval}\"\n");
        let agent = self.agent(name, "verified", &top)?;
        let points = agent.points.display().to_string();
        let arguments = [&["--register", "--shipped", &points, "--verify"], pace].concat();
        let report = self.replay(name, "verified", &arguments, &agent.receiver)?;
        let verdict = &report["verdict"];
        self.say(&format!(
            "{name}: {} samples in {} series verified, {} datagrams lost",
            verdict["samples"]["sent"], verdict["series"]["sent"], report["loss"]["datagrams"]
        ))
    }

    /// An agent that is not started yet, with data and ports of its own. `top` may name the directory
    /// of its points, which is the default one, as POINTS.
    fn agent(&self, name: &str, which: &str, top: &str) -> Result<Agent> {
        let number = fs::read_dir(self.directory.path())?.count();
        let directory = self.directory.path().join(format!("{number:04}"));
        fs::create_dir(&directory)?;
        let (port, status) = (free_port()?, format!("127.0.0.1:{}", free_port()?));
        let data = directory.join("data");
        let (points, containers) = (data.join("points"), data.join("containers"));
        let top = top.replace("POINTS", &points.to_string_lossy());
        let config = format!(
            "data_dir = \"{}\"\nworkers = 1\n{top}[[listener]]\nurl = \"udp://127.0.0.1:{port}\"\n\
             [http]\nlisten = \"{status}\"\n[log]\nlevel = \"error\"\n",
            data.display()
        );
        let file = directory.join("weir.toml");
        fs::write(&file, &config)?;
        if let Some(saved) = &self.saved {
            fs::write(saved.file(&(report(name, which) + ".toml")), self.without_places(&config))?;
        }
        let command = format!("{} run --config {}", self.weir.display(), file.display());
        Ok(Agent { receiver: Receiver { port, status, command }, points, containers })
    }

    /// A floor that is not started yet, which does so much more than to receive.
    fn floor(&self, how: &str) -> Result<Receiver> {
        Ok(self.floor_at(free_port()?, how))
    }

    fn floor_at(&self, port: u16, how: &str) -> Receiver {
        let command = format!("{} floor --port {port} {how}", self.replay.display());
        Receiver { port, status: "none".to_owned(), command }
    }

    /// Runs `weir-replay` over a scenario, to one who receives, and gives its report.
    fn replay(
        &self,
        name: &str,
        which: &str,
        arguments: &[&str],
        receiver: &Receiver,
    ) -> Result<Value> {
        let scenario = self.scenarios.join(format!("{name}.toml"));
        let file = |end: &str| {
            let name = report(name, which) + end;
            self.saved
                .as_ref()
                .map_or_else(|| self.directory.path().join(&name), |it| it.file(&name))
        };
        let (json, html) = (file(".json"), file(".html"));
        // A round's number ends its name. The pages of further rounds look like the first one's.
        let is_drawn = !which.ends_with(|end| ('2'..='9').contains(&end));
        let mut command = Command::new(&self.replay);
        command.arg(scenario).args(arguments).args(["--spawn", &receiver.command, "--quiet"]);
        command.args(["--status", &receiver.status]);
        if !arguments.contains(&"--register") {
            command.arg("--to").arg(format!("127.0.0.1:{}", receiver.port));
        }
        if self.pins {
            command.args(["--pin", "0", "--spawn-pin", "1"]);
        }
        command.arg("--json").arg(&json).stdin(Stdio::null());
        if is_drawn {
            command.arg("--html").arg(&html);
        }
        let output = command.output()?;
        if !output.status.success() {
            let told = [&output.stdout[..], &output.stderr].concat();
            let told = String::from_utf8_lossy(&told).into_owned();
            return Err(format!("{command:?}: {}\n{told}", output.status).into());
        }
        let read = serde_json::from_slice(&fs::read(&json)?)?;
        if self.saved.is_some() {
            for file in [json, html].into_iter().filter(|file| file.exists()) {
                fs::write(&file, self.without_places(&fs::read_to_string(&file)?))?;
            }
        }
        Ok(read)
    }

    /// What is kept says nothing of where the run was made.
    fn without_places(&self, text: &str) -> String {
        let programs = self.weir.parent().unwrap_or(Path::new("/"));
        let root = self.scenarios.ancestors().nth(2).unwrap_or(Path::new("/"));
        let places = [(self.directory.path(), "RUN"), (programs, "target/release"), (root, ".")];
        places.iter().fold(text.to_owned(), |text, (place, name)| {
            text.replace(&*place.to_string_lossy(), name)
        })
    }
}

impl Costs {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// Of a virtual machine's processors' time what its host gave to others, and all of it, in the kernel's
/// ticks.
#[derive(Clone, Copy, Default)]
struct Stolen {
    by_others: f64,
    all: f64,
}

impl Stolen {
    /// Up to now; nothing where nobody tells.
    fn read() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in the first two.
        let ticks: Vec<f64> = ticks.take(8).filter_map(|ticks| ticks.parse().ok()).collect();
        Self { by_others: ticks.get(7).copied().unwrap_or_default(), all: ticks.iter().sum() }
    }

    /// Percent.
    fn since(self, before: Self) -> f64 {
        100.0 * (self.by_others - before.by_others) / (self.all - before.all).max(1.0)
    }
}

fn of_cost(report: &Value, key: &str) -> Result<f64> {
    Ok(report["cost"][key].as_f64().ok_or("no cost in the report")?)
}

/// What the files of a part of a run are called, without their ends.
fn report(name: &str, which: &str) -> String {
    format!("{name}-{}", which.replace([' ', ','], ""))
}

/// How one who receives is started, and where it is then.
struct Receiver {
    port: u16,
    /// Where its status is read, or "none".
    status: String,
    command: String,
}

/// An agent, and where it leaves what it does.
struct Agent {
    receiver: Receiver,
    points: PathBuf,
    /// A file for each container that is registered.
    containers: PathBuf,
}

fn free_port() -> Result<u16> {
    free_ports(1)
}

/// The first of so many ports that are free for both protocols, below those that the kernel gives
/// away: nobody else comes by them between now and when they are bound.
fn free_ports(count: u16) -> Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| {
        let at = ("127.0.0.1", port);
        UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()
    };
    for _ in 0..10_000 {
        let next = u32::from(TAKEN.fetch_add(count, Ordering::Relaxed));
        let port = 20_000 + (process::id().wrapping_mul(31).wrapping_add(next) % 10_000) as u16;
        if (port..port + count).all(is_free) {
            return Ok(port);
        }
    }
    Err("there are not enough ports from 20000 on that are free".into())
}
