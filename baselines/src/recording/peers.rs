//! Peers, in and out of a recording.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::WindowId;
use super::columns::Count;
use super::encoding::encode;
use super::error::Failure;
use super::flush::signed;
use super::read::{CountedPeer, Read, Snapshot};
use crate::behaviour::Behaviour;
use crate::dns::{DnsName, DnsNameError, NameGap};
use crate::peer::{Peer, Untold};

/// What is not in the rows of peers as it was, in observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Apart {
    /// A name of the peer is hidden.
    pub(super) redacted: u64,
    /// There was no room for the peer.
    pub(super) left_out: u64,
}

/// As the columns have it: kind, namespace, kind of workload, name, DNS name.
fn columns<'a>(peer: &'a Peer, dns_name: Option<&'a DnsName>) -> [&'a str; 5] {
    let (kind, _) = peer.parts();
    let (namespace, workload_kind, name) = match peer {
        Peer::Service { namespace, name } => (namespace.as_str(), "", name.as_str()),
        Peer::Pod {
            namespace,
            kind: workload_kind,
            name,
        } => (namespace.as_str(), workload_kind.as_str(), name.as_str()),
        Peer::Node { name } => ("", "", name.as_str()),
        Peer::External => ("", "", ""),
        Peer::Unknown(why) => ("", "", why.word()),
    };
    [
        kind,
        namespace,
        workload_kind,
        name,
        dns_name.map_or("", DnsName::as_str),
    ]
}

/// The DNS name in a column, where there is one.
fn dns_name(row: &Row<'_>, column: usize) -> Read<Option<DnsName>> {
    match row.get_ref(column)?.as_str() {
        Ok("") => Ok(None),
        Ok(text) => text
            .parse()
            .map(Some)
            .map_err(|error: DnsNameError| Failure::Damaged(error.to_string())),
        Err(error) => Err(Failure::Damaged(format!("a DNS name is no text: {error}"))),
    }
}

/// The inverse of [`columns`], the DNS name apart.
fn peer(row: &Row<'_>, from: usize) -> Read<Peer> {
    let [kind, namespace, workload_kind, name] = [0, 1, 2, 3].map(|column| row.get::<_, String>(from + column));
    let (kind, namespace, workload_kind, name) = (kind?, namespace?, workload_kind?, name?);
    let names = match kind.as_str() {
        "service" => vec![namespace, name],
        "pod" => vec![namespace, workload_kind, name],
        "external" => vec![],
        _ => vec![name],
    };
    Peer::from_parts(&kind, names)
        .ok_or_else(|| Failure::Damaged(format!("a peer of the kind `{kind}` cannot be read")))
}

/// The peer's row, which is made if there is none.
fn intern(transaction: &Transaction<'_>, columns: [&str; 5]) -> rusqlite::Result<i64> {
    let known = transaction
        .prepare_cached(
            "SELECT peer FROM peer WHERE kind = ?1 AND namespace = ?2 AND workload_kind = ?3 AND name = ?4 \
             AND dns_name = ?5",
        )?
        .query_row(columns, |row| row.get(0))
        .optional()?;
    match known {
        Some(row) => Ok(row),
        None => transaction
            .prepare_cached(
                "INSERT INTO peer (kind, namespace, workload_kind, name, dns_name) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .insert(columns),
    }
}

/// Counts a peer of a container's behaviour in one window.
pub(super) fn add(
    transaction: &Transaction<'_>,
    window: WindowId,
    container: i64,
    behaviour: i64,
    counted: &CountedPeer,
) -> Read<()> {
    let peer = intern(transaction, columns(&counted.peer, counted.dns_name.as_ref()))?;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO reached (container, behaviour, learning_window, provenance, peer, count, first_seen, last_seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (container, behaviour, learning_window, provenance, peer) DO UPDATE SET \
         count = count + excluded.count, first_seen = min(first_seen, excluded.first_seen), \
         last_seen = max(last_seen, excluded.last_seen)",
    )?;
    statement.execute(params![
        container,
        behaviour,
        window.0,
        counted.provenance,
        peer,
        signed(counted.count)?,
        counted.first_seen,
        counted.last_seen,
    ])?;
    Ok(())
}

/// Whether [`add`] would add to a row that is there.
pub(super) fn has_row(
    connection: &Connection,
    window: WindowId,
    container: i64,
    behaviour: &Behaviour,
    counted: &CountedPeer,
) -> Read<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM reached JOIN behaviour USING (behaviour) JOIN peer USING (peer) WHERE container = ?1 \
         AND encoding = ?2 AND learning_window = ?3 AND provenance = ?4 AND kind = ?5 AND namespace = ?6 \
         AND workload_kind = ?7 AND name = ?8 AND dns_name = ?9",
    )?;
    let [kind, namespace, workload_kind, name, dns_name] = columns(&counted.peer, counted.dns_name.as_ref());
    Ok(statement.exists(params![
        container,
        encode(behaviour),
        window.0,
        counted.provenance,
        kind,
        namespace,
        workload_kind,
        name,
        dns_name,
    ])?)
}

