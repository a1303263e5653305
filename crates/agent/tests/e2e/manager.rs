//! Plays the service manager: a notification socket, and a store of descriptors that is handed to
//! the next process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fd::AsRawFd;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::harness::{SPAWNING, wait_for};

/// Where the descriptors lie that a child inherits, well above those that the process uses.
const HANDED: i32 = 1_000;

/// A service manager; a clone is another handle to it.
#[derive(Clone)]
pub(crate) struct Manager(Arc<Shared>);

struct Shared {
    dir: TempDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    // In the order in which they came.
    kept: Vec<(String, OwnedFd)>,
    said: BTreeMap<String, usize>,
    stored: usize,
    is_nameless: bool,
}

impl Manager {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        let shared = Arc::new(Shared { dir, state: Mutex::default() });
        let of_thread = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            // It ends with the process: a message that ends it would have to come from somebody.
            while let Some((text, fd)) = receive(&socket) {
                let Some(shared) = of_thread.upgrade() else { return };
                state(&shared).hear(&text, fd);
            }
        });
        Self(shared)
    }

    /// As one before systemd 227: it tells no names, and lets go by none.
    pub(crate) fn nameless() -> Self {
        let manager = Self::new();
        state(&manager.0).is_nameless = true;
        manager
    }

    /// Keeps this, as of a socket unit or of a process long ago.
    pub(crate) fn keep(&self, name: &str, fd: impl Into<OwnedFd>) {
        state(&self.0).kept.push((name.to_owned(), fd.into()));
    }

    /// The names of what is kept.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = state(&self.0).kept.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Waits until so many are kept.
    pub(crate) fn until_kept(&self, count: usize) {
        wait_for(|| self.names().len() == count, "the awaited number of stored sockets");
    }

    /// How many descriptors it was ever given.
    pub(crate) fn stored(&self) -> usize {
        state(&self.0).stored
    }

    /// How often it heard this.
    pub(crate) fn heard(&self, line: &str) -> usize {
        state(&self.0).said.get(line).copied().unwrap_or_default()
    }

    /// Starts a program as its service. What is kept comes to it from descriptor 3 on.
    pub(crate) fn spawn(&self, program: &Command, log: File) -> Child {
        let alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state(&self.0);
        let (mut names, mut script) = (Vec::new(), String::new());
        let mut handed = Vec::new();
        for (place, (name, fd)) in (3..).zip(&state.kept) {
            let copy = fcntl_dupfd_cloexec(fd, HANDED).unwrap();
            fcntl_setfd(&copy, FdFlags::empty()).unwrap();
            write!(script, "exec {place}<&{}-; ", copy.as_raw_fd()).unwrap();
            names.push(name.as_str());
            handed.push(copy);
        }
        // Only the shell knows the number that the process will have.
        script += "export LISTEN_PID=$$; exec \"$@\"";
        let mut shell = Command::new("bash");
        shell.args(["-c", &script, "bash"]).arg(program.get_program()).args(program.get_args());
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("NOTIFY_SOCKET", self.0.dir.path().join("notify"));
        shell.env("WATCHDOG_USEC", "600000");
        shell.env("LISTEN_FDS", handed.len().to_string());
        if !state.is_nameless {
            shell.env("LISTEN_FDNAMES", names.join(":"));
        }
        let child = shell.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        drop(handed);
        drop(alone);
        child
    }
}

fn state(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn hear(&mut self, text: &str, fd: Option<OwnedFd>) {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        for line in text.lines() {
            *self.said.entry(line.to_owned()).or_default() += 1;
        }
        let name = value("FDNAME=").unwrap_or("stored").to_owned();
        if value("FDSTORE=").is_some() {
            let is_kept = self.kept.iter().any(|(kept, _)| *kept == name);
            assert!(self.is_nameless || !is_kept, "{name} is kept already");
            self.kept.push((name, fd.unwrap()));
            self.stored += 1;
        } else if value("FDSTOREREMOVE=").is_some() && !self.is_nameless {
            self.kept.retain(|(kept, _)| *kept != name);
        }
    }
}

fn receive(socket: &UnixDatagram) -> Option<(String, Option<OwnedFd>)> {
    let mut bytes = [0; 1_000];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = [IoSliceMut::new(&mut bytes)];
    let came = recvmsg(socket, &mut text, &mut ancillary, RecvFlags::CMSG_CLOEXEC).ok()?;
    let mut fd = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.last();
        }
    }
    Some((String::from_utf8(bytes[..came.bytes].to_vec()).unwrap(), fd))
}
