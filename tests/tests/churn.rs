//! Containers by the thousand, each for a moment.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Cgroup, Scratch, counts, profile_start, start, workload};
use serde_json::Value;

const CONTAINERS: usize = 1_000;
/// How many live at a time.
const AT_A_TIME: usize = 4;

#[test]
fn a_thousand_containers_a_minute_that_live_for_less_than_a_second_are_all_attributed() {
    let scratch = Scratch::new();
    let files = scratch.path("files");
    fs::create_dir(&files).unwrap();
    let file = |number: usize| files.join(number.to_string());
    (0..CONTAINERS).for_each(|number| fs::write(file(number), "").unwrap());
    let mut window = start(&mut profile_start(scratch.recording(), &[]));
    window.wait_for("the window", |window| window.stderr().contains("learning "));

    // A container's id has 64 hexadecimal digits. Ours say which process made them.
    let id = |number: usize| format!("{number:08x}{:08x}{}", std::process::id(), "d".repeat(48));
    let next = AtomicUsize::new(0);
    let live = || {
        let mut longest = Duration::ZERO;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= CONTAINERS {
                return longest;
            }
            let born = Instant::now();
            let cgroup = Cgroup::create(&format!("docker/{}", id(number)));
            let mut open = Command::new(workload());
            open.arg("open").arg(file(number)).args(["1", "1"]);
            let done = cgroup.start(&mut open).finish();
            assert_eq!(done.code(), 0, "{done}");
            drop(cgroup);
            longest = longest.max(born.elapsed());
        }
    };
    let started = Instant::now();
    let longest = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(live)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    println!(
        "{CONTAINERS} containers in {:?}, none for longer than {longest:?}",
        started.elapsed()
    );
    window.signal(libc::SIGTERM);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");

    // Those that belong to nobody may be about them; those of others on this machine are not.
    let status = scratch.status();
    let others = |loss: &&Value| {
        let workload = loss["workload"].as_str();
        workload.is_some_and(|name| !name.contains(&id(0)[8..12]))
    };
    let lost: Vec<&Value> = status["losses"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|loss| !others(loss))
        .collect();
    assert!(lost.is_empty(), "{lost:#?}");
    let baselines = end_to_end::baselines(scratch.recording());
    let baselines: BTreeMap<&str, _> = baselines
        .iter()
        .map(|found| (found.image.repository.as_str(), found))
        .collect();
    let program = workload().display().to_string();
    for number in 0..CONTAINERS {
        let image = format!("unresolved/docker/{}", &id(number)[..12]);
        let baseline = baselines.get(image.as_str()).unwrap_or_else(|| panic!("no {image}"));
        assert!(!baseline.containers[0].partial, "{image}");
        let learned = counts(&baseline.behaviours);
        let opens = format!("{program} opens {} (read)", file(number).display());
        assert_eq!(learned.get(&opens), Some(&1), "{image}: {learned:#?}");
        let executions = baseline.behaviours.exec.iter();
        let executions: Vec<_> = executions
            .map(|exec| (exec.binary.to_text(), exec.evidence.count))
            .collect();
        assert_eq!(executions, [(program.clone(), 1)], "{image}");
    }
}
