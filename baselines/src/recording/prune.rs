//! Retention: whole windows are taken away, oldest first, and what was taken away is remembered.
//!
//! Of each source a beginning goes, so that the number of removed windows says which ones they were: of two copies of one
//! recording the one with more removed windows is further (see [`super::read::Source::rank`]).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::columns::Count;
use super::error::{Error, Failure, Result};
use super::file::{self, WriterLock};
use super::flush::{signed, used};
use super::read::Read;
use super::schema::{self, Content};
use super::{Node, Recording, RecordingId, writer};
use crate::time::UtcTime;

/// What to keep of a recording. Windows that neither asks to go stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Windows that ended longer ago than this go.
    pub keep: Option<Duration>,
    /// Windows go until the file takes at most this many bytes.
    pub size_max: Option<u64>,
}

/// What retention did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The windows that were removed, in the order in which they were.
    pub windows: Vec<PrunedWindow>,
    /// How many windows are left.
    pub left: u64,
    /// The size of the file before, in bytes.
    pub bytes_before: u64,
    /// The size of the file afterwards, in bytes; where nothing was to be changed, about what it would be.
    pub bytes_after: u64,
}

/// A window that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedWindow {
    /// Its recording.
    pub recording: RecordingId,
    /// Its number.
    pub number: u64,
    /// When it began.
    pub started: UtcTime,
    /// When it ended.
    pub ended: UtcTime,
    /// How many observations it had counted.
    pub observations: u64,
    /// How many observations it had lost.
    pub losses: u64,
}

/// Removes windows of the recording at `path`, oldest first, and gives the space back to the system; with `dry_run` only
/// says what would go. A window that is being recorded is never removed: a file with a recorder is refused.
///
/// Where the recording goes on on this `node`, this makes a revision of it. Copies of other nodes' recordings keep theirs,
/// which are for their recorders to make.
///
/// The removal is one transaction. If the machine stops before the space is given back, the next call gives it back.
///
/// # Errors
/// As [`Recording::open`], [`Error::InUse`], or [`Error::Full`]: giving back space needs as much as what is left for a while.
pub fn prune(path: &Path, node: &Node, retention: Retention, now: UtcTime, dry_run: bool) -> Result<Pruned> {
    if !path.exists() {
        return Err(Error::Missing { path: path.to_owned() });
    }
    let path = file::prepare(path)?;
    let lock = WriterLock::take(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Recording::connect(&path, flags)?.connection;
    let content = schema::identify(&connection, &path)?;
    let Content::Version(version) = content else {
        return Err(Error::Foreign {
            path,
            what: "it is empty".to_owned(),
        });
    };
    let failed = |failure: Failure| failure.at("prune", &path);
    open(&connection, version).map_err(failed)?;
    let size = || {
        path.metadata()
            .map(|metadata| metadata.len())
            .map_err(file::failed("read", &path))
    };
    let bytes_before = size()?;
    // Perhaps that is enough: a file has holes, too.
    if !dry_run && retention.size_max.is_some_and(|size_max| bytes_before > size_max) {
        give_back_space(&connection).map_err(|error| failed(error.into()))?;
    }
    let Removal { windows, left, used } =
        remove(&mut connection, content, node, retention, now, dry_run).map_err(failed)?;
    if !dry_run {
        give_back_space(&connection).map_err(|error| failed(error.into()))?;
    }
    writer::leave_one_file(&connection);
    connection.close().map_err(|(_, error)| failed(error.into()))?;
    let bytes_after = if dry_run { used.min(bytes_before) } else { size()? };
    drop(lock);
    Ok(Pruned {
        windows,
        left,
        bytes_before,
        bytes_after,
    })
}

/// Checks the file, and sets the connection up.
fn open(connection: &Connection, version: usize) -> Read<()> {
    schema::check(connection, version)?;
    schema::check_references(connection)?;
    // Readers go on reading.
    connection.pragma_update(None, "journal_mode", "wal")?;
    // What refers to a row goes before the row does; to look for it each time would take for ever.
    connection.pragma_update(None, "foreign_keys", false)?;
    Ok(())
}

/// Copies the database to a new one without holes, and that one over the old one: in transactions, whatever happens.
fn give_back_space(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

struct Removal {
    windows: Vec<PrunedWindow>,
    /// How many windows are left.
    left: u64,
    /// About the size of what is left, in bytes.
    used: u64,
}

fn remove(
    connection: &mut Connection,
    content: Content,
    node: &Node,
    retention: Retention,
    now: UtcTime,
    dry_run: bool,
) -> Read<Removal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::upgrade(&transaction, content)?;
    let own = writer::goes_on_here(&transaction, node)?;
    let cutoff = retention.keep.map(|keep| now.before(keep));
    let (mut windows, mut is_revision) = (Vec::new(), false);
    while let Some(window) = oldest(&transaction)? {
        let is_old = cutoff.is_some_and(|cutoff| window.pruned.ended < cutoff);
        let is_too_much = match retention.size_max {
            Some(size_max) => used(&transaction)? > size_max,
            None => false,
        };
        if !is_old && !is_too_much {
            break;
        }
        remember(&transaction, &window)?;
        remove_window(&transaction, &window)?;
        is_revision |= own == Some(window.source);
        windows.push(window.pruned);
    }
    let removal = Removal {
        windows,
        left: count(&transaction, "SELECT count(*) FROM learning_window")?,
        used: used(&transaction)?,
    };
    if dry_run {
        transaction.rollback()?;
    } else {
        if is_revision {
            writer::next_revision(&transaction)?;
        }
        schema::check_references(&transaction)?;
        transaction.commit()?;
    }
    Ok(removal)
}

/// A window that could go next.
struct Oldest {
    source: i64,
    row: i64,
    pruned: PrunedWindow,
}

/// Of the first windows of all sources the one that ended first. There is no recorder: one without an end has crashed.
fn oldest(transaction: &Transaction<'_>) -> Read<Option<Oldest>> {
    let oldest = transaction
        .prepare_cached(
            "SELECT source, learning_window, source.id, min(number), started, coalesce(ended, last_flush) AS over, \
             observations, (SELECT coalesce(sum(count), 0) FROM loss l WHERE l.learning_window = w.learning_window) \
             FROM learning_window w JOIN boot USING (boot) JOIN source USING (source) GROUP BY source \
             ORDER BY over, source.id LIMIT 1",
        )?
        .query_row([], |row| {
            Ok(Oldest {
                source: row.get(0)?,
                row: row.get(1)?,
                pruned: PrunedWindow {
                    recording: RecordingId(row.get(2)?),
                    number: row.get::<_, Count>(3)?.0,
                    started: row.get(4)?,
                    ended: row.get(5)?,
                    observations: row.get::<_, Count>(6)?.0,
                    losses: row.get::<_, Count>(7)?.0,
                },
            })
        })
        .optional()?;
    Ok(oldest)
}

/// Evidence is never silently less.
fn remember(transaction: &Transaction<'_>, window: &Oldest) -> Read<()> {
    let Oldest { source, row, pruned } = window;
    transaction.execute(
        "INSERT INTO removed_window (source, number, started, ended, observations, losses) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            source,
            signed(pruned.number)?,
            pruned.started,
            pruned.ended,
            signed(pruned.observations)?,
            signed(pruned.losses)?,
        ],
    )?;
    transaction.execute(
        "INSERT INTO removed_image (source, number, repository, tag, digest) \
         SELECT DISTINCT ?1, ?2, repository, tag, digest FROM presence JOIN container USING (container) \
         WHERE learning_window = ?3",
        params![source, signed(pruned.number)?, row],
    )?;
    Ok(())
}

