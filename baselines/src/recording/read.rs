//! Reading. The only place that knows the schema's names but for `flush.rs` and `writer.rs`, which write them.

use std::path::Path;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, Row, Transaction};

use super::columns::{CgroupId, Count, to_end_reason};
use super::encoding::decode;
use super::error::{Error, Failure, Result};
use super::file::WriterLock;
use super::{
    Container, ContainerSummary, EndReason, Latency, LossSummary, Recording, RecordingId, Summary, WindowSummary,
};
use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::loss::Reason;
use crate::time::{Minute, UtcTime};
use crate::workload::{Image, Workload};

type Read<T> = std::result::Result<T, Failure>;

/// Whose recording this is, and which state of it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: RecordingId,
    pub(crate) revision: u64,
    pub(crate) host: String,
    pub(crate) machine_id: Option<String>,
}

/// A container and where to find it again.
#[derive(Clone, Debug)]
pub(crate) struct StoredContainer {
    pub(crate) row: i64,
    pub(crate) boot_id: String,
    pub(crate) container: Container,
}

/// What one window lost.
#[derive(Clone, Debug)]
pub(crate) struct StoredLoss {
    pub(crate) window: u64,
    /// The row of the container, where the cgroup has one.
    pub(crate) container: Option<i64>,
    pub(crate) reason: Reason,
    pub(crate) count: u64,
}

/// How often a container showed a behaviour in one minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) minute: Minute,
    pub(crate) phase: Phase,
    pub(crate) provenance: Provenance,
    pub(crate) count: u64,
    pub(crate) first_seen: UtcTime,
    pub(crate) last_seen: UtcTime,
}

/// One state of a recording, whatever is flushed meanwhile.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    recording: &'a Recording,
    /// Rolled back when dropped: it only reads.
    connection: Transaction<'a>,
}

impl Recording {
    /// What `profile status` shows.
    ///
    /// # Errors
    /// What the database says, or [`Error::Damaged`] for values that no recorder writes.
    pub fn summary(&self) -> Result<Summary> {
        let snapshot = self.snapshot()?;
        snapshot.summary().map_err(|failure| snapshot.error(failure))
    }

    /// The recording as it is now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>> {
        match self.connection.unchecked_transaction() {
            Ok(connection) => Ok(Snapshot {
                recording: self,
                connection,
            }),
            Err(error) => Err(Error::from_sqlite(error, "read", &self.path)),
        }
    }
}

