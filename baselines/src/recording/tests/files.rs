use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::testing::{node, observation, window};

#[test]
fn files_are_private_and_so_is_the_directory() {
    let folder = Folder::new();
    let path = folder.0.path().join("new/deeper/recording.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    writer.start_window(&window(seconds(0))).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for suffix in ["", "-wal", "-shm", "-lock"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        assert_eq!(mode(Path::new(&name)), 0o600, "{}", name.display());
    }
    assert_eq!(mode(&folder.0.path().join("new")), 0o700);
    drop(writer);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(Recording::open_or_create(&path, &node("n1")).unwrap());
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_recording_at_rest_is_one_file_and_its_lock() {
    let folder = Folder::new();
    let path = folder.recording();
    create(&path);
    let files = || {
        let mut names: Vec<_> = fs::read_dir(folder.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(files(), ["recording.db", "recording.db-lock"]);
    // Reading leaves nothing behind either.
    summary(&path);
    assert_eq!(files(), ["recording.db", "recording.db-lock"]);
    // A reader that is still there when the writer goes does no harm.
    let writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let reader = Recording::open(&path).unwrap();
    drop(writer);
    assert!(reader.summary().unwrap().windows.is_empty());
    drop(reader);
    create(&path);
    assert_eq!(files(), ["recording.db", "recording.db-lock"]);
}

#[test]
fn a_second_writer_is_refused_and_told_who_the_first_is() {
    let folder = Folder::new();
    let path = folder.recording();
    let first = Recording::open_or_create(&path, &node("n1")).unwrap();
    let error = Recording::open_or_create(&path, &node("n1")).unwrap_err();
    assert!(
        matches!(error, Error::InUse { writer: Some(id), .. } if id == std::process::id()),
        "{error}"
    );
    drop(first);
    drop(Recording::open_or_create(&path, &node("n1")).unwrap());
}

#[test]
fn only_its_own_node_continues_a_recording() {
    let here = node("n1");
    let rebooted = Node {
        boot_id: "another".to_owned(),
        ..here.clone()
    };
    let cases = [
        (rebooted.clone(), true),
        (
            Node {
                host: "renamed".to_owned(),
                ..rebooted.clone()
            },
            true,
        ),
        (
            Node {
                machine_id: None,
                ..rebooted.clone()
            },
            true,
        ),
        (
            Node {
                machine_id: None,
                host: "renamed".to_owned(),
                ..here.clone()
            },
            true,
        ),
        (
            Node {
                machine_id: None,
                host: "renamed".to_owned(),
                ..rebooted.clone()
            },
            false,
        ),
        (
            Node {
                machine_id: Some("clone".to_owned()),
                ..rebooted
            },
            false,
        ),
    ];
    for (other, same) in cases {
        let folder = Folder::new();
        let path = folder.recording();
        drop(Recording::open_or_create(&path, &here).unwrap());
        match Recording::open_or_create(&path, &other) {
            Ok(_) => assert!(same, "{other:?}"),
            Err(error) => assert!(!same && matches!(error, Error::OtherNode { .. }), "{other:?}: {error}"),
        }
    }
}

/// What one does to a path, and how reading and writing it are then refused.
type Refusal = (fn(&Path), &'static str);

#[test]
fn what_cannot_be_a_recording_is_refused_with_the_reason() {
    let other_program = |path: &Path| {
        Connection::open(path)
            .unwrap()
            .execute_batch("CREATE TABLE t (a)")
            .unwrap();
    };
    let cases: [Refusal; 9] = [
        (
            |path| fs::create_dir(path).unwrap(),
            "… is no Wardline recording: it is a directory",
        ),
        (
            |path| fs::write(path, "hello, this is no database at all").unwrap(),
            "… is no Wardline recording: it is no SQLite database",
        ),
        (
            other_program,
            "… is no Wardline recording: it is an SQLite database of another program",
        ),
        (
            |path| change(path, "PRAGMA user_version = 6"),
            "… has schema version 6, this program knows versions up to 5",
        ),
        (
            |path| change(path, "PRAGMA user_version = 0"),
            "the recording … is damaged: its schema version is 0",
        ),
        (
            |path| change(path, "DROP TABLE presence; CREATE VIEW presence AS SELECT 1"),
            "the recording … is damaged: its tables are not those of schema version 5",
        ),
        (
            |path| change(path, "CREATE TRIGGER t AFTER INSERT ON loss BEGIN SELECT 1; END"),
            "the recording … is damaged: its tables are not those of schema version 5",
        ),
        (
            |path| {
                change(
                    path,
                    "PRAGMA ignore_check_constraints = 1; INSERT INTO learning_window (boot, number, started, last_flush, selector, backend, tool_version, flush_interval) VALUES (1, 1, -5, 0, '', '', '', 0)",
                );
            },
            // The database checks its constraints only for writers.
            "the recording … is damaged: ",
        ),
        (
            |path| {
                create(path);
                let mut bytes = fs::read(path).unwrap();
                bytes[4096..12288].fill(0xaa);
                fs::write(path, bytes).unwrap();
            },
            "the recording … is damaged: *** in database main ***",
        ),
    ];
    for (prepare, expected) in cases {
        let folder = Folder::new();
        let path = folder.0.path().canonicalize().unwrap().join("recording.db");
        prepare(&path);
        let before = (fs::read(&path).ok(), fs::metadata(&path).unwrap().permissions());
        let reading = Recording::open(&path)
            .and_then(|recording| recording.summary())
            .expect_err(expected);
        let writing = Recording::open_or_create(&path, &node("n1")).unwrap_err();
        for error in [reading, writing] {
            let message = error.to_string().replace(path.to_str().unwrap(), "…");
            assert!(message.starts_with(expected), "{message}");
            assert!(miette::Diagnostic::help(&error).is_some());
        }
        let after = (fs::read(&path).ok(), fs::metadata(&path).unwrap().permissions());
        assert_eq!(after, before, "{expected}: the file was changed");
        assert!(
            !path.is_dir() || fs::read_dir(folder.0.path()).unwrap().count() == 1,
            "a lock was left behind"
        );
    }
}

fn create(path: &Path) {
    drop(Recording::open_or_create(path, &node("n1")).unwrap());
}

/// Makes a recording and does something to it that no recorder does.
fn change(path: &Path, sql: &str) {
    create(path);
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_missing_or_an_empty_file_is_nothing_to_read_and_a_place_to_write() {
    let folder = Folder::new();
    let path = folder.recording();
    assert!(matches!(Recording::open(&path), Err(Error::Missing { .. })));
    fs::write(&path, "").unwrap();
    let error = Recording::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("is no Wardline recording: it is empty"), "{error}");
    create(&path);
    assert!(summary(&path).windows.is_empty());
}

#[test]
fn symbolic_links_are_read_and_never_written_through() {
    let folder = Folder::new();
    let target = folder.recording();
    let link = folder.0.path().join("link.db");
    symlink(&target, &link).unwrap();
    for missing in [true, false] {
        let error = Recording::open_or_create(&link, &node("n1")).unwrap_err().to_string();
        assert!(
            error.ends_with("it is a symbolic link; name the file itself"),
            "{error}"
        );
        assert_eq!(target.exists(), !missing);
        create(&target);
    }
    assert!(summary(&link).windows.is_empty());
    // The same for the lock, which is made first.
    let other = folder.0.path().join("other.db");
    symlink(folder.0.path().join("victim"), folder.0.path().join("other.db-lock")).unwrap();
    assert!(matches!(
        Recording::open_or_create(&other, &node("n1")),
        Err(Error::File { .. })
    ));
    assert!(!folder.0.path().join("victim").exists());
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("file"), "").unwrap();
    for path in [
        folder.0.path().join("file/recording.db"),
        folder.0.path().join("file/deeper/recording.db"),
    ] {
        let error = Recording::open_or_create(&path, &node("n1")).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        assert!(error.to_string().starts_with("cannot create the directory "), "{error}");
    }
}

#[test]
fn a_full_disk_is_one_error_and_the_flush_can_be_tried_again() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let large = flush(
        (0..2000)
            .map(|number| observation(1, &format!("/{number}"), seconds(0)))
            .collect(),
    );
    let pages: i64 = look(&path, "PRAGMA page_count");
    let limit = |writer: &Writer, pages: i64| {
        let set = format!("PRAGMA max_page_count = {pages}");
        writer.recording().connection.query_row(&set, [], |_| Ok(())).unwrap();
    };
    limit(&writer, pages + 2);
    assert!(matches!(writer.flush(id, &large), Err(Error::Full { .. })));
    assert_eq!(summary(&path).behaviours, 0);
    limit(&writer, 1_000_000);
    writer.flush(id, &large).unwrap();
    assert_eq!(summary(&path).behaviours, 2000);
}
