//! What `profile status` shows of a recording.

use std::time::Duration;

use super::{Container, EndReason, Latency, RecordingId};
use crate::loss::Reason;
use crate::time::UtcTime;
use crate::workload::Workload;

/// Everything about a recording but the behaviours themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The recording's name.
    pub id: RecordingId,
    /// It grows with every change; a higher revision of the same id replaces.
    pub revision: u64,
    /// When it was made.
    pub created: UtcTime,
    /// The node's host name.
    pub host: String,
    /// How many different behaviours it holds.
    pub behaviours: u64,
    /// Its windows, oldest first.
    pub windows: Vec<WindowSummary>,
    /// Its containers, by workload, oldest first.
    pub containers: Vec<ContainerSummary>,
    /// What was lost, over all windows, by cgroup and reason.
    pub losses: Vec<LossSummary>,
}

/// One learning window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSummary {
    /// Counts from 1.
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
    /// How quick the recorder was, by name.
    pub latencies: Vec<Latency>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSummary {
    /// What is known about it.
    pub container: Container,
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
