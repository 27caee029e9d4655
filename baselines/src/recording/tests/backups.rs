//! Copies.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::merges::content;
use super::*;
use crate::analysis::baselines;
use crate::testing::{node, observation, window};

#[test]
fn a_backup_of_a_recording_that_goes_on_is_whole_and_says_so() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let flushed = |number: u64| flush(vec![observation(1, &format!("/{number}"), seconds(number))]);
    writer.flush(id, &flushed(1)).unwrap();
    let live = baselines(std::slice::from_ref(&path)).unwrap();
    let out = folder.0.path().join("backup.db");
    let bytes = backup(&path, &out, false).unwrap();
    assert_eq!(fs::metadata(&out).unwrap().len(), bytes);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!folder.0.path().join("backup.db-wal").exists());
    // The recorder noticed nothing.
    writer.flush(id, &flushed(2)).unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(90)).unwrap();
    drop(writer);
    assert_eq!(baselines(std::slice::from_ref(&out)).unwrap(), live);
    let copy = summary(&out);
    assert_eq!(copy.windows[0].ended, Some((seconds(60), EndReason::Copied)));
    assert_eq!(
        (copy.sources[0].id, copy.sources[0].is_own),
        (summary(&path).sources[0].id, true)
    );
    assert!(matches!(backup(&path, &out, false), Err(Error::Exists { .. })));
    backup(&path, &out, true).unwrap();
    assert_eq!(content(&out), content(&path));
}

#[test]
fn a_backup_of_an_older_version_is_of_the_newest() {
    let folder = Folder::new();
    let (path, out) = (folder.recording(), folder.0.path().join("backup.db"));
    released::load(&path, include_str!("released/v1.sql"));
    backup(&path, &out, false).unwrap();
    let version = |path: &Path| look::<i64>(path, "PRAGMA user_version");
    assert_eq!((version(&path), version(&out)), (1, 5));
    assert_eq!(summary(&out), summary(&path));
}

#[test]
fn what_cannot_be_backed_up_leaves_nothing_behind() {
    let folder = Folder::new();
    let out = folder.0.path().join("backup.db");
    assert!(matches!(
        backup(&folder.recording(), &out, false),
        Err(Error::Missing { .. })
    ));
    let path = folder.recording();
    fs::write(&path, "hello").unwrap();
    assert!(matches!(backup(&path, &out, false), Err(Error::Foreign { .. })));
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn what_is_recorded_after_a_restore_adds_to_what_was_collected_before_the_loss() {
    let folder = Folder::new();
    let (path, saved) = (folder.recording(), folder.0.path().join("backup.db"));
    let record = |path: &Path, file: &str, second| {
        let mut writer = Recording::open_or_create(path, &node("n1")).unwrap();
        let id = writer.start_window(&window(seconds(second))).unwrap();
        writer
            .flush(id, &flush(vec![observation(1, file, seconds(second))]))
            .unwrap();
        writer
            .end_window(id, &EndReason::Completed, seconds(second + 1))
            .unwrap();
    };
    record(&path, "/before", 0);
    backup(&path, &saved, false).unwrap();
    record(&path, "/collected", 100);
    let collected = folder.0.path().join("collected.db");
    fs::copy(&path, &collected).unwrap();
    // The node's disk is lost, and restored from what there is.
    restore(&saved, &path, true, |_, _| {}).unwrap();
    record(&path, "/after", 200);
    let baseline = baselines(&[path, collected]).unwrap().remove(0);
    let paths: Vec<_> = baseline
        .behaviours
        .open
        .iter()
        .map(|open| open.path.to_string())
        .collect();
    assert_eq!(paths, ["/after", "/before", "/collected"]);
}
