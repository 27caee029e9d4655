//! What recordings promise.

mod backups;
mod files;
mod flushes;
mod limits;
mod many;
pub(super) mod merges;
mod parts;
mod peers;
mod prunes;
mod released;
mod retries;
mod windows;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::testing::{container, seconds};

pub(super) struct Folder(TempDir);

/// A folder of its own for a test.
pub(super) fn folder() -> Folder {
    Folder::new()
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn recording(&self) -> PathBuf {
        self.0.path().join("recording.db")
    }
}

fn flush(observations: Vec<Observation>) -> Flush {
    Flush {
        at: seconds(60),
        containers: vec![container(1, "app"), container(2, "db")],
        observations,
        ..Flush::default()
    }
}

fn summary(path: &Path) -> Summary {
    Recording::open(path).unwrap().summary().unwrap()
}

/// The state of a recording that is alone in its file.
fn revision(path: &Path) -> u64 {
    summary(path).sources[0].revision
}

/// Looks into the file with a connection of its own, as a user with `sqlite3` would.
fn look<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    Connection::open(path)
        .unwrap()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}
