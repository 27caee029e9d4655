//! The folder of an agent's recordings: one for each window, called by the window's uid.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// As the API server makes them: hexadecimal digits and hyphens.
pub(super) fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// What is kept of recordings that nobody writes to any more.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Those that were written to in the last of this time.
    pub age: Duration,
    /// The newest ones, until all that is there takes more bytes than this.
    pub bytes: u64,
}

/// A recording in the folder.
struct Kept {
    changed: SystemTime,
    bytes: u64,
    path: PathBuf,
}

/// Removes recordings that nobody writes to, oldest first, when they are too old or take too much.
pub(super) fn tidy(directory: &Path, in_use: &HashSet<PathBuf>, keep: Retention) {
    let mut recordings = match recordings(directory) {
        Ok(recordings) => recordings,
        Err(error) => return tracing::warn!("{} cannot be listed: {error}", directory.display()),
    };
    recordings.sort_by_key(|kept| kept.changed);
    let mut bytes: u64 = recordings.iter().map(|kept| kept.bytes).fold(0, u64::saturating_add);
    for kept in recordings.iter().filter(|kept| !in_use.contains(&kept.path)) {
        // A time in the future is not old.
        let is_old = SystemTime::now()
            .duration_since(kept.changed)
            .is_ok_and(|age| age > keep.age);
        if !is_old && bytes <= keep.bytes {
            continue;
        }
        let why = if is_old {
            "it is older than --keep"
        } else {
            "all of them take more than --directory-max"
        };
        match remove(&kept.path) {
            Ok(()) => {
                bytes = bytes.saturating_sub(kept.bytes);
                tracing::warn!("removed {}: {why}", kept.path.display());
            }
            Err(error) => tracing::warn!("{} cannot be removed: {error}", kept.path.display()),
        }
    }
}

fn recordings(directory: &Path) -> io::Result<Vec<Kept>> {
    let mut recordings = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_recording = path.extension().is_some_and(|extension| extension == "db")
            && path.file_stem().and_then(|stem| stem.to_str()).is_some_and(is_uid);
        // One that is gone by now is nobody's affair.
        if let Ok(metadata) = fs::symlink_metadata(&path)
            && is_recording
        {
            let log = fs::symlink_metadata(beside(&path, "-wal")).map_or(0, |log| log.len());
            recordings.push(Kept {
                changed: metadata.modified()?,
                bytes: metadata.len().saturating_add(log),
                path,
            });
        }
    }
    Ok(recordings)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// With the files that are kept beside it.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    for suffix in ["-wal", "-shm", "-lock"] {
        match fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_makes_names_a_file() {
        for (text, is_one) in [
            ("1f0d5e1c-0000-4000-8000-000000000001", true),
            ("", false),
            ("../1f0d", false),
            ("1f0d.db", false),
        ] {
            assert_eq!(is_uid(text), is_one, "{text}");
        }
        assert!(!is_uid(&"a".repeat(65)));
    }

    #[test]
    fn old_recordings_go_with_what_is_beside_them_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["0a.db", "0a.db-wal", "0a.db-lock", "0b.db", "mine.db", "0c.txt"] {
            fs::write(path(name), "").unwrap();
        }
        let in_use = HashSet::from([path("0b.db")]);
        let keep = |age| Retention { age, bytes: u64::MAX };
        tidy(folder.path(), &in_use, keep(Duration::from_hours(1)));
        assert!(path("0a.db").exists());
        // A moment later than they were written.
        std::thread::sleep(Duration::from_millis(20));
        tidy(folder.path(), &in_use, keep(Duration::ZERO));
        assert_eq!(left(folder.path()), ["0b.db", "0c.txt", "mine.db"]);
    }

    #[test]
    fn the_oldest_recordings_go_until_the_others_fit() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["0a.db", "0b.db", "0c.db", "0d.db"] {
            fs::write(folder.path().join(name), [0; 100]).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let in_use = HashSet::from([folder.path().join("0a.db")]);
        for (bytes, expected) in [
            (400, vec!["0a.db", "0b.db", "0c.db", "0d.db"]),
            (399, vec!["0a.db", "0c.db", "0d.db"]),
            (0, vec!["0a.db"]),
        ] {
            let age = Duration::from_hours(1);
            tidy(folder.path(), &in_use, Retention { age, bytes });
            assert_eq!(left(folder.path()), expected, "{bytes}");
        }
    }

    fn left(folder: &Path) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }
}
