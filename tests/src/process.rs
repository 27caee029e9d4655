//! Processes that end, one way or the other.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::cgroup::{self, wait_until};

/// Longer than anything takes on a busy machine, and shorter than anybody's patience.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Runs a program to its end, for at most two minutes.
pub fn finish(command: &mut Command) -> Finished {
    finish_within(command, TIMEOUT)
}

/// Runs a program to its end. If that takes too long, it is killed and the test fails.
pub fn finish_within(command: &mut Command, timeout: Duration) -> Finished {
    start(command).finish_within(timeout)
}

/// Starts a program. Its output goes to files, so that nobody has to read it for it to go on.
pub fn start(command: &mut Command) -> Running {
    let outputs = tempfile::tempdir().unwrap();
    let file = |name: &str| File::create(outputs.path().join(name)).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"));
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Running {
        command: format!("{command:?}"),
        child,
        outputs,
        ended: None,
    }
}

/// A program that runs. It is killed when this is dropped, and what it recorded with it.
pub struct Running {
    command: String,
    child: Child,
    outputs: TempDir,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has had so far (`VmHWM`), in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: u64 = peak.unwrap().split_whitespace().next().unwrap().parse().unwrap();
        kibibytes * 1024
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: libc::c_int) {
        let id = libc::pid_t::try_from(self.id()).unwrap();
        // SAFETY: the child has not been waited for, so the id is still its own.
        let result = unsafe { libc::kill(id, signal) };
        assert_eq!(result, 0, "{}: {}", self.command, io::Error::last_os_error());
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    fn output(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.outputs.path().join(name)).unwrap()).into_owned()
    }

    /// Waits until something is true; the program has to be running all the time.
    pub fn wait_for(&mut self, what: &str, mut is_true: impl FnMut(&Self) -> bool) {
        let became_true = wait_until(TIMEOUT, || is_true(self) || self.has_ended());
        let ended = self
            .ended
            .map_or("is still running".to_owned(), |status| format!("ended: {status}"));
        assert!(
            became_true && is_true(self),
            "{what} did not happen; {} {ended}\n{}{}",
            self.command,
            self.stdout(),
            self.stderr()
        );
    }

    /// Waits for its end, for at most two minutes.
    pub fn finish(self) -> Finished {
        self.finish_within(TIMEOUT)
    }

    /// Waits for its end. If that takes too long, it is killed and the test fails.
    pub fn finish_within(mut self, timeout: Duration) -> Finished {
        let ended = wait_until(timeout, || self.has_ended());
        let (stdout, stderr) = (self.stdout(), self.stderr());
        assert!(
            ended,
            "{} did not end within {timeout:?}\n{stdout}{stderr}",
            self.command
        );
        Finished {
            command: self.command.clone(),
            status: self.ended.unwrap(),
            stdout,
            stderr,
        }
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        !self.has_ended()
    }

    /// Waits for its end, and keeps what it left behind until this is dropped.
    pub fn wait_for_end(&mut self) {
        assert!(wait_until(TIMEOUT, || self.has_ended()), "{} did not end", self.command);
    }

    fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// The cgroup of the command of this `profile run`, while it is there.
    pub fn cgroup(&self) -> Option<PathBuf> {
        cgroup::cgroup_of_run(self.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        if let Some(directory) = self.cgroup() {
            cgroup::kill_and_remove(&directory);
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    command: String,
    status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// Its exit code; 128 + n after signal n, as shells count.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or_else(|| self.status.signal().map(|signal| signal + 128))
            .unwrap()
    }

    /// The signal that killed it, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            status,
            stdout,
            stderr,
        } = self;
        write!(formatter, "{command}: {status}\n{stdout}{stderr}")
    }
}
