//! Who came into containers of pods: told when their pods are.

use std::collections::BTreeMap;

use baselines::behaviour::Provenance;
use profiler_common::{CommandRecord, command};
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::directory::PodChange;
use crate::kubernetes::owners::Above;
use crate::kubernetes::pods::PodFacts;
use crate::kubernetes::selection::Selection;
use crate::recorder::cluster::Cluster;

const UID: &str = "0f5e1d2c-0000-4000-8000-000000000001";
const OTHER: u64 = 8;

/// The container with this cgroup.
fn id(cgroup: u64) -> String {
    cgroup.to_string().repeat(64)
}

/// A window with two containers of one pod in it, of which nobody knows whose they are.
fn window(selects: bool) -> Recorder {
    let selection = selects.then(|| Selection {
        namespaces: ["production".to_owned()].into(),
        ..Selection::default()
    });
    let mut attribution = Attribution::in_cluster(Cluster::new(selection));
    for cgroup in [CGROUP, OTHER] {
        let path = format!("/kubepods/besteffort/pod{UID}/{}", id(cgroup));
        attribution.appeared(cgroup, path.as_bytes(), clock());
    }
    let mut recorder = recorder_of(attribution);
    recorder.described.opens_are_told(true);
    recorder.describe(&program(), clock());
    recorder
}

/// The pod becomes known: the first container has a probe.
fn pod_is_told(recorder: &mut Recorder, probe: &[&str]) {
    let status = |name: &str, cgroup| json!({"name": name, "containerID": format!("containerd://{}", id(cgroup))});
    let container = |name: &str| json!({"name": name, "image": "shop/web:1"});
    let mut probed = container("probed");
    probed["livenessProbe"] = json!({"exec": {"command": probe}});
    let pod: Value = json!({
        "metadata": {"namespace": "production", "name": "web", "uid": UID},
        "spec": {"containers": [probed, container("plain")]},
        "status": {"containerStatuses": [status("probed", CGROUP), status("plain", OTHER)]},
    });
    let facts = PodFacts::of(&serde_json::from_value(pod).unwrap(), &Above::Unknown).unwrap();
    recorder.pods_changed(vec![PodChange::Applied(Box::new(facts))]);
}

fn tell_command(recorder: &mut Recorder, cgroup: u64, number: u32, words: &[&str]) {
    let mut told: CommandRecord = pod::zeroed();
    let arguments = words.join("\0") + "\0";
    (told.kind, told.command, told.cgroup) = (record::COMMAND, number, cgroup);
    told.length = arguments.len() as u64;
    told.bytes[..arguments.len()].copy_from_slice(arguments.as_bytes());
    recorder.describe(pod::bytes_of(&told), clock());
}

/// Somebody who entered with this command connects this often.
fn connects(recorder: &mut Recorder, cgroup: u64, number: u32, count: u64) {
    let counted = Key {
        cgroup,
        provenance: provenance::ENTERED,
        command: number,
        ..key(kind::CONNECT, [0; 8])
    };
    recorder.count(delta(counted, count), clock());
}

/// How often something was observed in each container by each provenance.
fn provenances(flush: &Flush) -> BTreeMap<(u64, Provenance), u64> {
    let mut counts = BTreeMap::new();
    for seen in &flush.observations {
        *counts.entry((seen.cgroup_id, seen.provenance)).or_default() += seen.count;
    }
    counts
}

#[test]
fn the_kubelets_command_is_told_from_others_whenever_its_pod_becomes_known() {
    for (selects, told_first) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut recorder = window(selects);
        if told_first {
            pod_is_told(&mut recorder, &["check", "-q"]);
        }
        for (cgroup, number, words) in [
            (CGROUP, 2, &["check", "-q"][..]),
            (CGROUP, 3, &["check"]),
            (OTHER, 2, &["check", "-q"]),
        ] {
            tell_command(&mut recorder, cgroup, number, words);
        }
        for (cgroup, number, count) in [
            (CGROUP, 2, 5),
            (CGROUP, 3, 4),
            (CGROUP, command::NONE, 3),
            (OTHER, 2, 2),
        ] {
            connects(&mut recorder, cgroup, number, count);
        }
        let mut seen = BTreeMap::new();
        if !told_first {
            // Whoever has no command has entered, as far as is known.
            seen = provenances(&flush(&mut recorder));
            assert_eq!(seen.len(), usize::from(!selects), "{seen:?}");
            pod_is_told(&mut recorder, &["check", "-q"]);
        }
        let last = flush(&mut recorder);
        assert_eq!(lost(&last), []);
        for (row, count) in provenances(&last) {
            *seen.entry(row).or_default() += count;
        }
        let expected = BTreeMap::from([
            ((CGROUP, Provenance::Kubelet), 5),
            ((CGROUP, Provenance::Entered), 7),
            ((OTHER, Provenance::Entered), 2),
        ]);
        assert_eq!(seen, expected, "selects: {selects}, told first: {told_first}");
    }
}

