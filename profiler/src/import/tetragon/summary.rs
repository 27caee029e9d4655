//! What an import says at its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use baselines::loss::Reason;
use baselines::time::UtcTime;
use serde::Serialize;

use super::counters::Counters;

/// Lines that are no events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreadable {
    /// No JSON, or no event.
    pub invalid: u64,
    /// Longer than a line may be.
    pub too_long: u64,
    /// The last line of a source, without its end.
    pub half_written: u64,
    /// Sources that could not be read to their end.
    pub cut_sources: u64,
    /// Where the first of them is, and what is wrong with it.
    pub first: Option<String>,
}

impl Unreadable {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.invalid + self.too_long + self.half_written + self.cut_sources
    }
}

/// What was imported into one recording.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// Of which node.
    pub node: String,
    /// Where to.
    pub recording: PathBuf,
    /// The first event of the window; None where nothing was new.
    pub first: Option<String>,
    /// The last one.
    pub last: Option<String>,
    /// How many behaviours were counted.
    pub events: u64,
    /// How many containers did something.
    pub containers: usize,
    /// Containers of which no process descends from the first one: nothing that they did is learned.
    pub containers_without_init_tree: usize,
    /// What was lost, by reason.
    pub losses: BTreeMap<&'static str, u64>,
}

impl Imported {
    /// The window's times as text.
    pub fn span(span: Option<(UtcTime, UtcTime)>) -> (Option<String>, Option<String>) {
        span.map(|(first, last)| (first.to_string(), last.to_string())).unzip()
    }

    /// One more loss.
    pub fn lose(&mut self, reason: Reason, count: u64) {
        if count > 0 {
            *self.losses.entry(reason.word()).or_default() += count;
        }
    }
}

/// Everything about one import.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What was read.
    pub sources: Vec<String>,
    /// What is to be known about that.
    pub notes: Vec<String>,
    /// How many lines, empty ones apart.
    pub lines: u64,
    /// Those that are no events.
    pub unreadable: Unreadable,
    /// What became of the others.
    pub counters: Counters,
    /// By node.
    pub imported: Vec<Imported>,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    /// Events a second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = self.counters.total().events as f64;
        events / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