/// Takes away a window, what was counted in it, and what nothing refers to any more.
///
/// Observations say in which minute they were made. Where the next window began in the minute in which this one ended, those
/// of that minute stay: they are of both. Peers say in which window they were reached, and go with it.
fn remove_window(transaction: &Transaction<'_>, window: &Oldest) -> Read<()> {
    let Oldest { source, row, .. } = window;
    let left: Option<UtcTime> = transaction.query_row(
        "SELECT min(started) FROM learning_window JOIN boot USING (boot) WHERE source = ?1 AND learning_window <> ?2",
        [source, row],
        |row| row.get(0),
    )?;
    // The minutes of a time end long before those that a number can hold.
    let first_left = left.map_or(i64::MAX, |started| started.minute().number());
    transaction.execute(
        "DELETE FROM observation WHERE minute < ?1 AND container IN \
         (SELECT container FROM container JOIN boot USING (boot) WHERE source = ?2)",
        [&first_left, source],
    )?;
    for table in [
        "presence",
        "loss",
        "latency",
        "reached",
        "reached_apart",
        "name_gap",
        "learning_window",
    ] {
        transaction.execute(&format!("DELETE FROM {table} WHERE learning_window = ?1"), [row])?;
    }
    transaction.execute(
        "DELETE FROM container WHERE boot IN (SELECT boot FROM boot WHERE source = ?1) \
         AND container NOT IN (SELECT container FROM presence) \
         AND NOT EXISTS (SELECT 1 FROM observation o WHERE o.container = container.container)",
        [source],
    )?;
    transaction.execute(
        "DELETE FROM boot WHERE source = ?1 AND boot NOT IN (SELECT boot FROM learning_window) \
         AND boot NOT IN (SELECT boot FROM container)",
        [source],
    )?;
    transaction.execute(
        "DELETE FROM behaviour WHERE behaviour NOT IN (SELECT behaviour FROM observation) \
         AND behaviour NOT IN (SELECT behaviour FROM reached)",
        [],
    )?;
    transaction.execute("DELETE FROM peer WHERE peer NOT IN (SELECT peer FROM reached)", [])?;
    Ok(())
}

fn count(connection: &Connection, sql: &str) -> Read<u64> {
    Ok(connection.query_row(sql, [], |row| row.get::<_, Count>(0))?.0)
}
