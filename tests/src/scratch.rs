//! A folder for one test, and what was recorded in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use baselines::document::{Baseline, Behaviours};
use serde_json::Value;
use tempfile::TempDir;

use crate::{finish, profile};

/// A folder of its own for every test, with a recording in it. It goes when this is dropped.
pub struct Scratch {
    /// Held for its end.
    _directory: TempDir,
    directory: PathBuf,
    recording: PathBuf,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Makes the folder.
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        // As the kernel has it, without symbolic links.
        let directory = temporary.path().canonicalize().unwrap();
        let recording = directory.join("recording.db");
        Self {
            _directory: temporary,
            directory,
            recording,
        }
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes a file in the folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Makes a program in the folder that does nothing but end well.
    pub fn program(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::copy("/bin/true", &path).unwrap();
        path
    }

    /// The recording; there is none before something is recorded.
    pub fn recording(&self) -> &Path {
        &self.recording
    }

    /// What `profile status` says of the recording.
    pub fn status(&self) -> Value {
        status(&self.recording)
    }

    /// How many messages of the ring buffer the first window took.
    pub fn descriptions(&self) -> u64 {
        let status = self.status();
        let latencies = status["windows"][0]["latencies"].as_array().unwrap();
        let latency = latencies.iter().find(|latency| latency["name"] == "describe");
        latency.unwrap_or_else(|| panic!("{status:#}"))["count"]
            .as_u64()
            .unwrap()
    }

    /// The baseline of one image, whatever its tag.
    pub fn baseline(&self, repository: &str) -> Baseline {
        let mut baselines = baselines(&self.recording);
        let at = baselines
            .iter()
            .position(|baseline| baseline.image.repository == repository);
        let images = || -> Vec<String> { baselines.iter().map(|baseline| baseline.image.to_string()).collect() };
        let at = at.unwrap_or_else(|| panic!("no baseline of {repository}, but of {:?}", images()));
        baselines.swap_remove(at)
    }

    /// What one image did, and how often, see [`counts`].
    pub fn learned(&self, repository: &str) -> BTreeMap<String, u64> {
        counts(&self.baseline(repository).behaviours)
    }
}

/// What `profile status -o json` says of a recording.
pub fn status(recording: &Path) -> Value {
    let done = finish(profile().args(["status", "-o", "json", "--recording"]).arg(recording));
    assert_eq!(done.code(), 0, "{done}");
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// The baselines of a recording, as `generate baselines` makes them: with exact counts.
pub fn baselines(recording: &Path) -> Vec<Baseline> {
    baselines::analysis::baselines(&[recording.to_owned()]).unwrap()
}

/// Behaviours in words, and how often each was seen: `/bin/cat opens /etc/hosts (read)`.
pub fn counts(behaviours: &Behaviours) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (behaviour, evidence) in behaviours.all() {
        // Paths of different origin, or with and without a backing file, may read the same.
        *counts.entry(behaviour.to_string()).or_default() += evidence.count;
    }
    counts
}
