//! What `profile status` shows of a recording.

use std::time::Duration;

use super::{Container, EndReason, Latency, RecordingId};
use crate::dns::{NameGap, Names};
use crate::loss::Reason;
use crate::peer::Untold;
use crate::time::UtcTime;
use crate::workload::Workload;

/// Everything about a recording but the behaviours themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The recordings in the file, sorted by id: one, unless it was merged.
    pub sources: Vec<SourceSummary>,
    /// How many different behaviours it holds.
    pub behaviours: u64,
    /// Its windows, by recording, oldest first.
    pub windows: Vec<WindowSummary>,
    /// Its containers, by workload, oldest first.
    pub containers: Vec<ContainerSummary>,
    /// What was lost, over all windows, by cgroup and reason.
    pub losses: Vec<LossSummary>,
}

/// One recording in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSummary {
    /// The recording's name.
    pub id: RecordingId,
    /// It grows with every change; a higher revision of the same id replaces.
    pub revision: u64,
    /// When it was made.
    pub created: UtcTime,
    /// The node's host name.
    pub host: String,
    /// Whether it goes on in this file; otherwise this is a copy.
    pub is_own: bool,
    /// What retention took away, if anything.
    pub removed: Option<RemovedWindows>,
    /// Of which recording it is a part, if so.
    pub part: Option<Part>,
    /// The recording that is lost, where this is no recording but the word of that.
    pub lost: Option<RecordingId>,
}

/// What a recording is of another one: the containers of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The whole one's name.
    pub whole: RecordingId,
    /// The namespace.
    pub namespace: String,
}

/// Windows that were recorded and are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedWindows {
    /// How many.
    pub windows: u64,
    /// When the first one began.
    pub from: UtcTime,
    /// When the last one ended.
    pub until: UtcTime,
    /// How many observations they had counted.
    pub observations: u64,
    /// How many observations they had lost.
    pub losses: u64,
}

/// One learning window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSummary {
    /// The recording that it belongs to.
    pub recording: RecordingId,
    /// Counts the recording's windows from 1, those that were removed among them.
    pub number: u64,
    /// When it began.
    pub started: UtcTime,
    /// When and why it ended; `None` while it is being recorded. A window whose recorder is gone has
    /// [`EndReason::Crashed`] and ended at its last flush.
    pub ended: Option<(UtcTime, EndReason)>,
    /// When it was last flushed; when it began, if it never was.
    pub last_flush: UtcTime,
    /// What is learned, in words.
    pub selector: String,
    /// The probes' backend.
    pub backend: String,
    /// The kernel's release.
    pub kernel: String,
    /// The version of the program that recorded.
    pub tool_version: String,
    /// The most that a sudden end could cost.
    pub flush_interval: Duration,
    /// Why it can miss observations without counting them, if it can.
    pub lossy_from_start: Option<String>,
    /// How many containers it saw.
    pub containers: u64,
    /// How many different behaviours it saw that no earlier window had seen.
    pub new_behaviours: u64,
    /// How many observations were counted.
    pub observations: u64,
    /// How many observations are known to be lost.
    pub losses: u64,
    /// How many of the observations have a part hidden.
    pub redacted_observations: u64,
    /// How many containers have a name hidden.
    pub redacted_containers: u64,
    /// How many of the observations have a peer with a name hidden.
    pub redacted_peers: u64,
    /// How many of the observations have no peer because there was no room for it.
    pub peers_left_out: u64,
    /// How many of the observations have a peer that nobody could tell, by the reason.
    pub peers_untold: Vec<(Untold, u64)>,
    /// Whether it sees the DNS names of peers.
    pub names: Names,
    /// What these lack, and how often.
    pub name_gaps: Vec<(NameGap, u64)>,
    /// How quick the recorder was, by name.
    pub latencies: Vec<Latency>,
}

impl WindowSummary {
    /// Why a window can have missed something without counting it.
    pub fn uncounted_losses(&self) -> Option<String> {
        let broken = match &self.ended {
            Some((at, EndReason::Crashed)) => Some(format!(
                "the recorder was killed; up to {} s from {at} are missing, or more if it could not write just then",
                self.flush_interval.as_secs_f64()
            )),
            // It knows no end of what is missing: a command that is learned runs on without a recorder.
            Some((_, EndReason::Failed(why))) => Some(format!(
                "recording failed ({why}); what happened from {} on is missing",
                self.last_flush
            )),
            _ => None,
        };
        let reasons: Vec<String> = self.lossy_from_start.iter().cloned().chain(broken).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSummary {
    /// What is known about it.
    pub container: Container,
    /// The node's host name.
    pub host: String,
    /// How many different behaviours it showed.
    pub behaviours: u64,
    /// How many observations were counted.
    pub observations: u64,
}

/// Losses of one reason in one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossSummary {
    /// The cgroup's kernel id, where it is known.
    pub cgroup_id: Option<u64>,
    /// The workload of that cgroup's container, where there is one.
    pub workload: Option<Workload>,
    /// Why.
    pub reason: Reason,
    /// How many observations.
    pub count: u64,
    /// The first time.
    pub first_seen: UtcTime,
    /// The last time.
    pub last_seen: UtcTime,
}
