//! Retention.

use std::fs;

use super::*;
use crate::analysis::baselines;
use crate::document::{Baseline, Removed};
use crate::testing::{node, observation, window};
use crate::time::UtcTime;

/// A recording with this many windows of an hour each, a day apart. Each opens so many files of its own; the first one ran
/// another image, too.
fn recorded(folder: &Folder, windows: u64, files: u64) -> PathBuf {
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    for day in 0..windows {
        let start = day * 86_400;
        let id = writer.start_window(&window(seconds(start))).unwrap();
        let open = |file| observation(1, &format!("/day/{day}/{file}"), seconds(start + 1));
        let mut seen = flush((0..files).map(open).collect());
        if day > 0 {
            seen.containers.truncate(1);
        } else {
            seen.observations.push(observation(2, "/db", seconds(2)));
        }
        seen.losses = vec![Loss {
            cgroup_id: None,
            reason: crate::loss::Reason::MapFull,
            count: 2,
            first_seen: seconds(start),
            last_seen: seconds(start),
        }];
        writer.flush(id, &seen).unwrap();
        writer
            .end_window(id, &EndReason::Completed, seconds(start + 3600))
            .unwrap();
    }
    drop(writer);
    path
}

fn days(days: u64) -> Retention {
    Retention {
        keep: Some(Duration::from_secs(days * 86_400)),
        size_max: None,
    }
}

fn paths(baseline: &Baseline) -> Vec<String> {
    let open = &baseline.behaviours.open;
    open.iter().map(|open| open.path.to_string()).collect()
}

