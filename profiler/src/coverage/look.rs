//! One look: a process that reads a recording, and how it is started, waited for and left behind.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use baselines::analysis::{self, baselines_by};
use baselines::coverage::{Criteria, State};
use baselines::document::Baseline;
use baselines::path::FilePath;
use baselines::recording::Recording;
use baselines::time::UtcTime;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::error::Failure;

/// How long a look may take.
pub(super) const TIME_MAX: Duration = Duration::from_mins(5);
/// How much memory, in bytes. A recording of 20,000 behaviours with 690,000 observations in five containers took 56 MiB (and
/// 1.4 s of one processor).
pub const MEMORY_MAX: u64 = 1 << 30;
/// How much where an agent asks. It runs in a container with a limit, and where that is passed the kernel ends everything in it
/// (`memory.oom.group`, which the kubelet sets since Kubernetes 1.28): recorders, too. The chart's limit has room for this.
pub const MEMORY_OF_AGENT_MAX: u64 = 256 << 20;
/// How much of what a look found is read, in bytes.
const ANSWER_MAX: u64 = 1 << 20;
/// How much of what it said where it failed.
const ERROR_MAX: u64 = 4 << 10;
/// How many images a look tells of, beside their number.
const WAITING_MAX: usize = 50;

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// How many images the window saw.
    pub images: usize,
    /// How many of them are ready.
    pub ready: usize,
    /// Of those that are not the first few: those that cannot become ready any more come before those that wait.
    pub waiting: Vec<ImageCoverage>,
}

/// An image that is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageCoverage {
    /// Its name.
    pub image: String,
    /// What to think of it.
    pub state: State,
    /// What would help most.
    pub advice: String,
}

impl ImageCoverage {
    /// Whether it will not be ready as long as its recording holds what it does.
    pub fn is_spoilt(&self) -> bool {
        self.state == State::Lossy
    }
}

/// What the images that a recording's open window has seen so far have come to, by everything that the recording holds.
///
/// # Errors
/// Where the recording cannot be analysed, or nobody records into it.
pub fn of_open_window(recording: &Path, criteria: &Criteria) -> Result<Look, Failure> {
    let summary = Recording::open(recording)?.summary()?;
    let mut open = summary.windows.iter().filter(|window| window.ended.is_none());
    let Some(window) = open.next_back() else {
        return Err(Failure::Usage {
            what: format!("nobody records into {}", recording.display()),
            help: "`generate baselines` says what recordings that are finished cover".to_owned(),
        });
    };
    match baselines_by(&[recording.to_owned()], criteria) {
        Ok(baselines) => Ok(look(&baselines, window.started)),
        // Not yet.
        Err(analysis::Error::Nothing { .. }) => Ok(Look::default()),
        Err(error) => Err(error.into()),
    }
}

/// Of these, the images that had a container since then.
fn look(baselines: &[Baseline], since: UtcTime) -> Look {
    let was_there = |baseline: &&Baseline| {
        let mut containers = baseline.containers.iter();
        containers.any(|container| container.last_seen >= since.whole_second())
    };
    let coverage = |baseline: &Baseline| {
        let coverage = baseline.coverage.as_ref();
        ImageCoverage {
            image: baseline.image.to_string(),
            state: coverage.map_or(State::Unknown, |coverage| coverage.state),
            advice: coverage.map_or_else(String::new, |coverage| coverage.advice.clone()),
        }
    };
    let mut waiting: Vec<ImageCoverage> = baselines.iter().filter(was_there).map(coverage).collect();
    let images = waiting.len();
    waiting.retain(|image| image.state != State::Ready);
    let ready = images.saturating_sub(waiting.len());
    waiting.sort_by_key(|image| !image.is_spoilt());
    waiting.truncate(WAITING_MAX);
    Look { images, ready, waiting }
}

/// From here on this process takes less of the processors than others, so much memory, and is the first to go where there is
/// none left.
///
/// # Errors
/// What the kernel says.
pub fn become_modest(memory_max: u64) -> io::Result<()> {
    nice(10)?;
    std::fs::write("/proc/self/oom_score_adj", "1000")?;
    // What is allocated and not read from files counts, since Linux 4.7 (setrlimit(2)). A lower limit stays.
    let before = getrlimit(Resource::Data);
    let limit = |given: Option<u64>| Some(given.map_or(memory_max, |given| given.min(memory_max)));
    let limits = Rlimit {
        current: limit(before.current),
        maximum: limit(before.maximum),
    };
    Ok(setrlimit(Resource::Data, limits)?)
}

/// The process that looks. It shares nothing with us but the recording, see [`crate::look_up::command`].
pub(super) fn command(recording: &Path, criteria: &Criteria) -> Command {
    let mut command = looking(recording);
    command
        .arg(format!("--until-covered={}", criteria.target))
        .arg(format!("--coverage-held={}s", criteria.held.as_secs()))
        .arg(format!("--coverage-starts={}", criteria.starts))
        .arg(format!("--coverage-dates={}", criteria.dates));
    command
}

/// The same, but it says what a cluster has to know.
pub(super) fn command_for_summaries(recording: &Path) -> Command {
    let mut command = looking(recording);
    command.arg("--summaries");
    command
}

fn looking(recording: &Path) -> Command {
    // The file that we are, even if it has been replaced since.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("profile")
        .arg("look-at-coverage")
        .arg(std::process::id().to_string())
        .arg("--recording")
        .arg(recording)
        .env_clear()
        .process_group(0);
    command
}

