//! Writing one flush: the only way into a recording. What must be hidden is hidden here, and here it is seen to that the file
//! does not become larger than it may.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::columns::{CgroupId, Count};
use super::encoding::encode;
use super::error::Failure;
use super::interned::Interned;
use super::peers::{self, Apart};
use super::{Container, Counted, CountedPeer, Flush, Latency, Loss, Observation, Reached, WindowId};
use crate::behaviour::Behaviour;
use crate::loss::Reason;
use crate::redaction::Redaction;

type Result<T> = std::result::Result<T, Failure>;

/// How much is left for what is not counted in observations, such as losses: an eighth of the limit, and at most this many
/// bytes.
const RESERVE_MAX: u64 = 1 << 20;

/// How a recording is written.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) redaction: Redaction,
    /// The most bytes that the file may have.
    pub(super) size_max: Option<u64>,
}

/// Writes a flush within a transaction that the caller commits. Returns how many observations found no room.
pub(super) fn write(
    transaction: &Transaction<'_>,
    interned: &mut Interned,
    rules: &Rules,
    boot: i64,
    window: WindowId,
    flush: &Flush,
) -> Result<u64> {
    let mut writing = Writing {
        transaction,
        rules,
        boot,
        containers: HashMap::new(),
        written: Written::default(),
        no_room: BTreeMap::new(),
        apart: Apart {
            redacted: 0,
            left_out: flush.reached_left_out,
        },
    };
    writing.begin(window, flush)?;
    for container in &flush.containers {
        writing.container(container)?;
    }
    for observation in flush.observations.iter().filter(|observation| observation.count > 0) {
        writing.observation(interned, observation)?;
    }
    for reached in flush.reached.iter().filter(|reached| reached.count > 0) {
        writing.reached(interned, window, reached)?;
    }
    for loss in &flush.losses {
        writing.loss(window, loss)?;
    }
    let no_room = writing.end(window)?;
    peers::add_name_gaps(
        transaction,
        window,
        flush.name_gaps.iter().map(|(gap, count)| (*gap, *count)),
    )?;
    write_latencies(transaction, window, &flush.latencies)?;
    Ok(no_room)
}

/// A flush that is being written.
struct Writing<'a> {
    transaction: &'a Transaction<'a>,
    rules: &'a Rules,
    boot: i64,
    /// The rows of containers, which are named by their cgroup. None for one that found no room.
    containers: HashMap<u64, Option<i64>>,
    written: Written,
    /// What was not written because the file may not become larger, by cgroup where that has a row.
    no_room: BTreeMap<Option<u64>, Loss>,
    apart: Apart,
}

/// Of the observations, how many were written.
#[derive(Default)]
struct Written {
    observations: u64,
    redacted: u64,
    new_behaviours: i64,
}

