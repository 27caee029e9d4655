//! `profile status` for programs.

use std::collections::BTreeMap;

use baselines::dns::Names;
use baselines::path::FilePath;
use baselines::recording::{ContainerSummary, LossSummary, SourceSummary, Summary, WindowSummary};
use serde::Serialize;

use super::words;

/// `profile status -o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    recordings: Vec<Source>,
    behaviours: u64,
    windows: Vec<Window>,
    containers: Vec<Container>,
    losses: Vec<Loss>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    recording: String,
    revision: u64,
    node: String,
    created: String,
    /// It goes on in this file, and is no copy.
    own: bool,
    removed: Option<Removed>,
    /// The recording that this is a part of.
    part_of: Option<String>,
    /// Whose containers are in the part.
    namespace: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Removed {
    windows: u64,
    from: String,
    until: String,
    events: u64,
    lost: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    recording: String,
    number: u64,
    started: String,
    ended: Option<String>,
    end_reason: Option<String>,
    selector: String,
    backend: String,
    kernel: String,
    tool_version: String,
    lossy_from_start: Option<String>,
    containers: u64,
    new_behaviours: u64,
    events: u64,
    lost: u64,
    redacted_events: u64,
    redacted_containers: u64,
    redacted_peers: u64,
    peers_left_out: u64,
    /// Events by the reason why nobody could tell whom they reached.
    peers_untold: BTreeMap<&'static str, u64>,
    /// `seen`, `off` or `unseen`.
    dns_names: &'static str,
    /// Why they are not seen.
    dns_names_unseen: Option<String>,
    /// What names lack, by the reason.
    dns_name_gaps: BTreeMap<&'static str, u64>,
    latencies: Vec<Latency>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Latency {
    name: String,
    count: u64,
    p50_nanoseconds: u64,
    p90_nanoseconds: u64,
    p99_nanoseconds: u64,
    max_nanoseconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    node: String,
    workload: String,
    image: String,
    id: String,
    cgroup: String,
    partial: bool,
    first_seen: String,
    last_seen: String,
    behaviours: u64,
    events: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Loss {
    reason: &'static str,
    count: u64,
    workload: Option<String>,
    cgroup_id: Option<u64>,
    first_seen: String,
    last_seen: String,
}

impl From<&Summary> for Status {
    fn from(summary: &Summary) -> Self {
        Self {
            recordings: summary.sources.iter().map(Source::from).collect(),
            behaviours: summary.behaviours,
            windows: summary.windows.iter().map(Window::from).collect(),
            containers: summary.containers.iter().map(Container::from).collect(),
            losses: summary.losses.iter().map(Loss::from).collect(),
        }
    }
}

impl From<&SourceSummary> for Source {
    fn from(source: &SourceSummary) -> Self {
        let removed = source.removed.as_ref().map(|removed| Removed {
            windows: removed.windows,
            from: removed.from.to_string(),
            until: removed.until.to_string(),
            events: removed.observations,
            lost: removed.losses,
        });
        Self {
            recording: source.id.to_string(),
            revision: source.revision,
            node: source.host.clone(),
            created: source.created.to_string(),
            own: source.is_own,
            removed,
            part_of: source.part.as_ref().map(|part| part.whole.to_string()),
            namespace: source.part.as_ref().map(|part| part.namespace.clone()),
        }
    }
}

impl From<&WindowSummary> for Window {
    fn from(window: &WindowSummary) -> Self {
        let latencies = window.latencies.iter().map(|latency| Latency {
            name: latency.name.clone(),
            count: latency.count,
            p50_nanoseconds: latency.p50,
            p90_nanoseconds: latency.p90,
            p99_nanoseconds: latency.p99,
            max_nanoseconds: latency.max,
        });
        Self {
            recording: window.recording.to_string(),
            number: window.number,
            started: window.started.to_string(),
            ended: window.ended.as_ref().map(|(at, _)| at.to_string()),
            end_reason: window.ended.as_ref().map(|(_, reason)| words(reason)),
            selector: window.selector.clone(),
            backend: window.backend.clone(),
            kernel: window.kernel.clone(),
            tool_version: window.tool_version.clone(),
            lossy_from_start: window.lossy_from_start.clone(),
            containers: window.containers,
            new_behaviours: window.new_behaviours,
            events: window.observations,
            lost: window.losses,
            redacted_events: window.redacted_observations,
            redacted_containers: window.redacted_containers,
            redacted_peers: window.redacted_peers,
            peers_left_out: window.peers_left_out,
            peers_untold: window
                .peers_untold
                .iter()
                .map(|(why, count)| (why.word(), *count))
                .collect(),
            dns_names: match window.names {
                Names::Off => "off",
                Names::Seen => "seen",
                Names::Unseen(_) => "unseen",
            },
            dns_names_unseen: match &window.names {
                Names::Unseen(why) => Some(why.clone()),
                Names::Off | Names::Seen => None,
            },
            dns_name_gaps: window
                .name_gaps
                .iter()
                .map(|(gap, count)| (gap.word(), *count))
                .collect(),
            latencies: latencies.collect(),
        }
    }
}

impl From<&ContainerSummary> for Container {
    fn from(seen: &ContainerSummary) -> Self {
        let container = &seen.container;
        Self {
            node: seen.host.clone(),
            workload: container.workload.to_string(),
            image: container.image.to_string(),
            id: container.id.clone(),
            cgroup: FilePath::canonical(container.cgroup_path.as_slice()).to_text(),
            partial: container.partial,
            first_seen: container.started.to_string(),
            last_seen: container.alive_until.to_string(),
            behaviours: seen.behaviours,
            events: seen.observations,
        }
    }
}

impl From<&LossSummary> for Loss {
    fn from(loss: &LossSummary) -> Self {
        Self {
            reason: loss.reason.word(),
            count: loss.count,
            workload: loss.workload.as_ref().map(ToString::to_string),
            cgroup_id: loss.cgroup_id,
            first_seen: loss.first_seen.to_string(),
            last_seen: loss.last_seen.to_string(),
        }
    }
}