/// What that process answers, within this time. It is killed if this is dropped, and not waited for: it may be reading from a
/// disk that does not answer.
pub(super) async fn ask<T: DeserializeOwned>(mut command: Command, time_max: Duration) -> Result<T, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let (answer, said) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::try_join!(read(answer, ANSWER_MAX), read(said, ERROR_MAX), child.wait()) };
    let (answer, said, status) = tokio::time::timeout(time_max, all)
        .await
        .map_err(|_| format!("it takes more than {} s", time_max.as_secs_f64()))?
        .map_err(|error| error.to_string())?;
    if status.success() {
        serde_json::from_slice(&answer).map_err(|error| format!("what was found cannot be read: {error}"))
    } else {
        Err(last_words(status, &said))
    }
}

/// At most so much: who says more finds that nobody reads on.
async fn read(from: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(from) = from {
        from.take(bytes_max).read_to_end(&mut read).await?;
    }
    Ok(read)
}

/// How a look ended that went wrong, and the first line of what it said.
fn last_words(status: ExitStatus, said: &[u8]) -> String {
    let line = said.split(|byte| *byte == b'\n').find(|line| !line.is_empty());
    match line {
        Some(line) => {
            let line = FilePath::canonical(line).to_text();
            format!("{} ({status})", line.strip_prefix("error: ").unwrap_or(&line))
        }
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use baselines::recording::{EndReason, Flush};

    use super::*;
    use crate::testing::{node, window};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn an_answer_is_read_and_everything_else_is_a_reason() {
        let minute = Duration::from_mins(1);
        let answer = shell(r#"echo '{"images": 2, "ready": 2, "waiting": []}'"#);
        let look = Look {
            images: 2,
            ready: 2,
            waiting: Vec::new(),
        };
        assert_eq!(ask(answer, minute).await, Ok(look));
        let cases = [
            (
                "echo 'error: the disk is gone' >&2; exit 1",
                "the disk is gone (exit status: 1)",
            ),
            ("printf 'a\\033b' >&2; exit 1", "a\\x1bb (exit status: 1)"),
            ("kill -ABRT $$", "signal: 6"),
            ("echo nothing", "what was found cannot be read: "),
            // Longer than anybody listens, in both ways.
            ("exec yes", "signal: 13"),
            ("exec yes >&2", "y (signal: 13"),
        ];
        for (script, reason) in cases {
            let why = ask::<Look>(shell(script), minute).await.unwrap_err();
            assert!(why.contains(reason), "{script}: {why}");
        }
        let missing = ask::<Look>(Command::new("/no/such/program"), minute).await.unwrap_err();
        assert!(missing.contains("No such file"), "{missing}");
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_given_up() {
        let why = ask::<Look>(shell("sleep 600"), Duration::from_millis(200))
            .await
            .unwrap_err();
        assert_eq!(why, "it takes more than 0.2 s");
    }

    /// The baseline of an image whose one container was seen last then, in that state.
    fn baseline(repository: &str, last_seen: &str, state: &str) -> Baseline {
        let text = format!(
            "apiVersion: wardline.dev/v1\nkind: Baseline\nimage:\n  repository: {repository}\nrecordings: []\n\
             containers:\n- workload: host/unit/{repository}/main\n  id: '1'\n  node: n\n  \
             firstSeen: 2026-11-01T00:00:00Z\n  lastSeen: {last_seen}\nlosses: []\n\
             coverage:\n  state: {state}\n  advice: wait\n  \
             criteria: {{target: 0.95, heldHours: 24, starts: 3, dates: 2}}\n  \
             startup: {{units: 1, clusters: 1, behaviours: 1, seenOnce: 1, seenTwice: 0}}\n\
             behaviours: {{}}\nnotLearned: {{}}\n"
        );
        baselines::document::from_yaml(&text).unwrap()
    }

    #[test]
    fn images_of_this_window_count_and_those_that_are_spoilt_come_first() {
        let (before, since) = ("2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z");
        let baselines = [
            baseline("gone", before, "learning"),
            baseline("idle", since, "idle"),
            baseline("lossy", since, "lossy"),
            baseline("ready", "2026-11-23T00:00:00Z", "ready"),
        ];
        let since = UtcTime::from_nanos(1_795_305_600_500_000_000);
        let look = look(&baselines, since);
        assert_eq!((look.images, look.ready), (3, 1));
        let waiting: Vec<&str> = look.waiting.iter().map(|image| image.image.as_str()).collect();
        assert_eq!(waiting, ["lossy", "idle"]);
        // As many as are told of; the others are a number.
        let many: Vec<Baseline> = (0..=WAITING_MAX)
            .map(|number| baseline(&format!("i{number}"), "2026-11-23T00:00:00Z", "learning"))
            .collect();
        let look = super::look(&many, since);
        assert_eq!((look.images, look.waiting.len()), (WAITING_MAX + 1, WAITING_MAX));
    }

    #[test]
    fn only_a_window_that_goes_on_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording.db");
        let now = UtcTime::now();
        let mut writer = Recording::open_or_create(&path, &node()).unwrap();
        let id = writer.start_window(&window(now)).unwrap();
        let flush = Flush {
            at: now,
            ..Flush::default()
        };
        writer.flush(id, &flush).unwrap();
        // Nothing was done yet, and that is not enough.
        assert_eq!(of_open_window(&path, &Criteria::default()).unwrap(), Look::default());
        writer.end_window(id, &EndReason::Completed, now).unwrap();
        let error = of_open_window(&path, &Criteria::default()).unwrap_err();
        assert!(error.to_string().contains("nobody records into"), "{error}");
    }
}
