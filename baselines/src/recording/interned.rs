//! Behaviours that are known to be in the recording.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::encoding::encode;
use crate::behaviour::{Action, Arguments, Behaviour};
use crate::path::FilePath;

/// How much memory the cache may take, in bytes; some 12,000 behaviours.
const BYTES_MAX: usize = 4 << 20;

/// Behaviour -> row, for those seen last. It is only a cache: when it is full it starts anew, and what it forgot is
/// looked up in the database again.
#[derive(Debug, Default)]
pub(super) struct Interned {
    rows: HashMap<Behaviour, i64>,
    bytes: usize,
}

/// A behaviour's row, and whether it is a new one.
pub(super) struct Row {
    pub(super) row: i64,
    pub(super) is_new: bool,
}

impl Interned {
    /// The behaviour's row, which is made if there is none.
    pub(super) fn intern(&mut self, connection: &Connection, behaviour: &Behaviour) -> rusqlite::Result<Row> {
        if let Some(row) = self.rows.get(behaviour) {
            return Ok(Row {
                row: *row,
                is_new: false,
            });
        }
        let encoding = encode(behaviour);
        let known = connection
            .prepare_cached("SELECT behaviour FROM behaviour WHERE encoding = ?1")?
            .query_row([&encoding], |row| row.get(0))
            .optional()?;
        let row = match known {
            Some(row) => row,
            None => connection
                .prepare_cached("INSERT INTO behaviour (encoding) VALUES (?1)")?
                .insert([&encoding])?,
        };
        self.remember(behaviour, row);
        Ok(Row {
            row,
            is_new: known.is_none(),
        })
    }

    fn remember(&mut self, behaviour: &Behaviour, row: i64) {
        let size = memory(behaviour);
        if self.bytes + size > BYTES_MAX {
            self.forget();
        }
        self.bytes += size;
        self.rows.insert(behaviour.clone(), row);
    }

    /// Forgets everything: rows of a transaction that was rolled back are no more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// About what a behaviour takes in the cache: its own size, its entry's, and its content's.
fn memory(behaviour: &Behaviour) -> usize {
    // A hash table is at least half empty just after it grew.
    2 * size_of::<(Behaviour, i64)>() + memory_of_content(behaviour)
}

/// About what a behaviour's paths and arguments take, in bytes. An allocation costs some 16 bytes beyond its content.
pub(super) fn memory_of_content(behaviour: &Behaviour) -> usize {
    let (paths, arguments) = match &behaviour.action {
        Action::Exec {
            binary,
            script,
            arguments,
        } => ([Some(binary), script.as_ref()], arguments.as_ref()),
        Action::Open { path, backing, .. } => ([Some(path), backing.as_ref()], None),
        Action::ConnectUnix { path } | Action::Raise { binary: path, .. } => ([Some(path), None], None),
        Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => ([None, None], None),
    };
    let paths = paths.into_iter().flatten().chain([&behaviour.subject]);
    let contents = paths.map(FilePath::as_bytes).chain(arguments.map(Arguments::as_bytes));
    contents.map(|bytes| bytes.len() + 16).sum()
}
