//! What all nodes tell, added up. Pure: `NodeWindow`s in, a `LearningWindow`'s status out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baselines::time::UtcTime;

use super::objects::{
    LearningWindowStatus, NODES_MAX, NodeCounts, NodeWindow, NodeWindowStatus, Phase, WorkloadProgress,
};
use super::report::{listed, time, utc};

/// An agent that was not heard for that long is silent. It is five times as long as agents wait at most.
pub const SILENT_AFTER: Duration = Duration::from_mins(5);

/// The sums over the nodes of one window, which ends at `ends_at`, at `now`; both by the API server's clock. `cluster` are
/// the names of all nodes, where they are known.
pub fn aggregate<'a>(
    nodes: impl IntoIterator<Item = &'a NodeWindow>,
    cluster: Option<&BTreeSet<String>>,
    ends_at: UtcTime,
    is_over: bool,
    now: UtcTime,
) -> LearningWindowStatus {
    let mut sum = LearningWindowStatus::default();
    let mut workloads = BTreeMap::new();
    let mut ended_at = None;
    let mut without_agent: BTreeSet<&String> = cluster.into_iter().flatten().collect();
    for node in nodes {
        without_agent.remove(&node.spec.node);
        let Some(status) = &node.status else { continue };
        count(&mut sum.nodes, &node.spec.node, status, now);
        add(&mut sum, &mut workloads, status);
        ended_at = ended_at.max(status.ended_at.as_ref().map(utc));
    }
    (sum.workloads, sum.workloads_left_out) = {
        let (listed, more) = listed(workloads.into_values().collect());
        (listed, sum.workloads_left_out.saturating_add(more))
    };
    let counts = &mut sum.nodes;
    counts.without_agent = cluster.map(|_| without_agent.len().try_into().unwrap_or(u64::MAX));
    counts.without_agent_names = without_agent.into_iter().take(NODES_MAX).cloned().collect();
    let is_anybody_at_it = counts.learning > 0 || counts.failing > 0;
    sum.phase = match (is_over, counts.reporting) {
        // Whoever is silent will not tell that it has ended.
        (true, _) if !is_anybody_at_it => Phase::Ended,
        (_, 0) => Phase::Pending,
        _ => Phase::Learning,
    };
    sum.ends_at = Some(time(ends_at));
    sum.ended_at = ended_at.filter(|_| sum.phase == Phase::Ended).map(time);
    sum.message = message(&sum);
    sum
}

fn count(counts: &mut NodeCounts, node: &str, status: &NodeWindowStatus, now: UtcTime) {
    // The node's clock is corrected, so that one that is wrong makes nobody silent.
    let heard = status.heard.as_ref().map_or(0, |heard| {
        i128::from(utc(heard).nanos()) - i128::from(status.clock_ahead_seconds) * 1_000_000_000
    });
    let is_silent = i128::from(now.nanos()) - heard > SILENT_AFTER.as_nanos().cast_signed();
    let add = |count: &mut u64, names: Option<&mut Vec<String>>| {
        *count = count.saturating_add(1);
        if let Some(names) = names.filter(|names| names.len() < NODES_MAX) {
            names.push(node.to_owned());
        }
    };
    // What has ended has nothing more to say.
    if is_silent && status.phase != Phase::Ended {
        add(&mut counts.silent, Some(&mut counts.silent_names));
        return;
    }
    add(&mut counts.reporting, None);
    match status.phase {
        Phase::Learning => add(&mut counts.learning, None),
        Phase::Ended => add(&mut counts.ended, None),
        Phase::Failing | Phase::Refused => add(&mut counts.failing, Some(&mut counts.failing_names)),
        Phase::Pending => {}
    }
}

fn add(sum: &mut LearningWindowStatus, workloads: &mut BTreeMap<String, WorkloadProgress>, status: &NodeWindowStatus) {
    let adding = [
        (&mut sum.containers, status.containers),
        (&mut sum.node_behaviours, status.behaviours),
        (&mut sum.events, status.events),
        (&mut sum.lost, status.lost),
        (&mut sum.lossy_nodes, status.lossy.is_some().into()),
        (&mut sum.workloads_left_out, status.workloads_left_out),
    ];
    for (total, more) in adding {
        *total = total.saturating_add(more);
    }
    for (reason, count) in &status.losses {
        let total = sum.losses.entry(reason.clone()).or_default();
        *total = total.saturating_add(*count);
    }
    for progress in &status.workloads {
        let Some(total) = workloads.get_mut(&progress.workload) else {
            workloads.insert(progress.workload.clone(), progress.clone());
            continue;
        };
        total.containers = total.containers.saturating_add(progress.containers);
        total.events = total.events.saturating_add(progress.events);
        total.behaviours = total.behaviours.max(progress.behaviours);
        let last_new = [&total.last_new, &progress.last_new].map(|at| at.as_ref().map(utc));
        total.last_new = last_new.into_iter().max().flatten().map(time);
    }
}

/// What a person has to know.
fn message(sum: &LearningWindowStatus) -> Option<String> {
    let NodeCounts {
        failing,
        failing_names,
        silent,
        silent_names,
        without_agent,
        without_agent_names,
        ..
    } = &sum.nodes;
    let some = |count: u64, names: &[String], what: &str| {
        let names = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if count > 3 { ", ..." } else { "" };
        (count > 0).then(|| format!("{count} nodes {what} ({names}{more})"))
    };
    let parts = [
        some(*failing, failing_names, "cannot record"),
        some(*silent, silent_names, "were not heard for 5 minutes"),
        some(
            without_agent.unwrap_or(0),
            without_agent_names,
            "have no agent that told of it",
        ),
        (sum.lossy_nodes > 0).then(|| format!("losses cannot be ruled out on {} nodes", sum.lossy_nodes)),
        (sum.phase == Phase::Pending).then(|| "no agent has told of it so far".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
