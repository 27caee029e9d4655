//! Writing one flush.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::columns::CgroupId;
use super::error::Failure;
use super::interned::Interned;
use super::{Container, Counted, Flush, Latency, Loss, Observation, WindowId};

type Result<T> = std::result::Result<T, Failure>;

/// Writes a flush within a transaction that the caller commits.
pub(super) fn write(
    transaction: &Transaction<'_>,
    interned: &mut Interned,
    boot: i64,
    window: WindowId,
    flush: &Flush,
) -> Result<()> {
    count_into(transaction, window, flush)?;
    let mut containers = Containers {
        transaction,
        boot,
        rows: HashMap::new(),
    };
    for container in &flush.containers {
        containers.upsert(container)?;
    }
    let new_behaviours = write_observations(transaction, interned, &mut containers, &flush.observations)?;
    transaction
        .prepare_cached("UPDATE learning_window SET new_behaviours = new_behaviours + ?2 WHERE learning_window = ?1")?
        .execute(params![window.0, new_behaviours])?;
    write_presence(transaction, window, containers.rows.into_values())?;
    write_losses(transaction, window, &flush.losses)?;
    write_latencies(transaction, window, &flush.latencies)
}

/// First of all, because it tells whether there is such a window.
fn count_into(transaction: &Transaction<'_>, window: WindowId, flush: &Flush) -> Result<()> {
    let counted = flush
        .observations
        .iter()
        .try_fold(0_u64, |sum, observation| sum.checked_add(observation.count));
    let changed = transaction
        .prepare_cached(
            "UPDATE learning_window SET last_flush = max(last_flush, ?2), observations = observations + ?3 \
             WHERE learning_window = ?1 AND ended IS NULL",
        )?
        .execute(params![
            window.0,
            flush.at,
            signed(counted.ok_or(Failure::CountTooLarge)?)?
        ])?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Failure::WindowNotOpen(window))
    }
}

/// Finds the rows of containers, which are named by their cgroup.
struct Containers<'a> {
    transaction: &'a Transaction<'a>,
    boot: i64,
    rows: HashMap<u64, i64>,
}

impl Containers<'_> {
    fn upsert(&mut self, container: &Container) -> Result<()> {
        let row = upsert_container(self.transaction, self.boot, container)?;
        self.rows.insert(container.cgroup_id, row);
        Ok(())
    }

    fn row(&mut self, cgroup_id: u64) -> Result<i64> {
        if let Some(row) = self.rows.get(&cgroup_id) {
            return Ok(*row);
        }
        let row = self
            .transaction
            .prepare_cached("SELECT container FROM container WHERE boot = ?1 AND cgroup = ?2")?
            .query_row(params![self.boot, CgroupId(cgroup_id)], |row| row.get(0))
            .optional()?
            .ok_or(Failure::UnknownContainer(cgroup_id))?;
        self.rows.insert(cgroup_id, row);
        Ok(row)
    }
}

/// The row of a container, with what is known best about it.
pub(super) fn upsert_container(transaction: &Transaction<'_>, boot: i64, container: &Container) -> Result<i64> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO container (boot, cgroup, namespace, kind, name, container_name, id, repository, tag, digest, \
         cgroup_path, started, alive_until, partial) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
         ON CONFLICT (boot, cgroup) DO UPDATE SET namespace = excluded.namespace, kind = excluded.kind, \
         name = excluded.name, container_name = excluded.container_name, id = excluded.id, \
         repository = excluded.repository, tag = excluded.tag, digest = excluded.digest, \
         cgroup_path = excluded.cgroup_path, started = min(started, excluded.started), \
         alive_until = max(alive_until, excluded.alive_until), partial = min(partial, excluded.partial) \
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

/// Returns how many behaviours are new to the recording.
fn write_observations(
    transaction: &Transaction<'_>,
    interned: &mut Interned,
    containers: &mut Containers<'_>,
    observations: &[Observation],
) -> Result<i64> {
    let mut new_behaviours = 0;
    for observation in observations.iter().filter(|observation| observation.count > 0) {
        let container = containers.row(observation.cgroup_id)?;
        let behaviour = interned.intern(transaction, &observation.behaviour)?;
        new_behaviours += i64::from(behaviour.is_new);
        add_observation(transaction, container, behaviour.row, &counted(observation))?;
    }
    Ok(new_behaviours)
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
