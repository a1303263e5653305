//! Starts the agent, speaks to it, and reads what it wrote.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use ship::read::{ReadError, Reader};
use tempfile::TempDir;

use crate::manager::Manager;

/// Longer than anything here takes, even on a busy machine: a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How often something is looked at that no event tells of.
const PAUSE: Duration = Duration::from_millis(20);

/// A running agent, on free ports and in a directory of its own; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    pub(crate) dir: PathBuf,
    pub(crate) listeners: Vec<String>,
    pub(crate) http: Option<SocketAddr>,
}

/// How an agent is started.
pub(crate) struct Start {
    dir: PathBuf,
    config: String,
    flags: Vec<String>,
    env: Vec<(&'static str, String)>,
    survives_file_limit: bool,
    begins_on_a_full_disk: bool,
    limit: Option<u32>,
    manager: Option<Manager>,
}

impl Start {
    /// With its data in this directory, a flush every 200 ms, one UDP listener on a free port of
    /// 127.0.0.1, and HTTP on another. It does not look at the node.
    pub(crate) fn in_dir(dir: &TempDir) -> Self {
        Self {
            dir: dir.path().to_owned(),
            config: String::new(),
            flags: Vec::new(),
            env: Vec::new(),
            survives_file_limit: false,
            begins_on_a_full_disk: false,
            limit: None,
            manager: None,
        }
    }

    /// So that a limit of its files' size is an error of its writes, and not its end. Its log is
    /// not one of them.
    pub(crate) fn survives_file_limit(mut self) -> Self {
        self.survives_file_limit = true;
        self
    }

    /// The same, and until there is room it can write to no file from the start.
    pub(crate) fn on_a_full_disk(mut self) -> Self {
        self.begins_on_a_full_disk = true;
        self.survives_file_limit()
    }

    /// Under this service manager, which hands it what it has kept.
    pub(crate) fn under(mut self, manager: &Manager) -> Self {
        self.manager = Some(manager.clone());
        self
    }

    /// With no more descriptors than this.
    pub(crate) fn limit(mut self, descriptors: u32) -> Self {
        self.limit = Some(descriptors);
        self
    }

    /// With this further configuration; top-level keys first.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config += toml;
        self
    }

    /// With this flag.
    pub(crate) fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// Only writes the configuration, where an agent that runs finds it.
    pub(crate) fn rewrite(&self) {
        self.command();
    }

