//! A run that is worth quoting: what was run, where, of which revision, and what came of it.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::SystemTime;

/// The directory of a run.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) directory: PathBuf,
    /// Which run of the directory it is: the first, the second...
    number: usize,
}

impl Saved {
    /// Adds to the runs of today on this machine, or begins them.
    pub(crate) fn begin(
        machine: &str,
        arguments: &[String],
        programs: &[&Path],
    ) -> Result<Self, Box<dyn Error>> {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = now.split('T').next().unwrap_or_default();
        let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
        let mut saved = Self { directory: runs.join(format!("{date}-{machine}")), number: 1 };
        fs::create_dir_all(&saved.directory)?;
        match fs::read_to_string(saved.readme()) {
            Ok(told) => saved.number += told.lines().filter(|line| line.starts_with("## ")).count(),
            Err(_) => saved.write(&format!("# {date}, {machine}\n\n{}", describe()))?,
        }
        let arguments = arguments.join(" ");
        saved.write(&format!(
            "\n## {now}\n\n    cargo bench -p benches --bench end_to_end -- {arguments}\n\n\
             Revision: {}. Programs: {}.\n\n",
            revision(),
            programs.iter().map(|it| told(it, &["--version"])).collect::<Vec<_>>().join(", ")
        ))?;
        Ok(saved)
    }

    /// A file of this run; none of another run has its name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        match self.number {
            1 => self.directory.join(name),
            number => self.directory.join(format!("{number}-{name}")),
        }
    }

    /// Appends to its README.md.
    pub(crate) fn write(&self, text: &str) -> Result<(), Box<dyn Error>> {
        let file = OpenOptions::new().create(true).append(true).open(self.readme());
        Ok(file?.write_all(text.as_bytes())?)
    }

    fn readme(&self) -> PathBuf {
        self.directory.join("README.md")
    }
}

/// What the machine is, as far as it decides how fast it goes.
fn describe() -> String {
    let of = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.rsplit(':').next().unwrap_or_default().trim().to_owned()
    };
    let processors = available_parallelism().map_or(0, usize::from);
    let rows = [
        ("processors", format!("{processors}, {}", of("/proc/cpuinfo", "model name"))),
        ("virtual", told("systemd-detect-virt", &[])),
        ("memory", of("/proc/meminfo", "MemTotal")),
        ("kernel", told("uname", &["-srvm"])),
        ("net.core.rmem_max", of("/proc/sys/net/core/rmem_max", "")),
        ("governor", of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "")),
        ("compiler", told("rustc", &["--version"])),
    ];
    let known = rows.iter().filter(|(_, what)| !what.is_empty());
    known.map(|(name, what)| ["* ", name, ": ", what, "\n"].concat()).collect()
}

/// Of the programs' source, and whether it was changed since.
fn revision() -> String {
    let revision = told("git", &["rev-parse", "HEAD"]);
    let changed = told("git", &["status", "--porcelain", "--untracked-files=no"]);
    match (revision.as_str(), changed.as_str()) {
        ("", _) => "unknown".to_owned(),
        (_, "") => revision,
        _ => format!("{revision}, with changes that are not committed"),
    }
}

/// What a program says, if it is there; empty if not.
fn told(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let told = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    told.unwrap_or_default().trim().to_owned()
}