impl Writing<'_> {
    /// First of all, because it tells whether there is such a window.
    fn begin(&self, window: WindowId, flush: &Flush) -> Result<()> {
        let changed = self
            .transaction
            .prepare_cached(
                "UPDATE learning_window SET last_flush = max(last_flush, ?2) WHERE learning_window = ?1 AND ended IS NULL",
            )?
            .execute(params![window.0, flush.at])?;
        if changed == 1 {
            Ok(())
        } else {
            Err(Failure::WindowNotOpen(window))
        }
    }

    /// Last of all: what has been written, and what has not.
    fn end(self, window: WindowId) -> Result<u64> {
        self.transaction
            .prepare_cached(
                "UPDATE learning_window SET observations = observations + ?2, new_behaviours = new_behaviours + ?3, \
                 redacted = redacted + ?4 WHERE learning_window = ?1",
            )?
            .execute(params![
                window.0,
                signed(self.written.observations)?,
                self.written.new_behaviours,
                signed(self.written.redacted)?
            ])?;
        peers::add_apart(self.transaction, window, self.apart)?;
        let losses: Vec<Loss> = self.no_room.into_values().collect();
        write_losses(self.transaction, window, &losses)?;
        write_presence(self.transaction, window, self.containers.into_values().flatten())?;
        Ok(losses.iter().fold(0, |sum, loss| sum.saturating_add(loss.count)))
    }

    fn container(&mut self, container: &Container) -> Result<()> {
        let row = if self.is_full()? && self.find(container.cgroup_id)?.is_none() {
            None
        } else {
            let shown = self.rules.redaction.container(container);
            let is_redacted = *shown != *container;
            Some(upsert_container(self.transaction, self.boot, &shown, is_redacted)?)
        };
        self.containers.insert(container.cgroup_id, row);
        Ok(())
    }

    fn observation(&mut self, interned: &mut Interned, observation: &Observation) -> Result<()> {
        let behaviour = self.rules.redaction.behaviour(&observation.behaviour);
        let is_full = self.is_full()?;
        let Some(container) = self.row_of(observation.cgroup_id, is_full)? else {
            self.lose(None, observation);
            return Ok(());
        };
        if is_full && !self.has_row(container, &behaviour, observation)? {
            self.lose(Some(observation.cgroup_id), observation);
            return Ok(());
        }
        let row = interned.intern(self.transaction, &behaviour)?;
        add_observation(self.transaction, container, row.row, &counted(observation))?;
        let written = &mut self.written;
        written.new_behaviours += i64::from(row.is_new);
        let add = |sum: u64, count| sum.checked_add(count).ok_or(Failure::CountTooLarge);
        written.observations = add(written.observations, observation.count)?;
        if *behaviour != observation.behaviour {
            written.redacted = add(written.redacted, observation.count)?;
        }
        Ok(())
    }

    fn reached(&mut self, interned: &mut Interned, window: WindowId, reached: &Reached) -> Result<()> {
        let behaviour = self.rules.redaction.behaviour(&reached.behaviour);
        let redaction = &self.rules.redaction;
        let peer = redaction.peer(&reached.peer);
        let dns_name = reached.dns_name.as_ref().map(|name| redaction.dns_name(name));
        let is_redacted = peer != reached.peer || dns_name != reached.dns_name;
        let counted = CountedPeer {
            window: 0,
            provenance: reached.provenance,
            peer,
            dns_name,
            count: reached.count,
            first_seen: reached.first_seen,
            last_seen: reached.last_seen,
        };
        let add = |sum: u64| sum.checked_add(reached.count).ok_or(Failure::CountTooLarge);
        let is_full = self.is_full()?;
        let row = match self.row_of(reached.cgroup_id, is_full)? {
            Some(row) if is_full && !peers::has_row(self.transaction, window, row, &behaviour, &counted)? => None,
            row => row,
        };
        let Some(container) = row else {
            self.apart.left_out = add(self.apart.left_out)?;
            return Ok(());
        };
        let behaviour = interned.intern(self.transaction, &behaviour)?;
        self.written.new_behaviours += i64::from(behaviour.is_new);
        peers::add(self.transaction, window, container, behaviour.row, &counted)?;
        if is_redacted {
            self.apart.redacted = add(self.apart.redacted)?;
        }
        Ok(())
    }

    /// The row of a container that did something. None for one that found no room: nobody who is not in the file can be
    /// counted in it.
    fn row_of(&mut self, cgroup_id: u64, is_full: bool) -> Result<Option<i64>> {
        let row = match self.containers.get(&cgroup_id) {
            Some(row) => *row,
            None => self.find(cgroup_id)?,
        };
        match row {
            Some(row) => {
                self.containers.insert(cgroup_id, Some(row));
                Ok(Some(row))
            }
            None if is_full || self.containers.contains_key(&cgroup_id) => Ok(None),
            None => Err(Failure::UnknownContainer(cgroup_id)),
        }
    }

    /// Writes a loss. In a full file those of cgroups that have no row there become one.
    fn loss(&self, window: WindowId, loss: &Loss) -> Result<()> {
        let is_left_out = match loss.cgroup_id {
            Some(cgroup) if self.is_full()? => self.find(cgroup)?.is_none(),
            _ => false,
        };
        let loss = if is_left_out {
            Loss {
                cgroup_id: None,
                ..loss.clone()
            }
        } else {
            loss.clone()
        };
        write_losses(self.transaction, window, &[loss])
    }

    fn lose(&mut self, cgroup_id: Option<u64>, observation: &Observation) {
        let lost = self.no_room.entry(cgroup_id).or_insert(Loss {
            cgroup_id,
            reason: Reason::RecordingFull,
            count: 0,
            first_seen: observation.first_seen,
            last_seen: observation.last_seen,
        });
        lost.count = lost.count.saturating_add(observation.count);
        lost.first_seen = lost.first_seen.min(observation.first_seen);
        lost.last_seen = lost.last_seen.max(observation.last_seen);
    }

    /// The row of a container that was flushed before.
    fn find(&self, cgroup_id: u64) -> Result<Option<i64>> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT container FROM container WHERE boot = ?1 AND cgroup = ?2")?;
        let row = statement.query_row(params![self.boot, CgroupId(cgroup_id)], |row| row.get(0));
        Ok(row.optional()?)
    }

    /// Whether an observation adds to one that is there.
    fn has_row(&self, container: i64, behaviour: &Behaviour, observation: &Observation) -> Result<bool> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT 1 FROM observation JOIN behaviour USING (behaviour) WHERE container = ?1 AND encoding = ?2 \
             AND minute = ?3 AND phase = ?4 AND provenance = ?5",
        )?;
        Ok(statement.exists(params![
            container,
            encode(behaviour),
            observation.minute,
            observation.phase,
            observation.provenance,
        ])?)
    }

    /// Whether one more row could make the file larger than it may be.
    fn is_full(&self) -> Result<bool> {
        let Some(size_max) = self.rules.size_max else {
            return Ok(false);
        };
        let reserve = (size_max / 8).min(RESERVE_MAX);
        Ok(used(self.transaction)? >= size_max.saturating_sub(reserve))
    }
}

