//! Executions: what runs, who called it, and what the kernel opens for it without being asked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_raw_string_hashes,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

#[path = "../guest/story.rs"]
#[allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]
mod story;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use baselines::document::Exec;
use baselines::path::Origin;
use end_to_end::{Cgroup, Scratch, counts, profile_start, start, unique};

use story::{PYTHON, Story, assemble, seen};

/// How often what was executed by whom, in short: Python is `python`.
fn executions(story: &Story) -> BTreeMap<String, u64> {
    let executions = story.baseline.behaviours.exec.iter();
    executions
        .map(|exec| (execution(story, exec), exec.evidence.count))
        .collect()
}

fn execution(story: &Story, exec: &Exec) -> String {
    let python = fs::canonicalize(PYTHON).unwrap().display().to_string();
    let short = |path| story.short(path).replace(&python, "python");
    let (parent, binary) = (short(&exec.parent), short(&exec.binary));
    match &exec.script {
        None => format!("{parent} executes {binary}"),
        Some(script) => format!("{parent} executes {} with {binary}", short(script)),
    }
}

/// Without those of the profiler, which executes the workload.
fn own(story: &Story) -> BTreeMap<String, u64> {
    executions(story)
        .into_iter()
        .filter(|(execution, _)| !execution.contains("/profile executes "))
        .collect()
}

