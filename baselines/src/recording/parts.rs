//! What the containers of some namespaces are of a recording, as recordings of their own.
//!
//! Somebody who may read one namespace gets that one's part, and somebody else another one's. Each part has a name that
//! follows from the recording's and the namespace's, so that parts which were taken twice count once, parts of several
//! namespaces add up, and the whole replaces them (see [`super::merge()`]).
//!
//! A part has all windows of its recording. What a window says of losses that nobody knows whose they are, of what is hidden,
//! of how quick the recorder was, of what DNS names lack and of what retention took away is about the whole: it can be true of each part.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rusqlite::Transaction;

use super::columns::Count;
use super::error::{Failure, Result};
use super::merge::combine;
use super::read::{Read, Source};
use super::{Merged, Part, WindowSummary};
use crate::time::UtcTime;

/// Takes what the containers of these namespaces did out of the recordings in the file at `path`, into a new file at `out`,
/// which must not be there unless it `replaces` that. The recording may be going on.
///
/// # Errors
/// As [`super::merge()`], and [`super::Error::Damaged`] for a file with parts: they have no parts.
///
/// ```
/// use baselines::recording::{Node, Recording, extract};
///
/// let folder = tempfile::tempdir()?;
/// let (path, out) = (folder.path().join("recording.db"), folder.path().join("shop.db"));
/// let node = Node { host: "worker-1".into(), boot_id: "1".into(), kernel: "6.18".into(), machine_id: None };
/// drop(Recording::open_or_create(&path, &node)?);
/// let id = Recording::open(&path)?.summary()?.sources[0].id;
/// let extracted = extract(&path, &["shop".to_owned()], &out, false)?;
/// assert_eq!(extracted.sources[0].id, id.part("shop"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn extract(path: &Path, namespaces: &[String], out: &Path, replaces: bool) -> Result<Merged> {
    combine(&[PathBuf::from(path)], out, replaces, Some(namespaces), |_, _| {})
}

/// How a part is called.
pub(super) fn part_of(source: &Source, namespace: &str) -> Read<Source> {
    if let Some(whole) = source.lost {
        return Err(Failure::Damaged(format!("recording {whole} is lost, and has no parts")));
    }
    if let Some(part) = &source.part {
        return Err(Failure::Damaged(format!(
            "recording {} is a part of another one (namespace `{}`), and has no parts",
            source.id, part.namespace
        )));
    }
    let mut target = source.clone();
    target.id = source.id.part(namespace);
    target.part = Some(Part {
        whole: source.id,
        namespace: namespace.to_owned(),
    });
    Ok(target)
}

/// Says of windows what is true of the part that was just written in this row: what it asks for, and what was counted. A row of
/// observations is of a minute: it counts in the window in which the first of them was.
pub(super) fn describe(
    transaction: &Transaction<'_>,
    row: i64,
    namespace: &str,
    windows: &mut [WindowSummary],
) -> Read<()> {
    let begins: BTreeMap<UtcTime, u64> = windows.iter().map(|window| (window.started, window.number)).collect();
    let window_of = |at: UtcTime| begins.range(..=at).next_back().or_else(|| begins.first_key_value());
    let (mut observations, mut new) = (HashMap::<u64, u64>::new(), HashMap::<u64, u64>::new());
    let of_part = "FROM observation JOIN container USING (container) JOIN boot USING (boot) WHERE source = ?1";
    for (sql, sums) in [
        (format!("SELECT first_seen, count {of_part}"), &mut observations),
        // There may be more than fit into memory: the database sorts them, and keeps them on the disk meanwhile.
        (
            format!("SELECT min(first_seen), 1 {of_part} GROUP BY behaviour"),
            &mut new,
        ),
    ] {
        let mut statement = transaction.prepare(&sql)?;
        let mut rows = statement.query([row])?;
        while let Some(row) = rows.next()? {
            if let Some((_, window)) = window_of(row.get(0)?) {
                let sum = sums.entry(*window).or_default();
                *sum = sum.saturating_add(row.get::<_, Count>(1)?.0);
            }
        }
    }
    for window in windows {
        window.selector = format!("namespace {namespace} (a part)");
        window.observations = observations.get(&window.number).copied().unwrap_or_default();
        window.new_behaviours = new.get(&window.number).copied().unwrap_or_default();
    }
    Ok(())
}