/// How much of a database's file is in use, in bytes.
pub(super) fn used(connection: &Connection) -> Result<u64> {
    let number = |pragma: &str| {
        let mut statement = connection.prepare_cached(pragma)?;
        statement.query_row([], |row| Ok(row.get::<_, Count>(0)?.0))
    };
    let (pages, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
    Ok(pages.saturating_sub(free).saturating_mul(number("PRAGMA page_size")?))
}

/// The row of a container, with what is known best about it.
pub(super) fn upsert_container(
    transaction: &Transaction<'_>,
    boot: i64,
    container: &Container,
    is_redacted: bool,
) -> Result<i64> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO container (boot, cgroup, namespace, kind, name, container_name, id, repository, tag, digest, \
         cgroup_path, started, alive_until, partial, redacted) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
         ON CONFLICT (boot, cgroup) DO UPDATE SET namespace = excluded.namespace, kind = excluded.kind, \
         name = excluded.name, container_name = excluded.container_name, id = excluded.id, \
         repository = excluded.repository, tag = excluded.tag, digest = excluded.digest, \
         cgroup_path = excluded.cgroup_path, started = min(started, excluded.started), \
         alive_until = max(alive_until, excluded.alive_until), partial = min(partial, excluded.partial), \
         redacted = max(redacted, excluded.redacted) \
         RETURNING container",
    )?;
    let values = params![
        boot,
        CgroupId(container.cgroup_id),
        container.workload.namespace,
        container.workload.kind,
        container.workload.name,
        container.workload.container,
        container.id,
        container.image.repository,
        container.image.tag,
        container.image.digest,
        container.cgroup_path,
        container.started,
        container.alive_until,
        container.partial,
        is_redacted,
    ];
    Ok(statement.query_row(values, |row| row.get(0))?)
}

/// A window saw these containers.
pub(super) fn write_presence(
    transaction: &Transaction<'_>,
    window: WindowId,
    containers: impl IntoIterator<Item = i64>,
) -> Result<()> {
    let mut statement =
        transaction.prepare_cached("INSERT OR IGNORE INTO presence (learning_window, container) VALUES (?1, ?2)")?;
    for container in containers {
        statement.execute(params![window.0, container])?;
    }
    Ok(())
}

/// Counts a behaviour of a container in one minute.
pub(super) fn add_observation(
    transaction: &Transaction<'_>,
    container: i64,
    behaviour: i64,
    counted: &Counted,
) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO observation (container, behaviour, minute, phase, provenance, count, first_seen, last_seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (container, behaviour, minute, phase, provenance) DO UPDATE SET count = count + excluded.count, \
         first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)",
    )?;
    statement.execute(params![
        container,
        behaviour,
        counted.minute,
        counted.phase,
        counted.provenance,
        signed(counted.count)?,
        counted.first_seen,
        counted.last_seen,
    ])?;
    Ok(())
}

fn counted(observation: &Observation) -> Counted {
    Counted {
        minute: observation.minute,
        phase: observation.phase,
        provenance: observation.provenance,
        count: observation.count,
        first_seen: observation.first_seen,
        last_seen: observation.last_seen,
    }
}

pub(super) fn write_losses(transaction: &Transaction<'_>, window: WindowId, losses: &[Loss]) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO loss (learning_window, cgroup, reason, count, first_seen, last_seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (learning_window, cgroup, reason) DO UPDATE SET count = count + excluded.count, \
         first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)",
    )?;
    for loss in losses.iter().filter(|loss| loss.count > 0) {
        // No cgroup has the id 0.
        let cgroup = CgroupId(loss.cgroup_id.unwrap_or(0));
        let (reason, count) = (loss.reason.word(), signed(loss.count)?);
        statement.execute(params![
            window.0,
            cgroup,
            reason,
            count,
            loss.first_seen,
            loss.last_seen
        ])?;
    }
    Ok(())
}

pub(super) fn write_latencies(transaction: &Transaction<'_>, window: WindowId, latencies: &[Latency]) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO latency (learning_window, name, count, p50, p90, p99, max) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for Latency {
        name,
        count,
        p50,
        p90,
        p99,
        max,
    } in latencies
    {
        let [count, p50, p90, p99, max] = [*count, *p50, *p90, *p99, *max].map(signed);
        statement.execute(params![window.0, name, count?, p50?, p90?, p99?, max?])?;
    }
    Ok(())
}

/// Stored integers are signed: a count that does not fit is an error, never another number.
pub(super) fn signed(count: u64) -> Result<i64> {
    i64::try_from(count).map_err(|_| Failure::CountTooLarge)
}

/// Nanoseconds; the most that there are for a time that is longer.
pub(super) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
