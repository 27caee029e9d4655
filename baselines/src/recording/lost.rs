//! A recording that nobody will ever see: the word that it is lost, so that what it would have told is missing by name.

use std::path::Path;

use rusqlite::params;

use super::columns::from_end_reason;
use super::error::{Failure, Result};
use super::flush::signed;
use super::new_file::NewFile;
use super::schema::{self, Content};
use super::{EndReason, RecordingId};
use crate::time::UtcTime;

/// What is known of a recording that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRecording {
    /// Its name.
    pub whole: RecordingId,
    /// The namespace, where only that part of it was asked for.
    pub namespace: Option<String>,
    /// The revision that it had when it was last heard of. A copy with this one or a later one ends the loss.
    pub revision: u64,
    /// The node.
    pub host: String,
    /// What was learned, in words.
    pub selector: String,
    /// From when.
    pub started: UtcTime,
    /// Until when.
    pub ended: UtcTime,
    /// Why it is lost, for people.
    pub why: String,
    /// The version of the program that writes this.
    pub tool_version: String,
}

impl LostRecording {
    /// A name that follows from all of this: who says the same says it once.
    fn id(&self) -> RecordingId {
        RecordingId::derived(&[
            "lost",
            &self.whole.to_string(),
            self.namespace.as_ref().map_or("0", |_| "1"),
            self.namespace.as_deref().unwrap_or_default(),
            &self.revision.to_string(),
            &self.host,
            &self.selector,
            &self.started.nanos().to_string(),
            &self.ended.nanos().to_string(),
            &self.why,
            &self.tool_version,
        ])
    }
}

/// Writes the word that a recording is lost, as one with a window that saw nobody and failed. It is to be
/// [merged](super::merge()) with those that are not lost.
///
/// # Errors
/// [`super::Error::Full`], or what the system says.
pub fn write_lost(lost: &LostRecording, out: &Path) -> Result<()> {
    let file = NewFile::create(out, true)?;
    write(&file, lost).map_err(|failure| failure.at("write", file.target()))?;
    file.finish()?;
    Ok(())
}

fn write(file: &NewFile, lost: &LostRecording) -> std::result::Result<(), Failure> {
    let mut connection = file.connect().map_err(Failure::Other)?.connection;
    schema::migrate(&mut connection, Content::Nothing)?;
    connection.execute(
        "INSERT INTO source (source, id, revision, created, host, part_of, namespace, lost) \
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, 1)",
        params![
            lost.id().0,
            signed(lost.revision)?,
            lost.started,
            lost.host,
            lost.whole.0,
            lost.namespace,
        ],
    )?;
    connection.execute(
        "INSERT INTO boot (boot, source, boot_id, kernel) VALUES (1, 1, 'unknown', 'unknown')",
        [],
    )?;
    let (word, detail) = from_end_reason(&EndReason::Failed(lost.why.clone()));
    connection.execute(
        "INSERT INTO learning_window (boot, number, started, last_flush, ended, end_reason, end_detail, selector, backend, \
         tool_version, flush_interval) VALUES (1, 1, ?1, ?1, ?2, ?3, ?4, ?5, 'unknown', ?6, 0)",
        params![
            lost.started,
            lost.ended.max(lost.started),
            word,
            detail,
            lost.selector,
            lost.tool_version
        ],
    )?;
    connection.close().map_err(|(_, error)| Failure::Sqlite(error))
}
