//! Who did what in a container, as its baseline tells it.

use std::collections::BTreeMap;
use std::path::Path;

use baselines::document::{Baseline, Evidence};
use serde_json::json;

/// How often a file was opened in a container, by provenance.
pub fn opened(baseline: &Baseline, file: &Path) -> BTreeMap<String, u64> {
    let all = baseline.behaviours.open.iter().chain(&baseline.not_learned.open);
    by_provenance(
        all.filter(|open| open.path.as_bytes() == file.as_os_str().as_encoded_bytes())
            .map(|open| &open.evidence),
    )
}

/// How often a program was executed in a container, by provenance.
pub fn executed(baseline: &Baseline, program: &str) -> BTreeMap<String, u64> {
    let all = baseline.behaviours.exec.iter().chain(&baseline.not_learned.exec);
    by_provenance(
        all.filter(|exec| exec.binary.as_bytes() == program.as_bytes())
            .map(|exec| &exec.evidence),
    )
}

fn by_provenance<'a>(all: impl Iterator<Item = &'a Evidence>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for evidence in all {
        let provenance = json!(evidence.provenance);
        let names: Vec<&str> = provenance
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        *counts.entry(names.join("+")).or_default() += evidence.count;
    }
    counts
}

/// So often by this provenance, and by no other.
pub fn only(provenance: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(provenance.to_owned(), count)])
}
