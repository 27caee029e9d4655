//! The folder of an agent's recordings: one for each window, called by the window's uid.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use baselines::recording::{Retention, remove, size_on_disk};

/// As the API server makes them: hexadecimal digits and hyphens.
pub(super) fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
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
        let age = SystemTime::now().duration_since(kept.changed).unwrap_or_default();
        let is_old = keep.keep.is_some_and(|keep| age > keep);
        if !is_old && keep.size_max.is_none_or(|size_max| bytes <= size_max) {
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
            Err(error) => tracing::warn!("{error}"),
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
        if let (true, Ok(metadata), Ok(bytes)) = (is_recording, fs::symlink_metadata(&path), size_on_disk(&path)) {
            recordings.push(Kept {
                changed: metadata.modified()?,
                bytes,
                path,
            });
        }
    }
    Ok(recordings)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let keep = |keep| Retention {
            keep: Some(keep),
            size_max: None,
        };
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
            let keep = Retention {
                keep: Some(Duration::from_hours(1)),
                size_max: Some(bytes),
            };
            tidy(folder.path(), &in_use, keep);
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
