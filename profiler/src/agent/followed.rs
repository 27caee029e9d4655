//! A learning window, as this node follows it: its recorder, its recording, and what is told of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baselines::recording::Recording;
use baselines::time::UtcTime;
use kube::ResourceExt as _;

use super::objects::{LearningWindow, NodeWindowStatus, Phase};
use super::plan::{Plan, left, plan};
use super::recorder::{Ended, Recorder};
use super::report::{of_recording, time};

/// A recorder that fails is started again after this time, twice that, and so on.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// But not later than that.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// A recorder that has ended well is not started again for less than that.
const NOT_WORTH_IT: Duration = Duration::from_secs(10);

/// A recorder begins a little later than it is started, and ends as much later by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// One window.
pub(super) struct Followed {
    pub(super) window: LearningWindow,
    /// The recording, whether it is there or not.
    pub(super) file: PathBuf,
    recorder: Option<Recorder>,
    is_stopping: bool,
    /// Since when its time is over.
    over_since: Option<Instant>,
    /// Nothing more is to be recorded here.
    is_over: bool,
    /// Why nothing is recorded just now.
    trouble: Option<String>,
    failures: u32,
    retry_at: Instant,
    /// What was told last.
    pub(super) told: NodeWindowStatus,
    /// When to tell next; None when all is told.
    pub(super) tell_at: Option<Instant>,
}

impl Followed {
    /// `file` is where its recording is to be.
    pub(super) fn new(window: LearningWindow, file: PathBuf) -> Self {
        Self {
            window,
            file,
            recorder: None,
            is_stopping: false,
            over_since: None,
            is_over: false,
            trouble: None,
            failures: 0,
            retry_at: Instant::now(),
            told: NodeWindowStatus::default(),
            tell_at: Some(Instant::now()),
        }
    }

    /// Whether a recorder runs.
    pub(super) fn is_recording(&self) -> bool {
        self.recorder.is_some()
    }

    /// Whether it concerns this node: of a window that was over before this agent knew of it, there is nothing to tell.
    pub(super) fn has_something_to_tell(&self) -> bool {
        !self.is_over || self.file.exists()
    }

    /// Does what is due at `now`, by the API server's clock. `has_room`: another recorder may be started; `common` are options
    /// of all recorders.
    pub(super) async fn follow(&mut self, now: UtcTime, has_room: bool, common: &[OsString]) {
        let before = self.phase();
        self.reap(now).await;
        match plan(&self.window, now) {
            // Whoever leads says so.
            Plan::Refuse(_) => self.is_over = true,
            Plan::End if self.window.spec.stop => self.end(),
            // A recorder knows its time, and says then that the window is complete.
            Plan::End => {
                let over_since = *self.over_since.get_or_insert_with(Instant::now);
                if self.recorder.is_none() || over_since.elapsed() > ENDS_WITHIN {
                    self.end();
                }
            }
            // It was made longer, or the clock was wrong: it goes on.
            Plan::Record { until, options } => {
                self.over_since = None;
                let left = left(until, now);
                self.is_over = self.is_over && self.failures == 0 && left < NOT_WORTH_IT;
                if self.recorder.is_none() && !self.is_over && Instant::now() >= self.retry_at {
                    if has_room {
                        self.start(&[common, &options].concat(), left);
                    } else {
                        self.trouble = Some("this node follows as many windows as it may (--windows-max)".to_owned());
                    }
                }
            }
        }
        if self.phase() != before {
            self.tell_at = Some(Instant::now());
        }
    }

    fn start(&mut self, options: &[OsString], left: Duration) {
        let length = OsString::from(format!("--for={}ms", left.as_millis().max(1)));
        let options = [options, &[length]].concat();
        match Recorder::start(&options, &self.file, &self.window.name_any()) {
            Ok(recorder) => {
                self.recorder = Some(recorder);
                self.is_stopping = false;
                self.trouble = None;
            }
            Err(error) => self.failed(format!("the recorder cannot be started: {error}")),
        }
    }

    /// Takes note of a recorder that has ended.
    async fn reap(&mut self, now: UtcTime) {
        let Some(recorder) = &mut self.recorder else { return };
        match recorder.ended().await {
            Ok(None) => {}
            Ok(Some(ended)) => self.has_ended(ended, now),
            Err(error) => {
                self.recorder = None;
                self.failed(format!("the recorder cannot be waited for: {error}"));
            }
        }
    }

    fn has_ended(&mut self, ended: Ended, now: UtcTime) {
        self.recorder = None;
        let is_due = match plan(&self.window, now) {
            Plan::Record { until, .. } => left(until, now) < NOT_WORTH_IT,
            Plan::End | Plan::Refuse(_) => true,
        };
        if ended.status.success() && (is_due || self.is_stopping) {
            self.is_over = true;
            self.failures = 0;
        } else {
            let why = ended.error.unwrap_or_else(|| "it said nothing".to_owned());
            self.failed(format!("the recorder ended ({}): {why}", ended.status));
        }
    }

    fn failed(&mut self, why: String) {
        tracing::warn!("{}: {why}", self.window.name_any());
        self.trouble = Some(why);
        let wait = RETRY_AFTER
            .saturating_mul(1 << self.failures.min(10))
            .min(RETRY_AFTER_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Instant::now() + wait;
    }

    /// Nothing more is to be recorded.
    pub(super) fn end(&mut self) {
        match &self.recorder {
            None => self.is_over = true,
            Some(_) if self.is_stopping => {}
            Some(recorder) => {
                self.is_stopping = true;
                if let Err(error) = recorder.stop() {
                    tracing::warn!("{}: the recorder cannot be stopped: {error}", self.window.name_any());
                }
            }
        }
    }

    /// Waits until a recorder that was asked to end has ended.
    pub(super) async fn ended(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            match recorder.wait().await {
                Ok(ended) if ended.status.success() => {}
                Ok(ended) => tracing::warn!("{}: the recorder ended ({})", self.window.name_any(), ended.status),
                Err(error) => tracing::warn!("{}: the recorder cannot be waited for: {error}", self.window.name_any()),
            }
            self.recorder = None;
        }
    }

    fn phase(&self) -> Phase {
        match (&self.recorder, &self.trouble) {
            (Some(_), _) => Phase::Learning,
            (None, _) if self.is_over => Phase::Ended,
            (None, Some(_)) => Phase::Failing,
            (None, None) => Phase::Pending,
        }
    }

    /// What there is to tell at `now`, by this node's clock.
    pub(super) fn status(&self, now: UtcTime) -> NodeWindowStatus {
        let phase = self.phase();
        let (facts, unreadable) = match facts(&self.file, &self.told, now) {
            Ok(facts) => (facts, None),
            Err(why) => (self.told.clone(), Some(why)),
        };
        // Some time after its last words the recorder has ended.
        let ended = facts.written_until.clone().or_else(|| Some(time(now)));
        NodeWindowStatus {
            phase,
            message: self.trouble.clone().filter(|_| phase == Phase::Failing).or(unreadable),
            heard: Some(time(now)),
            ended_at: ended.filter(|_| phase == Phase::Ended),
            ..facts
        }
    }
}

/// What a recording says, or nothing while there is none.
fn facts(file: &Path, told: &NodeWindowStatus, now: UtcTime) -> Result<NodeWindowStatus, String> {
    let bytes = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(NodeWindowStatus::default()),
        Err(error) => return Err(format!("the recording cannot be read: {error}")),
    };
    let summary = Recording::open(file).and_then(|recording| recording.summary());
    let summary = summary.map_err(|error| format!("the recording cannot be read: {error}"))?;
    Ok(of_recording(&summary, bytes, told, now))
}
