//! A file system that never answers keeps no window from ending.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use end_to_end::{Scratch, in_own_mounts, profile, profile_run, start};

#[test]
fn a_workload_whose_file_system_does_not_answer_does_not_hold_up_its_window() {
    let scratch = Scratch::new();
    let script = scratch.file("hanging.py", include_str!("hanging.py"));
    let folder = scratch.path("hanging");
    fs::create_dir(&folder).unwrap();
    let program = folder.join("program");
    let twice = format!("{0}; {0}", program.display());
    let release = scratch.path("release");
    let run = profile_run(scratch.recording(), "test/hanging", &[], ["sh", "-c", &twice]);
    let mut command = Command::new("python3");
    command
        .arg("-S")
        .arg(script)
        .arg(&folder)
        .arg("/bin/true")
        .arg(&release);
    command.arg(profile().get_program()).args(run.get_args());
    in_own_mounts(&mut command, &[]);
    let mut running = start(&mut command);
    // While the look-up still hangs.
    running.wait_for("the end of the window", |running| {
        running.stderr().contains("learned: ")
    });
    assert!(
        running.stdout().contains("no answer to"),
        "nothing hung: {}",
        running.stdout()
    );
    assert_window(&scratch, &program);
    // The kernel lets no process go that waits for an answer of a file system.
    fs::write(release, "").unwrap();
    let done = running.finish();
    assert_eq!(done.code(), 0, "{done}");
}

/// The window has ended, and what could not be looked at is a loss.
fn assert_window(scratch: &Scratch, program: &Path) {
    let status = scratch.status();
    assert_eq!(status["windows"][0]["endReason"], "command exited with 0", "{status:#}");
    let losses = status["losses"].as_array().unwrap();
    let unresolved = losses.iter().find(|loss| loss["reason"] == "unresolved_path");
    assert!(unresolved.is_some_and(|loss| loss["count"] == 2), "{status:#}");
    let learned = scratch.learned("test/hanging");
    let executed = learned
        .iter()
        .find(|(behaviour, _)| behaviour.contains(&format!("executes {}", program.display())));
    assert!(executed.is_some_and(|(_, count)| *count == 2), "{learned:#?}");
}
