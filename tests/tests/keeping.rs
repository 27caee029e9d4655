//! What becomes of recordings: merged, backed up while they go on, bounded, and without secrets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::path::Path;

use end_to_end::{Finished, Running, Scratch, baselines, counts, finish, profile, profile_run, start, status};

/// `profile COMMAND ...` that ends well.
fn done(arguments: &[&str]) -> Finished {
    let done = finish(profile().args(arguments));
    assert_eq!(done.code(), 0, "{done}");
    done
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A shell that does something, says `ready` and goes on until there is a file `go`.
fn shell(scratch: &Scratch, first: &str) -> [String; 3] {
    let go = text(&scratch.path("go")).to_owned();
    let script = format!("{first}; echo ready; until test -e {go}; do sleep 0.05; done; cat /etc/hosts");
    ["sh".to_owned(), "-c".to_owned(), script]
}

/// Waits until what came before `ready` is in the recording.
fn wait_until_flushed(running: &mut Running, recording: &Path) {
    running.wait_for("the start", |running| running.stdout().contains("ready"));
    running.wait_for("a flush", |_| {
        let status = status(recording);
        status["windows"][0]["events"].as_u64().unwrap() > 0
    });
}

#[test]
fn a_recording_is_copied_and_merged_while_it_goes_on() {
    let scratch = Scratch::new();
    let recording = scratch.recording();
    let command = shell(&scratch, "cat /etc/hostname");
    let options = ["--flush-interval", "100ms"];
    let mut running = start(&mut profile_run(recording, "test/live", &options, &command));
    wait_until_flushed(&mut running, recording);
    let [backup, merged] = ["backup.db", "merged.db"].map(|name| scratch.path(name));
    done(&["backup", "--recording", text(recording), "--out", text(&backup)]);
    done(&["merge", text(recording), "--out", text(&merged), "-o", "json"]);
    let refused = finish(profile().args(["prune", "--keep", "1d", "--recording", text(recording)]));
    assert!(
        refused.code() == 1 && refused.stderr.contains("is being recorded into"),
        "{refused}"
    );
    let refused = finish(profile().args(["restore", "--force", text(&backup), "--recording", text(recording)]));
    assert!(
        refused.code() == 1 && refused.stderr.contains("is being recorded into"),
        "{refused}"
    );
    scratch.file("go", "");
    let ended = running.finish();
    assert_eq!(ended.code(), 0, "{ended}");

    for copy in [&backup, &merged] {
        let status = status(copy);
        assert_eq!(
            status["windows"][0]["endReason"], "went on when it was copied",
            "{status:#}"
        );
        let learned = counts(&baselines(copy)[0].behaviours);
        let has = |file: &str| learned.keys().any(|behaviour| behaviour.contains(file));
        assert!(has("/etc/hostname") && !has("/etc/hosts ("), "{learned:#?}");
    }
    // The whole one replaces both.
    let all = scratch.path("all.db");
    let told = done(&[
        "merge",
        text(&merged),
        text(recording),
        text(&backup),
        "--out",
        text(&all),
        "-o",
        "json",
    ]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["recordings"][0]["from"], text(recording), "{told:#}");
    assert_eq!(
        told["recordings"][0]["replaces"].as_array().unwrap().len(),
        2,
        "{told:#}"
    );
    assert_eq!(baselines(&all), baselines(recording));
}

#[test]
fn a_recording_that_may_not_grow_counts_what_is_lost() {
    let scratch = Scratch::new();
    let folder = scratch.path("files");
    fs::create_dir(&folder).unwrap();
    for number in 0..3000 {
        fs::write(folder.join(number.to_string()), "").unwrap();
    }
    let script = format!("for file in {}/*; do read line < $file; done; exit 0", text(&folder));
    let options = ["--flush-interval", "100ms", "--recording-max", "256KiB"];
    let done = finish(&mut profile_run(
        scratch.recording(),
        "test/full",
        &options,
        ["sh", "-c", &script],
    ));
    assert_eq!(done.code(), 0, "{done}");
    assert!(
        done.stderr.contains("warning: the recording is as large as it may be"),
        "{done}"
    );
    assert!(fs::metadata(scratch.recording()).unwrap().len() <= 256 << 10);
    let status = scratch.status();
    let lost = |is_meant: &dyn Fn(&str) -> bool| -> u64 {
        let losses = status["losses"].as_array().unwrap().iter();
        let meant = losses.filter(|loss| is_meant(loss["reason"].as_str().unwrap()));
        meant.map(|loss| loss["count"].as_u64().unwrap()).sum()
    };
    assert!(lost(&|reason| reason == "recording_full") > 500, "{status:#}");
    let opened: u64 = counts(&scratch.baseline("test/full").behaviours)
        .iter()
        .filter(|(behaviour, _)| behaviour.contains(text(&folder)))
        .map(|(_, count)| count)
        .sum();
    // On a busy machine the recorder may come too late for some: then the kernel's buffer was full, which is counted as well.
    assert!(opened > 0 && opened + lost(&|_| true) >= 3000, "{opened} {status:#}");
}

#[test]
fn no_secret_reaches_the_disk_or_the_log() {
    const SECRET: &str = "s3cr3t";
    let scratch = Scratch::new();
    let folder = scratch.path("s3cr3t-alice");
    let other = scratch.path("s3cr3t-bob");
    for folder in [&folder, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("key"), "").unwrap();
        fs::copy("/bin/cat", folder.join("s3cr3t-cat")).unwrap();
    }
    fs::write(folder.join("run.sh"), "#!/bin/sh\nexit 0\n").unwrap();
    make_executable(&folder.join("run.sh"));
    let [folder, other] = [&folder, &other].map(|folder| text(folder));
    let first = format!(
        "cat {folder}/key {other}/key; {folder}/s3cr3t-cat {folder}/key; {other}/s3cr3t-cat /etc/hostname; {folder}/run.sh; cd \
         {folder}; ./run.sh; cat /{SECRET}-missing 2> /dev/null"
    );
    let command = shell(&scratch, &first);
    let recording = scratch.path("kept/recording.db");
    let options = [
        "--flush-interval",
        "100ms",
        "--record-args",
        "--redact",
        "s3cr3t-*",
        "--redact",
        "/etc/hostn?me",
    ];
    let mut profile = profile_run(&recording, "test/s3cr3t-image", &options, &command);
    let mut running = start(profile.env("WARDLINE_LOG", "trace"));
    wait_until_flushed(&mut running, &recording);
    let nowhere = |log: &str| {
        let files = fs::read_dir(scratch.path("kept")).unwrap();
        let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        for file in &files {
            let bytes = fs::read(file).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(SECRET), "a secret is in {}", file.display());
        }
        assert!(!log.contains(SECRET), "a secret is in the log:\n{log}");
        files.len()
    };
    assert_eq!(
        nowhere(&running.stderr()),
        4,
        "the recording, its log, their index, the lock"
    );
    scratch.file("go", "");
    let ended = running.finish();
    assert_eq!(ended.code(), 0, "{ended}");
    assert_eq!(nowhere(&ended.stderr), 2);

    let status = status(&recording);
    let window = &status["windows"][0];
    assert!(window["redactedEvents"].as_u64().unwrap() >= 5, "{status:#}");
    assert_eq!(window["redactedContainers"], 1, "{status:#}");
    let learned = counts(&baselines(&recording)[0].behaviours);
    let directory = text(scratch.directory());
    let both = format!("/cat opens {directory}/[redacted]/key (read)");
    let both: Vec<_> = learned
        .iter()
        .filter(|(behaviour, _)| behaviour.ends_with(&both))
        .collect();
    assert!(
        both.iter().any(|(_, count)| **count == 2),
        "two secrets are one behaviour: {learned:#?}"
    );
    assert!(
        learned.keys().any(|behaviour| behaviour.contains("/etc/hosts (")),
        "{learned:#?}"
    );
}

fn make_executable(script: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
}
