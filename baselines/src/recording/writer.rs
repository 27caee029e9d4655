//! Writing: opening, windows, flushes.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::columns::{from_end_reason, from_names};
use super::error::{Error, Failure};
use super::file::{self, WriterLock};
use super::flush::{self, Rules};
use super::interned::Interned;
use super::schema::{self, Content};
use super::{EndReason, Flush, Node, Recording, WindowId, WindowStart};
use crate::redaction::Redaction;
use crate::time::UtcTime;

/// A recording, open for writing. There is one writer of a recording at a time.
#[derive(Debug)]
pub struct Writer {
    // Closed before the lock is given back: fields are dropped in this order.
    recording: Recording,
    _lock: WriterLock,
    boot: i64,
    interned: Interned,
    rules: Rules,
}

impl Writer {
    pub(super) fn open(path: &Path, node: &Node) -> Result<Self, Error> {
        let path = file::prepare(path)?;
        let lock = WriterLock::take(&path)?;
        file::create_if_missing(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut recording = Recording::connect(&path, flags)?;
        let content = schema::identify(&recording.connection, &path)?;
        file::make_private(&path)?;
        let boot = prepare(&mut recording.connection, content, node).map_err(|failure| failure.at("open", &path))?;
        Ok(Self {
            recording,
            _lock: lock,
            boot,
            interned: Interned::default(),
            rules: Rules::default(),
        })
    }

    /// The same recording, for reading.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Hides from now on what must not be written: nothing reaches the file but through this writer.
    pub fn redact(&mut self, redaction: Redaction) {
        self.rules.redaction = redaction;
    }

    /// Bounds the file to this many bytes: an observation that would make it larger is a loss
    /// ([`crate::loss::Reason::RecordingFull`]). One that adds to what was counted in the same minute still is counted.
    pub fn limit(&mut self, size_max: u64) {
        self.rules.size_max = Some(size_max);
    }

    /// Begins a learning window.
    ///
    /// # Errors
    /// [`super::Error::Full`], or what the database says.
    pub fn start_window(&mut self, start: &WindowStart) -> Result<WindowId, Error> {
        let boot = self.boot;
        self.change("start a window in", |transaction, _, rules| {
            transaction.execute(
                "INSERT INTO learning_window (boot, number, started, last_flush, selector, backend, tool_version, \
                 flush_interval, lossy_from_start, names) VALUES (?1, 1 + max( \
                 (SELECT coalesce(max(number), 0) FROM learning_window JOIN boot USING (boot) \
                 JOIN source USING (source) WHERE own = 1), \
                 (SELECT coalesce(max(number), 0) FROM removed_window JOIN source USING (source) WHERE own = 1)), \
                 ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    boot,
                    start.started,
                    rules.redaction.text(&start.selector),
                    start.backend,
                    start.tool_version,
                    flush::nanos(start.flush_interval),
                    start.lossy_from_start,
                    from_names(&start.names),
                ],
            )?;
            Ok(WindowId(transaction.last_insert_rowid()))
        })
    }

    /// Writes everything of a flush, or nothing of it: after an error it can be tried again. Returns how many observations
    /// are lost because the file may not become larger, see [`Writer::limit`].
    ///
    /// # Errors
    /// [`super::Error::Full`], [`super::Error::WindowNotOpen`], [`super::Error::UnknownContainer`] for an observation
    /// whose container was never flushed, [`super::Error::CountTooLarge`], or what the database says.
    pub fn flush(&mut self, window: WindowId, flush: &Flush) -> Result<u64, Error> {
        let boot = self.boot;
        self.change("flush to", |transaction, interned, rules| {
            flush::write(transaction, interned, rules, boot, window, flush)
        })
    }

    /// Ends a learning window.
    ///
    /// # Errors
    /// [`super::Error::Full`], [`super::Error::WindowNotOpen`] for one that has ended, or what the database says.
    pub fn end_window(&mut self, window: WindowId, reason: &EndReason, at: UtcTime) -> Result<(), Error> {
        self.change("end a window in", |transaction, _, rules| {
            let (word, detail) = from_end_reason(reason);
            let detail = detail.map(|detail| match reason {
                // It may name what was to be executed.
                EndReason::Failed(_) => rules.redaction.text(&detail).to_owned(),
                _ => detail,
            });
            let changed = transaction.execute(
                "UPDATE learning_window SET ended = ?2, end_reason = ?3, end_detail = ?4 \
                 WHERE learning_window = ?1 AND ended IS NULL",
                params![window.0, at, word, detail],
            )?;
            if changed == 1 {
                Ok(())
            } else {
                Err(Failure::WindowNotOpen(window))
            }
        })
    }

    /// One change, in one transaction, which makes one more revision.
    fn change<T>(
        &mut self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>, &mut Interned, &Rules) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let (interned, rules) = (&mut self.interned, &self.rules);
        let connection = &mut self.recording.connection;
        let commit = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = change(&transaction, interned, rules)?;
            next_revision(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        commit().map_err(|failure: Failure| {
            // What was made in the transaction is no more.
            self.interned.forget();
            failure.at(doing, &self.recording.path)
        })
    }
}