impl Snapshot<'_> {
    /// What went wrong, as the user is told.
    pub(crate) fn error(&self, failure: Failure) -> Error {
        failure.at("read", &self.recording.path)
    }

    /// The recording's file.
    pub(crate) fn path(&self) -> &Path {
        &self.recording.path
    }

    fn summary(&self) -> Read<Summary> {
        let Identity { id, revision, host, .. } = self.identity()?;
        let created = self
            .connection
            .query_row("SELECT created FROM recording", [], |row| row.get(0))?;
        let Count(behaviours) = self
            .connection
            .query_row("SELECT count(*) FROM behaviour", [], |row| row.get(0))?;
        Ok(Summary {
            id,
            revision,
            created,
            host,
            behaviours,
            windows: self.windows()?,
            containers: self.container_summaries()?,
            losses: self.loss_summaries()?,
        })
    }

    /// Whose recording this is.
    pub(crate) fn identity(&self) -> Read<Identity> {
        self.connection
            .query_row("SELECT id, revision, host, machine_id FROM recording", [], |row| {
                Ok(Identity {
                    id: RecordingId(row.get(0)?),
                    revision: row.get::<_, Count>(1)?.0,
                    host: row.get(2)?,
                    machine_id: row.get(3)?,
                })
            })
            .optional()?
            .ok_or_else(|| Failure::Damaged("it does not say whose it is".to_owned()))
    }

    /// The windows, oldest first.
    pub(crate) fn windows(&self) -> Read<Vec<WindowSummary>> {
        let abandoned = !WriterLock::is_taken(&self.recording.path).map_err(Failure::Other)?;
        let mut statement = self.connection.prepare(
            "SELECT w.learning_window, w.started, w.last_flush, w.ended, w.end_reason, w.end_detail, w.selector, \
             w.backend, boot.kernel, w.tool_version, w.flush_interval, w.lossy_from_start, \
             (SELECT count(*) FROM presence p WHERE p.learning_window = w.learning_window), \
             w.new_behaviours, w.observations, \
             (SELECT coalesce(sum(count), 0) FROM loss l WHERE l.learning_window = w.learning_window) \
             FROM learning_window w JOIN boot USING (boot) ORDER BY w.learning_window",
        )?;
        let mut rows = statement.query([])?;
        let mut windows = Vec::new();
        while let Some(row) = rows.next()? {
            let number = row.get::<_, Count>(0)?.0;
            let last_flush = row.get(2)?;
            let ended = match ended(row)? {
                None if abandoned => Some((last_flush, EndReason::Crashed)),
                ended => ended,
            };
            windows.push(WindowSummary {
                number,
                started: row.get(1)?,
                ended,
                last_flush,
                selector: row.get(6)?,
                backend: row.get(7)?,
                kernel: row.get(8)?,
                tool_version: row.get(9)?,
                flush_interval: Duration::from_nanos(row.get::<_, Count>(10)?.0),
                lossy_from_start: row.get(11)?,
                containers: row.get::<_, Count>(12)?.0,
                new_behaviours: row.get::<_, Count>(13)?.0,
                observations: row.get::<_, Count>(14)?.0,
                losses: row.get::<_, Count>(15)?.0,
                latencies: self.latencies(number)?,
            });
        }
        Ok(windows)
    }

    fn latencies(&self, window: u64) -> Read<Vec<Latency>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, count, p50, p90, p99, max FROM latency WHERE learning_window = ?1 ORDER BY name",
        )?;
        let latencies = statement.query_map([window.cast_signed()], |row| {
            let number = |column| row.get::<_, Count>(column).map(|count| count.0);
            Ok(Latency {
                name: row.get(0)?,
                count: number(1)?,
                p50: number(2)?,
                p90: number(3)?,
                p99: number(4)?,
                max: number(5)?,
            })
        })?;
        Ok(latencies.collect::<rusqlite::Result<_>>()?)
    }

    /// The containers, and where to find them again.
    pub(crate) fn containers(&self) -> Read<Vec<StoredContainer>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT {CONTAINER}, container, boot_id FROM container JOIN boot USING (boot)"
        ))?;
        let containers = statement.query_map([], |row| {
            Ok(StoredContainer {
                container: container(row)?,
                row: row.get(13)?,
                boot_id: row.get(14)?,
            })
        })?;
        Ok(containers.collect::<rusqlite::Result<_>>()?)
    }

    fn container_summaries(&self) -> Read<Vec<ContainerSummary>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT {CONTAINER}, coalesce(seen.behaviours, 0), coalesce(seen.observations, 0) FROM container LEFT JOIN \
             (SELECT container, count(DISTINCT behaviour) AS behaviours, sum(count) AS observations \
             FROM observation GROUP BY container) seen USING (container) \
             ORDER BY namespace, kind, name, container_name, started, container",
        ))?;
        let containers = statement.query_map([], |row| {
            Ok(ContainerSummary {
                container: container(row)?,
                behaviours: row.get::<_, Count>(13)?.0,
                observations: row.get::<_, Count>(14)?.0,
            })
        })?;
        Ok(containers.collect::<rusqlite::Result<_>>()?)
    }

    /// The rows of the containers that a window saw.
    pub(crate) fn presence(&self, window: u64) -> Read<Vec<i64>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT container FROM presence WHERE learning_window = ?1")?;
        let rows = statement.query_map([window.cast_signed()], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What each window lost.
    pub(crate) fn losses(&self) -> Read<Vec<StoredLoss>> {
        let mut statement = self.connection.prepare(
            "SELECT learning_window, container, reason, loss.count FROM loss JOIN learning_window USING (learning_window) \
             LEFT JOIN container USING (boot, cgroup)",
        )?;
        let mut rows = statement.query([])?;
        let mut losses = Vec::new();
        while let Some(row) = rows.next()? {
            losses.push(StoredLoss {
                window: row.get::<_, Count>(0)?.0,
                container: row.get(1)?,
                reason: reason(&row.get::<_, String>(2)?)?,
                count: row.get::<_, Count>(3)?.0,
            });
        }
        Ok(losses)
    }

    fn loss_summaries(&self) -> Read<Vec<LossSummary>> {
        let mut statement = self.connection.prepare(
            "SELECT cgroup, reason, sum(loss.count), min(first_seen), max(last_seen), namespace, kind, name, \
             container_name FROM loss JOIN learning_window USING (learning_window) \
             LEFT JOIN container USING (boot, cgroup) GROUP BY boot, cgroup, reason ORDER BY boot, cgroup, reason",
        )?;
        let mut rows = statement.query([])?;
        let mut losses = Vec::new();
        while let Some(row) = rows.next()? {
            let CgroupId(cgroup_id) = row.get(0)?;
            losses.push(LossSummary {
                cgroup_id: (cgroup_id != 0).then_some(cgroup_id),
                reason: reason(&row.get::<_, String>(1)?)?,
                count: row.get::<_, Count>(2)?.0,
                first_seen: row.get(3)?,
                last_seen: row.get(4)?,
                workload: if row.get::<_, Option<String>>(5)?.is_some() {
                    Some(workload(row, 5)?)
                } else {
                    None
                },
            });
        }
        Ok(losses)
    }

    /// Everything that a container did, behaviour by behaviour and minute by minute: the order of the table's key, so that
    /// nothing has to be sorted.
    pub(crate) fn observed(&self, container: i64, mut each: impl FnMut(&Behaviour, Counted)) -> Read<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT behaviour, minute, phase, provenance, count, first_seen, last_seen FROM observation \
             WHERE container = ?1 ORDER BY behaviour, minute",
        )?;
        let mut rows = statement.query([container])?;
        let mut current = None;
        while let Some(row) = rows.next()? {
            let behaviour_row: i64 = row.get(0)?;
            let behaviour = match &current {
                Some((row, behaviour)) if *row == behaviour_row => behaviour,
                _ => &current.insert((behaviour_row, self.behaviour(behaviour_row)?)).1,
            };
            let counted = Counted {
                minute: row.get(1)?,
                phase: row.get(2)?,
                provenance: row.get(3)?,
                count: row.get::<_, Count>(4)?.0,
                first_seen: row.get(5)?,
                last_seen: row.get(6)?,
            };
            each(behaviour, counted);
        }
        Ok(())
    }

    fn behaviour(&self, row: i64) -> Read<Behaviour> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT encoding FROM behaviour WHERE behaviour = ?1")?;
        let encoding: Option<Vec<u8>> = statement.query_row([row], |row| row.get(0)).optional()?;
        encoding
            .and_then(|encoding| decode(&encoding))
            .ok_or_else(|| Failure::Damaged(format!("behaviour {row} cannot be read")))
    }
}