#[test]
fn a_program_without_a_loader_opens_nothing_but_itself() {
    let scratch = Scratch::new();
    let source = ".globl _start\n_start: mov $60, %eax\n mov $0, %edi\n syscall\n";
    assemble(&scratch, "alone", ["--64", "-melf_x86_64"], source);
    let story = Story::with(scratch, r#"run("./alone")"#);
    assert_eq!(own(&story), seen([("python executes @/alone", 1)]));
    assert_eq!(story.opens(|open| open.contains("/ld-")), seen([("@/alone (read)", 1)]));
    story.assert_nothing_is_lost();
}

#[test]
fn scripts_are_recorded_with_their_interpreters_and_everything_that_is_opened_for_them() {
    let story = Story::of(
        r##"
os.makedirs("scripts/sub")
def script(path, text):
    write(path, text)
    os.chmod(path, 0o755)
script("scripts/plain", "#!/bin/sh\n")
script("scripts/relative", "#!scripts/plain\n")
script("scripts/sub/inner", "#!" + HERE + "/scripts/plain\n")
script("scripts/outer", "#!" + HERE + "/scripts/sub/inner argument\n")
script("scripts/env", "#!/usr/bin/env sh\n")
os.symlink("plain", "scripts/link")
run(HERE + "/scripts/plain")
run("scripts/plain")
run("scripts/link")
run("scripts/../scripts/./plain")
os.chdir("scripts/sub")
run("../plain")
os.chdir(HERE)
run("scripts/relative")
run("scripts/outer")
run("scripts/env")
"##,
    );
    assert_eq!(
        own(&story),
        seen([
            ("python executes @/scripts/plain with /usr/bin/dash", 7),
            ("python executes @/scripts/relative with /usr/bin/dash", 1),
            ("python executes @/scripts/outer with /usr/bin/dash", 1),
            ("python executes @/scripts/sub/inner with /usr/bin/dash", 1),
            ("python executes @/scripts/env with /usr/bin/env", 1),
            ("/usr/bin/env executes /usr/bin/dash", 1),
        ])
    );
    // Python's own opens: those that its children's executions make before they are somebody else.
    let opens = story.opens(|open| open.contains("/dash ") || open.contains("/env ") || open.contains("/ld-linux"));
    let loader = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 (read)";
    assert_eq!(
        opens,
        seen([
            ("@/scripts/plain (write,create)", 1),
            ("@/scripts/relative (write,create)", 1),
            ("@/scripts/outer (write,create)", 1),
            ("@/scripts/sub/inner (write,create)", 1),
            ("@/scripts/env (write,create)", 1),
            ("@/scripts/plain (read)", 7),
            ("@/scripts/relative (read)", 1),
            ("@/scripts/outer (read)", 1),
            ("@/scripts/sub/inner (read)", 1),
            ("@/scripts/env (read)", 1),
            ("/usr/bin/dash (read)", 7),
            ("/usr/bin/env (read)", 1),
            (loader, 8),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn files_are_executed_by_descriptor_without_a_name_and_by_another_name() {
    let story = Story::of(
        r##"
import time
def program(path):
    write(path, "")
    descriptor = opened(path, os.O_WRONLY)
    os.write(descriptor, CAT)
    os.close(descriptor)
# What has no name is looked at through the process that runs it, so that one has to be there for a moment.
def lives(execute):
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.dup2(reading, 0)
            execute()
        finally:
            os._exit(99)
    time.sleep(0.7)
    os.close(writing)
    os.close(reading)
    assert ended(process) == 0
CAT = read("/usr/bin/cat")
program("program")
os.symlink("program", "link")
lives(lambda: os.execv("./link", ["link"]))
descriptor = opened("program")
lives(lambda: execute_descriptor(descriptor))
folder = opened(".", os.O_PATH | os.O_DIRECTORY)
lives(lambda: execute_descriptor(folder, "program"))
program("removed")
descriptor = opened("removed")
os.unlink("removed")
lives(lambda: execute_descriptor(descriptor))
memory = os.memfd_create("code")
os.write(memory, CAT)
lives(lambda: execute_descriptor(memory))
lives(lambda: os.execv("/proc/self/fd/%d" % memory, ["code"]))
"##,
    );
    assert_eq!(
        own(&story),
        seen([
            ("python executes @/program", 3),
            ("python executes deleted:@/removed (deleted)", 1),
            ("python executes memfd:memfd:code", 2),
        ])
    );
    let loader = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 (read)";
    assert_eq!(
        story.opens(|open| open.contains("/ld-linux") || open.starts_with("memfd:") || open.starts_with("deleted:")),
        seen([
            ("@/program (write,create)", 1),
            ("@/program (write)", 1),
            ("@/program (read)", 1 + 3),
            ("@/removed (write,create)", 1),
            ("@/removed (write)", 1),
            ("@/removed (read)", 1),
            ("deleted:@/removed (deleted) (read)", 1),
            ("memfd:memfd:code (read)", 2),
            (loader, 6),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn a_script_that_cannot_be_found_again_is_known_by_its_name_and_counted_as_a_loss() {
    let story = Story::of(
        r##"
write("script", "#!/bin/sh\n")
descriptor = opened("script")
os.set_inheritable(descriptor, True)
assert in_child(lambda: execute_descriptor(descriptor)) == 0
write("name", "/dev/fd/%d" % descriptor)
"##,
    );
    let name = fs::read_to_string(story.scratch.path("name")).unwrap();
    let executed = format!("python executes as_called:{name} with /usr/bin/dash");
    assert_eq!(own(&story), seen([(&executed, 1)]));
    let losses = &story.scratch.status()["losses"];
    assert_eq!(losses.as_array().unwrap().len(), 1, "{losses:#}");
    assert_eq!(
        (&losses[0]["reason"], &losses[0]["count"]),
        (&"unresolved_path".into(), &1.into()),
        "{losses:#}"
    );
}

#[test]
fn scripts_are_found_after_their_processes_have_ended() {
    let story = Story::of(
        r##"
for number in range(200):
    write("kept%d" % number, "#!/bin/true\n")
    run("./kept%d" % number)
for number in range(200):
    write("removed%d" % number, "#!/bin/true\n")
    run("./removed%d" % number)
    os.unlink("removed%d" % number)
"##,
    );
    let execs = &story.baseline.behaviours.exec;
    let scripts = |name: &str| -> Vec<&Exec> {
        let is_it = |exec: &&Exec| {
            exec.script
                .as_ref()
                .is_some_and(|script| script.to_text().contains(name))
        };
        execs.iter().filter(is_it).collect()
    };
    let is_found = |exec: &&&Exec| exec.script.as_ref().unwrap().origin() == Origin::Canonical;
    let (kept, removed) = (scripts("kept"), scripts("removed"));
    assert_eq!(kept.iter().filter(is_found).count(), 200, "{kept:?}");
    // These may be gone before anybody looks: then it is said.
    assert_eq!(removed.len(), 200, "{removed:?}");
    let gone = removed.len() - removed.iter().filter(is_found).count();
    let losses = story.scratch.status()["losses"].as_array().unwrap().clone();
    let lost: u64 = losses.iter().map(|loss| loss["count"].as_u64().unwrap()).sum();
    assert_eq!(lost, gone as u64, "{losses:?}");
    assert!(
        losses.iter().all(|loss| loss["reason"] == "unresolved_path"),
        "{losses:?}"
    );
}

#[test]
fn the_parent_is_the_image_that_called_whatever_way_it_made_its_child() {
    let story = Story::of(
        r##"
import subprocess
run("/usr/bin/true")  # posix_spawn(3), which is vfork(2) underneath
assert subprocess.call(["/usr/bin/true"]) == 0  # its own vfork(2)
assert in_child(lambda: os.execv("/usr/bin/true", ["true"])) == 0  # fork(2)
run("/bin/sh", "-c", "/usr/bin/true; exec /usr/bin/env /usr/bin/true")
"##,
    );
    assert_eq!(
        own(&story),
        seen([
            ("python executes /usr/bin/true", 3),
            ("python executes /usr/bin/dash", 1),
            ("/usr/bin/dash executes /usr/bin/true", 1),
            ("/usr/bin/dash executes /usr/bin/env", 1),
            ("/usr/bin/env executes /usr/bin/true", 1),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn the_image_of_a_process_that_ran_before_the_window_is_known() {
    let scratch = Scratch::new();
    let unit = format!("{}.service", unique("before"));
    let cgroup = Cgroup::create(&format!("system.slice/{unit}"));
    let go = scratch.path("go");
    let mut shell = Command::new("/bin/sh");
    shell
        .args([
            "-c",
            "until [ -e \"$0\" ]; do /bin/sleep 0.1; done; /usr/bin/true; exec /usr/bin/env",
        ])
        .arg(&go);
    let shell = cgroup.start(&mut shell);

    let mut window = start(&mut profile_start(scratch.recording(), &[]));
    window.wait_for("the window", |window| {
        window.stderr().contains("Ctrl-C ends the window")
    });
    fs::write(&go, "").unwrap();
    let done = shell.finish();
    assert_eq!(done.code(), 0, "{done}");
    window.signal(libc::SIGINT);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");

    let baseline = scratch.baseline(&format!("host/{unit}"));
    assert!(baseline.containers[0].partial, "{baseline:?}");
    let learned = counts(&baseline.behaviours);
    for execution in [
        "/usr/bin/dash executes /usr/bin/true",
        "/usr/bin/dash executes /usr/bin/env",
    ] {
        assert_eq!(learned.get(execution), Some(&1), "{learned:#?}");
    }
    // `sleep` was caught before, between or after.
    let unknown: Vec<&String> = learned.keys().filter(|behaviour| behaviour.starts_with(' ')).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_process_that_is_born_in_a_cgroup_below_its_containers_belongs_to_the_container() {
    let story = Story::of(
        r#"
create("file")
below = own_cgroup() + "/below"
os.mkdir(below)
def child():
    touch("file", times=3)
    os._exit(0)
assert born_in(below, child) == 0
os.rmdir(below)
"#,
    );
    assert_eq!(
        story.opens(|_| false).get("@/file (read)"),
        Some(&3),
        "{:#?}",
        story.baseline.not_learned
    );
    story.assert_nothing_is_lost();
}
