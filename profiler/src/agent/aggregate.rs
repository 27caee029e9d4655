//! What all nodes tell, added up. Pure: `NodeWindow`s in, a `LearningWindow`'s status out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baselines::time::UtcTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::objects::{
    LearningWindowStatus, NODES_MAX, NodeCounts, NodeWindow, NodeWindowStatus, Phase, WORKLOADS_MAX, WorkloadProgress,
};
use super::report::listed;
use crate::kubernetes::times::{by_server, time, utc};

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
        let is_silent = count(&mut sum.nodes, &node.spec.node, status, now);
        add(&mut sum, &mut workloads, status);
        sum.lossy_nodes += u64::from(is_silent || status.lossy.is_some());
        ended_at = ended_at.max(status.ended_at.as_ref().map(|at| moment_of(at, status)));
    }
    (sum.workloads, sum.workloads_left_out) = {
        let (listed, more) = listed(workloads.into_values().collect(), WORKLOADS_MAX);
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

/// A node's moment by the API server's clock: one that is wrong makes nobody silent, and no window end tomorrow.
fn moment_of(at: &Time, status: &NodeWindowStatus) -> UtcTime {
    by_server(utc(at), status.clock_ahead_seconds)
}

/// Counts a node; whether it is silent.
fn count(counts: &mut NodeCounts, node: &str, status: &NodeWindowStatus, now: UtcTime) -> bool {
    let heard = status
        .heard
        .as_ref()
        .map_or(UtcTime::default(), |heard| moment_of(heard, status));
    let is_silent = now.since(heard) > SILENT_AFTER;
    let add = |count: &mut u64, names: Option<&mut Vec<String>>| {
        *count = count.saturating_add(1);
        if let Some(names) = names.filter(|names| names.len() < NODES_MAX) {
            names.push(node.to_owned());
        }
    };
    // What has ended has nothing more to say.
    if is_silent && status.phase != Phase::Ended {
        add(&mut counts.silent, Some(&mut counts.silent_names));
        return true;
    }
    add(&mut counts.reporting, None);
    match status.phase {
        Phase::Learning => add(&mut counts.learning, None),
        Phase::Ended => add(&mut counts.ended, None),
        Phase::Failing | Phase::Refused => add(&mut counts.failing, Some(&mut counts.failing_names)),
        Phase::Pending => {}
    }
    false
}

fn add(sum: &mut LearningWindowStatus, workloads: &mut BTreeMap<String, WorkloadProgress>, status: &NodeWindowStatus) {
    let adding = [
        (&mut sum.containers, status.containers),
        (&mut sum.node_behaviours, status.behaviours),
        (&mut sum.events, status.events),
        (&mut sum.lost, status.lost),
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
        let last_new = progress.last_new.as_ref().map(|at| moment_of(at, status));
        let total = workloads
            .entry(progress.workload.clone())
            .or_insert_with(|| WorkloadProgress::none_of(&progress.workload));
        total.containers = total.containers.saturating_add(progress.containers);
        total.events = total.events.saturating_add(progress.events);
        total.behaviours = total.behaviours.max(progress.behaviours);
        total.last_new = total.last_new.as_ref().map(utc).max(last_new).map(time);
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
        (sum.containers == 0 && matches!(sum.phase, Phase::Learning | Phase::Ended))
            .then(|| "no container of what it asks for was seen so far".to_owned()),
        (sum.phase == Phase::Pending).then(|| "no agent has told of it so far".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::objects::NodeWindowSpec;
    use super::*;

    fn at(seconds: u64) -> UtcTime {
        UtcTime::from_nanos(seconds * 1_000_000_000)
    }

    fn moment(seconds: u64) -> Time {
        time(at(seconds))
    }

    fn node(name: &str, status: NodeWindowStatus) -> NodeWindow {
        let spec = NodeWindowSpec {
            window: "shop".to_owned(),
            window_uid: "1".to_owned(),
            node: name.to_owned(),
        };
        let mut node = NodeWindow::new(name, spec);
        node.status = Some(status);
        node
    }

    fn workload(name: &str, behaviours: u64, events: u64, last_new: u64) -> WorkloadProgress {
        WorkloadProgress {
            workload: name.to_owned(),
            containers: 1,
            behaviours,
            events,
            last_new: Some(moment(last_new)),
        }
    }

    #[test]
    fn what_the_nodes_tell_is_added_up() {
        let learning = |workloads: Vec<WorkloadProgress>| NodeWindowStatus {
            phase: Phase::Learning,
            heard: Some(moment(1_000)),
            containers: 2,
            behaviours: 10,
            events: 100,
            lost: 3,
            losses: [("map_full".to_owned(), 3)].into(),
            lossy: Some("why".to_owned()),
            workloads,
            workloads_left_out: 1,
            ..NodeWindowStatus::default()
        };
        let nodes = [
            node(
                "a",
                learning(vec![workload("web", 7, 60, 900), workload("db", 3, 40, 100)]),
            ),
            node("b", learning(vec![workload("web", 9, 100, 500)])),
        ];
        let sum = aggregate(&nodes, None, at(2_000), false, at(1_010));
        assert_eq!(
            (sum.phase, sum.nodes.learning, sum.nodes.reporting),
            (Phase::Learning, 2, 2)
        );
        assert_eq!(
            (sum.containers, sum.node_behaviours, sum.events, sum.lost),
            (4, 20, 200, 6)
        );
        assert_eq!((sum.losses.get("map_full"), sum.lossy_nodes), (Some(&6), 2));
        let web = WorkloadProgress {
            containers: 2,
            ..workload("web", 9, 160, 900)
        };
        assert_eq!(sum.workloads, [web, workload("db", 3, 40, 100)]);
        assert_eq!((sum.workloads_left_out, sum.nodes.without_agent), (2, None));
    }

    #[test]
    fn who_does_not_learn_is_named() {
        let failing = NodeWindowStatus {
            phase: Phase::Failing,
            heard: Some(moment(1_000)),
            ..NodeWindowStatus::default()
        };
        let learning = |seconds| NodeWindowStatus {
            phase: Phase::Learning,
            heard: Some(moment(seconds)),
            ..failing.clone()
        };
        // Its clock is an hour ahead, and it knows that.
        let ahead = NodeWindowStatus {
            clock_ahead_seconds: 3_600,
            ..learning(1_000 + 3_600)
        };
        let nodes = [
            node("a", failing.clone()),
            node("b", learning(700)),
            node("c", learning(699)),
            node("d", ahead),
        ];
        let cluster = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let sum = aggregate(&nodes, Some(&cluster), at(2_000), false, at(1_000));
        assert_eq!((sum.nodes.reporting, sum.nodes.learning), (3, 2));
        assert_eq!(sum.nodes.failing_names, ["a"]);
        assert_eq!(sum.nodes.silent_names, ["c"]);
        assert_eq!(sum.nodes.without_agent_names, ["e"]);
        let message = sum.message.unwrap();
        for text in [
            "cannot record (a)",
            "not heard for 5 minutes (c)",
            "(e)",
            "no container",
        ] {
            assert!(message.contains(text), "{text}: {message}");
        }
    }

    #[test]
    fn a_window_has_ended_when_nobody_who_can_be_heard_is_at_it() {
        let status = |phase, seconds| NodeWindowStatus {
            phase,
            heard: Some(moment(seconds)),
            ended_at: (phase == Phase::Ended).then(|| moment(seconds)),
            ..NodeWindowStatus::default()
        };
        let (ended, learning) = (status(Phase::Ended, 2_001), status(Phase::Learning, 2_001));
        let cases = [
            (vec![], false, Phase::Pending),
            (vec![], true, Phase::Ended),
            (vec![ended.clone(), learning.clone()], true, Phase::Learning),
            (
                vec![ended.clone(), status(Phase::Failing, 2_001)],
                true,
                Phase::Learning,
            ),
            (vec![ended.clone(), status(Phase::Learning, 100)], true, Phase::Ended),
            (vec![ended], true, Phase::Ended),
        ];
        for (statuses, is_over, phase) in cases {
            let nodes: Vec<NodeWindow> = statuses.iter().map(|status| node("a", status.clone())).collect();
            let sum = aggregate(&nodes, None, at(2_000), is_over, at(2_002));
            assert_eq!(sum.phase, phase, "{statuses:?}");
            assert_eq!(sum.ended_at.is_some(), phase == Phase::Ended && !nodes.is_empty());
        }
    }

    #[test]
    fn lists_stay_small_whatever_the_nodes_tell() {
        let many = |node: usize| {
            (0..300)
                .map(move |number| workload(&format!("{node}-{number}"), 1, 1, 1))
                .collect()
        };
        let nodes: Vec<NodeWindow> = (0..500)
            .map(|number| {
                let status = NodeWindowStatus {
                    workloads: many(number),
                    ..NodeWindowStatus::default()
                };
                node(&format!("node-{number}"), status)
            })
            .collect();
        let sum = aggregate(&nodes, None, at(1), false, at(1_000));
        assert_eq!((sum.workloads.len(), sum.workloads_left_out), (100, 500 * 300 - 100));
        assert_eq!((sum.nodes.silent, sum.nodes.silent_names.len()), (500, 100));
        assert!(serde_json::to_string(&sum).unwrap().len() < 100_000);
    }
}
