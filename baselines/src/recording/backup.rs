//! Copies of recordings, made while they go on.

use std::path::Path;

use rusqlite::params;

use super::columns::from_end_reason;
use super::error::{Failure, Result};
use super::file::WriterLock;
use super::new_file::NewFile;
use super::schema::{self, Content};
use super::{EndReason, Recording};

/// Copies the recording at `path` to a new file at `out`, which must not be there unless it `replaces` that. Returns the
/// size of the copy, in bytes.
///
/// A recorder may go on meanwhile: the copy has everything that was flushed when the copying began, and nothing that came
/// later. A window that was open then says so in the copy.
///
/// # Errors
/// As [`Recording::open`], [`super::Error::Exists`], [`super::Error::InUse`] where what is to be replaced is being recorded
/// into, [`super::Error::Full`]. Nothing is left behind then.
pub fn backup(path: &Path, out: &Path, replaces: bool) -> Result<u64> {
    let recording = Recording::open(path)?;
    let file = NewFile::create(out, replaces)?;
    let was_taken = WriterLock::is_taken(&recording.path)?;
    // One reading transaction (https://sqlite.org/lang_vacuum.html), whatever is flushed meanwhile.
    recording
        .connection
        .execute("VACUUM main INTO ?1", [file.path().to_string_lossy()])
        .map_err(|error| Failure::from(error).at("back up", path))?;
    let is_live = was_taken || WriterLock::is_taken(&recording.path)?;
    finish(&file, is_live).map_err(|failure| failure.at("write", file.target()))?;
    file.finish()
}

/// Brings a copy up to date and checks it. The window that went on, if any, goes on elsewhere.
fn finish(file: &NewFile, is_live: bool) -> std::result::Result<(), Failure> {
    let mut connection = file.connect().map_err(Failure::Other)?.connection;
    let content = schema::identify(&connection, file.path()).map_err(Failure::Other)?;
    if let Content::Version(version) = content {
        schema::check(&connection, version)?;
    }
    schema::migrate(&mut connection, content)?;
    schema::check_references(&connection)?;
    if is_live {
        let (word, _) = from_end_reason(&EndReason::Copied);
        connection.execute(
            "UPDATE learning_window SET ended = last_flush, end_reason = ?1 WHERE ended IS NULL",
            params![word],
        )?;
    }
    connection.close().map_err(|(_, error)| Failure::Sqlite(error))
}
