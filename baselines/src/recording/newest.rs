//! Which copy of each recording counts, of all that some files hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{Files, RecordingId, Source};

/// The copy of a recording that counts.
pub(crate) struct Newest {
    /// The number of its file.
    pub(crate) file: usize,
    pub(crate) source: Source,
    /// The other copies, and its parts, by file and revision.
    pub(super) replaced: Vec<(usize, u64)>,
}

/// Of each recording in these files the copy that is furthest, sorted by id.
pub(crate) fn newest(files: &Files) -> Vec<Newest> {
    let mut newest: BTreeMap<RecordingId, Newest> = BTreeMap::new();
    for (file, source) in files.sources() {
        match newest.get_mut(&source.id) {
            None => {
                let copy = Newest {
                    file,
                    source: source.clone(),
                    replaced: Vec::new(),
                };
                newest.insert(source.id, copy);
            }
            Some(known) if known.source.rank() < source.rank() => {
                known.replaced.push((known.file, known.source.revision));
                (known.file, known.source) = (file, source.clone());
            }
            Some(known) => known.replaced.push((file, source.revision)),
        }
    }
    leave_out_covered(&mut newest);
    newest.into_values().collect()
}

/// What a part says, the whole says, too; and what has turned up is not lost.
fn leave_out_covered(newest: &mut BTreeMap<RecordingId, Newest>) {
    let covers = |one: &Source| -> Option<RecordingId> {
        let whole = one.lost.or(one.part.as_ref().map(|part| part.whole))?;
        let known = newest.get(&whole).filter(|known| known.source.lost.is_none());
        known.filter(|known| one.lost.is_none() || known.source.revision >= one.revision)?;
        Some(whole)
    };
    let covered: Vec<_> = newest
        .values()
        .filter_map(|one| Some((one.source.id, covers(&one.source)?)))
        .collect();
    for (id, whole) in covered {
        if let (Some(part), Some(whole)) = (newest.remove(&id), newest.get_mut(&whole)) {
            let copy = (part.file, part.source.revision);
            whole.replaced.extend(part.replaced.into_iter().chain([copy]));
        }
    }
    // Of several words that one is lost the last.
    let mut last = BTreeMap::new();
    for one in newest.values() {
        if let Some(whole) = one.source.lost {
            let namespace = one.source.part.as_ref().map(|part| part.namespace.clone());
            let rank = (one.source.revision, one.source.id);
            let known = last.entry((whole, namespace)).or_insert(rank);
            *known = rank.max(*known);
        }
    }
    let last: BTreeSet<RecordingId> = last.into_values().map(|(_, id)| id).collect();
    newest.retain(|id, one| one.source.lost.is_none() || last.contains(id));
}
