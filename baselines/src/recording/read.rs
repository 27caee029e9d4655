//! Reading, row by row. What the rows mean together: `summarise.rs`, and the analysis.

use std::cmp::Reverse;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::columns::{self, CgroupId, Count, to_end_reason};
use super::encoding::decode;
use super::error::{Error, Failure, Result};
use super::file::WriterLock;
use super::{Container, EndReason, Latency, Part, Recording, RecordingId, RemovedWindows, WindowSummary};
use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::dns::DnsName;
use crate::loss::Reason;
use crate::peer::Peer;
use crate::time::{Minute, UtcTime};
use crate::workload::{Image, Workload};

pub(super) type Read<T> = std::result::Result<T, Failure>;

/// One of the recordings in a file, and which state of it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(super) row: i64,
    pub(crate) id: RecordingId,
    pub(crate) revision: u64,
    pub(super) created: UtcTime,
    pub(crate) host: String,
    pub(crate) machine_id: Option<String>,
    pub(super) is_own: bool,
    pub(crate) removed: Option<RemovedWindows>,
    pub(crate) part: Option<Part>,
    /// The recording that this is no copy of, but the word that it, or a part of it, is lost.
    pub(crate) lost: Option<RecordingId>,
    /// How many windows were going on when this copy was made.
    pub(super) unfinished: u64,
}

impl Source {
    /// What decides between copies of one recording: the highest takes all.
    ///
    /// Equal ranks mean equal content, so that it does not matter which one is taken: a revision is what one recorder wrote;
    /// retention takes away a beginning of it, which the number of windows tells; and whether the last window has crashed is
    /// only known once its recorder is gone.
    pub(crate) fn rank(&self) -> (u64, u64, Reverse<u64>) {
        let removed = self.removed.as_ref().map_or(0, |removed| removed.windows);
        (self.revision, removed, Reverse(self.unfinished))
    }
}

/// An image that a window had seen which retention took away.
#[derive(Clone, Debug)]
pub(crate) struct RemovedImage {
    /// The window's number.
    pub(crate) number: u64,
    /// When the window began.
    pub(crate) started: UtcTime,
    /// When it ended.
    pub(crate) ended: UtcTime,
    pub(crate) image: Image,
}

/// A container and where to find it again.
#[derive(Clone, Debug)]
pub(crate) struct StoredContainer {
    pub(crate) row: i64,
    pub(crate) boot_id: String,
    pub(crate) container: Container,
    /// Whether a part of its names is hidden.
    pub(super) is_redacted: bool,
}

/// What one window lost.
#[derive(Clone, Debug)]
pub(crate) struct StoredLoss {
    /// The window's number.
    pub(crate) window: u64,
    /// The row of the container, where the cgroup has one.
    pub(crate) container: Option<i64>,
    pub(crate) cgroup_id: u64,
    pub(crate) reason: Reason,
    pub(crate) count: u64,
    pub(super) first_seen: UtcTime,
    pub(super) last_seen: UtcTime,
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

/// How often a container reached a peer by one behaviour in one window.
#[derive(Clone, Debug)]
pub(crate) struct CountedPeer {
    /// The window's number; 0 where it is about to be written.
    pub(super) window: u64,
    pub(crate) provenance: Provenance,
    pub(crate) peer: Peer,
    pub(crate) dns_name: Option<DnsName>,
    pub(crate) count: u64,
    pub(crate) first_seen: UtcTime,
    pub(crate) last_seen: UtcTime,
}

/// One state of a recording, whatever is flushed meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot<'a> {
    path: &'a Path,
    /// In a transaction that only reads.
    pub(super) connection: &'a Connection,
    /// No recorder was there when this state was taken, so that a window that is open has crashed.
    is_abandoned: bool,
}

/// A recording that is read in one state for as long as this is there.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its transaction ends with the connection.
    recording: Recording,
    is_abandoned: bool,
}

impl Held {
    /// The recording as it is now.
    pub(crate) fn new(recording: Recording) -> Result<Self> {
        let begun = recording.connection.execute_batch("BEGIN");
        begun.map_err(|error| Error::from_sqlite(error, "read", &recording.path))?;
        let is_abandoned = recording.state()?.is_abandoned;
        Ok(Self {
            recording,
            is_abandoned,
        })
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            path: &self.recording.path,
            connection: &self.recording.connection,
            is_abandoned: self.is_abandoned,
        }
    }

    /// Whether a recorder may change the file at any moment.
    pub(super) fn is_live(&self) -> bool {
        !self.is_abandoned
    }
}

