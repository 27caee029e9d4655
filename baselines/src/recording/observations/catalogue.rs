//! What is not in rows: recordings, windows, containers and losses, as JSON in the file's metadata.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::columns::{from_end_reason, to_end_reason};
use super::super::error::Failure;
use super::super::read::{self, Read, StoredContainer, StoredLoss};
use super::super::{Container, Part, RecordingId, RemovedImage, RemovedWindows, Source, WindowSummary};
use crate::dns::Names;
use crate::path;
use crate::serde_text::escaped;
use crate::time::UtcTime;
use crate::workload::{Image, Workload};

/// The version of the columns and of this.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Catalogue {
    pub(super) version: u32,
    /// Of all containers.
    pub(super) rows: u64,
    pub(super) recordings: Vec<Recorded>,
}

/// One recording.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Recorded {
    recording: RecordingId,
    revision: u64,
    #[serde(with = "nanos")]
    created_ns: UtcTime,
    #[serde(with = "escaped")]
    node: String,
    #[serde(with = "escaped")]
    machine_id: Option<String>,
    /// Of which recording it is a part, and of which namespace; or which one, or part of one, is lost.
    part_of: Option<RecordingId>,
    #[serde(with = "escaped")]
    namespace: Option<String>,
    is_lost: bool,
    /// How many windows went on.
    unfinished: u64,
    removed: Option<Removed>,
    removed_images: Vec<RemovedFrom>,
    windows: Vec<Window>,
    pub(super) containers: Vec<Kept>,
    losses: Vec<Lost>,
}

/// Windows that retention took away.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Removed {
    windows: u64,
    #[serde(with = "nanos")]
    from_ns: UtcTime,
    #[serde(with = "nanos")]
    until_ns: UtcTime,
    observations: u64,
    losses: u64,
}

/// An image that such a window had seen.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RemovedFrom {
    window: u64,
    #[serde(with = "nanos")]
    started_ns: UtcTime,
    #[serde(with = "nanos")]
    ended_ns: UtcTime,
    image: Image,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Window {
    number: u64,
    #[serde(with = "nanos")]
    started_ns: UtcTime,
    #[serde(with = "nanos")]
    last_flush_ns: UtcTime,
    ended: Option<Ended>,
    #[serde(with = "escaped")]
    selector: String,
    #[serde(with = "escaped")]
    backend: String,
    #[serde(with = "escaped")]
    kernel: String,
    #[serde(with = "escaped")]
    tool_version: String,
    flush_interval_ns: u64,
    #[serde(with = "escaped")]
    lossy_from_start: Option<String>,
    new_behaviours: u64,
    observations: u64,
    losses: u64,
    /// The containers that it saw, by their places in the list.
    containers: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Ended {
    #[serde(with = "nanos")]
    at_ns: UtcTime,
    reason: String,
    #[serde(with = "escaped")]
    detail: Option<String>,
}

/// A container, and where its rows are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Kept {
    #[serde(with = "escaped")]
    boot: String,
    cgroup: u64,
    workload: Workload,
    #[serde(with = "escaped")]
    id: String,
    image: Image,
    /// Escaped as paths are.
    cgroup_path: String,
    #[serde(with = "nanos")]
    started_ns: UtcTime,
    #[serde(with = "nanos")]
    alive_until_ns: UtcTime,
    partial: bool,
    /// Counts the file's rows from 0. Those of observations come first, then those of peers.
    pub(super) first_row: u64,
    pub(super) observations: u64,
    pub(super) peers: u64,
}

/// Where the rows of a container are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) cgroup: u64,
    pub(super) first_row: u64,
    pub(super) observations: u64,
    pub(super) peers: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Lost {
    window: u64,
    /// By its place in the list; none where the cgroup became no container.
    container: Option<usize>,
    cgroup: u64,
    reason: String,
    count: u64,
    #[serde(with = "nanos")]
    first_seen_ns: UtcTime,
    #[serde(with = "nanos")]
    last_seen_ns: UtcTime,
}

/// What a recording has apart from rows.
pub(super) struct Parts<'a> {
    pub(super) source: &'a Source,
    pub(super) windows: Vec<WindowSummary>,
    /// For each window the rows of its containers.
    pub(super) presence: Vec<Vec<i64>>,
    pub(super) containers: &'a [StoredContainer],
    pub(super) removed: Vec<RemovedImage>,
    pub(super) losses: Vec<StoredLoss>,
}