#[test]
fn old_windows_go_and_what_went_is_remembered() {
    let folder = Folder::new();
    let path = recorded(&folder, 5, 200);
    let (before, size) = (summary(&path), fs::metadata(&path).unwrap().len());
    // The second day's window ended a little less than two days before.
    let now = seconds(3 * 86_400 + 3599);
    let told = prune(&path, &node("n1"), days(2), now, true).unwrap();
    assert_eq!(summary(&path), before, "a dry run changed something");
    let pruned = prune(&path, &node("n1"), days(2), now, false).unwrap();
    assert_eq!((&told.windows, told.left), (&pruned.windows, pruned.left));
    assert_eq!(pruned.windows.iter().map(|it| it.number).collect::<Vec<_>>(), [1]);
    let pruned = prune(&path, &node("n1"), days(2), seconds(4 * 86_400 + 3601), false).unwrap();
    assert_eq!(pruned.windows.iter().map(|it| it.number).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(
        (pruned.windows[0].observations, pruned.windows[0].losses, pruned.left),
        (200, 2, 2)
    );

    let after = summary(&path);
    assert_eq!(after.windows, before.windows[3..]);
    assert_eq!((after.behaviours, after.containers.len()), (400, 1));
    assert_eq!(after.sources[0].revision, before.sources[0].revision + 2);
    let removed = after.sources[0].removed.clone().unwrap();
    assert_eq!((removed.windows, removed.observations, removed.losses), (3, 601, 6));
    assert_eq!((removed.from, removed.until), (seconds(0), seconds(2 * 86_400 + 3600)));
    // The file is really smaller, and one file.
    let now = fs::metadata(&path).unwrap().len();
    assert_eq!(now, pruned.bytes_after);
    assert!(now < size * 7 / 10, "{now} of {size} bytes are left");
    assert_eq!(
        fs::read_dir(folder.0.path()).unwrap().count(),
        2,
        "the recording and its lock"
    );

    let baseline = &baselines(&[path]).unwrap()[0];
    assert_eq!(
        (baseline.image.to_string().as_str(), paths(baseline).len()),
        ("app", 400)
    );
    let expected = Removed {
        windows: 3,
        from: seconds(0),
        until: seconds(2 * 86_400 + 3600),
    };
    assert_eq!(baseline.recordings[0].removed, Some(expected));
}

#[test]
fn a_baseline_tells_of_the_removed_windows_that_had_seen_its_image() {
    let folder = Folder::new();
    let path = recorded(&folder, 2, 1);
    // Another node saw the image of the first window, which retention forgets here.
    let other = folder.0.path().join("other.db");
    let mut writer = Recording::open_or_create(&other, &node("n2")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    writer
        .flush(id, &flush(vec![observation(2, "/db", seconds(0))]))
        .unwrap();
    drop(writer);
    prune(&path, &node("n1"), days(0), seconds(5000), false).unwrap();
    let baselines = baselines(&[path, other]).unwrap();
    let removed = |baseline: &Baseline| -> Vec<u64> {
        let removed = baseline.recordings.iter().map(|it| it.removed.as_ref());
        removed.flatten().map(|removed| removed.windows).collect()
    };
    assert_eq!(
        baselines.iter().map(|it| it.image.to_string()).collect::<Vec<_>>(),
        ["app", "db"]
    );
    assert_eq!((removed(&baselines[0]), removed(&baselines[1])), (vec![1], vec![1]));
    assert_eq!(baselines[1].recordings.len(), 2);
}

#[test]
fn windows_go_until_the_file_is_small_enough() {
    let folder = Folder::new();
    let path = recorded(&folder, 6, 800);
    let size = fs::metadata(&path).unwrap().len();
    let at_most = |size_max| Retention {
        keep: None,
        size_max: Some(size_max),
    };
    let nothing = prune(&path, &node("n1"), at_most(size), seconds(0), false).unwrap();
    assert_eq!((nothing.windows.len(), nothing.left), (0, 6));
    let half = prune(&path, &node("n1"), at_most(size / 2), seconds(0), false).unwrap();
    assert!(
        half.bytes_after <= size / 2 && (2..5).contains(&half.windows.len()),
        "{half:?}"
    );
    assert_eq!(half.windows[0].number, 1);
    // No file is as small as that.
    let all = prune(&path, &node("n1"), at_most(1), seconds(0), false).unwrap();
    assert_eq!((all.left, summary(&path).behaviours), (0, 0));
    let error = baselines(std::slice::from_ref(&path)).unwrap_err().to_string();
    assert!(
        error.contains("every learning window was removed by retention"),
        "{error}"
    );
    // Windows go on to be counted.
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    writer.start_window(&window(seconds(0))).unwrap();
    assert_eq!(writer.recording().summary().unwrap().windows[0].number, 7);
}

#[test]
fn what_is_counted_in_the_minute_of_two_windows_stays_with_the_second() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    for (start, seen) in [(0, [30, 70]), (80, [90, 130])] {
        let id = writer.start_window(&window(seconds(start))).unwrap();
        let seen = seen.map(|second| observation(1, "/a", seconds(second)));
        writer.flush(id, &flush(seen.to_vec())).unwrap();
        writer
            .end_window(id, &EndReason::Completed, seconds(start + 75))
            .unwrap();
    }
    drop(writer);
    prune(&path, &node("n1"), days(0), seconds(100), false).unwrap();
    let rows: String = look(&path, "SELECT group_concat(minute || ':' || count) FROM observation");
    assert_eq!(rows, "1:2,2:1");
}

#[test]
fn a_window_that_is_recorded_is_never_removed() {
    let folder = Folder::new();
    let path = recorded(&folder, 1, 1);
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    writer.start_window(&window(seconds(10_000))).unwrap();
    let error = prune(&path, &node("n1"), days(0), seconds(99_999), false).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert_eq!(summary(&path).windows.len(), 2);
}

#[test]
fn the_revision_of_a_copy_is_for_its_recorder_to_make() {
    let folder = Folder::new();
    let path = recorded(&folder, 3, 1);
    let before = revision(&path);
    prune(&path, &node("n2"), days(0), seconds(5000), false).unwrap();
    assert_eq!((revision(&path), summary(&path).windows.len()), (before, 2));
    // Where there is nothing to remove, nothing changed.
    prune(&path, &node("n1"), days(0), seconds(5000), false).unwrap();
    assert_eq!(revision(&path), before);
}

#[test]
fn space_that_a_crash_left_unused_is_given_back_the_next_time() {
    let folder = Folder::new();
    let path = recorded(&folder, 1, 2000);
    let harm = "DELETE FROM observation; DELETE FROM behaviour;";
    Connection::open(&path).unwrap().execute_batch(harm).unwrap();
    let pruned = prune(&path, &node("n1"), days(9), seconds(0), false).unwrap();
    assert!(
        pruned.windows.is_empty() && pruned.bytes_after < pruned.bytes_before / 2,
        "{pruned:?}"
    );
}

#[test]
fn a_dry_run_of_an_older_version_leaves_it_as_it_is() {
    let folder = Folder::new();
    let path = folder.recording();
    released::load(&path, include_str!("released/v1.sql"));
    let before = look::<i64>(&path, "SELECT count(*) FROM observation");
    let told = prune(&path, &node("n1"), days(0), UtcTime::from_nanos(u64::MAX), true).unwrap();
    assert_eq!((told.windows.len(), told.left), (3, 0));
    assert_eq!(look::<i64>(&path, "PRAGMA user_version"), 1);
    assert_eq!(look::<i64>(&path, "SELECT count(*) FROM observation"), before);
    prune(&path, &node("n1"), days(0), UtcTime::from_nanos(u64::MAX), false).unwrap();
    assert_eq!(
        (look::<i64>(&path, "PRAGMA user_version"), summary(&path).windows.len()),
        (5, 0)
    );
}
