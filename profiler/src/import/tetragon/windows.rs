//! What a recording holds already.
//!
//! A window of an import stands for the time from its first to its last event. Events of the same node in that time are
//! taken to be those that it counted, so that importing an export again, or one that has grown since, counts nothing twice.
//! If more of them come than it counted, some were not: nobody can tell which, and they are a loss.

use std::path::Path;

use baselines::loss::Reason;
use baselines::recording::{Error, Recording, Summary, WindowSummary};
use baselines::time::UtcTime;

/// The backend of windows that were imported.
pub const BACKEND: &str = "tetragon";

/// The times that were imported before.
#[derive(Debug, Default)]
pub struct Covered(Vec<Span>);

/// One window.
#[derive(Debug)]
struct Span {
    first: UtcTime,
    last: UtcTime,
    recorded: u64,
    /// How many events lay in it now.
    seen: u64,
}

impl Covered {
    /// What a recording holds; nothing where there is none. None if it is of another node.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(recording: &Path, node: &str) -> Result<Option<Self>, Error> {
        match Recording::open(recording).and_then(|recording| recording.summary()) {
            Err(Error::Missing { .. }) => Ok(Some(Self::default())),
            Err(error) => Err(error),
            Ok(summary)
                if summary
                    .sources
                    .iter()
                    .any(|source| source.is_own && source.host != node) =>
            {
                Ok(None)
            }
            Ok(summary) => Ok(Some(Self::in_summary(&summary, node))),
        }
    }

    /// Copies of other recordings of the node count as well.
    fn in_summary(summary: &Summary, node: &str) -> Self {
        let of_node: Vec<_> = summary.sources.iter().filter(|source| source.host == node).collect();
        let is_of_node = |window: &&WindowSummary| of_node.iter().any(|source| source.id == window.recording);
        let imported = summary.windows.iter().filter(|window| window.backend == BACKEND);
        let imported = imported.filter(is_of_node);
        let spans = imported.map(|window| Span {
            first: window.started,
            last: window.ended.as_ref().map_or(window.last_flush, |(at, _)| *at),
            recorded: window.observations,
            seen: 0,
        });
        Self(spans.collect())
    }

    /// Whether this moment was imported before.
    pub fn has(&self, at: UtcTime) -> bool {
        self.0.iter().any(|span| span.contains(at))
    }

    /// The same for an event that would be recorded otherwise, and is left out for that.
    pub fn leaves_out(&mut self, at: UtcTime) -> bool {
        let span = self.0.iter_mut().find(|span| span.contains(at));
        span.map(|span| span.seen += 1).is_some()
    }

    /// How many events were left out that had not been imported, with the time that they lie in.
    pub fn lost(&self) -> impl Iterator<Item = (Reason, u64, UtcTime)> {
        let lost = self.0.iter().filter(|span| span.seen > span.recorded);
        lost.map(|span| (Reason::SourceOverlap, span.seen - span.recorded, span.last))
    }
}

impl Span {
    fn contains(&self, at: UtcTime) -> bool {
        self.first <= at && at <= self.last
    }
}