    /// With this in its environment.
    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn command(&self) -> Command {
        let mut config = format!("data_dir = \"{}\"\n", self.dir.join("data").display());
        if !self.config.contains("flush_interval") {
            config += "flush_interval = \"200ms\"\n";
        }
        config += &self.config;
        if !self.config.contains("[[listener]]") {
            config += "\n[[listener]]\nurl = \"udp://127.0.0.1:0\"\n";
        }
        if !self.config.contains("[http]") {
            config += "\n[http]\nlisten = \"127.0.0.1:0\"\n";
        }
        if !self.config.contains("[node]") {
            config += "\n[node]\npoll = \"0s\"\n";
        }
        let file = self.dir.join("weir.toml");
        std::fs::write(&file, config).unwrap();
        let weir = env!("CARGO_BIN_EXE_weir");
        let mut command = Command::new(if self.survives_file_limit { "bash" } else { weir });
        if self.survives_file_limit {
            let limit = if self.begins_on_a_full_disk { "ulimit -S -f 0;" } else { "" };
            let log = "exec 2> >(exec cat >&2);";
            command.args(["-c", &format!("trap '' XFSZ; {log} {limit} exec \"$0\" \"$@\""), weir]);
        }
        command.arg("run").arg("--config").arg(file).args(&self.flags);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs until it is ready.
    pub(crate) fn start(self) -> Agent {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut command = self.command();
        if let Some(limit) = self.limit {
            let mut limited = Command::new("bash");
            limited.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "bash"]);
            limited.arg(command.get_program()).args(command.get_args());
            limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = limited;
        }
        let mut child = match &self.manager {
            Some(manager) => manager.spawn(&command, log),
            None => spawn(command.stdout(Stdio::piped()).stderr(log)),
        };
        let (mut listeners, mut http) = (Vec::new(), None);
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        // It tells what to try when it is up.
        loop {
            let Some(Ok(line)) = told.next() else {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap();
                panic!("the agent did not start: {log}");
            };
            if let Some(listener) = line.strip_prefix("listening on ") {
                listeners.push(listener.to_owned());
            } else if let Some(address) = line.strip_prefix("HTTP on tcp://") {
                http = Some(address.parse().unwrap());
            } else if line == "Try:" {
                break;
            }
        }
        // Nobody reads on; the rest fits into the pipe.
        Agent { child, dir: self.dir, listeners, http }
    }

    /// Runs what is expected to refuse; gives what it said.
    pub(crate) fn refuse(self) -> String {
        let output = run(&mut self.command());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Agent {
    /// The address of its first UDP listener.
    pub(crate) fn udp(&self) -> SocketAddr {
        let udp = self.listeners.iter().find_map(|listener| listener.strip_prefix("udp://"));
        udp.unwrap().parse().unwrap()
    }

    /// Sends a datagram to its first UDP listener.
    pub(crate) fn send(&self, datagram: impl AsRef<[u8]>) {
        send(self.udp(), datagram);
    }

    /// Asks over its HTTP listener; status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.http.unwrap()).unwrap();
        ask(stream, method, path, body)
    }

    /// Registers a container; the address that it is given.
    pub(crate) fn register(&self, id: &str) -> SocketAddr {
        let body = serde_json::json!({ "container_id": id }).to_string();
        let (status, answer) = self.ask("POST", "/container", &body);
        assert_eq!(status, 201, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let (host, port) = (&answer["statsd_host"], &answer["statsd_port"]);
        format!("{}:{port}", host.as_str().unwrap()).parse().unwrap()
    }

    /// The account.
    pub(crate) fn status(&self) -> Value {
        let (status, body) = self.ask("GET", "/status.json", "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The account, once this is true of it.
    pub(crate) fn status_when(&self, mut so: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait_for(
            || {
                last = self.status();
                so(&last)
            },
            "the awaited status",
        );
        last
    }

    /// Waits until so many samples were received, in all.
    pub(crate) fn received(&self, samples: u64) -> Value {
        self.status_when(|status| status["total"]["received"]["samples"] == samples)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// From now on no file of its may grow beyond so many bytes, or every one.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    }

    /// Stops it as a service manager does, and gives what it wrote.
    pub(crate) fn stop(mut self) -> Points {
        self.signal(Signal::TERM);
        assert!(self.wait().success());
        assert!(!self.log().contains("not done in time"), "{}", self.log());
        Points::in_dir(&self.dir.join("data/points"))
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for(
            || {
                status = self.child.try_wait().unwrap();
                status.is_some()
            },
            "the agent's end",
        );
        status.unwrap()
    }

    /// Waits until its log has a line with all of these: what it says elsewhere too may be known
    /// there before.
    pub(crate) fn says(&self, parts: &[&str]) {
        let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
        wait_for(|| self.log().lines().any(has_all), &format!("in the log: {parts:?}"));
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One at a time, because while a manager starts an agent the process has descriptors that every
/// child inherits.
pub(crate) static SPAWNING: Mutex<()> = Mutex::new(());

/// Starts a program.
pub(crate) fn spawn(command: &mut Command) -> Child {
    let _alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Runs a program, and gives what it wrote.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(command).wait_with_output().unwrap()
}

/// Looks again and again until this is true.
pub(crate) fn wait_for(mut so: impl FnMut() -> bool, what: &str) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        // There is no event to wait for in another process's state.
        std::thread::park_timeout(PAUSE);
    }
}

/// Sends a datagram.
pub(crate) fn send(to: SocketAddr, datagram: impl AsRef<[u8]>) {
    let from = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    UdpSocket::bind(from).unwrap().send_to(datagram.as_ref(), to).unwrap();
}

/// Asks over a connection as the isolator does; status and body.
pub(crate) fn ask(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let mut request = String::new();
    write!(request, "{method} {path} HTTP/1.1\r\nHost: \r\nAccept: application/json\r\n").unwrap();
    write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len())
        .unwrap();
    stream.write_all((request + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return (status, body.to_owned());
    }
    (status, unchunk(body))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole += &rest[..length];
        body = &rest[length + 2..];
    }
    whole
}

/// Asks over a unix socket.
pub(crate) fn ask_unix(socket: &Path, method: &str, path: &str, body: &str) -> (u16, String) {
    ask(UnixStream::connect(socket).unwrap(), method, path, body)
}

/// The points of Avro files, in the order of their numbers.
pub(crate) struct Points(pub(crate) Vec<Value>);

impl Points {
    /// All that lie in a directory; of a `.part` what is whole.
    pub(crate) fn in_dir(dir: &Path) -> Self {
        let mut points = Vec::new();
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            points.extend(Self::in_file(&entry.unwrap().path()));
        }
        points.sort_by_key(|point| (point["boot_id"].to_string(), point["seq"].as_i64()));
        Self(points)
    }

    fn in_file(path: &Path) -> Vec<Value> {
        // It was completed, and so renamed, meanwhile; or has no whole header yet.
        let Ok(Ok(mut reader)) = File::open(path).map(Reader::open) else { return Vec::new() };
        let mut points = Vec::new();
        loop {
            match reader.next_block() {
                Ok(Some(block)) => points.extend(
                    block.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()),
                ),
                Ok(None) => return points,
                Err(ReadError::Torn { .. }) if path.extension().is_some_and(|e| e == "part") => {
                    return points;
                }
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// The values of one statistic of one metric, in order.
    pub(crate) fn values(&self, name: &str, stat: &str) -> Vec<f64> {
        let of_it = |point: &&Value| point["name"] == name && point["stat"] == stat;
        self.0.iter().filter(of_it).map(|point| point["value"].as_f64().unwrap()).collect()
    }

    /// The sum of the values of one statistic of one metric.
    pub(crate) fn sum(&self, name: &str, stat: &str) -> f64 {
        self.values(name, stat).iter().sum()
    }

    /// The sums of one statistic of one metric by the value of a tag.
    pub(crate) fn sums_by(&self, name: &str, stat: &str, tag: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for point in self.0.iter().filter(|point| point["name"] == name && point["stat"] == stat) {
            let tag = point["tags"][tag].as_str().unwrap_or_default().to_owned();
            *sums.entry(tag).or_default() += point["value"].as_f64().unwrap();
        }
        sums
    }

    /// The first point of a metric.
    pub(crate) fn first(&self, name: &str) -> &Value {
        let found = self.0.iter().find(|point| point["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {name} among {} points", self.0.len()))
    }
}
