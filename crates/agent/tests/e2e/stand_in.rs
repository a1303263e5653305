//! Whom the agent speaks to: servers that note what they are asked and do as a test says.
//!
//! Their threads end with the test program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use serde_json::{Value, json};
use ship::read::{ReadError, Reader};

use crate::harness::wait_for;

/// A port where nobody listens, until somebody does.
pub(crate) struct Reserved(OwnedFd);

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        getsockname(&self.0).unwrap().try_into().unwrap()
    }

    pub(crate) fn listen(self) -> TcpListener {
        listen(&self.0, 16).unwrap();
        self.0.into()
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut line = || {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            Some(line.trim_end().to_owned())
        };
        let first = line().filter(|line| !line.is_empty())?;
        let mut headers = Vec::new();
        while let Some((key, value)) = line()?.split_once(": ") {
            headers.push((key.to_owned(), value.to_owned()));
        }
        let mut asked = Self { line: first, headers, body: Vec::new() };
        let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
        asked.body.resize(length, 0);
        from.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer(u16, String),
    /// These bytes, then the end of the connection.
    Raw(&'static str),
    /// Nothing, ever.
    Hang,
}

type Script = dyn FnMut(&Asked) -> Reply + Send;

/// A server that answers as its script says, one request at a time.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Mutex<Box<Script>>>,
}

impl Server {
    pub(crate) fn start(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            script: Arc::new(Mutex::new(Box::new(script))),
        };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                thread::spawn(move || serving.converse(&stream.unwrap()));
            }
        });
        server
    }

    /// From now on it answers so.
    pub(crate) fn answers(&self, script: impl FnMut(&Asked) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn converse(&self, stream: &TcpStream) {
        let (mut requests, mut answers) = (BufReader::new(stream), stream);
        while let Some(asked) = Asked::read(&mut requests) {
            let reply = (self.script.lock().unwrap())(&asked);
            self.asked.lock().unwrap().push(asked);
            // A client that goes away is no matter.
            match reply {
                Reply::Answer(status, body) => {
                    let length = body.len();
                    let head = format!("HTTP/1.1 {status} So\r\nContent-Length: {length}\r\n\r\n");
                    let _ = answers.write_all((head + &body).as_bytes());
                }
                Reply::Raw(text) => {
                    let _ = answers.write_all(text.as_bytes());
                    return;
                }
                Reply::Hang => {
                    let _ = requests.read_to_end(&mut Vec::new());
                }
            }
        }
    }
}

/// What a Mesos agent knows.
#[derive(Clone, Default)]
pub(crate) struct World {
    /// Tasks by the list that they are in: `launched_tasks`, `terminated_tasks` ...
    pub(crate) tasks: Vec<(&'static str, Value)>,
    /// Executors and frameworks are among those that are completed.
    pub(crate) is_over: bool,
    /// What `GET_CONTAINERS` lists.
    pub(crate) containers: Vec<Value>,
    /// What `/metrics/snapshot` holds.
    pub(crate) snapshot: Value,
}

impl World {
    /// One that runs these tasks, in containers that it lists.
    pub(crate) fn running(tasks: impl IntoIterator<Item = Value>) -> Self {
        let mut world = Self::default();
        for task in tasks {
            let id = &task["statuses"][0]["container_status"]["container_id"];
            world.containers.push(json!({
                "container_id": id,
                "framework_id": task["framework_id"],
                "executor_id": task["executor_id"],
                "executor_name": "shop executor",
                "resource_statistics": {"cpus_limit": 1.1, "timestamp": 1_600_000_000.5},
            }));
            world.tasks.push(("launched_tasks", task));
        }
        world
    }

    fn state(&self) -> Value {
        let mut tasks = json!({"launched_tasks": []});
        for (list, task) in &self.tasks {
            if tasks[*list].is_null() {
                tasks[*list] = json!([]);
            }
            tasks[*list].as_array_mut().unwrap().push(task.clone());
        }
        let executor = |id, name| {
            json!({"executor_info": {
                "executor_id": {"value": id},
                "framework_id": {"value": "shop-0001"},
                "command": {"value": "./run", "environment": {"variables": []}},
                "name": name,
                "source": "shop",
            }})
        };
        let executors =
            [executor("shop.executor", "shop executor"), executor("spare", "spare one")];
        let frameworks = json!([{"framework_info": {
            "user": "root",
            "name": "shopkeeper",
            "id": {"value": "shop-0001"},
            "role": "shop_role",
            "principal": "shop_principal",
            "capabilities": [{"type": "PARTITION_AWARE"}],
        }}]);
        let prefix = if self.is_over { "completed_" } else { "" };
        json!({"type": "GET_STATE", "get_state": {
            "get_tasks": tasks,
            "get_executors": {format!("{prefix}executors"): executors},
            "get_frameworks": {format!("{prefix}frameworks"): frameworks},
        }})
    }

