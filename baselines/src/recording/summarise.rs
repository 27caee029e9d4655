//! What `profile status` shows of a recording, read.

use super::columns::{CgroupId, Count};
use super::error::{Error, Result};
use super::read::{CONTAINER, Read, Snapshot, Source, container, reason, workload};
use super::{ContainerSummary, LossSummary, Recording, SourceSummary, Summary};

impl Recording {
    /// What `profile status` shows.
    ///
    /// # Errors
    /// What the database says, or [`super::Error::Damaged`] for values that no recorder writes.
    pub fn summary(&self) -> Result<Summary> {
        // Ends with this function.
        let transaction = self.connection.unchecked_transaction();
        let _transaction = transaction.map_err(|error| Error::from_sqlite(error, "read", &self.path))?;
        let snapshot = self.state()?;
        snapshot.summary().map_err(|failure| snapshot.error(failure))
    }
}

impl From<Source> for SourceSummary {
    fn from(source: Source) -> Self {
        Self {
            id: source.id,
            revision: source.revision,
            created: source.created,
            host: source.host,
            is_own: source.is_own,
            removed: source.removed,
            part: source.part,
            lost: source.lost,
        }
    }
}

impl Snapshot<'_> {
    fn summary(&self) -> Read<Summary> {
        let sources = self.sources()?;
        let mut windows = Vec::new();
        for source in &sources {
            windows.extend(self.windows(source)?);
        }
        let Count(behaviours) = self
            .connection
            .query_row("SELECT count(*) FROM behaviour", [], |row| row.get(0))?;
        Ok(Summary {
            sources: sources.into_iter().map(SourceSummary::from).collect(),
            behaviours,
            windows,
            containers: self.container_summaries()?,
            losses: self.loss_summaries()?,
        })
    }

    fn container_summaries(&self) -> Read<Vec<ContainerSummary>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT {CONTAINER}, coalesce(seen.behaviours, 0), coalesce(seen.observations, 0), host \
             FROM container JOIN boot USING (boot) JOIN (SELECT source, host FROM source) USING (source) LEFT JOIN \
             (SELECT container, count(DISTINCT behaviour) AS behaviours, sum(count) AS observations \
             FROM observation GROUP BY container) seen USING (container) \
             ORDER BY namespace, kind, name, container_name, host, started, container",
        ))?;
        let containers = statement.query_map([], |row| {
            Ok(ContainerSummary {
                container: container(row)?,
                behaviours: row.get::<_, Count>(13)?.0,
                observations: row.get::<_, Count>(14)?.0,
                host: row.get(15)?,
            })
        })?;
        Ok(containers.collect::<rusqlite::Result<_>>()?)
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
}