/// Adds to what a window has apart.
pub(super) fn add_apart(transaction: &Transaction<'_>, window: WindowId, apart: Apart) -> Read<()> {
    if apart == Apart::default() {
        return Ok(());
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO reached_apart (learning_window, redacted, left_out) VALUES (?1, ?2, ?3) \
         ON CONFLICT (learning_window) DO UPDATE SET redacted = redacted + excluded.redacted, \
         left_out = left_out + excluded.left_out",
    )?;
    statement.execute(params![window.0, signed(apart.redacted)?, signed(apart.left_out)?])?;
    Ok(())
}

/// Adds to what a window's names lack.
pub(super) fn add_name_gaps(
    transaction: &Transaction<'_>,
    window: WindowId,
    gaps: impl IntoIterator<Item = (NameGap, u64)>,
) -> Read<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO name_gap (learning_window, gap, count) VALUES (?1, ?2, ?3) \
         ON CONFLICT (learning_window, gap) DO UPDATE SET count = count + excluded.count",
    )?;
    for (gap, count) in gaps.into_iter().filter(|(_, count)| *count > 0) {
        statement.execute(params![window.0, gap.word(), signed(count)?])?;
    }
    Ok(())
}

impl Snapshot<'_> {
    /// What the names of a window, by its row, lack.
    pub(super) fn name_gaps(&self, window: i64) -> Read<Vec<(NameGap, u64)>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT gap, count FROM name_gap WHERE learning_window = ?1")?;
        let mut rows = statement.query([window])?;
        let mut gaps = Vec::new();
        while let Some(row) = rows.next()? {
            let word: String = row.get(0)?;
            let gap = NameGap::from_word(&word)
                .ok_or_else(|| Failure::Damaged(format!("names are missing for the unknown reason `{word}`")))?;
            gaps.push((gap, row.get::<_, Count>(1)?.0));
        }
        gaps.sort_unstable();
        Ok(gaps)
    }

    /// Whom a container reached, behaviour by behaviour.
    pub(crate) fn reached(
        &self,
        container: i64,
        mut each: impl FnMut(&Behaviour, CountedPeer) -> Read<()>,
    ) -> Read<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT behaviour, number, provenance, count, reached.first_seen, reached.last_seen, kind, namespace, \
             workload_kind, name, dns_name FROM reached JOIN learning_window USING (learning_window) JOIN peer USING (peer) \
             WHERE container = ?1 ORDER BY behaviour",
        )?;
        let mut rows = statement.query([container])?;
        let mut current = None;
        while let Some(row) = rows.next()? {
            let behaviour = self.behaviour_of(&mut current, row.get(0)?)?;
            let counted = CountedPeer {
                window: row.get::<_, Count>(1)?.0,
                provenance: row.get(2)?,
                count: row.get::<_, Count>(3)?.0,
                first_seen: row.get(4)?,
                last_seen: row.get(5)?,
                peer: peer(row, 6)?,
                dns_name: dns_name(row, 10)?,
            };
            each(behaviour, counted)?;
        }
        Ok(())
    }

    /// What a window, by its row, has apart.
    pub(super) fn apart(&self, window: i64) -> Read<Apart> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT redacted, left_out FROM reached_apart WHERE learning_window = ?1")?;
        let apart = statement.query_row([window], |row| {
            Ok(Apart {
                redacted: row.get::<_, Count>(0)?.0,
                left_out: row.get::<_, Count>(1)?.0,
            })
        });
        Ok(apart.optional()?.unwrap_or_default())
    }

    /// How many observations of a window, by its row, have a peer that nobody could tell, and why.
    pub(super) fn untold(&self, window: i64) -> Read<Vec<(Untold, u64)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, sum(count) FROM reached JOIN peer USING (peer) WHERE learning_window = ?1 AND kind = 'unknown' \
             AND name <> ?2 GROUP BY name",
        )?;
        // Nobody was asked, so nobody failed to tell.
        let mut rows = statement.query(params![window, Untold::NoCluster.word()])?;
        let mut untold = Vec::new();
        while let Some(row) = rows.next()? {
            let word: String = row.get(0)?;
            let why = Untold::from_word(&word)
                .ok_or_else(|| Failure::Damaged(format!("a peer is unknown for the unknown reason `{word}`")))?;
            untold.push((why, row.get::<_, Count>(1)?.0));
        }
        untold.sort_unstable();
        Ok(untold)
    }
}