impl Drop for Writer {
    /// Leaves one file that can be read anywhere: in WAL mode even a reader has to make two more beside it.
    fn drop(&mut self) {
        leave_one_file(&self.recording.connection);
    }
}

/// Makes the log a part of the file.
pub(super) fn leave_one_file(connection: &Connection) {
    // While there is a reader it cannot be done, and the next writer will do it: not worth waiting for.
    let _ = connection.busy_timeout(Duration::ZERO);
    let _ = connection.pragma_update(None, "journal_mode", "delete");
}

/// Makes the file ready for a writer on this node, and returns the row of its boot.
fn prepare(connection: &mut Connection, content: Content, node: &Node) -> Result<i64, Failure> {
    if let Content::Version(version) = content {
        schema::check(connection, version)?;
    }
    // Readers and the writer do not wait for each other. With NORMAL the kernel decides when to write to the disk: a
    // killed process loses nothing, a power cut the last transactions, and neither damages the file
    // (https://sqlite.org/wal.html).
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    schema::migrate(connection, content)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let source = adopt(&transaction, node)?;
    let boot = transaction.query_row(
        "INSERT INTO boot (source, boot_id, kernel) VALUES (?1, ?2, ?3) \
         ON CONFLICT (source, boot_id) DO UPDATE SET kernel = excluded.kernel RETURNING boot",
        params![source, node.boot_id, node.kernel],
        |row| row.get(0),
    )?;
    close_crashed(&transaction, source)?;
    transaction.commit()?;
    Ok(boot)
}

/// The row of the recording that goes on in this file; where there is none, this node begins one.
///
/// Copies of one recording that went on on several nodes would replace each other in an analysis.
fn adopt(transaction: &Transaction<'_>, node: &Node) -> Result<i64, Failure> {
    let Some(own) = Own::find(transaction)? else {
        return Ok(transaction
            .prepare(
                "INSERT INTO source (id, revision, created, host, machine_id, own) \
                 VALUES (randomblob(16), 0, ?1, ?2, ?3, 1)",
            )?
            .insert(params![UtcTime::now(), node.host, node.machine_id])?);
    };
    if own.is_on(transaction, node)? {
        return Ok(own.source);
    }
    let describe = |host: &str, id: Option<&String>| match id {
        Some(id) => format!("{host} (machine id {id})"),
        None => host.to_owned(),
    };
    Err(Failure::OtherNode {
        recorded: describe(&own.host, own.machine_id.as_ref()),
        here: describe(&node.host, node.machine_id.as_ref()),
    })
}

/// The row of the recording that goes on in this file, if it does so on this node.
pub(super) fn goes_on_here(transaction: &Transaction<'_>, node: &Node) -> Result<Option<i64>, Failure> {
    match Own::find(transaction)? {
        Some(own) if own.is_on(transaction, node)? => Ok(Some(own.source)),
        _ => Ok(None),
    }
}

/// The recording that goes on in a file, and where.
struct Own {
    source: i64,
    host: String,
    machine_id: Option<String>,
}

impl Own {
    fn find(transaction: &Transaction<'_>) -> rusqlite::Result<Option<Self>> {
        let own = |row: &Row<'_>| {
            Ok(Self {
                source: row.get(0)?,
                host: row.get(1)?,
                machine_id: row.get(2)?,
            })
        };
        transaction
            .query_row("SELECT source, host, machine_id FROM source WHERE own = 1", [], own)
            .optional()
    }

    fn is_on(&self, transaction: &Transaction<'_>, node: &Node) -> rusqlite::Result<bool> {
        let same_boot = transaction
            .prepare("SELECT 1 FROM boot WHERE source = ?1 AND boot_id = ?2")?
            .exists(params![self.source, node.boot_id])?;
        let same_machine = match (&self.machine_id, &node.machine_id) {
            (Some(recorded), Some(here)) => recorded == here,
            _ => self.host == node.host,
        };
        Ok(same_boot || same_machine)
    }
}

/// There is no other writer, so that an open window's recorder is gone. What it flushed last is all there is.
fn close_crashed(transaction: &Transaction<'_>, source: i64) -> rusqlite::Result<()> {
    let (word, _) = from_end_reason(&EndReason::Crashed);
    let closed = transaction.execute(
        "UPDATE learning_window SET ended = last_flush, end_reason = ?1 \
         WHERE ended IS NULL AND boot IN (SELECT boot FROM boot WHERE source = ?2)",
        params![word, source],
    )?;
    if closed > 0 { next_revision(transaction) } else { Ok(()) }
}

/// Something changed.
pub(super) fn next_revision(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE source SET revision = revision + 1 WHERE own = 1")?
        .execute([])
        .map(drop)
}