impl Recorded {
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let Parts { source, containers, .. } = parts;
        let places: HashMap<i64, usize> = containers.iter().map(|stored| stored.row).zip(0..).collect();
        let windows = parts.windows.into_iter().zip(parts.presence);
        Self {
            recording: source.id,
            revision: source.revision,
            created_ns: source.created,
            node: source.host.clone(),
            machine_id: source.machine_id.clone(),
            part_of: source.lost.or(source.part.as_ref().map(|part| part.whole)),
            namespace: source.part.as_ref().map(|part| part.namespace.clone()),
            is_lost: source.lost.is_some(),
            unfinished: source.unfinished,
            removed: source.removed.as_ref().map(|removed| Removed {
                windows: removed.windows,
                from_ns: removed.from,
                until_ns: removed.until,
                observations: removed.observations,
                losses: removed.losses,
            }),
            removed_images: parts.removed.into_iter().map(RemovedFrom::from).collect(),
            windows: windows
                .map(|(window, rows)| {
                    Window::new(window, rows.iter().filter_map(|row| places.get(row).copied()).collect())
                })
                .collect(),
            containers: containers.iter().map(Kept::from).collect(),
            losses: parts
                .losses
                .iter()
                .map(|loss| Lost {
                    window: loss.window,
                    container: loss.container.and_then(|row| places.get(&row).copied()),
                    cgroup: loss.cgroup_id,
                    reason: loss.reason.word().to_owned(),
                    count: loss.count,
                    first_seen_ns: loss.first_seen,
                    last_seen_ns: loss.last_seen,
                })
                .collect(),
        }
    }

    /// The recording, at this place in the list.
    pub(super) fn source(&self, place: i64) -> Source {
        let part = match (self.part_of, &self.namespace) {
            (Some(whole), Some(namespace)) => Some(Part {
                whole,
                namespace: namespace.clone(),
            }),
            _ => None,
        };
        Source {
            row: place,
            id: self.recording,
            revision: self.revision,
            created: self.created_ns,
            host: self.node.clone(),
            machine_id: self.machine_id.clone(),
            is_own: false,
            removed: self.removed.as_ref().map(|removed| RemovedWindows {
                windows: removed.windows,
                from: removed.from_ns,
                until: removed.until_ns,
                observations: removed.observations,
                losses: removed.losses,
            }),
            part,
            lost: self.part_of.filter(|_| self.is_lost),
            unfinished: self.unfinished,
        }
    }

    /// Where the rows of its containers are.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> {
        self.containers.iter().map(|kept| Span {
            cgroup: kept.cgroup,
            first_row: kept.first_row,
            observations: kept.observations,
            peers: kept.peers,
        })
    }

    /// The windows; what no analysis asks for is left out of them.
    pub(super) fn windows(&self) -> Read<Vec<WindowSummary>> {
        self.windows
            .iter()
            .map(|window| window.summary(self.recording))
            .collect()
    }

    /// The containers that a window saw, by their rows if `first` is that of the first one.
    pub(super) fn presence(&self, number: u64, first: i64) -> Read<Vec<i64>> {
        let window = self.windows.iter().find(|window| window.number == number);
        let places = window.map_or(&[][..], |window| &window.containers);
        places.iter().map(|&place| self.row(place, first)).collect()
    }

    fn row(&self, place: usize, first: i64) -> Read<i64> {
        let row = i64::try_from(place).ok().and_then(|place| first.checked_add(place));
        row.filter(|_| place < self.containers.len()).ok_or_else(|| {
            Failure::Observations(format!("there is no container {place} in recording {}", self.recording))
        })
    }

    pub(super) fn removed_images(&self) -> Vec<RemovedImage> {
        let removed = self.removed_images.iter().map(|removed| RemovedImage {
            number: removed.window,
            started: removed.started_ns,
            ended: removed.ended_ns,
            image: removed.image.clone(),
        });
        removed.collect()
    }

    pub(super) fn containers(&self, first: i64) -> Read<Vec<StoredContainer>> {
        let containers = self.containers.iter().enumerate();
        let stored = containers.map(|(place, kept)| {
            Ok(StoredContainer {
                row: self.row(place, first)?,
                boot_id: kept.boot.clone(),
                container: kept.container()?,
                is_redacted: false,
            })
        });
        stored.collect()
    }

    pub(super) fn losses(&self, first: i64) -> Read<Vec<StoredLoss>> {
        let losses = self.losses.iter().map(|lost| {
            Ok(StoredLoss {
                window: lost.window,
                container: lost.container.map(|place| self.row(place, first)).transpose()?,
                cgroup_id: lost.cgroup,
                reason: read::reason(&lost.reason)?,
                count: lost.count,
                first_seen: lost.first_seen_ns,
                last_seen: lost.last_seen_ns,
            })
        });
        losses.collect()
    }
}

