//! One node's recording, as an import writes it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use baselines::recording::{self, EndReason, Flush, Recording, WindowId, WindowStart, Writer};
use baselines::time::UtcTime;

use super::node::Node;
use super::summary::Imported;
use super::windows::{BACKEND, Covered};
use crate::error::Failure;
use crate::import::error::ImportError;

/// What nobody who reads an export can know.
const LOSSY: &str = "Tetragon's events do not say what its agent lost in the kernel and in its queues, and what its filters left \
    out; its metrics do (tetragon_bpf_missed_events_total, tetragon_observer_ringbuf_events_lost_total and others)";

/// How late events come, in ns: agents hold those of unknown pods back for 30 s (`--event-cache-retries`). A window that is
/// written before its end begins so much earlier than its first event.
const LATENESS: u64 = 60_000_000_000;

/// Where recordings go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One recording, of one node.
    File(PathBuf),
    /// A folder, with one recording for each node.
    Folder(PathBuf),
}

/// A recording, and the window of this import in it.
#[derive(Debug)]
pub struct Output {
    node: String,
    path: PathBuf,
    selector: String,
    open: Option<(Writer, WindowId)>,
    written_to: UtcTime,
    /// Those that are in it.
    containers: HashSet<u64>,
    imported: Imported,
}

impl Output {
    /// The recording of this node, and what it holds already. It is made when there is something to write.
    ///
    /// # Errors
    /// Where it cannot be read, or is another node's.
    pub fn new(target: &Target, node: &str, selector: &str) -> Result<(Self, Covered), Failure> {
        let path = match target {
            Target::File(path) => path.clone(),
            Target::Folder(folder) => folder.join(file_name(node)),
        };
        let covered = Covered::of(&path, node)?.ok_or_else(|| ImportError::OtherNode {
            recording: path.clone(),
            node: node.to_owned(),
        })?;
        let output = Self {
            node: node.to_owned(),
            selector: selector.to_owned(),
            open: None,
            written_to: UtcTime::default(),
            containers: HashSet::new(),
            imported: Imported {
                node: node.to_owned(),
                recording: path.clone(),
                first: None,
                last: None,
                events: 0,
                containers: 0,
                containers_without_init_tree: 0,
                losses: BTreeMap::new(),
            },
            path,
        };
        Ok((output, covered))
    }

    /// Writes what was counted since the last time, if anything was, and there is more to come.
    ///
    /// # Errors
    /// What the recording says; what was counted and not written is gone then.
    pub fn write(&mut self, node: &mut Node) -> Result<(), Failure> {
        self.write_from(node, |first| {
            UtcTime::from_nanos(first.nanos().cast_unsigned().saturating_sub(LATENESS))
        })
    }

    /// The window begins at what `begin` makes of the first event.
    fn write_from(&mut self, node: &mut Node, begin: fn(UtcTime) -> UtcTime) -> Result<(), Failure> {
        let Some((first, last)) = node.tally.span() else {
            return Ok(());
        };
        let (observations, losses) = node.tally.take();
        if observations.is_empty() && losses.is_empty() {
            return Ok(());
        }
        let did_something = observations.iter().map(|it| it.cgroup_id);
        let did_something: HashSet<u64> = did_something
            .chain(losses.iter().filter_map(|it| it.cgroup_id))
            .collect();
        for loss in &losses {
            self.imported.lose(loss.reason, loss.count);
        }
        self.containers.extend(&did_something);
        self.imported.containers = self.containers.len();
        self.imported.events += observations.iter().map(|it| it.count).sum::<u64>();
        let flush = Flush {
            at: last,
            containers: node.places.with_ids(&did_something),
            observations,
            losses,
            // No event says who had an address.
            ..Flush::default()
        };
        let (writer, window) = if let Some(open) = &mut self.open {
            open
        } else {
            let first = begin(first);
            node.written_from = Some(first);
            let started = self.start(first)?;
            self.open.insert(started)
        };
        writer.flush(*window, &flush)?;
        self.written_to = last;
        Ok(())
    }

    /// Ends the window where something is written already.
    ///
    /// # Errors
    /// What the recording says.
    pub fn abandon(self, why: &str) -> Result<(), Failure> {
        if let Some((mut writer, window)) = self.open {
            writer.end_window(window, &EndReason::Failed(why.to_owned()), self.written_to)?;
        }
        Ok(())
    }

    fn start(&self, first: UtcTime) -> Result<(Writer, WindowId), Failure> {
        let node = recording::Node {
            host: self.node.clone(),
            // Tetragon does not say which boot it is. Containers are told by their ids, which differ from boot to boot.
            boot_id: format!("tetragon:{}", self.node),
            kernel: "unknown".to_owned(),
            machine_id: None,
        };
        let mut writer = Recording::open_or_create(&self.path, &node)?;
        let window = writer.start_window(&WindowStart {
            started: first,
            selector: self.selector.clone(),
            backend: BACKEND.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            flush_interval: Duration::ZERO,
            lossy_from_start: Some(LOSSY.to_owned()),
            names: baselines::dns::Names::Off,
        })?;
        Ok((writer, window))
    }

    /// Writes the rest, and ends the window.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn finish(mut self, mut node: Node, reason: &EndReason) -> Result<Imported, Failure> {
        let lost: Vec<_> = node.covered.lost().collect();
        for (reason, count, at) in lost {
            node.tally.lose(None, reason, count, at);
        }
        self.write_from(&mut node, |first| first)?;
        let mut imported = self.imported;
        imported.containers_without_init_tree = node.places.without_init_tree();
        if let (Some((mut writer, window)), Some((_, last))) = (self.open, node.tally.span()) {
            writer.end_window(window, reason, last)?;
            (imported.first, imported.last) = Imported::span(node.tally.span());
        }
        Ok(imported)
    }
}

/// A name that is a file's, whatever a node is called, and different for different nodes.
fn file_name(node: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
    let plain: String = node.chars().filter(|it| is_plain(*it)).take(200).collect();
    if plain == node && !node.starts_with('.') {
        return format!("{node}.db");
    }
    let hash = super::places::hash(node);
    format!("{}-{hash:016x}.db", plain.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_can_choose_another_file() {
        assert_eq!(file_name("worker-1.example"), "worker-1.example.db");
        for name in ["../etc", "a/b", ".hidden", "a\0b", &"x".repeat(500)] {
            let file = file_name(name);
            assert!(
                !file.contains(['/', '\0']) && !file.starts_with('.') && file.len() < 255,
                "{file}"
            );
            assert_ne!(file, file_name(&format!("{name}/")));
        }
    }
}
