//! A recorder that is killed in the middle of heavy work loses what it had not flushed, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use baselines::recording::{EndReason, Recording, Summary};
use baselines::time::UtcTime;
use end_to_end::{Cgroup, Running, Scratch, finish, profile_run, profile_start, start, unique, workload};
use rusqlite::Connection;

/// How often the recorders flush.
const INTERVAL: Duration = Duration::from_millis(200);
const OPTIONS: [&str; 2] = ["--flush-interval", "200ms"];
/// What else may lie between the last flush and the end: reading, writing, and the patience of a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// A workload that opens a file as often as it can, and counts by itself how often.
struct Noise {
    file: String,
    counter: String,
}

impl Noise {
    fn new(scratch: &Scratch) -> Self {
        let [file, counter] = [scratch.file("file", ""), scratch.file("counter", [0; 8])];
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        Self {
            file: text(&file),
            counter: text(&counter),
        }
    }

    fn command(&self) -> [String; 4] {
        [
            workload().to_str().unwrap().to_owned(),
            "open-counting".to_owned(),
            self.file.clone(),
            self.counter.clone(),
        ]
    }

    /// How often it has opened the file, at least. It may have done so once more already.
    fn count(&self) -> u64 {
        u64::from_ne_bytes(fs::read(&self.counter).unwrap()[..8].try_into().unwrap())
    }

    /// How often that was recorded for an image.
    fn recorded(&self, scratch: &Scratch, image: &str) -> u64 {
        let opens = format!("{} opens {} (read)", workload().display(), self.file);
        scratch.learned(image).get(&opens).copied().unwrap_or_default()
    }
}

fn summary(recording: &Path) -> Summary {
    Recording::open(recording).unwrap().summary().unwrap()
}

/// Lets a recorder flush some times, kills it, and checks what it leaves: everything until the last flush.
fn kill(scratch: &Scratch, mut recorder: Running, noise: &Noise, image: &str) {
    let mut samples: Vec<(UtcTime, u64)> = Vec::new();
    recorder.wait_for("some flushes", |_| {
        // In this order: at that time it had been opened that often.
        let count = noise.count();
        samples.push((UtcTime::now(), count));
        let has_flushed = |summary: &Summary| {
            let mut containers = summary.containers.iter();
            summary.sources[0].revision > 12
                && containers.any(|seen| seen.container.image.repository == image && seen.observations > 1000)
        };
        // There is no recording yet at first.
        Recording::open(scratch.recording())
            .and_then(|recording| recording.summary())
            .is_ok_and(|summary| has_flushed(&summary))
    });
    recorder.signal(libc::SIGKILL);
    recorder.wait_for_end();
    let (killed, at_most) = (UtcTime::now(), noise.count() + 1);

    let window = summary(scratch.recording()).windows.remove(0);
    let (ended, reason) = window.ended.clone().unwrap();
    assert_eq!((ended, reason), (window.last_flush, EndReason::Crashed));
    let missing = Duration::from_nanos(u64::try_from(killed.nanos() - ended.nanos()).unwrap());
    assert!(missing < INTERVAL + SLACK, "{missing:?}");

    let counted = noise.recorded(scratch, image);
    let at_least = samples
        .iter()
        .filter(|(time, _)| *time <= ended)
        .map(|(_, count)| *count)
        .max()
        .unwrap();
    assert!(
        (at_least..=at_most).contains(&counted),
        "{counted} of {at_least} to {at_most}"
    );
    assert!(at_least > 0, "the last flush was long after the first sample");
    let missed = scratch.baseline(image).uncounted_losses;
    assert!(missed.iter().any(|why| why.contains("killed")), "{missed:?}");

    // The next writer goes on in the same file.
    let next = finish(&mut profile_run(scratch.recording(), "test/next", &[], ["true"]));
    assert_eq!(next.code(), 0, "{next}");
    let connection = Connection::open(scratch.recording()).unwrap();
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let mut reasons = connection
        .prepare("SELECT end_reason FROM learning_window ORDER BY learning_window")
        .unwrap();
    let reasons: Vec<String> = reasons
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(reasons, ["crashed", "command_exited"]);
    assert_eq!(noise.recorded(scratch, image), counted);
}

#[test]
fn a_run_that_is_killed_has_recorded_everything_until_its_last_flush() {
    let scratch = Scratch::new();
    let noise = Noise::new(&scratch);
    let recorder = start(&mut profile_run(
        scratch.recording(),
        "test/killed",
        &OPTIONS,
        noise.command(),
    ));
    kill(&scratch, recorder, &noise, "test/killed");
}

#[test]
fn a_window_that_is_killed_has_recorded_everything_until_its_last_flush() {
    let scratch = Scratch::new();
    let noise = Noise::new(&scratch);
    let mut recorder = start(&mut profile_start(scratch.recording(), &OPTIONS));
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));
    let unit = format!("{}.service", unique("killed"));
    let cgroup = Cgroup::create(&format!("system.slice/{unit}"));
    let [program, arguments @ ..] = noise.command();
    let _noisy = cgroup.start(Command::new(program).args(arguments));
    kill(&scratch, recorder, &noise, &format!("host/{unit}"));
}