impl From<RemovedImage> for RemovedFrom {
    fn from(removed: RemovedImage) -> Self {
        Self {
            window: removed.number,
            started_ns: removed.started,
            ended_ns: removed.ended,
            image: removed.image,
        }
    }
}

impl Window {
    fn new(window: WindowSummary, containers: Vec<usize>) -> Self {
        Self {
            number: window.number,
            started_ns: window.started,
            last_flush_ns: window.last_flush,
            ended: window.ended.as_ref().map(|(at, reason)| {
                let (reason, detail) = from_end_reason(reason);
                Ended {
                    at_ns: *at,
                    reason: reason.to_owned(),
                    detail,
                }
            }),
            selector: window.selector,
            backend: window.backend,
            kernel: window.kernel,
            tool_version: window.tool_version,
            flush_interval_ns: u64::try_from(window.flush_interval.as_nanos()).unwrap_or(u64::MAX),
            lossy_from_start: window.lossy_from_start,
            new_behaviours: window.new_behaviours,
            observations: window.observations,
            losses: window.losses,
            containers,
        }
    }

    fn summary(&self, recording: RecordingId) -> Read<WindowSummary> {
        let ended = self.ended.as_ref().map(|ended| -> Read<_> {
            let reason = to_end_reason(&ended.reason, ended.detail.clone());
            let unknown = || Failure::Observations(format!("a window ended for the unknown reason `{}`", ended.reason));
            Ok((ended.at_ns, reason.ok_or_else(unknown)?))
        });
        Ok(WindowSummary {
            recording,
            number: self.number,
            started: self.started_ns,
            ended: ended.transpose()?,
            last_flush: self.last_flush_ns,
            selector: self.selector.clone(),
            backend: self.backend.clone(),
            kernel: self.kernel.clone(),
            tool_version: self.tool_version.clone(),
            flush_interval: Duration::from_nanos(self.flush_interval_ns),
            lossy_from_start: self.lossy_from_start.clone(),
            containers: self.containers.len() as u64,
            new_behaviours: self.new_behaviours,
            observations: self.observations,
            losses: self.losses,
            redacted_observations: 0,
            redacted_containers: 0,
            redacted_peers: 0,
            peers_left_out: 0,
            peers_untold: Vec::new(),
            names: Names::Off,
            name_gaps: Vec::new(),
            latencies: Vec::new(),
        })
    }
}

impl From<&StoredContainer> for Kept {
    fn from(stored: &StoredContainer) -> Self {
        let container = &stored.container;
        Self {
            boot: stored.boot_id.clone(),
            cgroup: container.cgroup_id,
            workload: container.workload.clone(),
            id: container.id.clone(),
            image: container.image.clone(),
            cgroup_path: path::escape(&container.cgroup_path),
            started_ns: container.started,
            alive_until_ns: container.alive_until,
            partial: container.partial,
            first_row: 0,
            observations: 0,
            peers: 0,
        }
    }
}

impl Kept {
    fn container(&self) -> Read<Container> {
        Ok(Container {
            cgroup_id: self.cgroup,
            workload: self.workload.clone(),
            id: self.id.clone(),
            image: self.image.clone(),
            cgroup_path: path::unescape(&self.cgroup_path)
                .map_err(|error| Failure::Observations(format!("the path of a cgroup: {error}")))?,
            started: self.started_ns,
            alive_until: self.alive_until_ns,
            partial: self.partial,
        })
    }
}

/// Moments to the nanosecond: as text they are cut to seconds.
mod nanos {
    use serde::de::Error;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::time::UtcTime;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(time: &UtcTime, serializer: S) -> Result<S::Ok, S::Error> {
        time.nanos().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UtcTime, D::Error> {
        let nanos = i64::deserialize(deserializer)?;
        UtcTime::from_stored(nanos).ok_or_else(|| D::Error::custom(format!("{nanos} is before 1970")))
    }
}
