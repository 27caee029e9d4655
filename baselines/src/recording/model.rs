//! What goes into a recording: data only.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use super::interned;
use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::dns::{DnsName, NameGap, Names};
use crate::loss::Reason;
use crate::peer::Peer;
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
    /// Whether DNS names of peers are seen.
    pub names: Names,
}

/// Names one window of one recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowId(pub(super) i64);

/// Why a window ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its time was over.
    Completed,
    /// Enough was seen of every image that it saw.
    Covered,
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
    /// It went on when this copy of it was made, so the end is the time of the last flush in the copy.
    Copied,
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

/// Whom a container reached by a behaviour: a part of what its [`Observation`]s count, or all of it.
///
/// It may come later than those, because somebody had to be asked. Without a cluster there are only those with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The container's [`Container::cgroup_id`].
    pub cgroup_id: u64,
    /// What it did: [`crate::behaviour::Action::Connect`] or [`crate::behaviour::Action::Send`].
    pub behaviour: Behaviour,
    /// How the process came into the container.
    pub provenance: Provenance,
    /// Whom it reached.
    pub peer: Peer,
    /// What it had asked for when it got the address, if that was seen.
    pub dns_name: Option<DnsName>,
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
    /// Whom they reached.
    pub reached: Vec<Reached>,
    /// How many observations have no peer here because there was no room to remember it.
    pub reached_left_out: u64,
    /// What their names lack.
    pub name_gaps: BTreeMap<NameGap, u64>,
    /// What is known to be missing.
    pub losses: Vec<Loss>,
    /// How quick the recorder is.
    pub latencies: Vec<Latency>,
}

impl Flush {
    /// Takes in the flush that comes after this one. Written as one, they make the recording that both would have made one
    /// after the other: for a recorder that could not write the first one.
    ///
    /// ```
    /// use baselines::loss::Reason;
    /// use baselines::recording::{Flush, Loss};
    /// use baselines::time::UtcTime;
    ///
    /// let at = UtcTime::from_nanos;
    /// let lost = |count, nanos| Loss {
    ///     cgroup_id: None,
    ///     reason: Reason::MapFull,
    ///     count,
    ///     first_seen: at(nanos),
    ///     last_seen: at(nanos),
    /// };
    /// let mut flush = Flush { losses: vec![lost(1, 10)], ..Flush::default() };
    /// flush.merge(Flush { losses: vec![lost(2, 20)], ..Flush::default() });
    /// assert_eq!(flush.losses, [Loss { last_seen: at(20), ..lost(3, 10) }]);
    /// ```
    pub fn merge(&mut self, mut later: Self) {
        // A count of 0 adds nothing, and its times nothing either.
        for flush in [&mut *self, &mut later] {
            flush.observations.retain(|observation| observation.count > 0);
            flush.reached.retain(|reached| reached.count > 0);
            flush.losses.retain(|loss| loss.count > 0);
        }
        self.at = self.at.max(later.at);
        merge(
            &mut self.containers,
            later.containers,
            |one, other| one.cgroup_id.cmp(&other.cgroup_id),
            |known, newer| {
                *known = Container {
                    started: known.started.min(newer.started),
                    alive_until: known.alive_until.max(newer.alive_until),
                    partial: known.partial && newer.partial,
                    ..newer.clone()
                }
            },
        );
        merge(
            &mut self.observations,
            later.observations,
            |one, other| one.place().cmp(&other.place()),
            |known, newer| {
                known.count = known.count.saturating_add(newer.count);
                known.first_seen = known.first_seen.min(newer.first_seen);
                known.last_seen = known.last_seen.max(newer.last_seen);
            },
        );
        merge(
            &mut self.reached,
            later.reached,
            |one, other| one.place().cmp(&other.place()),
            |known, newer| {
                known.count = known.count.saturating_add(newer.count);
                known.first_seen = known.first_seen.min(newer.first_seen);
                known.last_seen = known.last_seen.max(newer.last_seen);
            },
        );
        self.reached_left_out = self.reached_left_out.saturating_add(later.reached_left_out);
        for (gap, count) in later.name_gaps {
            let known = self.name_gaps.entry(gap).or_default();
            *known = known.saturating_add(count);
        }
        merge(
            &mut self.losses,
            later.losses,
            |one, other| (one.cgroup_id, one.reason).cmp(&(other.cgroup_id, other.reason)),
            |known, newer| {
                known.count = known.count.saturating_add(newer.count);
                known.first_seen = known.first_seen.min(newer.first_seen);
                known.last_seen = known.last_seen.max(newer.last_seen);
            },
        );
        merge(
            &mut self.latencies,
            later.latencies,
            |one, other| one.name.cmp(&other.name),
            |known, newer| *known = newer.clone(),
        );
    }

    /// About how much memory its observations and their peers take, in bytes: nearly all of it.
    pub fn memory(&self) -> usize {
        let observed = self.observations.iter().map(|observation| &observation.behaviour);
        let observed = observed.map(|behaviour| size_of::<Observation>() + interned::memory_of_content(behaviour));
        let reached = self.reached.iter().map(|reached| {
            let (_, names) = reached.peer.parts();
            // An allocation costs some 16 bytes beyond its content.
            let dns_name = reached.dns_name.as_ref().map(DnsName::as_str);
            let names: usize = names.into_iter().chain(dns_name).map(|name| name.len() + 16).sum();
            size_of::<Reached>() + interned::memory_of_content(&reached.behaviour) + names
        });
        observed.chain(reached).sum()
    }
}

impl Observation {
    /// The row that it counts in.
    fn place(&self) -> (u64, &Behaviour, Provenance, Phase, Minute) {
        (
            self.cgroup_id,
            &self.behaviour,
            self.provenance,
            self.phase,
            self.minute,
        )
    }
}

impl Reached {
    /// The row that it counts in.
    fn place(&self) -> (u64, &Behaviour, Provenance, &Peer, Option<&DnsName>) {
        let dns_name = self.dns_name.as_ref();
        (self.cgroup_id, &self.behaviour, self.provenance, &self.peer, dns_name)
    }
}

/// Of what compares equal, the first one takes in the others, in their order.
fn merge<T>(into: &mut Vec<T>, later: Vec<T>, compare: impl Fn(&T, &T) -> Ordering, take_in: impl Fn(&mut T, &T)) {
    into.extend(later);
    // Stable, and quick where the first part is sorted already.
    into.sort_by(&compare);
    into.dedup_by(|newer, known| {
        let is_same = compare(known, newer).is_eq();
        if is_same {
            take_in(known, newer);
        }
        is_same
    });
}
