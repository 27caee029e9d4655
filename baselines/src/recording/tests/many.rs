//! Files, folders and patterns; and more files than may be open.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::Files;
use super::*;
use crate::analysis::baselines;
use crate::testing::{node, observation, window};

fn recorded(path: &Path, host: &str, file: &str) {
    let mut writer = Recording::open_or_create(path, &node(host)).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    writer
        .flush(id, &flush(vec![observation(1, file, seconds(0))]))
        .unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(60)).unwrap();
}

#[test]
fn folders_and_patterns_mean_the_recordings_in_them() {
    let folder = Folder::new();
    let path = |name: &str| folder.0.path().join(name);
    fs::create_dir_all(path("nodes/deeper")).unwrap();
    fs::create_dir_all(path("empty")).unwrap();
    for name in [
        "nodes/b.db",
        "nodes/a.db",
        "nodes/.hidden.db",
        "nodes/deeper/c.db",
        "[x].db",
    ] {
        recorded(&path(name), "n1", "/a");
    }
    fs::write(path("nodes/notes.txt"), "no recording").unwrap();
    fs::write(path("nodes/empty.db"), "").unwrap();
    fs::write(path("nodes/d.parquet"), "PAR1").unwrap();
    drop(
        Connection::open(path("nodes/other.db"))
            .unwrap()
            .execute_batch("CREATE TABLE t (t)"),
    );
    assert!(
        std::process::Command::new("mkfifo")
            .arg(path("nodes/fifo"))
            .status()
            .unwrap()
            .success()
    );
    symlink(path("nodes/gone"), path("nodes/link.db")).unwrap();
    let all = ["nodes/a.db", "nodes/b.db", "nodes/d.parquet"];
    let cases: [(&[&str], &[&str]); 9] = [
        (&["nodes"], &all),
        (
            &["nodes/*"],
            &["nodes/a.db", "nodes/b.db", "nodes/d.parquet", "nodes/deeper/c.db"],
        ),
        (&["nodes/?.db"], &all[..2]),
        (&["node[s]/[b-z].*"], &all[1..]),
        (&["n*s"], &all),
        (&["**/c.db"], &["nodes/deeper/c.db"]),
        // What is there is meant itself, and what is named is never left out.
        (&["[x].db", "nodes/notes.txt"], &["[x].db", "nodes/notes.txt"]),
        (&["missing.db"], &["missing.db"]),
        (&["nodes/b.db", "nodes/a.db"], &["nodes/b.db", "nodes/a.db"]),
    ];
    let paths = |names: &[&str]| names.iter().map(|name| path(name)).collect::<Vec<_>>();
    for (inputs, expected) in cases {
        assert_eq!(find(&paths(inputs)).unwrap(), paths(expected), "{inputs:?}");
    }
    for nothing in ["empty", "empty/*", "nodes/*.txt", "nodes/[", "nodes/x*"] {
        let error = find(&paths(&["nodes", nothing])).unwrap_err();
        assert!(
            matches!(&error, Error::NoMatch { input } if *input == path(nothing)),
            "{error}"
        );
        assert!(error.to_string().ends_with(nothing), "{error}");
    }
}

#[test]
fn of_many_files_few_are_open_and_all_count() {
    let folder = Folder::new();
    let paths: Vec<PathBuf> = (0..80)
        .map(|number| folder.0.path().join(format!("{number:02}.db")))
        .collect();
    for (number, path) in paths.iter().enumerate() {
        recorded(path, &format!("n{number}"), &format!("/{number}"));
    }
    let files = Files::open(&paths).unwrap();
    assert_eq!(files.open_now(), 64);
    // The first ones were closed, and are opened again.
    for (number, path) in paths.iter().enumerate() {
        let opened = files.get(number).unwrap();
        let held = opened.recording(path).unwrap();
        assert_eq!(held.snapshot().sources().unwrap().len(), 1);
        assert_eq!(files.open_now(), 64);
    }
    let out = folder.recording();
    merge(&paths, &out, false, |_, _| {}).unwrap();
    let all = baselines(&paths).unwrap();
    assert_eq!(all[0].containers.len(), 80);
    assert_eq!(baselines(&[out]).unwrap(), all);
}

#[test]
fn what_changes_between_two_looks_is_an_error_and_what_goes_on_is_read_in_its_first_state() {
    let folder = Folder::new();
    let paths: Vec<PathBuf> = (0..70)
        .map(|number| folder.0.path().join(format!("{number:02}.db")))
        .collect();
    for path in &paths {
        recorded(path, "n1", "/a");
    }
    let mut live = Recording::open_or_create(&paths[1], &node("n1")).unwrap();
    let id = live.start_window(&window(seconds(100))).unwrap();
    let files = Files::open(&paths).unwrap();
    live.flush(id, &flush(vec![observation(1, "/b", seconds(100))]))
        .unwrap();
    recorded(&paths[0], "n1", "/b");
    let behaviours = |number: usize| -> i64 {
        let opened = files.get(number).unwrap();
        let held = opened.recording(&paths[number]).unwrap();
        let count = "SELECT count(*) FROM behaviour";
        held.snapshot()
            .connection
            .query_row(count, [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!((behaviours(1), behaviours(2)), (1, 1));
    assert!(matches!(files.get(0), Err(Error::Changed { path }) if path == paths[0]));
}
