//! A recording that cannot be written for a while loses nothing; one that cannot be written any more says so.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use end_to_end::{Mount, Running, Scratch, in_own_mounts, profile, profile_run, start, workload};
use rusqlite::Connection;

const WARNING: &str = "warning: cannot ";
const OVER: &str = "is written again";
/// More than fits into what a recording has free within itself.
const FILES: usize = 500;

/// A command in four steps: it opens a file, waits for a file `go-1`, opens many others, waits for `go-2`, ...
fn in_steps(scratch: &Scratch) -> [String; 3] {
    let folder = scratch.path("files");
    fs::create_dir(&folder).unwrap();
    for number in 0..FILES {
        fs::write(folder.join(number.to_string()), "").unwrap();
    }
    let first = scratch.file("first", "");
    let [program, first, folder, directory] =
        [&workload(), &first, &folder, scratch.directory()].map(|path| path.to_str().unwrap().to_owned());
    let wait = |step: u8| format!("until test -e {directory}/go-{step}; do sleep 0.02; done");
    let script = [
        format!("{program} open {first} 10 1; echo started"),
        wait(1),
        format!("{program} open-each {folder} {FILES} 2 1"),
        wait(2),
        format!("{program} open-each {folder} {FILES} 3 1; {program} open {first} 7 1"),
        wait(3),
        "exit 5".to_owned(),
    ];
    ["sh".to_owned(), "-c".to_owned(), script.join("; ")]
}

fn go(scratch: &Scratch, step: u8) {
    scratch.file(&format!("go-{step}"), "");
}

/// What the steps did is what was recorded: no count is missing, and none is there twice.
#[track_caller]
fn recorded_exactly(scratch: &Scratch, recording: &Path) {
    let status = end_to_end::status(recording);
    assert_eq!(status["losses"], serde_json::json!([]), "{status:#}");
    assert_eq!(status["windows"][0]["endReason"], "command exited with 5", "{status:#}");
    let baseline = end_to_end::baselines(recording).remove(0);
    assert_eq!(baseline.uncounted_losses, [] as [String; 0]);
    let counts = end_to_end::counts(&baseline.behaviours);
    let opens = |file: &Path| counts.get(&format!("{} opens {} (read)", workload().display(), file.display()));
    assert_eq!(opens(&scratch.path("first")), Some(&17), "{counts:#?}");
    for entry in fs::read_dir(scratch.path("files")).unwrap() {
        assert_eq!(opens(&entry.unwrap().path()), Some(&5), "{counts:#?}");
    }
}

/// How often a text occurs in what was said so far.
fn said(running: &Running, text: &str) -> usize {
    running.stderr().matches(text).count()
}

/// `profile run` with its recording on a small disk that only it sees, and that is copied to `saved` at its end.
fn on_a_small_disk(scratch: &Scratch, command: &[String]) -> Running {
    let [disk, saved] = ["disk", "saved"].map(|name| scratch.path(name));
    for folder in [&disk, &saved] {
        fs::create_dir(folder).unwrap();
    }
    let run = profile_run(&disk.join("recording.db"), "a", &["--flush-interval", "50ms"], command);
    let script = "\"$0\" \"$@\"; code=$?; cp disk/recording.db* saved; exit $code";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .arg(profile().get_program())
        .args(run.get_args());
    shell.current_dir(scratch.directory());
    in_own_mounts(&mut shell, &[Mount::Tmpfs(&disk, "size=8m")]);
    start(&mut shell)
}

/// Fills the disk of the program to its last page.
fn fill(running: &Running, scratch: &Scratch) -> PathBuf {
    // Its mounts, seen from outside.
    let root = format!("/proc/{}/root", running.id());
    let path = PathBuf::from(root + scratch.path("disk/filler").to_str().unwrap());
    let mut filler = File::create(&path).unwrap();
    let full = loop {
        if let Err(error) = filler.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    path
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_nothing() {
    let scratch = Scratch::new();
    let mut running = on_a_small_disk(&scratch, &in_steps(&scratch));
    running.wait_for("the first step", |running| running.stdout().contains("started"));
    let filler = fill(&running, &scratch);
    go(&scratch, 1);
    running.wait_for("the warning", |running| said(running, WARNING) > 0);
    assert!(running.stderr().contains("the disk is full"), "{}", running.stderr());
    go(&scratch, 2);
    // Some more attempts that fail.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(
        (said(&running, WARNING), said(&running, OVER)),
        (1, 0),
        "{}",
        running.stderr()
    );
    fs::remove_file(filler).unwrap();
    running.wait_for("the end of the trouble", |running| said(running, OVER) > 0);
    go(&scratch, 3);
    let done = running.finish();
    assert_eq!(done.code(), 5, "{done}");
    let times = [WARNING, OVER].map(|text| done.stderr.matches(text).count());
    assert_eq!(times, [1, 1], "{done}");
    recorded_exactly(&scratch, &scratch.path("saved/recording.db"));
}

#[test]
fn a_disk_that_is_full_at_the_end_is_waited_for() {
    let scratch = Scratch::new();
    let mut running = on_a_small_disk(&scratch, &in_steps(&scratch));
    let cgroup = |running: &Running| end_to_end::cgroup_of_run(child_of(running)?);
    // Its cgroup is there before the window is: a window that cannot begin is another matter.
    running.wait_for("the command", |running| {
        running.stdout().contains("started") && cgroup(running).is_some()
    });
    let filler = fill(&running, &scratch);
    (1..=3).for_each(|step| go(&scratch, step));
    running.wait_for("the end of the command", |running| cgroup(running).is_none());
    running.wait_for("the warning", |running| said(running, WARNING) > 0);
    fs::remove_file(filler).unwrap();
    let done = running.finish();
    assert_eq!(done.code(), 5, "{done}");
    recorded_exactly(&scratch, &scratch.path("saved/recording.db"));
}

/// The only child of a shell.
fn child_of(running: &Running) -> Option<u32> {
    let id = running.id();
    fs::read_to_string(format!("/proc/{id}/task/{id}/children"))
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[test]
fn a_recording_that_another_program_has_locked_for_a_while_loses_nothing() {
    let scratch = Scratch::new();
    let command = in_steps(&scratch);
    let options = ["--flush-interval", "50ms"];
    let mut running = start(&mut profile_run(scratch.recording(), "a", &options, &command));
    let database = |path: &Path| Connection::open(path);
    running.wait_for("a flush", |_| {
        database(scratch.recording())
            .and_then(|database| database.query_row("SELECT count(*) > 10 FROM observation", [], |row| row.get(0)))
            .unwrap_or(false)
    });
    let other = database(scratch.recording()).unwrap();
    // Waits for the recorder's own lock, which is held for moments.
    other.busy_timeout(Duration::from_mins(1)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    go(&scratch, 1);
    running.wait_for("the warning", |running| said(running, WARNING) > 0);
    go(&scratch, 2);
    other.execute_batch("ROLLBACK").unwrap();
    running.wait_for("the end of the trouble", |running| said(running, OVER) > 0);
    drop(other);
    go(&scratch, 3);
    let done = running.finish();
    assert_eq!(done.code(), 5, "{done}");
    recorded_exactly(&scratch, scratch.recording());
}
