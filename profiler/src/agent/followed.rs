//! A learning window, as this node follows it: its recorder, its recording, and what is told of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baselines::recording::Recording;
use baselines::time::UtcTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource as _, ResourceExt as _};
use tokio::task::JoinHandle;

use super::objects::{LearningWindow, NodeWindowStatus, Phase};
use super::plan::{Plan, ends_at, is_stopped, plan};
use super::recorder::{Ended, Recorder};
use super::report::{lost_recordings, of_recording};
use crate::clock::boot_ns;
use crate::kubernetes::times::{by_server, time, utc};

/// A recorder that fails is started again after this time, twice that, and so on.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// But not later than that.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// A recorder that ran for that long had no trouble to begin.
const RAN_WELL: Duration = Duration::from_mins(10);
/// A recorder that has ended well is not started again for less than that.
const NOT_WORTH_IT: Duration = Duration::from_secs(10);
/// A recorder begins a little later than it is started, and ends as much later by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// A recorder that was told to end, and has not ended after that, is killed: its last flush may wait for a disk for ever.
const KILL_AFTER: Duration = Duration::from_mins(1);
/// Recording that begins or ends by less beside its window misses nothing to speak of: agents need time, too.
const BESIDE: Duration = Duration::from_mins(2);

/// One window.
pub(super) struct Followed {
    pub(super) window: LearningWindow,
    /// The recording, whether it is there or not.
    pub(super) file: PathBuf,
    recorder: Option<Recorder>,
    /// Until when it was told to record, by the API server's clock.
    records_until: UtcTime,
    /// Since when it has been told to end.
    stopping_since: Option<Instant>,
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
    /// Tells how much was seen of each image.
    telling: Option<JoinHandle<Result<(), String>>>,
    /// When that is due.
    coverage_at: Instant,
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(telling) = &self.telling {
            telling.abort();
        }
    }
}

impl Followed {
    /// `file` is where its recording is to be; `tell_at` is when to tell of it first.
    pub(super) fn new(window: LearningWindow, file: PathBuf, tell_at: Instant) -> Self {
        Self {
            window,
            file,
            recorder: None,
            records_until: UtcTime::default(),
            stopping_since: None,
            over_since: None,
            is_over: false,
            trouble: None,
            failures: 0,
            retry_at: Instant::now(),
            told: NodeWindowStatus::default(),
            tell_at: Some(tell_at),
            telling: None,
            coverage_at: tell_at,
        }
    }

    /// Whether somebody looks how much was seen, which takes memory.
    pub(super) fn is_telling(&self) -> bool {
        self.telling.is_some()
    }

    /// Where the window is to end by coverage, and something is recorded: begins `telling` how much was seen, if that is due and
    /// it `may`, and hears how it ended.
    pub(super) async fn tell_coverage(
        &mut self,
        interval: Duration,
        may: bool,
        telling: impl FnOnce(&Self) -> JoinHandle<Result<(), String>>,
    ) {
        if let Some(task) = self.telling.take_if(|task| task.is_finished()) {
            self.coverage_at = Instant::now() + interval;
            let why = match task.await {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why,
                Err(error) => error.to_string(),
            };
            tracing::warn!("{}: how much was seen cannot be told: {why}", self.window.name_any());
        }
        let is_asked = self.window.spec.coverage_target.is_some() && self.is_recording() && self.file.exists();
        if may && is_asked && self.telling.is_none() && Instant::now() >= self.coverage_at {
            self.telling = Some(telling(self));
        }
    }

    /// Whether a recorder runs.
    pub(super) fn is_recording(&self) -> bool {
        self.recorder.is_some()
    }

    /// Whether it concerns this node: of a window that was over before this agent knew of it, there is nothing to tell.
    pub(super) fn has_something_to_tell(&self) -> bool {
        !self.is_over || self.file.exists() || self.told.heard.is_some()
    }

    /// Does what is due at `now`, by the API server's clock. `has_room`: another recorder may be started; `common` are options
    /// of all recorders.
    pub(super) async fn follow(&mut self, now: UtcTime, has_room: bool, common: &[OsString]) {
        let before = self.phase();
        self.reap(now).await;
        match plan(&self.window, now) {
            // Whoever leads says so.
            Plan::Refuse(_) => self.end(),
            Plan::End => {
                // A recorder knows its time, and says then that the window is complete.
                let over_since = *self.over_since.get_or_insert_with(Instant::now);
                let knows_its_end = !is_stopped(&self.window) && ends_at(&self.window) == Ok(self.records_until);
                if self.recorder.is_none() || !knows_its_end || over_since.elapsed() > ENDS_WITHIN {
                    self.end();
                }
            }
            Plan::Record { until, options } => self.record(until, until.since(now), &options, has_room, common),
        }
        if self.phase() != before {
            self.tell_at = Some(Instant::now());
        }
    }

    fn record(&mut self, until: UtcTime, left: Duration, options: &[OsString], has_room: bool, common: &[OsString]) {
        self.over_since = None;
        // It may have been made longer, or shorter.
        self.is_over = self.is_over && left < NOT_WORTH_IT;
        if self.recorder.is_some() || self.is_over || Instant::now() < self.retry_at {
            return;
        }
        if !has_room {
            self.trouble = Some("this node follows as many windows as it may (--windows-max)".to_owned());
            return;
        }
        let length = OsString::from(format!("--for={}ms", left.as_millis().max(1)));
        match Recorder::start(
            &[common, options, &[length]].concat(),
            &self.file,
            &self.window.name_any(),
        ) {
            Ok(recorder) => {
                self.recorder = Some(recorder);
                self.records_until = until;
                self.stopping_since = None;
                self.trouble = None;
            }
            Err(error) => self.failed(format!("the recorder cannot be started: {error}")),
        }
    }

