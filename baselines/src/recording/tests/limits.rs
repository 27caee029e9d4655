//! Files that may not become larger, and what may not be in them.

use std::fs;

use super::*;
use crate::analysis::baselines;
use crate::behaviour::Action;
use crate::loss::Reason;
use crate::path::FilePath;
use crate::redaction::{MARKER, Redaction};
use crate::testing::{node, observation, window};

#[test]
fn what_finds_no_room_is_a_loss_and_the_window_goes_on() {
    let folder = Folder::new();
    let path = folder.recording();
    let size_max = 256 << 10;
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    writer.limit(size_max);
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let mut no_room = 0;
    let mut flushed = 0;
    for minute in 0..60 {
        let open = |file: u64| observation(1, &format!("/{minute}/{file}"), seconds(60 * minute));
        let mut seen = flush((0..100).map(open).collect());
        seen.observations.push(observation(1, "/always", seconds(1)));
        seen.observations.push(observation(2, "/other", seconds(60 * minute)));
        // Every minute another container, which does something and loses something.
        seen.containers.push(container(100 + minute, "late"));
        seen.observations
            .push(observation(100 + minute, "/late", seconds(60 * minute)));
        seen.losses = [Some(100 + minute), Some(1), Some(9_000 + minute)]
            .map(|cgroup_id| Loss {
                cgroup_id,
                reason: Reason::KeyQuota,
                count: 1,
                first_seen: seconds(0),
                last_seen: seconds(0),
            })
            .to_vec();
        no_room += writer.flush(id, &seen).unwrap();
        flushed += 103;
    }
    writer.end_window(id, &EndReason::Completed, seconds(3600)).unwrap();
    drop(writer);
    assert!(fs::metadata(&path).unwrap().len() <= size_max);
    let summary = summary(&path);
    let lost = |reason| -> u64 {
        let of_reason = summary.losses.iter().filter(|loss| loss.reason == reason);
        of_reason.map(|loss| loss.count).sum()
    };
    assert!(no_room > 0 && no_room < flushed, "{no_room}");
    assert_eq!(lost(Reason::RecordingFull), no_room);
    assert_eq!(
        summary.windows[0].observations + no_room,
        flushed,
        "something is silently lost"
    );
    assert_eq!(lost(Reason::KeyQuota), 3 * 60);
    // What adds to a row that is there needs no room.
    let always: u64 = look::<i64>(&path, "SELECT max(count) FROM observation")
        .try_into()
        .unwrap();
    assert_eq!(always, 60);
    assert!(summary.containers.len() < 62);
    // The images know what they lack.
    let baselines = baselines(&[path]).unwrap();
    let has_loss = |loss: &crate::document::Loss| loss.reason == Reason::RecordingFull;
    assert!(
        baselines.iter().all(|baseline| baseline.losses.iter().any(has_loss)),
        "{baselines:?}"
    );
}

#[test]
fn without_a_limit_there_is_always_room_and_with_a_larger_one_it_goes_on() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let seen = |name: &str| {
        flush(
            (0..500)
                .map(|file| observation(1, &format!("/{name}/{file}"), seconds(1)))
                .collect(),
        )
    };
    assert_eq!(writer.flush(id, &seen("a")).unwrap(), 0);
    writer.limit(4096);
    assert_eq!(writer.flush(id, &seen("b")).unwrap(), 500);
    writer.limit(1 << 30);
    assert_eq!(writer.flush(id, &seen("b")).unwrap(), 0);
    assert_eq!(summary(&path).behaviours, 1000);
}

#[test]
fn secrets_are_nowhere_in_the_file_and_different_ones_are_one_behaviour() {
    const SECRET: &[u8] = b"s3cr3t";
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    writer.redact(Redaction::new(vec!["s3cr3t-*".parse().unwrap()]));
    let start = WindowStart {
        selector: "run shop/s3cr3t-image".to_owned(),
        ..window(seconds(0))
    };
    let id = writer.start_window(&start).unwrap();
    let opened = ["/home/s3cr3t-alice/x", "/home/s3cr3t-bob/x", "/etc/passwd"];
    let mut seen = flush(opened.map(|path| observation(1, path, seconds(1))).to_vec());
    seen.observations.push(Observation {
        behaviour: crate::behaviour::Behaviour {
            subject: FilePath::canonical(*b"/s3cr3t-bin"),
            action: Action::ConnectUnix {
                path: FilePath::canonical(*b"/run/s3cr3t-1/sock"),
            },
        },
        count: 5,
        ..observation(2, "/", seconds(1))
    });
    seen.containers[1].cgroup_path = b"/system.slice/s3cr3t-unit.service".to_vec();
    seen.containers[1].workload.name = "s3cr3t-unit.service".to_owned();
    writer.flush(id, &seen).unwrap();
    writer.flush(id, &seen).unwrap();
    let files = || {
        let entries = fs::read_dir(folder.0.path()).unwrap();
        entries
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect::<Vec<_>>()
    };
    let is_in = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(files().len() == 4, "there is a log, and it is looked at");
    assert!(files().iter().any(|file| is_in(file, MARKER.as_bytes())));
    assert!(files().iter().all(|file| !is_in(file, SECRET)));
    writer
        .end_window(
            id,
            &EndReason::Failed("cannot execute /opt/s3cr3t-bin".to_owned()),
            seconds(9),
        )
        .unwrap();
    drop(writer);
    assert!(files().iter().all(|file| !is_in(file, SECRET)));

    let summary = summary(&path);
    assert_eq!(summary.behaviours, 3);
    let window = &summary.windows[0];
    assert_eq!(
        (
            window.observations,
            window.redacted_observations,
            window.redacted_containers
        ),
        (16, 14, 1)
    );
    assert_eq!(
        (window.selector.as_str(), &window.ended),
        (MARKER, &Some((seconds(9), EndReason::Failed(MARKER.to_owned()))))
    );
    // A copy knows it, too.
    let copy = folder.0.path().join("copy.db");
    merge(&[path], &copy, false, |_, _| {}).unwrap();
    assert_eq!(super::summary(&copy).windows, summary.windows);
}
