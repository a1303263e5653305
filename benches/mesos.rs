//! A Mesos agent as weir asks one: it runs a task in each container that is registered, and measures
//! what they use.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// One that is yet to answer.
pub(crate) struct Mesos(TcpListener);

impl Mesos {
    pub(crate) fn bind() -> io::Result<Self> {
        Ok(Self(TcpListener::bind("127.0.0.1:0")?))
    }

    /// The part of a configuration that has weir ask it.
    pub(crate) fn config(&self) -> io::Result<String> {
        Ok(format!("[mesos]\nurl = \"http://{}\"\n", self.0.local_addr()?))
    }

    /// Answers, until the program ends, what is true of the containers in this directory, a file for
    /// each.
    pub(crate) fn serve(self, containers: PathBuf) {
        let node = Node { containers };
        thread::spawn(move || {
            for stream in self.0.incoming().flatten() {
                let node = node.clone();
                // A client that goes away is no matter, and one that asks for what there is not
                // finds out by itself.
                thread::spawn(move || drop(node.converse(&stream)));
            }
        });
    }
}

#[derive(Clone)]
struct Node {
    containers: PathBuf,
}

impl Node {
    fn converse(&self, stream: &TcpStream) -> Result<(), Box<dyn Error>> {
        let (mut requests, mut answers) = (BufReader::new(stream), stream);
        loop {
            let mut length = 0;
            let mut line = String::new();
            while {
                line.clear();
                requests.read_line(&mut line)?
            } > 2
            {
                if let Some((key, value)) = line.split_once(':')
                    && key.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse()?;
                }
            }
            let mut body = vec![0; length];
            requests.read_exact(&mut body)?;
            let answer = self.answer(&serde_json::from_slice(&body)?).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            answers.write_all((head + &answer).as_bytes())?;
        }
    }

    fn answer(&self, call: &Value) -> Value {
        match call["type"].as_str() {
            Some("GET_STATE") => json!({"type": "GET_STATE", "get_state": {
                "get_tasks": {"launched_tasks": self.each(task)},
                "get_executors": {"executors": self.each(executor)},
                "get_frameworks": {"frameworks": [{"framework_info": {
                    "user": "root", "name": "shopkeeper", "id": {"value": "shop-0001"},
                    "role": "shop", "principal": "shop",
                }}]},
            }}),
            Some("GET_CONTAINERS") => json!({"type": "GET_CONTAINERS", "get_containers": {
                "containers": self.each(container),
            }}),
            _ => json!({"type": "GET_AGENT", "get_agent": {"agent_info": {
                "id": {"value": "bench-S1"}, "hostname": "127.0.0.1", "port": 5051,
                "resources": [], "attributes": [],
            }}}),
        }
    }

    fn each(&self, made: impl Fn(&str) -> Value) -> Vec<Value> {
        let files = fs::read_dir(&self.containers).into_iter().flatten().flatten();
        files.map(|file| made(&file.file_name().to_string_lossy())).collect()
    }
}

fn task(id: &str) -> Value {
    json!({
        "name": format!("task-{id}"),
        "task_id": {"value": format!("task-{id}.1")},
        "framework_id": {"value": "shop-0001"},
        "executor_id": {"value": format!("executor-{id}")},
        "agent_id": {"value": "bench-S1"},
        "state": "TASK_RUNNING",
        "statuses": [{
            "task_id": {"value": format!("task-{id}.1")},
            "state": "TASK_RUNNING",
            "container_status": {"container_id": {"value": id}},
        }],
        "labels": {"labels": [
            {"key": "DCOS_SERVICE_NAME", "value": "/shop/cart"},
            {"key": "DCOS_METRICS_team", "value": "blue"},
        ]},
    })
}

fn executor(id: &str) -> Value {
    json!({"executor_info": {
        "executor_id": {"value": format!("executor-{id}")},
        "framework_id": {"value": "shop-0001"},
        "name": format!("executor {id}"),
        "source": "shop",
    }})
}

fn container(id: &str) -> Value {
    json!({
        "container_id": {"value": id},
        "framework_id": {"value": "shop-0001"},
        "executor_id": {"value": format!("executor-{id}")},
        "executor_name": format!("executor {id}"),
        "resource_statistics": used(),
    })
}

/// Fields and values as a container of the Mesos containerizer has them, with network and disk.
fn used() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut used = json!({"timestamp": now});
    for (field, value) in USED {
        used[*field] = json!(value);
    }
    let served =
        ["READ", "WRITE", "SYNC", "ASYNC", "TOTAL"].map(|op| json!({"op": op, "value": 4096}));
    used["blkio_statistics"] = json!({"throttling": [{
        "device": {"major_number": 8, "minor_number": 0},
        "io_serviced": served,
        "io_service_bytes": served,
    }]});
    used
}

const USED: &[(&str, f64)] = &[
    ("processes", 3.0),
    ("threads", 12.0),
    ("cpus_user_time_secs", 512.25),
    ("cpus_system_time_secs", 64.5),
    ("cpus_limit", 1.1),
    ("cpus_nr_periods", 100.0),
    ("cpus_nr_throttled", 1.0),
    ("cpus_throttled_time_secs", 0.5),
    ("mem_total_bytes", 104_857_600.0),
    ("mem_total_memsw_bytes", 104_857_600.0),
    ("mem_limit_bytes", 268_435_456.0),
    ("mem_soft_limit_bytes", 268_435_456.0),
    ("mem_cache_bytes", 1_048_576.0),
    ("mem_rss_bytes", 94_371_840.0),
    ("mem_mapped_file_bytes", 65_536.0),
    ("mem_swap_bytes", 0.0),
    ("mem_unevictable_bytes", 0.0),
    ("mem_low_pressure_counter", 0.0),
    ("mem_medium_pressure_counter", 0.0),
    ("mem_critical_pressure_counter", 0.0),
    ("disk_limit_bytes", 1_073_741_824.0),
    ("disk_used_bytes", 10_485_760.0),
    ("net_rx_packets", 1000.0),
    ("net_rx_bytes", 100_000.0),
    ("net_rx_errors", 0.0),
    ("net_rx_dropped", 0.0),
    ("net_tx_packets", 1000.0),
    ("net_tx_bytes", 100_000.0),
    ("net_tx_errors", 0.0),
    ("net_tx_dropped", 0.0),
];
