//! A recording that nobody will ever see, as one that says so: what it would have told is missing, by name.

use std::path::Path;

use rusqlite::params;

use super::columns::from_end_reason;
use super::error::{Failure, Result};
use super::new_file::NewFile;
use super::schema::{self, Content};
use super::{EndReason, Part, RecordingId};
use crate::time::UtcTime;

/// What is known of a recording that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRecording {
    /// Its name. If it turns up again, any revision of it replaces what is written here.
    pub id: RecordingId,
    /// Of which recording it was to be a part, if so.
    pub part: Option<Part>,
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

/// Writes a recording, of revision 0, with one window that saw nobody and failed. It is to be [merged](super::merge()) with
/// those that are not lost.
///
/// # Errors
/// [`super::Error::Exists`], [`super::Error::Full`], or what the system says.
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
        "INSERT INTO source (source, id, revision, created, host, part_of, namespace) VALUES (1, ?1, 0, ?2, ?3, ?4, ?5)",
        params![
            lost.id.0,
            lost.started,
            lost.host,
            lost.part.as_ref().map(|part| part.whole.0),
            lost.part.as_ref().map(|part| &part.namespace),
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
