use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::http::Endpoint;
use super::sockets::kernel_drops;
use super::status::Status;
use crate::error::ReplayError;

/// How often is looked whether it is ready, or has ended.
const LOOK: Duration = Duration::from_millis(50);

/// How long it may take to be ready.
const START: Duration = Duration::from_mins(1);

/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_mins(1);

/// An agent that was started for this run; ended with it.
#[derive(Debug)]
pub(crate) struct Spawned {
    child: Child,
    pid: Pid,
}

impl Spawned {
    /// Starts a command line of one program, which takes the shell's place, on these processors
    /// (none: on any). What it writes to its standard error is seen, what to its standard output is
    /// not.
    pub(crate) fn start(command: &str, processors: &[usize]) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::Spawn { command: command.to_owned(), source };
        // A child has its parent's processors; there is no other way without unsafe code.
        let mine = sched_getaffinity(None).map_err(|error| failed(error.into()))?;
        if !processors.is_empty() {
            pin(processors)?;
        }
        let started = Command::new("/bin/sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Ctrl-C is for this program, which stops the agent when it is done with it.
            .process_group(0)
            .spawn();
        let restored = sched_setaffinity(None, &mine);
        let child = started.map_err(failed)?;
        let pid = Pid::from_child(&child);
        let spawned = Self { child, pid };
        restored.map_err(|error| failed(error.into()))?;
        Ok(spawned)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it serves its status, or if it has none until it has these ports open.
    pub(crate) async fn ready(
        &mut self,
        status: Option<&Endpoint>,
        ports: &[u16],
    ) -> Result<(), ReplayError> {
        let began = Instant::now();
        while began.elapsed() < START {
            if let Ok(Some(ended)) = self.child.try_wait() {
                return Err(ReplayError::Died { how: ended.to_string() });
            }
            let is_ready = match status {
                Some(endpoint) => Status::read(endpoint).await.is_ok(),
                None => !ports.is_empty() && ports.iter().all(|it| kernel_drops(&[*it]).is_some()),
            };
            if is_ready {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(ReplayError::NotReady { seconds: START.as_secs() })
    }

    /// Stops it as a service manager does.
    pub(crate) async fn stop(&mut self) {
        // If it is gone already, so be it.
        let _ = kill_process(self.pid, Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < STOP {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this thread, and whatever it starts from now on, on these processors.
pub(crate) fn pin(processors: &[usize]) -> Result<(), ReplayError> {
    let mut set = CpuSet::new();
    let failed = |source| ReplayError::Pin { processors: processors.to_vec(), source };
    for processor in processors {
        if *processor >= CpuSet::MAX_CPU {
            return Err(failed(rustix::io::Errno::INVAL.into()));
        }
        set.set(*processor);
    }
    sched_setaffinity(None, &set).map_err(|error| failed(error.into()))
}
