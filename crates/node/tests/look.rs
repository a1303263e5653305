//! Looks at nodes whose kernel says what a test wants.
#![allow(clippy::unwrap_used)] // helpers of tests: an unwrap is an assertion

use std::fs;
use std::path::PathBuf;

use metric::Value;
use node::{Look, Node};
use proptest::prelude::*;
use tempfile::TempDir;

const STAT: &str = "cpu  1000 50 300 8000 200 10 30 10 7 0
cpu0 500 25 150 4000 100 5 15 5 3 0
cpu1 500 25 150 4000 100 5 15 5 4 0
intr 12345 1 0 0
ctxt 999
btime 1600000000
processes 4242
procs_running 1
procs_blocked 0
softirq 1 2 3
";

const MEMINFO: &str = "MemTotal:        2048 kB
MemFree:          512 kB
MemAvailable:    1024 kB
Buffers:           16 kB
Cached:           256 kB
SwapCached:         0 kB
Active:             1 kB
Inactive:           1 kB
SwapTotal:        100 kB
SwapFree:          60 kB
Dirty:              0 kB
Writeback:          0 kB
Mapped:             0 kB
Slab:               0 kB
Committed_AS:       0 kB
VmallocTotal:       0 kB
VmallocUsed:        0 kB
VmallocChunk:       0 kB
HugePages_Total:    0
";

const NET_DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
  eth0: 1001 11 1 2 0 0 0 0 2002 22 3 4 0 0 0 0
    lo: 5 6 0 0 0 0 0 0 5 6 0 0 0 0 0 0
";

const FILESYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\n\text4\n\txfs\nnodev\tzfs\n";

// A made-up node.
struct Fake {
    root: TempDir,
}

impl Fake {
    fn new() -> Self {
        let fake = Self { root: tempfile::tempdir().unwrap() };
        for process in ["1", "42", "7777", "self", "sys"] {
            fs::create_dir_all(fake.proc(process)).unwrap();
        }
        for dir in ["data", "data/bind", "blank s", "tank"] {
            fs::create_dir_all(fake.root.path().join(dir)).unwrap();
        }
        fake.writes("uptime", "86399.99 1000.00\n");
        fake.writes("loadavg", "0.52 1.10 12.00 3/456 7777\n");
        fake.writes("stat", STAT);
        fake.writes("meminfo", MEMINFO);
        fake.writes("self/net/dev", NET_DEV);
        fake.writes("filesystems", FILESYSTEMS);
        let mounts = "22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
28 27 8:1 /var/bind /data/bind rw - ext4 /dev/sda1 rw
29 27 8:16 /sub /data rw - xfs /dev/sdb rw
30 27 8:32 / /blank\\040s rw - ext4 /dev/sdc rw
an odd line
31 27 0:40 / /tank rw - zfs tank rw
32 27 0:41 / /run rw - tmpfs tmpfs rw
";
        fake.writes("self/mountinfo", mounts);
        fake
    }

    fn proc(&self, name: &str) -> PathBuf {
        self.root.path().join("proc").join(name)
    }