impl Recording {
    /// The recording as it is now, within a transaction that has begun.
    pub(super) fn state(&self) -> Result<Snapshot<'_>> {
        let Self { path, connection } = self;
        // Looked at before and after: a recorder that came or went meanwhile has not crashed.
        let was_taken = WriterLock::is_taken(path)?;
        // The state is that of the first reading.
        connection
            .query_row("SELECT count(*) FROM source", [], |_| Ok(()))
            .map_err(|error| Error::from_sqlite(error, "read", path))?;
        Ok(Snapshot {
            path,
            connection,
            is_abandoned: !was_taken && !WriterLock::is_taken(path)?,
        })
    }
}

impl Snapshot<'_> {
    /// What went wrong, as the user is told.
    pub(crate) fn error(&self, failure: Failure) -> Error {
        failure.at("read", self.path)
    }

    /// The recordings in the file, sorted by id.
    pub(crate) fn sources(&self) -> Read<Vec<Source>> {
        let mut statement = self.connection.prepare(
            "SELECT source, id, revision, created, host, machine_id, own IS NOT NULL, part_of, namespace, lost, \
             (SELECT count(*) FROM learning_window JOIN boot USING (boot) WHERE boot.source = source.source \
             AND (end_reason = 'copied' OR (ended IS NULL AND NOT ?1))) FROM source ORDER BY id",
        )?;
        let sources = statement.query_map([self.is_abandoned], |row| {
            Ok(Source {
                row: row.get(0)?,
                id: RecordingId(row.get(1)?),
                revision: row.get::<_, Count>(2)?.0,
                created: row.get(3)?,
                host: row.get(4)?,
                machine_id: row.get(5)?,
                is_own: row.get(6)?,
                removed: None,
                part: match (row.get(7)?, row.get(8)?) {
                    (Some(whole), Some(namespace)) => Some(Part {
                        whole: RecordingId(whole),
                        namespace,
                    }),
                    _ => None,
                },
                lost: match (row.get(9)?, row.get(7)?) {
                    (true, Some(whole)) => Some(RecordingId(whole)),
                    _ => None,
                },
                unfinished: row.get::<_, Count>(10)?.0,
            })
        })?;
        let mut sources: Vec<Source> = sources.collect::<rusqlite::Result<_>>()?;
        for source in &mut sources {
            source.removed = self.removed(source.row)?;
        }
        Ok(sources)
    }

    fn removed(&self, source: i64) -> Read<Option<RemovedWindows>> {
        let removed = self.connection.query_row(
            "SELECT count(*), coalesce(min(started), 0), coalesce(max(ended), 0), coalesce(sum(observations), 0), \
             coalesce(sum(losses), 0) FROM removed_window WHERE source = ?1",
            [source],
            |row| {
                Ok(RemovedWindows {
                    windows: row.get::<_, Count>(0)?.0,
                    from: row.get(1)?,
                    until: row.get(2)?,
                    observations: row.get::<_, Count>(3)?.0,
                    losses: row.get::<_, Count>(4)?.0,
                })
            },
        )?;
        Ok((removed.windows > 0).then_some(removed))
    }

    /// The windows of a source, oldest first.
    pub(crate) fn windows(&self, source: &Source) -> Read<Vec<WindowSummary>> {
        let mut statement = self.connection.prepare(
            "SELECT w.learning_window, w.number, w.started, w.last_flush, w.ended, w.end_reason, w.end_detail, w.selector, \
             w.backend, boot.kernel, w.tool_version, w.flush_interval, w.lossy_from_start, \
             (SELECT count(*) FROM presence p WHERE p.learning_window = w.learning_window), \
             w.new_behaviours, w.observations, \
             (SELECT coalesce(sum(count), 0) FROM loss l WHERE l.learning_window = w.learning_window), \
             w.redacted, (SELECT count(*) FROM presence p JOIN container USING (container) \
             WHERE p.learning_window = w.learning_window AND container.redacted), w.names \
             FROM learning_window w JOIN boot USING (boot) WHERE boot.source = ?1 ORDER BY w.number",
        )?;
        let mut rows = statement.query([source.row])?;
        let mut windows = Vec::new();
        while let Some(row) = rows.next()? {
            let last_flush = row.get(3)?;
            let ended = match ended(row)? {
                None if self.is_abandoned => Some((last_flush, EndReason::Crashed)),
                ended => ended,
            };
            let count = |column| row.get::<_, Count>(column).map(|count| count.0);
            let window: i64 = row.get(0)?;
            let apart = self.apart(window)?;
            windows.push(WindowSummary {
                recording: source.id,
                number: count(1)?,
                started: row.get(2)?,
                ended,
                last_flush,
                selector: row.get(7)?,
                backend: row.get(8)?,
                kernel: row.get(9)?,
                tool_version: row.get(10)?,
                flush_interval: Duration::from_nanos(count(11)?),
                lossy_from_start: row.get(12)?,
                containers: count(13)?,
                new_behaviours: count(14)?,
                observations: count(15)?,
                losses: count(16)?,
                redacted_observations: count(17)?,
                redacted_containers: count(18)?,
                redacted_peers: apart.redacted,
                peers_left_out: apart.left_out,
                peers_untold: self.untold(window)?,
                names: columns::names(row.get(19)?),
                name_gaps: self.name_gaps(window)?,
                latencies: self.latencies(window)?,
            });
        }
        Ok(windows)
    }

    fn latencies(&self, window: i64) -> Read<Vec<Latency>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, count, p50, p90, p99, max FROM latency WHERE learning_window = ?1 ORDER BY name",
        )?;
        let latencies = statement.query_map([window], |row| {
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

    /// The boots of a source that something was recorded in: their ids, and the kernels' releases.
    pub(super) fn boots(&self, source: &Source) -> Read<Vec<(String, String)>> {
        let mut statement = self.connection.prepare(
            "SELECT boot_id, kernel FROM boot WHERE source = ?1 AND (boot IN (SELECT boot FROM learning_window) \
             OR boot IN (SELECT boot FROM container)) ORDER BY boot_id",
        )?;
        let boots = statement.query_map([source.row], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(boots.collect::<rusqlite::Result<_>>()?)
    }

    /// The numbers of a source's windows, and the ids of their boots.
    pub(super) fn boots_of_windows(&self, source: &Source) -> Read<Vec<(u64, String)>> {
        let mut statement = self.connection.prepare(
            "SELECT number, boot_id FROM learning_window JOIN boot USING (boot) WHERE boot.source = ?1 ORDER BY number",
        )?;
        let boots = statement.query_map([source.row], |row| Ok((row.get::<_, Count>(0)?.0, row.get(1)?)))?;
        Ok(boots.collect::<rusqlite::Result<_>>()?)
    }

    /// The images that removed windows of a source had seen.
    pub(crate) fn removed_images(&self, source: &Source) -> Read<Vec<RemovedImage>> {
        let mut statement = self.connection.prepare(
            "SELECT number, started, ended, repository, tag, digest FROM removed_window \
             JOIN removed_image USING (source, number) WHERE source = ?1 ORDER BY number, repository, tag, digest",
        )?;
        let images = statement.query_map([source.row], |row| {
            Ok(RemovedImage {
                number: row.get::<_, Count>(0)?.0,
                started: row.get(1)?,
                ended: row.get(2)?,
                image: Image {
                    repository: row.get(3)?,
                    tag: row.get(4)?,
                    digest: row.get(5)?,
                },
            })
        })?;
        Ok(images.collect::<rusqlite::Result<_>>()?)
    }

    /// The containers of a source, and where to find them again.
    pub(crate) fn containers(&self, source: &Source) -> Read<Vec<StoredContainer>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT {CONTAINER}, container, boot_id, redacted FROM container JOIN boot USING (boot) WHERE boot.source = ?1 \
             ORDER BY boot_id, cgroup"
        ))?;
        let containers = statement.query_map([source.row], |row| {
            Ok(StoredContainer {
                container: container(row)?,
                row: row.get(13)?,
                boot_id: row.get(14)?,
                is_redacted: row.get(15)?,
            })
        })?;
        Ok(containers.collect::<rusqlite::Result<_>>()?)
    }

    /// The rows of the containers that a window saw.
    pub(crate) fn presence(&self, source: &Source, window: u64) -> Read<Vec<i64>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT container FROM boot JOIN learning_window USING (boot) JOIN presence USING (learning_window) \
             WHERE boot.source = ?1 AND number = ?2",
        )?;
        let rows = statement.query_map([source.row, window.cast_signed()], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What each window of a source lost.
    pub(crate) fn losses(&self, source: &Source) -> Read<Vec<StoredLoss>> {
        let mut statement = self.connection.prepare(
            "SELECT number, container, loss.cgroup, reason, loss.count, first_seen, last_seen \
             FROM loss JOIN learning_window USING (learning_window) JOIN boot USING (boot) \
             LEFT JOIN container ON container.boot = boot.boot AND container.cgroup = loss.cgroup \
             WHERE boot.source = ?1 ORDER BY number, loss.cgroup, reason",
        )?;
        let mut rows = statement.query([source.row])?;
        let mut losses = Vec::new();
        while let Some(row) = rows.next()? {
            losses.push(StoredLoss {
                window: row.get::<_, Count>(0)?.0,
                container: row.get(1)?,
                cgroup_id: row.get::<_, CgroupId>(2)?.0,
                reason: reason(&row.get::<_, String>(3)?)?,
                count: row.get::<_, Count>(4)?.0,
                first_seen: row.get(5)?,
                last_seen: row.get(6)?,
            });
        }
        Ok(losses)
    }

    /// Everything that a container did, behaviour by behaviour and minute by minute: the order of the table's key, so that
    /// nothing has to be sorted.
    pub(crate) fn observed(&self, container: i64, mut each: impl FnMut(&Behaviour, Counted) -> Read<()>) -> Read<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT behaviour, minute, phase, provenance, count, first_seen, last_seen FROM observation \
             WHERE container = ?1 ORDER BY behaviour, minute",
        )?;
        let mut rows = statement.query([container])?;
        let mut current = None;
        while let Some(row) = rows.next()? {
            let behaviour = self.behaviour_of(&mut current, row.get(0)?)?;
            let counted = Counted {
                minute: row.get(1)?,
                phase: row.get(2)?,
                provenance: row.get(3)?,
                count: row.get::<_, Count>(4)?.0,
                first_seen: row.get(5)?,
                last_seen: row.get(6)?,
            };
            each(behaviour, counted)?;
        }
        Ok(())
    }

    /// The behaviour in a row, which is `current` if that has been read last.
    pub(super) fn behaviour_of<'a>(&self, current: &'a mut Option<(i64, Behaviour)>, row: i64) -> Read<&'a Behaviour> {
        if current.as_ref().is_none_or(|(known, _)| *known != row) {
            *current = None;
        }
        match current {
            Some((_, behaviour)) => Ok(behaviour),
            None => Ok(&current.insert((row, self.behaviour(row)?)).1),
        }
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
pub(super) const CONTAINER: &str = "cgroup, namespace, kind, name, container_name, id, repository, tag, digest, cgroup_path, \
                                    started, alive_until, partial";

pub(super) fn container(row: &Row<'_>) -> rusqlite::Result<Container> {
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

pub(super) fn workload(row: &Row<'_>, from: usize) -> rusqlite::Result<Workload> {
    Ok(Workload {
        namespace: row.get(from)?,
        kind: row.get(from + 1)?,
        name: row.get(from + 2)?,
        container: row.get(from + 3)?,
    })
}

/// When and why a window ended, from the columns `ended`, `end_reason` and `end_detail`.
fn ended(row: &Row<'_>) -> Read<Option<(UtcTime, EndReason)>> {
    let Some(at) = row.get(4)? else { return Ok(None) };
    let word: String = row.get(5)?;
    let reason = to_end_reason(&word, row.get(6)?)
        .ok_or_else(|| Failure::Damaged(format!("a window ended for the unknown reason `{word}`")))?;
    Ok(Some((at, reason)))
}

pub(super) fn reason(word: &str) -> Read<Reason> {
    Reason::from_word(word)
        .ok_or_else(|| Failure::Damaged(format!("something was lost for the unknown reason `{word}`")))
}
