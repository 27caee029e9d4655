//! A file system that never answers keeps neither a window nor the profiler from ending.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Scratch, in_own_mounts, profile, profile_run, start};
use serde_json::Value;

/// Far more than what it takes, and less than the minute after which the file system ends by itself.
const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn a_workload_whose_file_system_does_not_answer_holds_up_neither_its_window_nor_us() {
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
    let done = start(&mut command).finish_within(PATIENCE);
    assert_eq!(done.code(), 0, "{done}");
    assert_window(&scratch, &program);

    // It ended although the look-up still hangs, which the kernel lets go of when the file system does.
    let hanging: u32 = done
        .stdout
        .trim()
        .strip_prefix("no answer to ")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(state(hanging).as_deref(), Some("D (disk sleep)"), "{done}");
    fs::write(release, "").unwrap();
    let released = Instant::now();
    while state(hanging).is_some_and(|state| state != "Z (zombie)") {
        assert!(released.elapsed() < PATIENCE, "{hanging} is left behind for ever");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The window has ended, and what could not be looked at is a loss.
fn assert_window(scratch: &Scratch, program: &Path) {
    let status = scratch.status();
    assert_eq!(status["windows"][0]["endReason"], "command exited with 0", "{status:#}");
    let losses: Vec<(&Value, &Value)> = status["losses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|loss| (&loss["reason"], &loss["count"]))
        .collect();
    assert_eq!(losses, [(&"unresolved_path".into(), &2.into())], "{status:#}");
    let learned = scratch.learned("test/hanging");
    let executed = learned
        .iter()
        .find(|(behaviour, _)| behaviour.contains(&format!("executes {}", program.display())));
    assert!(executed.is_some_and(|(_, count)| *count == 2), "{learned:#?}");
}

/// What a process is doing, while it is there.
fn state(process: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let state = status.lines().find_map(|line| line.strip_prefix("State:\t"));
    state.map(str::to_owned)
}