#[test]
fn a_command_that_is_never_described_counts_as_entered_and_as_a_loss() {
    let mut recorder = window(true);
    pod_is_told(&mut recorder, &["check"]);
    for cgroup in [CGROUP, OTHER] {
        connects(&mut recorder, cgroup, 2, 5);
    }
    // Its description may be on its way, and nobody needs one where the kubelet executes nothing.
    let first = flush(&mut recorder);
    assert_eq!(provenances(&first), BTreeMap::from([((OTHER, Provenance::Entered), 5)]));
    let second = flush(&mut recorder);
    assert_eq!(
        provenances(&second),
        BTreeMap::from([((CGROUP, Provenance::Entered), 5)])
    );
    assert_eq!(lost(&second), [(Some(CGROUP), Reason::CommandUntold, 5)]);
}

#[test]
fn a_command_that_cannot_be_compared_is_a_loss_where_it_may_be_the_kubelets() {
    let mut recorder = window(true);
    pod_is_told(&mut recorder, &["check"]);
    for cgroup in [CGROUP, OTHER] {
        tell_command(&mut recorder, cgroup, 2, &[]);
        let mut told: CommandRecord = pod::zeroed();
        (told.kind, told.command, told.cgroup, told.length) = (record::COMMAND, 2, cgroup, u64::MAX);
        recorder.describe(pod::bytes_of(&told), clock());
    }
    assert_eq!(lost(&flush(&mut recorder)), [(Some(CGROUP), Reason::CommandUntold, 1)]);
}

#[test]
fn without_a_pod_everybody_who_comes_later_has_entered() {
    let mut attribution = Attribution::new(Scope::Host);
    attribution.appeared(CGROUP, format!("/docker/{}", id(CGROUP)).as_bytes(), clock());
    let mut recorder = recorder_of(attribution);
    recorder.describe(&program(), clock());
    tell_command(&mut recorder, CGROUP, 2, &["check"]);
    connects(&mut recorder, CGROUP, 2, 5);
    connects(&mut recorder, CGROUP, command::BEGINNING, 5);
    let flush = flush(&mut recorder);
    assert_eq!(
        provenances(&flush),
        BTreeMap::from([((CGROUP, Provenance::Entered), 10)])
    );
    assert_eq!(lost(&flush), []);
}

#[test]
fn what_nobody_named_until_the_end_has_entered() {
    let mut recorder = window(false);
    tell_command(&mut recorder, CGROUP, 2, &["check"]);
    connects(&mut recorder, CGROUP, 2, 5);
    assert_eq!(provenances(&flush(&mut recorder)), BTreeMap::new());
    recorder.give_up_waiting(clock());
    let last = flush(&mut recorder);
    assert_eq!(provenances(&last), BTreeMap::from([((CGROUP, Provenance::Entered), 5)]));
    assert_eq!(lost(&last), [(Some(CGROUP), Reason::UnresolvedContainer, 5)]);
}

#[test]
fn what_a_container_of_kubectl_debug_does_is_not_the_workloads() {
    for selects in [false, true] {
        let mut recorder = window(selects);
        let status = |name: &str, cgroup| json!({"name": name, "containerID": format!("containerd://{}", id(cgroup))});
        let pod: Value = json!({
            "metadata": {"namespace": "production", "name": "web", "uid": UID},
            "spec": {
                "containers": [{"name": "server", "image": "shop/web:1"}],
                "ephemeralContainers": [{"name": "debugger", "image": "busybox"}],
            },
            "status": {
                "containerStatuses": [status("server", CGROUP)],
                "ephemeralContainerStatuses": [status("debugger", OTHER)],
            },
        });
        let facts = PodFacts::of(&serde_json::from_value(pod).unwrap(), &Above::Unknown).unwrap();
        recorder.pods_changed(vec![PodChange::Applied(Box::new(facts))]);
        for (cgroup, provenance) in [
            (CGROUP, provenance::WORKLOAD),
            (OTHER, provenance::WORKLOAD),
            (OTHER, provenance::ENTERING),
        ] {
            let counted = Key {
                cgroup,
                provenance,
                ..key(kind::CONNECT, [0; 8])
            };
            recorder.count(delta(counted, 1), clock());
        }
        let expected = BTreeMap::from([
            ((CGROUP, Provenance::Workload), 1),
            ((OTHER, Provenance::Entered), 1),
            ((OTHER, Provenance::Runtime), 1),
        ]);
        assert_eq!(provenances(&flush(&mut recorder)), expected);
    }
}
