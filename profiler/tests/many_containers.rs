//! What is kept of a node's pods and cgroups does not grow: 5,000 pods, and 300 a minute that come and go. Nothing else runs in
//! this process, so that its memory is theirs.
#![allow(
    clippy::unwrap_used,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;

use baselines::time::UtcTime;
use profiler::clock::Clock;
use profiler::kubernetes::directory::PodChange;
use profiler::kubernetes::owners::Above;
use profiler::kubernetes::pods::PodFacts;
use profiler::kubernetes::selection::Selection;
use profiler::recorder::attribution::Attribution;
use profiler::recorder::cluster::Cluster;
use serde_json::json;

const PODS: u64 = 5_000;
const A_MINUTE: u64 = 300;
/// Long enough for as many deleted pods to be remembered as there is room for.
const MINUTES: u64 = 20;
/// In bytes, 9,096 pods with two containers each and the program's own pages among them.
const MEMORY: u64 = 42 << 20;

/// A field of this process's memory, in bytes.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn uid(number: u64) -> String {
    format!("0f5e1d2c-0000-4000-8000-{number:012x}")
}

/// Half of the pods are of a namespace that is not asked for.
fn applied(number: u64) -> PodChange {
    let image = format!("registry.example/shop/server-{}", number / 10);
    let object = json!({
        "metadata": {
            "namespace": if number.is_multiple_of(2) { "production" } else { "staging" }, "uid": uid(number),
            "name": format!("shop-{}-7d4b9c6f5-{number:05}", number / 10),
            "labels": {"app": format!("shop-{}", number / 10), "pod-template-hash": "7d4b9c6f5", "team": "shop"},
        },
        "spec": {"containers": [{"name": "server", "image": &image}, {"name": "mesh", "image": "mesh:1"}]},
        "status": {"containerStatuses": [{
            "name": "server", "ready": true, "restartCount": 0, "containerID": format!("containerd://{number:064x}"),
            "image": &image, "imageID": format!("{image}@sha256:{number:064x}"),
        }]},
    });
    let pod = serde_json::from_value(object).unwrap();
    PodChange::Applied(Box::new(PodFacts::of(&pod, &Above::Nobody).unwrap()))
}

/// The cgroups of a pod and of its container.
fn cgroups(number: u64) -> [(u64, String); 2] {
    let pod = format!("/kubepods/burstable/pod{}", uid(number));
    [
        (2 * number + 1, pod.clone()),
        (2 * number + 2, format!("{pod}/{number:064x}")),
    ]
}

#[test]
fn what_is_kept_of_five_thousand_pods_and_their_churn_is_bounded() {
    let before = memory("VmRSS:");
    let production = Selection {
        namespaces: ["production".to_owned()].into(),
        ..Selection::default()
    };
    let mut attribution = Attribution::in_cluster(Cluster::new(Some(production)));
    let clock = Clock::now();
    let come = |attribution: &mut Attribution, number| {
        for (id, path) in cgroups(number) {
            attribution.appeared(id, path.as_bytes(), clock);
        }
        attribution.pods_changed([applied(number)]);
    };
    (0..PODS).for_each(|number| come(&mut attribution, number));
    let mut rows = 0;
    for minute in 0..MINUTES {
        for number in minute * A_MINUTE..(minute + 1) * A_MINUTE {
            // Whoever has been there for longest goes, and another one comes.
            for (id, _) in cgroups(number) {
                attribution.gone(id);
            }
            attribution.pods_changed([PodChange::Deleted(uid(number))]);
            come(&mut attribution, PODS + number);
        }
        let flushed = attribution.flush(UtcTime::from_nanos(minute * 60_000_000_000));
        rows = flushed.len();
        attribution.take_excluded();
        attribution.take_dead();
    }
    let taken = memory("VmHWM:").saturating_sub(before);
    println!(
        "{PODS} pods, {A_MINUTE} a minute for {MINUTES} minutes: {} KiB",
        taken >> 10
    );
    // Those of the last minute are written once more.
    let seen = PODS + A_MINUTE;
    let written = usize::try_from(seen / 2).unwrap();
    assert_eq!((attribution.len(), rows), (written, written));
    assert!(taken <= MEMORY, "{taken} bytes");
}
