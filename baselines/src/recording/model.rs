//! What goes into a recording: data only.

use std::time::Duration;

use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::loss::Reason;
use crate::time::{Minute, UtcTime};
use crate::workload::{Image, Workload};

/// The machine that records, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its host name.
    pub host: String,
    /// `/proc/sys/kernel/random/boot_id`: cgroup ids are unique within one boot.
    pub boot_id: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// `/etc/machine-id`, where there is one: it outlives boots and host names.
    pub machine_id: Option<String>,
}

/// How a learning window begins. Its node is the one that the recording was opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowStart {
    /// When.
    pub started: UtcTime,
    /// What is learned, in words: `host`, `run shop/web:1.4`.
    pub selector: String,
    /// The probes' backend: `tracepoint`, ...
    pub backend: String,
    /// The version of the program that records.
    pub tool_version: String,
    /// How often [`super::Writer::flush`] is called: the most that a sudden end can cost.
    pub flush_interval: Duration,
    /// Why this window can miss observations without counting them, if it can.
    pub lossy_from_start: Option<String>,
}

/// Names one window of one recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowId(pub(super) i64);

/// Why a window ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its time was over.
    Completed,
    /// Somebody stopped it (Ctrl-C, a signal).
    Interrupted,
    /// The command that it was about exited.
    CommandExited {
        /// Its exit code; 128 + n after signal n, as shells count.
        code: i32,
    },
    /// It could not go on.
    Failed(String),
    /// The recorder was killed or the machine stopped: found when the recording was opened again, so the end is the
    /// time of the last flush.
    Crashed,
}

/// A container (or unit, or cgroup) that was seen. Its identity is the node's boot and the cgroup's id.
///
/// Flushed again, the newest names win, `started` keeps its earliest and `alive_until` its latest value, and `partial`
/// stays only while nobody saw the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The cgroup's kernel id (its kernfs id), never 0.
    pub cgroup_id: u64,
    /// Where it belongs.
    pub workload: Workload,
    /// The container's id; empty where there is none.
    pub id: String,
    /// What it runs.
    pub image: Image,
    /// The cgroup's path within its hierarchy, as the kernel has it.
    pub cgroup_path: Vec<u8>,
    /// When it started; if it ran already, when it was first seen.
    pub started: UtcTime,
    /// When it was last known to be alive.
    pub alive_until: UtcTime,
    /// It ran before the window began: its start was not seen.
    pub partial: bool,
}

/// What was counted since the last flush, for one behaviour of one container in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The container's [`Container::cgroup_id`].
    pub cgroup_id: u64,
    /// What it did.
    pub behaviour: Behaviour,
    /// How the process came into the container.
    pub provenance: Provenance,
    /// When in the container's life.
    pub phase: Phase,
    /// The minute that the counts are for.
    pub minute: Minute,
    /// How many times since the last flush; 0 adds nothing.
    pub count: u64,
    /// The first of these times.
    pub first_seen: UtcTime,
    /// The last of these times.
    pub last_seen: UtcTime,
}

/// What was lost since the last flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The cgroup it happened in, where that is known. It need not be a container that was flushed.
    pub cgroup_id: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// How many observations since the last flush; 0 adds nothing.
    pub count: u64,
    /// The first of these times.
    pub first_seen: UtcTime,
    /// The last of these times.
    pub last_seen: UtcTime,
}

/// How long something took in this window so far; replaces what was flushed under the same name before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// What took that long: `flush`, `drain`.
    pub name: String,
    /// How many times it was measured.
    pub count: u64,
    /// The median, in nanoseconds.
    pub p50: u64,
    /// 90 % took at most this, in nanoseconds.
    pub p90: u64,
    /// 99 % took at most this, in nanoseconds.
    pub p99: u64,
    /// The longest, in nanoseconds.
    pub max: u64,
}

/// Everything new since the last flush. It goes into the recording as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flush {
    /// The moment up to which this flush is complete.
    pub at: UtcTime,
    /// Containers that are new, changed or alive.
    pub containers: Vec<Container>,
    /// What they did.
    pub observations: Vec<Observation>,
    /// What is known to be missing.
    pub losses: Vec<Loss>,
    /// How quick the recorder is.
    pub latencies: Vec<Latency>,
}