    fn answer(&self, asked: &Asked) -> Reply {
        if asked.line.starts_with("GET /metrics/snapshot?timeout=") {
            return Reply::Answer(200, self.snapshot.to_string());
        }
        assert_eq!(asked.line, "POST /api/v1 HTTP/1.1");
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let call: Value = serde_json::from_slice(&asked.body).unwrap();
        let said = match call["type"].as_str().unwrap() {
            "GET_STATE" => self.state(),
            "GET_CONTAINERS" => {
                let options = json!({"show_nested": true, "show_standalone": true});
                assert_eq!(call["get_containers"], options);
                json!({"type": "GET_CONTAINERS", "get_containers": {"containers": self.containers}})
            }
            "GET_AGENT" => json!({"type": "GET_AGENT", "get_agent": {"agent_info": {
                "id": {"value": "node-S7"}, "hostname": "10.1.2.3", "port": 5051,
                "resources": [], "attributes": [],
            }}}),
            other => panic!("{other} is not asked for"),
        };
        Reply::Answer(200, said.to_string())
    }
}

/// A task of the framework `shop-0001` as the agent's state has it; its container, which may be
/// nested, from the inside out; its labels.
pub(crate) fn task(
    id: &str,
    executor_id: Option<&str>,
    container: &[&str],
    labels: &[(&str, &str)],
) -> Value {
    let label = |(key, value): &(&str, &str)| json!({"key": key, "value": value});
    let labels: Vec<_> = labels.iter().map(label).collect();
    let status = |state| {
        json!({
            "task_id": {"value": id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "timestamp": 1_600_000_000.25,
            "container_status": {
                "container_id": container_id(container),
                "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": "10.1.2.4"}]}],
                "executor_pid": 4711,
            },
        })
    };
    let mut task = json!({
        "name": id.split('.').next(),
        "task_id": {"value": id},
        "framework_id": {"value": "shop-0001"},
        "agent_id": {"value": "node-S7"},
        "state": "TASK_RUNNING",
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}}],
        "statuses": [status("TASK_STARTING"), status("TASK_RUNNING")],
        "labels": {"labels": labels},
        "container": {"type": "MESOS", "mesos": {}},
    });
    if let Some(executor_id) = executor_id {
        task["executor_id"] = json!({"value": executor_id});
    }
    task
}

/// A container's id with those that it is nested in, from the inside out.
pub(crate) fn container_id(chain: &[&str]) -> Value {
    match chain {
        [value] => json!({"value": value}),
        [value, outer @ ..] => json!({"parent": container_id(outer), "value": value}),
        [] => Value::Null,
    }
}

/// A Mesos agent that knows what a test says.
pub(crate) struct Mesos(Server);

impl Mesos {
    pub(crate) fn start(world: World) -> Self {
        Self(Server::start(move |asked| world.answer(asked)))
    }

    /// One that is not well.
    pub(crate) fn broken(reply: Reply) -> Self {
        Self(Server::start(move |_| reply.clone()))
    }

    /// It knows this from now on.
    pub(crate) fn knows(&self, world: World) {
        self.0.answers(move |asked| world.answer(asked));
    }

    /// The configuration of an agent that asks it, often, who is who.
    pub(crate) fn config(&self) -> String {
        format!("[mesos]\nurl = \"{}\"\nrefresh = \"1s\"\npoll = \"0s\"\n", self.url())
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// How often its state was asked for.
    pub(crate) fn polls(&self) -> usize {
        let asked = self.0.asked();
        asked.iter().filter(|asked| asked.body == br#"{"type":"GET_STATE"}"#).count()
    }

    /// Waits until what it knows now is known to the agent: that makes one poll at a time, so it
    /// has made use of one that began after this when it begins another.
    pub(crate) fn told(&self) {
        let begun = self.polls();
        wait_for(|| self.polls() >= begun + 2, "two more polls");
    }
}

/// A collector that keeps what it receives, connection by connection.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<Connection>>>);

#[derive(Clone, Default)]
pub(crate) struct Connection {
    pub(crate) bytes: Vec<u8>,
    pub(crate) has_ended: bool,
}

impl Collector {
    /// Takes connections from now on. The first ones, so many, it resets when something of them has
    /// come.
    pub(crate) fn on(listener: TcpListener, resets: usize) -> Self {
        let collector = Self::default();
        let taking = collector.clone();
        thread::spawn(move || {
            for (place, stream) in listener.incoming().enumerate() {
                taking.0.lock().unwrap().push(Connection::default());
                let (taking, stream) = (taking.clone(), stream.unwrap());
                thread::spawn(move || taking.take(place, &stream, place < resets));
            }
        });
        collector
    }

    fn take(&self, place: usize, mut stream: &TcpStream, is_reset: bool) {
        let mut part = [0; 4096];
        loop {
            // What was not read when a connection is closed makes the close a reset.
            let read = if is_reset { stream.peek(&mut part) } else { stream.read(&mut part) };
            let read = read.unwrap_or(0);
            let connection = &mut self.0.lock().unwrap()[place];
            connection.bytes.extend_from_slice(&part[..read]);
            if read == 0 || is_reset {
                connection.has_ended = true;
                return;
            }
        }
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.0.lock().unwrap().clone()
    }

    /// The metric lists that one connection has brought, to its last whole block.
    pub(crate) fn lists(&self, place: usize) -> Vec<Value> {
        self.connections().get(place).map_or_else(Vec::new, |it| records(&it.bytes))
    }

    /// The values of the points of one name that one connection has brought, in order.
    pub(crate) fn values(&self, place: usize, name: &str) -> Vec<f64> {
        let lists = self.lists(place);
        let points = lists.iter().flat_map(|list| list["datapoints"].as_array().unwrap());
        let of_it = points.filter(|point| point["name"] == name);
        of_it.map(|point| point["value"].as_f64().unwrap()).collect()
    }
}

/// The records of an object container file, to its last whole block.
pub(crate) fn records(bytes: &[u8]) -> Vec<Value> {
    let mut records = Vec::new();
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(error) => {
            // Not even the header is whole yet.
            assert!(bytes.len() < 601, "{error}");
            return records;
        }
    };
    loop {
        match reader.next_block() {
            Ok(Some(block)) => {
                records.extend(
                    block.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()),
                );
            }
            Ok(None) | Err(ReadError::Torn { .. }) => return records,
            Err(error) => panic!("{error}"),
        }
    }
}
