//! What an agent tells of a recording. Pure: a recording's summary in, a `NodeWindow`'s status out.

use std::collections::{BTreeMap, HashMap};

use baselines::recording::{EndReason, Summary, WindowSummary};
use baselines::time::UtcTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::objects::{NODE_WORKLOADS_MAX, NodeWindowStatus, RecordingFacts, WorkloadProgress};

/// A time as objects have it.
pub fn time(at: UtcTime) -> Time {
    // Later than the year 9999, which no clock says: the last that there is.
    Time(Timestamp::from_nanosecond(at.nanos().into()).unwrap_or(Timestamp::MAX))
}

/// A time before 1970, which nothing here happened at, is 1970.
pub fn utc(time: &Time) -> UtcTime {
    UtcTime::from_nanos(u64::try_from(time.0.as_nanosecond()).unwrap_or(0))
}

/// What the recording says by now: everything but how the recorder is doing. `before` is what was told last; `bytes` is
/// what the recording takes.
pub fn of_recording(summary: &Summary, bytes: u64, before: &NodeWindowStatus, now: UtcTime) -> NodeWindowStatus {
    let windows = &summary.windows;
    let count = |of: fn(&WindowSummary) -> u64| windows.iter().map(of).fold(0, u64::saturating_add);
    let mut losses = BTreeMap::new();
    for loss in &summary.losses {
        let lost: &mut u64 = losses.entry(loss.reason.to_string()).or_default();
        *lost = lost.saturating_add(loss.count);
    }
    let (workloads, workloads_left_out) = listed(workloads(summary, &before.workloads, now), NODE_WORKLOADS_MAX);
    let source = summary.sources.iter().find(|source| source.is_own);
    NodeWindowStatus {
        started_at: windows.iter().map(|window| window.started).min().map(time),
        begun: windows.len().try_into().unwrap_or(u64::MAX),
        written_until: windows.iter().map(|window| window.last_flush).max().map(time),
        containers: summary.containers.len().try_into().unwrap_or(u64::MAX),
        partial: summary
            .containers
            .iter()
            .filter(|seen| seen.container.partial)
            .count()
            .try_into()
            .unwrap_or(u64::MAX),
        behaviours: summary.behaviours,
        events: count(|window| window.observations),
        lost: count(|window| window.losses),
        losses,
        lossy: lossy(windows),
        workloads,
        workloads_left_out,
        recording: source.map(|source| RecordingFacts {
            id: source.id.to_string(),
            revision: source.revision,
            bytes,
        }),
        ..NodeWindowStatus::default()
    }
}

/// Why losses cannot be ruled out: what each window says, and that there is more than one.
fn lossy(windows: &[WindowSummary]) -> Option<String> {
    let mut reasons: Vec<String> = windows.iter().filter_map(WindowSummary::uncounted_losses).collect();
    reasons.sort();
    reasons.dedup();
    let is_gap = |pair: &[WindowSummary]| match pair {
        // What crashed or failed has said so.
        [before, _] => matches!(
            &before.ended,
            Some((_, EndReason::Completed | EndReason::Interrupted)) | None
        ),
        _ => false,
    };
    let gaps = windows.windows(2).filter(|pair| is_gap(pair)).count();
    if gaps > 0 {
        reasons.push(format!(
            "recording was interrupted {gaps} times, as by an upgrade of the agent"
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Every workload, with when it was last seen to have something new.
fn workloads(summary: &Summary, before: &[WorkloadProgress], now: UtcTime) -> Vec<WorkloadProgress> {
    let known: HashMap<&str, &WorkloadProgress> = before
        .iter()
        .map(|progress| (progress.workload.as_str(), progress))
        .collect();
    let mut all: BTreeMap<String, WorkloadProgress> = BTreeMap::new();
    for seen in &summary.containers {
        let name = seen.container.workload.to_string();
        let progress = all.entry(name.clone()).or_insert_with(|| WorkloadProgress {
            workload: name,
            containers: 0,
            behaviours: 0,
            events: 0,
            last_new: None,
        });
        progress.containers = progress.containers.saturating_add(1);
        progress.behaviours = progress.behaviours.max(seen.behaviours);
        progress.events = progress.events.saturating_add(seen.observations);
    }
    for progress in all.values_mut() {
        progress.last_new = match known.get(progress.workload.as_str()) {
            Some(known) if known.behaviours >= progress.behaviours => known.last_new.clone(),
            _ if progress.behaviours == 0 => None,
            _ => Some(time(now)),
        };
    }
    all.into_values().collect()
}

/// Those with the most events, and how many there are beside them. Lists in objects are bounded.
pub fn listed(mut workloads: Vec<WorkloadProgress>, most: usize) -> (Vec<WorkloadProgress>, u64) {
    workloads.sort_by(|one, other| other.events.cmp(&one.events).then(one.workload.cmp(&other.workload)));
    let left_out = workloads.len().saturating_sub(most);
    workloads.truncate(most);
    (workloads, left_out.try_into().unwrap_or(u64::MAX))
}