    /// Takes note of a recorder that has ended, and kills one that does not end.
    async fn reap(&mut self, now: UtcTime) {
        let Some(recorder) = &mut self.recorder else { return };
        match recorder.ended().await {
            Ok(None) => {
                if self.stopping_since.is_some_and(|since| since.elapsed() > KILL_AFTER) {
                    self.kill();
                }
            }
            Ok(Some(ended)) => self.has_ended(ended, now),
            Err(error) => {
                self.recorder = None;
                self.failed(format!("the recorder cannot be waited for: {error}"));
            }
        }
    }

    fn has_ended(&mut self, ended: Ended, now: UtcTime) {
        let ran = self
            .recorder
            .take()
            .map_or(Duration::ZERO, |recorder| recorder.started.elapsed());
        let is_due = match plan(&self.window, now) {
            Plan::Record { until, .. } => until.since(now) < NOT_WORTH_IT,
            Plan::End | Plan::Refuse(_) => true,
        };
        if ran > RAN_WELL {
            self.failures = 0;
        }
        if ended.status.success() {
            // Or its window was made longer meanwhile: then another one goes on.
            self.is_over = is_due || self.stopping_since.is_some();
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

    /// Nothing more is to be recorded of this window.
    fn end(&mut self) {
        if self.recorder.is_none() {
            self.is_over = true;
        }
        self.stop_recorder();
    }

    /// Ends the recorder, if one runs; the window may go on.
    pub(super) fn stop_recorder(&mut self) {
        let Some(recorder) = self.recorder.as_ref().filter(|_| self.stopping_since.is_none()) else {
            return;
        };
        self.stopping_since = Some(Instant::now());
        if let Err(error) = recorder.stop() {
            tracing::warn!("{}: the recorder cannot be stopped: {error}", self.window.name_any());
        }
    }

    /// The recorder had time enough to end.
    pub(super) fn kill(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            tracing::warn!("{}: the recorder does not end, it is killed", self.window.name_any());
            if let Err(error) = recorder.kill() {
                tracing::warn!("{}: the recorder cannot be killed: {error}", self.window.name_any());
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

    /// What there is to tell at `now`, by this node's clock, which is ahead of the API server's by so many seconds; `before` is
    /// what was told last.
    pub(super) async fn status(&self, before: &NodeWindowStatus, now: UtcTime, clock_ahead: i64) -> NodeWindowStatus {
        let phase = self.phase();
        let (file, told) = (self.file.clone(), before.clone());
        // It may be large, and its disk slow.
        let facts = tokio::task::spawn_blocking(move || facts(&file, &told, now)).await;
        let facts = facts.unwrap_or_else(|error| Err(format!("the recording cannot be read: {error}")));
        let (facts, unreadable) = match facts {
            Ok(facts) => (facts, None),
            Err(why) => (before.clone(), Some(why)),
        };
        let is_troubled = matches!(phase, Phase::Failing | Phase::Ended);
        let trouble = self.trouble.clone().filter(|_| is_troubled).or(unreadable);
        let missing = self.missing(&facts, phase, clock_ahead);
        let lost_recordings = lost_recordings(before, &facts);
        let gone = (!lost_recordings.is_empty())
            .then(|| format!("{} recordings that this node had are gone", lost_recordings.len()));
        let failed = trouble.iter().map(|why| format!("recording failed: {why}"));
        let lossy: Vec<String> = facts
            .lossy
            .iter()
            .cloned()
            .chain(missing)
            .chain(gone)
            .chain(failed)
            .collect();
        NodeWindowStatus {
            phase,
            lossy: (!lossy.is_empty()).then(|| lossy.join("; ")),
            message: trouble,
            heard: Some(time(now)),
            lost_recordings,
            clock_ahead_seconds: clock_ahead,
            ended_at: (phase == Phase::Ended).then(|| {
                facts
                    .written_until
                    .clone()
                    .or_else(|| before.ended_at.clone())
                    .unwrap_or_else(|| time(now))
            }),
            ..facts
        }
    }

    /// What was not recorded before it began here and after it ended here.
    fn missing(&self, facts: &NodeWindowStatus, phase: Phase, clock_ahead: i64) -> Vec<String> {
        let moment = |at: &Option<Time>| at.as_ref().map(|at| by_server(utc(at), clock_ahead));
        let made = self.window.meta().creation_timestamp.as_ref().map(utc);
        // On a node that is younger than the window nothing happened before.
        let booted = by_server(UtcTime::now(), clock_ahead).before(Duration::from_nanos(boot_ns()));
        let began = made.zip(moment(&facts.started_at));
        let late = began.map(|(made, began)| began.since(made.max(booted)));
        // When it was stopped, nobody knows.
        let is_told = phase == Phase::Ended && !is_stopped(&self.window);
        let ended = ends_at(&self.window).ok().zip(moment(&facts.written_until));
        let early = ended.filter(|_| is_told).map(|(end, ended)| end.since(ended));
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs()).filter(|time| *time > BESIDE.as_secs());
        let late = seconds(late).map(|late| format!("recording began {late} s late"));
        let early = seconds(early).map(|early| format!("recording ended {early} s before the window"));
        late.into_iter().chain(early).collect()
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
