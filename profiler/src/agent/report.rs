//! What an agent tells of a recording. Pure: a recording's summary in, a `NodeWindow`'s status out.

use std::collections::{BTreeMap, HashMap};

use baselines::dns::Names;
use baselines::recording::{EndReason, Summary, WindowSummary};
use baselines::time::UtcTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::objects::{
    LOST_RECORDINGS_MAX, LostRecordingFacts, NODE_WORKLOADS_MAX, NodeWindowStatus, RecordingFacts, WorkloadProgress,
};
use crate::kubernetes::times::time;

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
        dns_names_unseen: windows.last().and_then(|window| match &window.names {
            Names::Unseen(why) => Some(why.clone()),
            Names::Off | Names::Seen => None,
        }),
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

/// The recordings that are gone, when this is `now` what the recording says and that was told `before`.
pub fn lost_recordings(before: &NodeWindowStatus, now: &NodeWindowStatus) -> Vec<LostRecordingFacts> {
    let mut lost = before.lost_recordings.clone();
    let has = |told: &RecordingFacts| now.recording.as_ref().is_some_and(|recording| recording.id == told.id);
    let gone = before.recording.as_ref().filter(|told| !has(told));
    if let Some(told) = gone.filter(|_| lost.len() < LOST_RECORDINGS_MAX) {
        lost.push(LostRecordingFacts {
            id: told.id.clone(),
            revision: told.revision,
            started_at: before.started_at.clone(),
            written_until: before.written_until.clone(),
            containers: before.containers,
            events: before.events,
        });
    }
    lost
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
            Some((_, EndReason::Completed | EndReason::Covered | EndReason::Interrupted)) | None
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
        let progress = all
            .entry(name)
            .or_insert_with_key(|name| WorkloadProgress::none_of(name));
        progress.containers = progress.containers.saturating_add(1);
        progress.behaviours = progress.behaviours.max(seen.behaviours);
        progress.events = progress.events.saturating_add(seen.observations);
    }
    for progress in all.values_mut() {
        let before = known.get(progress.workload.as_str()).copied();
        progress.last_new = last_new(progress, before, now);
    }
    all.into_values().collect()
}

/// When a workload had something new last, as far as `before` and `now` tell.
fn last_new(progress: &WorkloadProgress, before: Option<&WorkloadProgress>, now: UtcTime) -> Option<Time> {
    match before {
        Some(before) if before.behaviours >= progress.behaviours => before.last_new.clone(),
        _ if progress.behaviours == 0 => None,
        _ => Some(time(now)),
    }
}

/// Those with the most events, and how many there are beside them. Lists in objects are bounded.
pub fn listed(mut workloads: Vec<WorkloadProgress>, most: usize) -> (Vec<WorkloadProgress>, u64) {
    workloads.sort_by(|one, other| other.events.cmp(&one.events).then(one.workload.cmp(&other.workload)));
    let left_out = workloads.len().saturating_sub(most);
    workloads.truncate(most);
    (workloads, left_out.try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use baselines::recording::Recording;

    use super::*;
    use crate::testing::{node, window};

    fn at(seconds: u64) -> UtcTime {
        UtcTime::from_nanos(seconds * 1_000_000_000)
    }

    /// What a recording of windows that ended like this says.
    fn told(ends: &[EndReason]) -> NodeWindowStatus {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = Recording::open_or_create(&path, &node()).unwrap();
        for (second, reason) in (100..).step_by(100).zip(ends) {
            let window = writer.start_window(&window(at(second))).unwrap();
            writer.end_window(window, reason, at(second + 50)).unwrap();
        }
        let summary = writer.recording().summary().unwrap();
        of_recording(&summary, 7, &NodeWindowStatus::default(), at(1_000))
    }

    #[test]
    fn why_names_are_not_seen_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Recording::open_or_create(&folder.path().join("a.db"), &node()).unwrap();
        let mut told = |names: Names| {
            let start = baselines::recording::WindowStart {
                names,
                ..window(at(100))
            };
            let window = writer.start_window(&start).unwrap();
            writer.end_window(window, &EndReason::Completed, at(150)).unwrap();
            let summary = writer.recording().summary().unwrap();
            of_recording(&summary, 7, &NodeWindowStatus::default(), at(1_000)).dns_names_unseen
        };
        assert_eq!(
            told(Names::Unseen("not permitted".to_owned())).as_deref(),
            Some("not permitted")
        );
        assert_eq!(told(Names::Seen), None);
    }

    #[test]
    fn what_is_between_two_windows_is_missing() {
        let status = told(&[EndReason::Completed]);
        assert_eq!((status.begun, &status.lossy), (1, &None));
        assert_eq!(status.started_at, Some(time(at(100))));
        assert_eq!(status.recording.map(|recording| recording.bytes), Some(7));
        let cases = [
            (EndReason::Interrupted, "recording was interrupted 1 times"),
            (EndReason::Crashed, "the recorder was killed"),
            (EndReason::Failed("full".to_owned()), "recording failed (full)"),
        ];
        for (reason, why) in cases {
            let status = told(&[reason, EndReason::Completed]);
            assert_eq!(status.begun, 2);
            assert!(status.lossy.as_ref().unwrap().contains(why), "{status:?}");
        }
    }

    #[test]
    fn something_new_is_dated_and_nothing_new_is_not() {
        let known = WorkloadProgress {
            workload: "a".to_owned(),
            containers: 1,
            behaviours: 3,
            events: 9,
            last_new: Some(time(at(5))),
        };
        let quiet = WorkloadProgress {
            last_new: None,
            ..known.clone()
        };
        assert_eq!(last_new(&quiet, Some(&known), at(9)), Some(time(at(5))));
        let more = WorkloadProgress {
            behaviours: 4,
            ..quiet.clone()
        };
        assert_eq!(last_new(&more, Some(&known), at(9)), Some(time(at(9))));
        assert_eq!(last_new(&quiet, None, at(9)), Some(time(at(9))));
        let idle = WorkloadProgress { behaviours: 0, ..quiet };
        assert_eq!(last_new(&idle, None, at(9)), None);
    }
}
