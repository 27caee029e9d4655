//! Cgroups that nobody heard of, and more of them than usual.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::path::Path;

use baselines::recording::{ContainerSummary, Recording};
use end_to_end::{Cgroup, Running, Scratch, profile_start, start, unique};

/// What is known so far of the cgroups whose names begin like this.
fn containers(recording: &Path, name: &str) -> Vec<ContainerSummary> {
    let summary = Recording::open(recording).and_then(|recording| recording.summary());
    let containers = summary.map(|summary| summary.containers).unwrap_or_default();
    let is_named = |seen: &ContainerSummary| seen.container.workload.name.starts_with(name);
    containers.into_iter().filter(is_named).collect()
}

fn revision(recording: &Path) -> u64 {
    let summary = Recording::open(recording).and_then(|recording| recording.summary());
    summary.map(|summary| summary.revision).unwrap_or_default()
}

/// Does something while a recorder cannot read its ring buffer, which has room for three messages.
fn unheard<T>(recorder: &Running, act: impl FnOnce() -> T) -> T {
    recorder.signal(libc::SIGSTOP);
    let done = act();
    recorder.signal(libc::SIGCONT);
    done
}

#[test]
fn cgroups_that_come_and_go_unannounced_are_found() {
    const CGROUPS: usize = 20;
    let scratch = Scratch::new();
    let elsewhere = Cgroup::create(&unique("elsewhere"));
    let _inhabitant = elsewhere.inhabit();
    let options = ["--ring", "16", "--flush-interval", "100ms"];
    let mut recorder = profile_start(scratch.recording(), &options);
    let mut recorder = start(recorder.env("WARDLINE_LOG", "debug"));
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));

    // Nothing ever happens in them that would tell of them.
    let name = unique("unannounced");
    let cgroups: Vec<Cgroup> = unheard(&recorder, || {
        (0..CGROUPS)
            .map(|number| Cgroup::create(&format!("{name}-{number}")))
            .collect()
    });
    recorder.wait_for("their discovery", |_| {
        containers(scratch.recording(), &name).len() == CGROUPS
    });
    let looks = |recorder: &Running| recorder.stderr().matches("came or went unannounced").count();
    assert!(looks(&recorder) > 0, "{}", recorder.stderr());

    unheard(&recorder, || drop(cgroups));
    let removed = revision(scratch.recording());
    recorder.wait_for("some flushes", |_| revision(scratch.recording()) > removed + 10);
    let after = unique("after");
    let _later = Cgroup::create(&after);
    recorder.wait_for("a later cgroup", |_| {
        !containers(scratch.recording(), &after).is_empty()
    });
    recorder.signal(libc::SIGINT);
    let done = recorder.finish();
    assert_eq!(done.code(), 0, "{done}");

    let later = containers(scratch.recording(), &after).remove(0).container.started;
    let gone = containers(scratch.recording(), &name);
    assert_eq!(gone.len(), CGROUPS);
    for seen in gone {
        assert!(seen.container.alive_until < later, "{seen:#?} lives at {later}");
    }
}
