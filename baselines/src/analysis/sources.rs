//! The recordings of an analysis, and the containers in them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use crate::path;
use crate::recording::{self, Container, Files, Opened, RemovedImage, Result, WindowSummary};
use crate::time::UtcTime;

/// One recording, in the state that it had when the analysis began.
pub(super) struct Source<'a> {
    files: &'a Files,
    /// The number of the file that it is in.
    file: usize,
    pub(super) identity: recording::Source,
    pub(super) windows: Vec<WindowSummary>,
    pub(super) removed: Vec<RemovedImage>,
}

impl Source<'_> {
    /// The recording's file.
    pub(super) fn path(&self) -> &Path {
        self.files.path(self.file)
    }

    /// The file that it is in.
    pub(super) fn opened(&self) -> Result<Rc<Opened>> {
        self.files.get(self.file)
    }

    /// What tells its node from others: the machine id outlives host names.
    fn node(&self) -> &str {
        self.identity.machine_id.as_ref().unwrap_or(&self.identity.host)
    }

    /// The backends that it was recorded with, sorted.
    pub(super) fn backends(&self) -> Vec<String> {
        let backends: BTreeSet<&String> = self.windows.iter().map(|window| &window.backend).collect();
        backends.into_iter().cloned().collect()
    }
}

/// Of each recording the copy that is furthest, sorted by id.
pub(super) fn newest(files: &Files) -> Result<Vec<Source<'_>>> {
    let source = |newest: recording::Newest| {
        let mut source = Source {
            files,
            file: newest.file,
            identity: newest.source,
            windows: Vec::new(),
            removed: Vec::new(),
        };
        let opened = source.opened()?;
        source.windows = opened.windows(&source.identity)?;
        source.removed = opened.removed_images(&source.identity)?;
        Ok(source)
    };
    recording::newest(files).into_iter().map(source).collect()
}

/// Where one recording has a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    /// The place in the list of sources.
    pub(super) source: usize,
    /// The row in that recording.
    pub(super) row: i64,
}

/// A container, as far as all recordings together know it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) container: Container,
    /// The host name.
    pub(super) host: String,
    /// Counts the nodes of the analysis.
    pub(super) node: usize,
    pub(super) parts: Vec<Part>,
}

impl Seen {
    /// The container's id, or the cgroup's path where there is none.
    pub(super) fn id(&self) -> String {
        if self.container.id.is_empty() {
            path::escape(&self.container.cgroup_path)
        } else {
            path::escape(self.container.id.as_bytes())
        }
    }
}

/// Which window watched which containers, and when.
#[derive(Debug, Default)]
pub(super) struct Watched {
    rows: HashMap<(usize, u64), Vec<i64>>,
    spans: HashMap<Part, Vec<(UtcTime, UtcTime)>>,
}

impl Watched {
    /// The containers that a window of a source watched, by their rows in it.
    pub(super) fn by(&self, source: usize, window: u64) -> &[i64] {
        self.rows.get(&(source, window)).map_or(&[], Vec::as_slice)
    }

    /// When a container was watched, by any window.
    pub(super) fn of(&self, seen: &Seen) -> Vec<(UtcTime, UtcTime)> {
        let spans = seen.parts.iter().filter_map(|part| self.spans.get(part));
        spans.flatten().copied().collect()
    }
}

/// Asks each source.
pub(super) fn watched(sources: &[Source<'_>]) -> Result<Watched> {
    let mut watched = Watched::default();
    for (index, source) in sources.iter().enumerate() {
        let opened = source.opened()?;
        for window in &source.windows {
            let rows = opened.presence(&source.identity, window.number)?;
            let until = window.ended.as_ref().map_or(window.last_flush, |(at, _)| *at);
            for &row in &rows {
                let part = Part { source: index, row };
                watched.spans.entry(part).or_default().push((window.started, until));
            }
            watched.rows.insert((index, window.number), rows);
        }
    }
    Ok(watched)
}

/// Every container once, those of one node together.
pub(super) fn containers(sources: &[Source<'_>]) -> Result<Vec<Seen>> {
    let mut seen: BTreeMap<(usize, String, u64), Seen> = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for (index, source) in sources.iter().enumerate() {
        let next = nodes.len();
        let node = *nodes.entry(source.node()).or_insert(next);
        for stored in source.opened()?.containers(&source.identity)? {
            let part = Part {
                source: index,
                row: stored.row,
            };
            let key = (node, stored.boot_id, stored.container.cgroup_id);
            match seen.entry(key) {
                Entry::Occupied(mut known) => {
                    merge(&mut known.get_mut().container, stored.container);
                    known.get_mut().parts.push(part);
                }
                Entry::Vacant(new) => {
                    let host = source.identity.host.clone();
                    new.insert(Seen {
                        container: stored.container,
                        host,
                        node,
                        parts: vec![part],
                    });
                }
            }
        }
    }
    Ok(seen.into_values().collect())
}

/// What two recordings know about one container: the names from the one that saw it last.
fn merge(known: &mut Container, other: Container) {
    let started = known.started.min(other.started);
    let alive_until = known.alive_until.max(other.alive_until);
    let partial = known.partial && other.partial;
    if other.alive_until > known.alive_until {
        *known = other;
    }
    known.started = started;
    known.alive_until = alive_until;
    known.partial = partial;
}
