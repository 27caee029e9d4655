//! Which cgroup hierarchy `profile start` follows, and what it says of the others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;

use end_to_end::{
    Cgroup, Finished, Scratch, cgroup_of_run, finish, profile_run, profile_start, start, steps, unique, workload,
};

/// Learns the machine for a moment.
fn learned(scratch: &Scratch, hierarchy: Option<&str>) -> Finished {
    let mut window = profile_start(scratch.recording(), &["--for", "300ms"]);
    match hierarchy {
        Some(hierarchy) => window.env("WARDLINE_HIERARCHY", hierarchy),
        None => window.env_remove("WARDLINE_HIERARCHY"),
    };
    finish(&mut window)
}

/// The v1 hierarchies of this machine that can be followed.
fn v1() -> Vec<String> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let controllers = own.lines().filter_map(|line| line.split(':').nth(1));
    let known = ["memory", "pids", "devices", "cpu", "cpuacct", "freezer", "blkio"];
    let controllers = controllers.flat_map(|list| list.split(','));
    controllers
        .filter(|controller| known.contains(controller))
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_a_run_learns_is_not_learned_as_the_machines_too() {
    let [of_run, of_machine] = [Scratch::new(), Scratch::new()];
    let file = of_run.file("file", "");
    let opens = format!("open {} 10 1", file.display());
    let waiting = steps(["signalled 15 0"]);
    let mut run = start(&mut profile_run(of_run.recording(), "test/own", &[], waiting));
    run.wait_for("the command", |run| run.stdout().contains("waiting"));
    let cgroup = cgroup_of_run(run.id()).unwrap();
    let mut window = start(&mut profile_start(of_machine.recording(), &[]));
    window.wait_for("the window", |window| window.stderr().contains("learning "));
    run.signal(libc::SIGTERM);
    let done = run.finish();
    assert_eq!(done.code(), 0, "{done}");
    // Another one comes while the window is open.
    let later = profile_run(of_run.recording(), "test/own", &[], steps([&opens])).output();
    assert!(later.unwrap().status.success());
    window.signal(libc::SIGINT);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");

    let opens = format!("{} opens {} (read)", workload().display(), file.display());
    assert!(of_run.learned("test/own").contains_key(&opens));
    let status = of_machine.status().to_string();
    let name = cgroup.file_name().unwrap().to_str().unwrap();
    assert!(!status.contains(name) && !status.contains("wardline-run-"), "{status}");
}

#[test]
fn a_window_says_which_hierarchy_it_follows() {
    let scratch = Scratch::new();
    for hierarchy in v1().iter().map(String::as_str).chain(["unified"]) {
        let done = learned(&scratch, Some(hierarchy));
        assert_eq!(done.code(), 0, "{done}");
        assert!(
            done.stderr.contains(&format!("the {hierarchy} cgroup hierarchy")),
            "{done}"
        );
        let status = scratch.status();
        let window = status["windows"].as_array().unwrap().last().unwrap();
        let selector = window["selector"].to_string();
        assert!(
            selector.contains(&format!("host ({hierarchy} cgroup hierarchy")),
            "{window:#}"
        );
    }
}

#[test]
fn workloads_that_another_hierarchy_has_are_counted() {
    let v1 = v1();
    let Some(other) = v1.first() else {
        eprintln!("skipped: this machine has the unified hierarchy only");
        return;
    };
    let scratch = Scratch::new();
    let cgroup = Cgroup::create(&unique("unseen"));
    let _sleeping = cgroup.inhabit();
    let done = learned(&scratch, Some(other));
    assert_eq!(done.code(), 0, "{done}");
    assert!(done.stderr.contains("processes of workloads are not seen"), "{done}");
    assert!(done.stderr.contains("unified"), "{done}");
    let selector = scratch.status()["windows"][0]["selector"].to_string();
    assert!(selector.contains("processes not in it"), "{selector}");
}

#[test]
fn a_few_processes_elsewhere_do_not_hide_all_others() {
    let [scratch, of_run] = [Scratch::new(), Scratch::new()];
    let before = learned(&scratch, None);
    let mut run = start(&mut profile_run(
        of_run.recording(),
        "a",
        &[],
        steps(["signalled 15 0"]),
    ));
    run.wait_for("the command", |run| run.stdout().contains("waiting"));
    let during = learned(&scratch, None);
    run.signal(libc::SIGTERM);
    run.finish();
    assert_eq!((before.code(), during.code()), (0, 0), "{before} {during}");
    let followed = |done: &Finished| {
        let (_, after) = done.stderr.split_once("told apart by the ").unwrap();
        after.split(' ').next().unwrap().to_owned()
    };
    assert_eq!(followed(&before), followed(&during));
}

#[test]
fn a_hierarchy_that_is_not_there_is_refused() {
    let scratch = Scratch::new();
    let mut cases = vec![("nonsense".to_owned(), 2)];
    let missing = ["memory", "pids", "freezer"].map(str::to_owned);
    let mounted = v1();
    cases.extend(
        missing
            .into_iter()
            .filter(|name| !mounted.contains(name))
            .map(|name| (name, 1)),
    );
    for (hierarchy, code) in cases {
        let done = learned(&scratch, Some(&hierarchy));
        assert_eq!((done.code(), done.stderr.contains(&hierarchy)), (code, true), "{done}");
        assert!(!scratch.recording().exists(), "{hierarchy}");
    }
}
