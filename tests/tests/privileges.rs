//! What `profile` may do while it records, what its command may do, and who may read what it writes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use end_to_end::{Cgroup, Running, Scratch, finish, profile_run, profile_start, start, steps, unique, workload};

/// Capabilities by their numbers (include/uapi/linux/capability.h).
const KILL: u64 = 1 << 5;
const OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const SYS_PTRACE: u64 = 1 << 19;
const BPF: u64 = 1 << 39;
const LOOK_UP: u64 = DAC_READ_SEARCH | SYS_PTRACE;

/// The capability sets of a thread or process, and whether it has given up new privileges.
fn privileges(status: &str) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(status).unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(":\t"));
    let fields = fields.filter(|(name, _)| name.starts_with("Cap") || *name == "NoNewPrivs");
    fields
        .map(|(name, value)| (name.to_owned(), u64::from_str_radix(value, 16).unwrap()))
        .collect()
}

/// The privileges of each thread of a process.
fn of_threads(process: u32) -> Vec<BTreeMap<String, u64>> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads
        .map(|thread| privileges(thread.unwrap().path().join("status").to_str().unwrap()))
        .collect()
}

/// What whoever may only do this, and never more, looks like.
fn only(capabilities: u64) -> BTreeMap<String, u64> {
    let sets = [
        ("CapInh", 0),
        ("CapPrm", capabilities),
        ("CapEff", capabilities),
        ("CapBnd", capabilities),
        ("CapAmb", 0),
        ("NoNewPrivs", 1),
    ];
    sets.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The processes that look things up for a profiler.
fn look_ups(profiler: u32) -> Vec<u32> {
    let children = fs::read_dir(format!("/proc/{profiler}/task"))
        .unwrap()
        .flat_map(|thread| {
            let children = fs::read_to_string(thread.unwrap().path().join("children")).unwrap();
            children
                .split_whitespace()
                .map(|child| child.parse().unwrap())
                .collect::<Vec<u32>>()
        });
    let is_look_up = |child: &u32| {
        let words = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(b"look-up")
    };
    children.filter(is_look_up).collect()
}

/// Waits until each of its threads was there, and one that looks something up.
fn settled(recorder: &mut Running) {
    recorder.wait_for("a look-up and a flush", |recorder| {
        of_threads(recorder.id()).len() >= 6 && !look_ups(recorder.id()).is_empty()
    });
}

#[test]
fn what_recording_does_not_take_is_given_up_by_every_thread() {
    let scratch = Scratch::new();
    let cgroup = Cgroup::create(&unique("privileges"));
    let options = ["--flush-interval", "50ms"];
    let mut window = cgroup.start(&mut profile_start(scratch.recording(), &options));
    window.wait_for("the window", |window| window.stderr().contains("learning "));
    let other = Cgroup::create(&unique("noise"));
    assert_eq!(
        other
            .start(Command::new(workload()).args(["exit", "0"]))
            .finish()
            .code(),
        0
    );
    settled(&mut window);
    for thread in of_threads(window.id()) {
        assert_eq!(thread, only(BPF | LOOK_UP));
    }
    for process in look_ups(window.id()) {
        for thread in of_threads(process) {
            let bounding = BTreeMap::from([("CapBnd".to_owned(), thread["CapBnd"])]);
            let expected: BTreeMap<String, u64> = only(LOOK_UP).into_iter().chain(bounding).collect();
            assert_eq!(thread, expected);
            assert_eq!(thread["CapBnd"], BPF | LOOK_UP, "it may not change what it cannot have");
        }
    }
    window.signal(libc::SIGINT);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");
}

#[test]
fn a_command_may_do_what_profile_was_allowed_to() {
    let scratch = Scratch::new();
    let cgroup = Cgroup::create(&unique("privileges"));
    let options = ["--flush-interval", "50ms"];
    let command = steps(["signalled 15 0"]);
    let mut run = cgroup.start(&mut profile_run(scratch.recording(), "a", &options, command));
    run.wait_for("the command", |run| run.stdout().contains("waiting"));
    settled(&mut run);
    for thread in of_threads(run.id()) {
        assert_eq!(thread, only(BPF | LOOK_UP | KILL | OVERRIDE));
    }
    let processes = fs::read_to_string(run.cgroup().unwrap().join("cgroup.procs")).unwrap();
    let command: u32 = processes.trim().parse().unwrap();
    let ours = privileges("/proc/self/status");
    assert_eq!(of_threads(command), [ours]);
    let limit = |process: &str| {
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        limits
            .lines()
            .find(|line| line.starts_with("Max locked memory"))
            .unwrap()
            .to_owned()
    };
    assert_eq!(limit(&command.to_string()), limit("self"));
    run.signal(libc::SIGTERM);
    let done = run.finish();
    assert_eq!(done.code(), 0, "{done}");
}

#[test]
fn a_command_that_became_somebody_else_is_signalled_and_its_cgroup_removed() {
    let scratch = Scratch::new();
    let cgroup = Cgroup::create(&unique("privileges"));
    let command = steps(["become 65534", "signalled 15 3"]);
    let mut run = cgroup.start(&mut profile_run(scratch.recording(), "a", &[], command));
    run.wait_for("the command", |run| run.stdout().contains("waiting"));
    run.signal(libc::SIGTERM);
    let id = run.id();
    let done = run.finish();
    assert_eq!(done.code(), 3, "{done}");
    assert_eq!(end_to_end::cgroup_of_run(id), None);
}

#[test]
fn a_set_user_id_program_in_a_command_works() {
    let scratch = Scratch::new();
    let program = scratch.path("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(scratch.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    let command = ["setpriv", "--reuid", "65534", "--", program.to_str().unwrap(), "-u"];
    let direct = finish(Command::new(command[0]).args(&command[1..]));
    assert_eq!(
        direct.stdout, "0\n",
        "is the folder for temporary files mounted nosuid? {direct}"
    );
    let done = finish(&mut profile_run(scratch.recording(), "a", &[], command));
    assert_eq!((done.code(), done.stdout.as_str()), (0, "0\n"), "{done}");
}

#[test]
fn a_recording_in_somebody_elses_folder_is_written() {
    let scratch = Scratch::new();
    std::os::unix::fs::chown(scratch.directory(), Some(65534), Some(65534)).unwrap();
    fs::set_permissions(scratch.directory(), fs::Permissions::from_mode(0o700)).unwrap();
    let done = finish(&mut profile_run(scratch.recording(), "a", &[], ["true"]));
    assert_eq!(done.code(), 0, "{done}");
    assert!(scratch.status()["behaviours"].as_u64().unwrap() > 0);
    let files = fs::read_dir(scratch.directory()).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["recording.db", "recording.db-lock"], "nothing is left behind");
}

#[test]
fn what_is_recorded_is_private_whatever_the_umask() {
    for mask in [0o000, 0o022, 0o777] {
        let scratch = Scratch::new();
        let command = steps(["signalled 15 0"]);
        let mut run = profile_run(scratch.recording(), "a", &["--flush-interval", "20ms"], command);
        // SAFETY: between fork and exec, one umask(2), which cannot fail.
        unsafe {
            run.pre_exec(move || {
                libc::umask(mask);
                Ok(())
            })
        };
        let mut run = start(&mut run);
        run.wait_for("the command", |run| run.stdout().contains("waiting"));
        let modes: BTreeMap<String, u32> = ["", "-wal", "-shm", "-lock"]
            .into_iter()
            .map(|suffix| {
                let file = format!("{}{suffix}", scratch.recording().display());
                (
                    suffix.to_owned(),
                    fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
                )
            })
            .collect();
        assert!(modes.values().all(|mode| *mode == 0o600), "umask {mask:03o}: {modes:?}");
        run.signal(libc::SIGTERM);
        let done = run.finish();
        assert_eq!(done.code(), 0, "{done}");
    }
}