/// The columns that [`container`] reads.
const CONTAINER: &str = "cgroup, namespace, kind, name, container_name, id, repository, tag, digest, cgroup_path, \
                         started, alive_until, partial";

fn container(row: &Row<'_>) -> rusqlite::Result<Container> {
    Ok(Container {
        cgroup_id: row.get::<_, CgroupId>(0)?.0,
        workload: workload(row, 1)?,
        id: row.get(5)?,
        image: Image {
            repository: row.get(6)?,
            tag: row.get(7)?,
            digest: row.get(8)?,
        },
        cgroup_path: row.get(9)?,
        started: row.get(10)?,
        alive_until: row.get(11)?,
        partial: row.get(12)?,
    })
}

fn workload(row: &Row<'_>, from: usize) -> rusqlite::Result<Workload> {
    Ok(Workload {
        namespace: row.get(from)?,
        kind: row.get(from + 1)?,
        name: row.get(from + 2)?,
        container: row.get(from + 3)?,
    })
}

/// When and why a window ended, from the columns `ended`, `end_reason` and `end_detail`.
fn ended(row: &Row<'_>) -> Read<Option<(UtcTime, EndReason)>> {
    let Some(at) = row.get(3)? else { return Ok(None) };
    let word: String = row.get(4)?;
    let reason = to_end_reason(&word, row.get(5)?)
        .ok_or_else(|| Failure::Damaged(format!("a window ended for the unknown reason `{word}`")))?;
    Ok(Some((at, reason)))
}

fn reason(word: &str) -> Read<Reason> {
    Reason::from_word(word)
        .ok_or_else(|| Failure::Damaged(format!("something was lost for the unknown reason `{word}`")))
}
