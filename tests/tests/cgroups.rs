//! Cgroups that nobody heard of, and more of them than usual.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use baselines::loss::Reason;
use baselines::recording::{ContainerSummary, Recording};

use end_to_end::{Cgroup, Running, Scratch, finish, profile_run, profile_start, start, unified, unique, workload};

/// What is known so far of the cgroups whose names begin like this.
fn containers(recording: &Path, name: &str) -> Vec<ContainerSummary> {
    let summary = Recording::open(recording).and_then(|recording| recording.summary());
    let containers = summary.map(|summary| summary.containers).unwrap_or_default();
    let is_named = |seen: &ContainerSummary| seen.container.workload.name.starts_with(name);
    containers.into_iter().filter(is_named).collect()
}

fn revision(recording: &Path) -> u64 {
    let summary = Recording::open(recording).and_then(|recording| recording.summary());
    summary.map(|summary| summary.sources[0].revision).unwrap_or_default()
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

/// As in a pod: its container runtime gives it a cgroup namespace, and its volumes show the machine's own mount.
#[test]
fn in_a_cgroup_namespace_workloads_have_the_same_names() {
    let scratch = Scratch::new();
    let (own, name) = (Cgroup::create(&unique("own")), unique("seen"));
    let before = Cgroup::create(&format!("{name}-before"));
    let _inhabitant = before.inhabit();
    let direct = profile_start(scratch.recording(), &[]);
    let mut recorder = Command::new("unshare");
    recorder.env("WARDLINE_HIERARCHY", "unified").arg("--cgroup");
    let mut recorder = own.start(recorder.arg(direct.get_program()).args(direct.get_args()));
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));
    let during = Cgroup::create(&format!("{name}-during"));
    let _inhabitant = during.inhabit();
    recorder.wait_for("both workloads", |_| containers(scratch.recording(), &name).len() == 2);
    recorder.signal(libc::SIGINT);
    let done = recorder.finish();
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(containers(scratch.recording(), &name).len(), 2);
    // What the recorder does itself is recorded nowhere.
    let itself = own.path().trim_start_matches('/');
    assert!(containers(scratch.recording(), itself).is_empty());
}

/// How many losses a recording has because the table of cgroups was full.
fn lost(recording: &Path) -> u64 {
    let losses = Recording::open(recording).unwrap().summary().unwrap().losses;
    let full = losses.iter().filter(|loss| loss.reason == Reason::CgroupTableFull);
    full.map(|loss| loss.count).sum()
}

/// How many cgroups there are below this one, and with it.
fn count(directory: &Path) -> usize {
    let children = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let folders = children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    1 + folders.map(|entry| count(&entry.path())).sum::<usize>()
}

#[test]
fn what_happens_in_cgroups_beyond_the_table_is_a_loss() {
    const OPENS: u64 = 50;
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let _there = Cgroup::create(&unique("there"));
    let refused = finish(&mut profile_start(scratch.recording(), &["--cgroups-max", "1"]));
    assert_eq!(refused.code(), 2, "{refused}");
    assert!(refused.stderr.contains("leaves room for 1"), "{refused}");

    // Other tests make cgroups, too, so that there are more than enough to fill it.
    let room = (count(&unified()) + 20).to_string();
    let mut recorder = start(&mut profile_start(scratch.recording(), &["--cgroups-max", &room]));
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));
    let name = unique("many");
    let _others: Vec<Cgroup> = (0..200)
        .map(|number| Cgroup::create(&format!("{name}-{number}")))
        .collect();
    let last = Cgroup::create(&format!("{name}-last"));
    let mut opens = Command::new(workload());
    opens.args(["open", file.to_str().unwrap(), &OPENS.to_string(), "1"]);
    let done = last.start(&mut opens).finish();
    assert_eq!(done.code(), 0, "{done}");
    recorder.signal(libc::SIGINT);
    let ended = recorder.finish();
    assert_eq!(ended.code(), 0, "{ended}");
    // Each that did not fit, and each open in the last one.
    let number = lost(scratch.recording());
    assert!(number >= 100 + OPENS, "{number}");
}

#[test]
fn cgroups_of_a_command_beyond_the_table_are_a_loss() {
    let scratch = Scratch::new();
    // The command makes cgroups below its own, as a container manager does.
    let script = format!(
        "own={}$(sed -n 's/^0:://p' /proc/self/cgroup); for number in 1 2 3 4 5; do mkdir $own/$number; done; \
         rmdir $own/*/",
        unified().display()
    );
    let recorded = |options: &[&str], name: &str| {
        let recording = scratch.path(name);
        let done = finish(&mut profile_run(&recording, "a", options, ["sh", "-c", &script]));
        assert_eq!(done.code(), 0, "{done}");
        lost(&recording)
    };
    assert_eq!(recorded(&[], "enough.db"), 0);
    let number = recorded(&["--cgroups-max", "2"], "small.db");
    assert!(number >= 4, "{number}");
}
