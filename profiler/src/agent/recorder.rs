//! A recorder: `profile start` as a process of its own, one for each window.
//!
//! So a window that ends badly takes no other one with it, what records gives up every privilege that it does not need, and
//! what talks to the cluster never holds the probes.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the last words of a recorder that has ended are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A recorder that was started.
#[derive(Debug)]
pub struct Recorder {
    child: Child,
    /// Reads what it says, and returns its last error.
    listener: JoinHandle<Option<String>>,
    /// When it was started.
    pub started: Instant,
}

/// How a recorder ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or its signal.
    pub status: ExitStatus,
    /// Its last error.
    pub error: Option<String>,
}

impl Recorder {
    /// Starts one, which ends with this thread. What it says goes on to standard error, with the window's name.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(options: &[OsString], recording: &Path, window: &str) -> io::Result<Self> {
        let mut recording_option = OsString::from("--recording=");
        recording_option.push(recording);
        // Not by the path of this program, which an upgrade replaces.
        let mut child = Command::new("/proc/self/exe")
            .args(["--quiet", "start", "--local"])
            .arg(format!("--parent={}", std::process::id()))
            .arg(recording_option)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take();
        let listener = tokio::spawn(listen(stderr, window.to_owned()));
        Ok(Self {
            child,
            listener,
            started: Instant::now(),
        })
    }

    /// Asks it to end its window.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&self) -> io::Result<()> {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        // None: it has ended and was waited for.
        id.map_or(Ok(()), |id| Ok(kill_process(id, Signal::TERM)?))
    }

    /// Ends it without its help: what it has not written is lost, and its window counts as crashed.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.start_kill()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// What the system says.
    pub async fn ended(&mut self) -> io::Result<Option<Ended>> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(None);
        };
        Ok(Some(self.told(status).await))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// What the system says.
    pub async fn wait(&mut self) -> io::Result<Ended> {
        let status = self.child.wait().await?;
        Ok(self.told(status).await)
    }

    async fn told(&mut self, status: ExitStatus) -> Ended {
        // Somebody else may have its standard error open still.
        let error = timeout(LAST_WORDS, &mut self.listener).await;
        let error = error.ok().and_then(Result::ok).flatten();
        Ended { status, error }
    }
}

async fn listen(stderr: Option<ChildStderr>, window: String) -> Option<String> {
    let mut lines = BufReader::new(stderr?).lines();
    let mut error = None;
    // A line that is no UTF-8 does not come from a recorder.
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::warn!("{window}: {line}");
        if let Some(what) = line.strip_prefix("error: ") {
            error = Some(what.to_owned());
        }
    }
    error
}
