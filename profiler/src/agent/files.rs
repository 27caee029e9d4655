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

/// Removes recordings that nobody writes to, when they are too old.
pub(super) fn tidy(directory: &Path, in_use: &HashSet<PathBuf>, keep: Duration) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return tracing::warn!("{} cannot be listed: {error}", directory.display()),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_recording = path.extension().is_some_and(|extension| extension == "db")
            && path.file_stem().and_then(|stem| stem.to_str()).is_some_and(is_uid);
        if is_recording && !in_use.contains(&path) && is_older(&path, keep) {
            match remove(&path) {
                Ok(()) => tracing::info!("removed {}, which is older than --keep", path.display()),
                Err(error) => tracing::warn!("{} cannot be removed: {error}", path.display()),
            }
        }
    }
}

fn is_older(path: &Path, keep: Duration) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    // A time in the future is not old.
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age > keep))
}

/// With the files that are kept beside it.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    for beside in ["-wal", "-shm", "-lock"] {
        let mut name = path.as_os_str().to_owned();
        name.push(beside);
        match fs::remove_file(&name) {
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
        tidy(folder.path(), &in_use, Duration::from_hours(1));
        assert!(path("0a.db").exists());
        // A moment later than they were written.
        while !is_older(&path("0c.txt"), Duration::ZERO) {
            std::thread::yield_now();
        }
        tidy(folder.path(), &in_use, Duration::ZERO);
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["0b.db", "0c.txt", "mine.db"]);
    }
}