    fn writes(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.proc(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn node(&self) -> Node {
        Node::in_root(self.root.path())
    }
}

// Each as `name` or `name#tag:value`, with its value, sorted.
fn told(look: &Look) -> Vec<(String, f64)> {
    let spelled = |datapoint: &metric::Datapoint| {
        let spelled = datapoint.key.spelled();
        let text = String::from_utf8([spelled.name, spelled.section].concat()).unwrap();
        let Value::Gauge(value) = datapoint.value else { panic!("{datapoint:?} is no gauge") };
        (text, value)
    };
    let mut told: Vec<_> = look.datapoints.iter().map(spelled).collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    told
}

fn of<'a>(told: &'a [(String, f64)], prefix: &str) -> Vec<(&'a str, f64)> {
    let of_it = told.iter().filter(|(name, _)| name.starts_with(prefix));
    of_it.map(|(name, value)| (name.as_str(), *value)).collect()
}

#[test]
fn a_first_look_tells_all_but_percentages() {
    let fake = Fake::new();
    let look = fake.node().look();
    assert!(look.errors.is_empty(), "{:?}", look.errors);
    let mut told = told(&look);
    told.retain(|(name, _)| !name.starts_with("filesystem"));
    let expected = [
        ("cpu.cores", 2.0),
        ("load.15min", 12.0),
        ("load.1min", 0.52),
        ("load.5min", 1.1),
        ("memory.buffers", 16_384.0),
        ("memory.cached", 262_144.0),
        ("memory.free", 524_288.0),
        ("memory.total", 2_097_152.0),
        ("network.in#interface:eth0", 1001.0),
        ("network.in#interface:lo", 5.0),
        ("network.in.dropped#interface:eth0", 2.0),
        ("network.in.dropped#interface:lo", 0.0),
        ("network.in.errors#interface:eth0", 1.0),
        ("network.in.errors#interface:lo", 0.0),
        ("network.in.packets#interface:eth0", 11.0),
        ("network.in.packets#interface:lo", 6.0),
        ("network.out#interface:eth0", 2002.0),
        ("network.out#interface:lo", 5.0),
        ("network.out.dropped#interface:eth0", 4.0),
        ("network.out.dropped#interface:lo", 0.0),
        ("network.out.errors#interface:eth0", 3.0),
        ("network.out.errors#interface:lo", 0.0),
        ("network.out.packets#interface:eth0", 22.0),
        ("network.out.packets#interface:lo", 6.0),
        ("process.count", 3.0),
        ("swap.free", 61_440.0),
        ("swap.total", 102_400.0),
        ("swap.used", 40_960.0),
        ("system.uptime", 86_399.0),
    ];
    assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn percentages_are_of_the_time_between_two_looks() {
    let fake = Fake::new();
    let mut node = fake.node();
    node.look();
    // Of 300 ticks: 100 user, 45 system, 120 idle, 30 waiting, 5 others; guests are users.
    fake.writes(
        "stat",
        STAT.replace(
            "cpu  1000 50 300 8000 200 10 30 10 7 0",
            "cpu  1100 52 345 8120 230 11 31 11 99 9",
        ),
    );
    let told = told(&node.look());
    let expected = [
        ("cpu.cores", 2.0),
        ("cpu.idle", 40.0),
        ("cpu.system", 15.0),
        ("cpu.total", 60.0),
        ("cpu.user", 33.33),
        ("cpu.wait", 10.0),
    ];
    assert_eq!(of(&told, "cpu."), expected);
}

#[test]
fn a_count_that_falls_back_stood_still_and_no_time_has_no_shares() {
    let fake = Fake::new();
    let mut node = fake.node();
    node.look();
    assert_eq!(of(&told(&node.look()), "cpu."), [("cpu.cores", 2.0)]);
    fake.writes("stat", STAT.replace("cpu  1000 50 300 8000 200", "cpu  1001 50 300 8003 100"));
    let told = told(&node.look());
    let shares = [("cpu.idle", 75.0), ("cpu.system", 0.0), ("cpu.total", 25.0), ("cpu.user", 25.0)];
    assert_eq!(of(&told, "cpu.")[1..5], shares);
    assert_eq!(of(&told, "cpu.wait"), [("cpu.wait", 0.0)]);
}

#[test]
fn a_file_system_is_told_once_under_the_path_of_its_root() {
    let fake = Fake::new();
    let told = told(&fake.node().look());
    let paths: Vec<_> =
        of(&told, "filesystem.capacity.total").into_iter().map(|(name, _)| name).collect();
    let expected = ["/", "/blank s", "/data", "/tank"];
    assert_eq!(paths, expected.map(|path| format!("filesystem.capacity.total#path:{path}")));
    // All of them are directories of one file system, here.
    let real = rustix::fs::statvfs(fake.root.path()).unwrap();
    let total = real.f_blocks as f64 * real.f_frsize as f64;
    assert!(of(&told, "filesystem.capacity.total").iter().all(|(_, value)| *value == total));
    for what in ["capacity", "inode"] {
        let value = |which: &str| of(&told, &format!("filesystem.{what}.{which}#path:/data"))[0].1;
        assert!(value("used") + value("free") <= value("total"), "{what}");
    }
}

#[test]
fn what_cannot_be_read_is_missing_and_costs_nothing_else() {
    // The file, what it becomes, what is missing then.
    let cases: [(&str, &[u8], &str); 11] = [
        ("uptime", b"", "system."),
        ("uptime", b"nan inf", "system."),
        ("loadavg", b"1 2", "load."),
        ("stat", b"cpu x", "cpu."),
        ("stat", b"\xff\xfe", "cpu."),
        ("meminfo", b"MemTotal: 1 kB\n", "memory."),
        ("meminfo", "\u{e9} 1 kB\n".as_bytes(), "memory."),
        ("meminfo", b"MemTotal: 18446744073709551615 kB\n", "memory."),
        ("self/net/dev", b"a\nb\nc: 1\n", "network."),
        ("self/mountinfo", b"1 2 3\n\n-\n", "filesystem."),
        ("filesystems", b"", "filesystem.capacity.total#path:/data"),
    ];
    let whole = told(&Fake::new().node().look());
    for (file, content, missing) in cases {
        let fake = Fake::new();
        fake.writes(file, content);
        let look = fake.node().look();
        let told = told(&look);
        assert_eq!(of(&told, missing), [], "{file}");
        let others = |all: &[(String, f64)]| -> Vec<String> {
            let group = missing.split('.').next().unwrap();
            let group = if group == "memory" { vec!["memory", "swap"] } else { vec![group] };
            let is_other = |name: &String| !group.iter().any(|group| name.starts_with(group));
            all.iter().map(|(name, _)| name.clone()).filter(is_other).collect()
        };
        assert_eq!(others(&told), others(&whole), "{file}");
    }
}

#[test]
fn a_node_that_shows_nothing_is_told_of_with_errors_only() {
    let empty = tempfile::tempdir().unwrap();
    let look = Node::in_root(empty.path()).look();
    assert!(look.datapoints.is_empty());
    assert_eq!(look.errors.len(), 7);
    let said = look.errors[0].to_string();
    assert!(said.contains("is /proc mounted"), "{said}");
}

#[test]
fn processes_are_not_counted_where_others_are_hidden() {
    let fake = Fake::new();
    fs::remove_dir(fake.proc("1")).unwrap();
    let look = fake.node().look();
    assert_eq!(of(&told(&look), "process."), []);
    assert!(look.errors[0].to_string().contains("hidepid"), "{:?}", look.errors);
}

#[test]
fn this_very_node_can_be_looked_at() {
    let mut node = Node::default();
    node.look();
    let told = told(&node.look());
    for name in ["system.uptime", "load.1min", "cpu.cores", "memory.total", "swap.total"] {
        assert_eq!(of(&told, name).len(), 1, "{name}");
    }
    assert!(of(&told, "memory.total")[0].1 >= of(&told, "memory.free")[0].1);
    assert!(!of(&told, "network.in#interface:lo").is_empty());
}

// Files of the kernel's with something odd at any place.
fn damaged(content: &'static str) -> impl Strategy<Value = Vec<u8>> {
    (0..content.len(), prop::collection::vec(any::<u8>(), 0..12), 0..12_usize).prop_map(
        move |(at, odd, cut)| {
            let mut bytes = content.as_bytes().to_vec();
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, odd);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_kernel_says_a_look_ends_with_finite_numbers(
        stat in damaged(STAT),
        meminfo in damaged(MEMINFO),
        dev in damaged(NET_DEV),
        kinds in damaged(FILESYSTEMS),
        mounts in damaged("29 27 8:16 /sub /data\\040 rw - xfs /dev/sdb rw\n"),
        load in damaged("0.52 1.10 12.00 3/456 7777\n"),
    ) {
        let fake = Fake::new();
        let mut node = fake.node();
        node.look();
        for (file, content) in [
            ("stat", stat),
            ("meminfo", meminfo),
            ("self/net/dev", dev),
            ("filesystems", kinds),
            ("self/mountinfo", mounts),
            ("loadavg", load),
        ] {
            fake.writes(file, content);
        }
        for (name, value) in told(&node.look()) {
            prop_assert!(value.is_finite() && value >= 0.0 || name.starts_with("load."), "{name}");
        }
    }
}
